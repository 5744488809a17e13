"""How long a text is in tokens, and how an ask is kept short: its oldest messages go, and its reply is bounded.

Tokens of OpenAI's models are counted by their own vocabularies; those of others are estimated, so that prose in any
script is rather over- than undercounted. A vocabulary is loaded when first asked for, in about 0.2 s, and stays: 130 MB
for o200k (66 MB of it the library), 30 MB more for cl100k. The estimate takes no memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from sekimori.dialects.texts import texts_within
from sekimori.terms import Dialect, Operation

_O200K: Final = re.compile(r"(?:chatgpt-)?(?:gpt-(?:4o|4\.[1-9]|[5-9]|oss)|o[1-9](?:-|\Z)|codex)")
_CL100K: Final = re.compile(r"gpt-(?:4|3\.5)|text-embedding-(?:3|ada-002)")
_FINE_TUNED: Final = re.compile(r"ft:([^:]+)")
_LETTERS: Final = bytes(range(97, 123)) + bytes(range(65, 91)) + b" \n"
_ASCII: Final = bytes(range(128))
_PIECE: Final = 64 * 1024
"""Characters that are counted at once: a vocabulary's memory grows with them."""

Kind = Literal["system", "user", "model", "result"]
_LISTS: Final[Mapping[tuple[Dialect, Operation], str]] = {
    ("openai", "chat"): "messages",
    ("openai", "responses"): "input",
    ("anthropic", "chat"): "messages",
    ("anthropic", "count_tokens"): "messages",
    ("gemini", "chat"): "contents",
    ("gemini", "count_tokens"): "contents",
}

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_elements: Final = msgspec.json.Decoder(list[Raw]).decode
_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def tokens(text: str, model: str) -> int:
    """Tokens of a text. `model`: its name, with or without the provider's before it."""
    vocabulary = vocabulary_of(model)
    if vocabulary is None:
        return estimated(text)
    count = _counter(vocabulary)
    try:
        return sum(count(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))
    except UnicodeEncodeError:  # half of a pair is no character, but JSON can say it
        return estimated(text)


def vocabulary_of(model: str) -> str | None:
    """The vocabulary that a model's tokens are of; None where it is not known here."""
    name = model.rpartition("/")[2].lower()
    tuned = _FINE_TUNED.match(name)
    if tuned is not None:
        name = tuned.group(1)
    if _O200K.match(name):
        return "o200k_base"
    return "cl100k_base" if _CL100K.match(name) else None


def estimated(text: str) -> int:
    """Tokens by what a text is written with: a third of its Latin letters and spaces, nine tenths of the other
    ASCII characters, and 0.6 for each further byte in UTF-8 (1.2 for a Cyrillic letter, 1.8 for a Chinese character).
    """
    data = text.encode("utf-8", "surrogatepass")
    others = data.translate(None, _LETTERS)
    wide = len(others.translate(None, _ASCII))
    dense = len(others) - wide
    return -(-((len(data) - len(others)) * 20 + dense * 54 + wide * 36) // 60)


@cache
def _counter(vocabulary: str) -> Callable[[str], int]:
    # The package's own front builds tables for decoding: 70 MB that counting does not need.
    from bpe_openai._bindings import tokenizer_for_encoding

    counter: Callable[[str], int] = tokenizer_for_encoding(vocabulary).count
    return counter


# What a reply may say.


def cap_of(dialect: Dialect, operation: Operation, members: Mapping[str, Raw], most: int) -> dict[str, Raw]:
    """Members to replace, so that the provider itself ends the reply after at most `most` tokens and says why.

    A smaller bound of the caller's stays. Where several answers are asked for, each gets its part.
    """
    if operation == "responses":
        return _capped(members, ("max_output_tokens",), most)
    if operation != "chat":
        return {}
    if dialect == "anthropic":
        return _capped(members, ("max_tokens",), most)
    if dialect == "gemini":
        return _gemini_cap(members, most)
    each = _each(members, "n", most)
    used = [name for name in ("max_completion_tokens", "max_tokens") if _whole(members.get(name)) is not None]
    return _capped(members, tuple(used) or ("max_completion_tokens",), each)


def _capped(members: Mapping[str, Raw], names: tuple[str, ...], most: int) -> dict[str, Raw]:
    return {
        name: Raw(_encode(most)) for name in names if (written := _whole(members.get(name))) is None or written > most
    }


def _gemini_cap(members: Mapping[str, Raw], most: int) -> dict[str, Raw]:
    member = "generation_config" if "generation_config" in members else "generationConfig"
    raw = members.get(member)
    config = {} if raw is None or bytes(raw) == b"null" else _members(raw)
    name = "max_output_tokens" if "max_output_tokens" in config else "maxOutputTokens"
    count = "candidate_count" if "candidate_count" in config else "candidateCount"
    capped = _capped(config, (name,), _each(config, count, most))
    return {member: Raw(_encode({**config, **capped}))} if capped else {}


def _each(members: Mapping[str, Raw], count: str, most: int) -> int:
    return max(1, most // max(1, _whole(members.get(count)) or 1))


def _whole(raw: Raw | None) -> int | None:
    value = None if raw is None else _decode(raw)
    return value if type(value) is int else None


# What is asked.


def shortened(
    members: Mapping[str, Raw],
    dialect: Dialect,
    operation: Operation,
    most: int,
    count: Callable[[str], int],
) -> tuple[dict[str, Raw], int] | None:
    """An ask without its oldest messages, and how many were left out, so that at most `most` tokens are left.

    What is left begins with a message of the user's, as every provider wants it; where not even the last one fits with
    all that follows it, the oldest calls of tools behind it go with their results. System messages, the last message of
    the user's and all that follows the last result stay. None where the rest does not fit.
    """
    name = _LISTS.get((dialect, operation), "")
    raw = members.get(name)
    fixed = sum(_count(value, count) for other, value in members.items() if other not in (name, "model", "stream"))
    if raw is None or memoryview(raw)[0] != ord("["):
        total = fixed + (0 if raw is None else _count(raw, count))
        return (dict(members), 0) if total <= most else None
    items = _elements(raw)
    sizes = [_count(item, count) for item in items]
    values = [_decode(item) for item in items]
    kinds = [_kind(value) for value in values]
    left_out = _left_out(kinds, _ends(values), sizes, most - fixed)
    if left_out is None:
        return None
    kept = [item for number, item in enumerate(items) if number not in left_out]
    return {**members, name: Raw(_encode(kept))} if left_out else dict(members), len(left_out)


def _left_out(kinds: Sequence[Kind], ends: Sequence[int], sizes: Sequence[int], most: int) -> frozenset[int] | None:
    """Numbers of the messages that go; None where what must stay is too much. `ends`: see `_ends`."""
    total = sum(sizes)
    if total <= most:
        return frozenset()
    last = max((number for number, kind in enumerate(kinds) if kind == "user"), default=-1)
    gone: list[int] = []
    reach = -1  # where the last result of the calls that went stands: nothing may begin before it
    for number, kind in enumerate(kinds):
        begins = kind == "user" if number <= last else kind == "model" and kinds[number - 1] == "result"
        if begins and reach < number and total <= most:
            return frozenset(gone)
        if number > last and "result" not in kinds[number:]:
            return None
        if kind != "system" and number != last:
            gone.append(number)
            total -= sizes[number]
            reach = max(reach, ends[number])
    return None


def _kind(value: Any) -> Kind:
    if type(value) is not dict:
        return "user"
    role, type_ = value.get("role"), value.get("type")
    if role in ("system", "developer"):
        return "system"
    if role in ("tool", "function") or (type(type_) is str and type_.endswith("_output")):
        return "result"
    if role in ("assistant", "model"):
        return "model"
    if role is None and type_ is not None and type_ != "message":
        return "model"  # a call, a thought: items of the Responses API
    return "result" if any(_result_id(part) is not None for part in _parts(value)) else "user"


def _parts(value: dict[str, Any]) -> list[dict[str, Any]]:
    for name in ("content", "parts"):
        inner = value.get(name)
        if type(inner) is list:
            return [part for part in inner if type(part) is dict]
    return []


def _result_id(part: dict[str, Any]) -> str | None:
    if part.get("type") == "tool_result":
        return str(part.get("tool_use_id", ""))
    response = part.get("functionResponse", part.get("function_response"))
    return str(response.get("id", "")) if type(response) is dict else None


def _ends(values: Sequence[Any]) -> list[int]:
    """For each message, where the last result of a call in it stands; its own number where there is none."""
    callers: dict[str, int] = {}
    ends = list(range(len(values)))
    for number, value in enumerate(values):
        if type(value) is not dict:
            continue
        results = [value.get("tool_call_id")] if value.get("role") == "tool" else []
        call_id = value.get("call_id")
        if call_id is not None:
            if str(value.get("type")).endswith("_output"):
                results.append(call_id)
            else:
                callers[str(call_id)] = number
        calls = value.get("tool_calls")
        for call in calls if type(calls) is list else []:
            if type(call) is dict:
                callers[str(call.get("id"))] = number
        for part in _parts(value):
            if part.get("type") == "tool_use":
                callers[str(part.get("id"))] = number
            elif (result := _result_id(part)) is not None:
                results.append(result)
        for result in results:
            caller = callers.get(str(result))
            if caller is not None:
                ends[caller] = max(ends[caller], number)
    return ends


def _count(raw: Raw, count: Callable[[str], int]) -> int:
    if memoryview(raw)[0] not in b'"[{':
        return 0
    return sum(count(text.text) for text in texts_within(_decode(raw), "user").texts)
