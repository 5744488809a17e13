"""Where a stream's events hold pieces of a text, and which text each piece goes on with.

A text that comes in pieces is a channel: what a secret could be split over. An event may hold pieces of several, and
may end some, after which nothing more comes in them. Every string of an event that is no piece is whole in itself.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sekimori.dialects.found import Path
from sekimori.terms import Dialect, Operation

Channel = tuple[str | int, ...]


class Piece(NamedTuple):
    """The next part of a channel's text."""

    channel: Channel
    path: Path
    """Where it stands in the event."""
    text: str
    json: bool = False
    """The channel is the source of a JSON value."""
    signed: bool = False
    """The provider signs what the channel says: it can be read, not edited."""


class Pieces(NamedTuple):
    """What one event holds of channels."""

    pieces: list[Piece]
    ended: list[Channel]
    """Prefixes of the channels that end with this event, its own pieces included."""
    beside: list[Path]
    """Values that repeat what the pieces say in another form, and go where a piece is edited."""


_NONE: Final = Pieces([], [], [])


def pieces_of(dialect: Dialect, operation: Operation, event: Any) -> Pieces:
    """The pieces in the decoded data of an event; none where it has another shape."""
    if type(event) is not dict:
        return _NONE
    if operation == "responses":
        return _of_responses(event)
    if dialect == "openai":
        return _of_openai(event)
    return _of_anthropic(event) if dialect == "anthropic" else _of_gemini(event)


def _of_openai(event: dict[str, Any]) -> Pieces:
    choices = event.get("choices")
    if type(choices) is not list:
        return _NONE
    found = Pieces([], [], [])
    for number, choice in enumerate(choices):
        if type(choice) is not dict:
            continue
        index = choice.get("index")
        key: Channel = (index if type(index) is int else number,)
        here: Path = ("choices", number)
        if type(choice.get("text")) is str:  # the completions of old
            found.pieces.append(Piece((*key, "text"), (*here, "text"), choice["text"]))
        delta = choice.get("delta")
        if type(delta) is dict:
            _of_delta(found, delta, key, (*here, "delta"))
        if choice.get("logprobs") is not None:
            found.beside.append((*here, "logprobs"))
        if choice.get("finish_reason") is not None:
            found.ended.append(key)
    return found


def _of_delta(found: Pieces, delta: dict[str, Any], key: Channel, here: Path) -> None:
    for name, value in delta.items():
        if type(value) is str and name != "role":
            found.pieces.append(Piece((*key, name), (*here, name), value))
    call = delta.get("function_call")
    if type(call) is dict and type(call.get("arguments")) is str:
        path = (*here, "function_call", "arguments")
        found.pieces.append(Piece((*key, "function_call"), path, call["arguments"], json=True))
    calls = delta.get("tool_calls")
    for number, call in enumerate(calls if type(calls) is list else ()):
        function = call.get("function") if type(call) is dict else None
        if type(function) is dict and type(function.get("arguments")) is str:
            index = call.get("index")
            channel = (*key, "tool_calls", index if type(index) is int else number)
            path = (*here, "tool_calls", number, "function", "arguments")
            found.pieces.append(Piece(channel, path, function["arguments"], json=True))


_OF_BLOCK: Final = {"text": False, "partial_json": True, "thinking": False}
"""Members of a delta that hold a piece -> whether it is of JSON source."""


def _of_anthropic(event: dict[str, Any]) -> Pieces:
    index = event.get("index")
    if type(index) is not int:
        return _NONE
    if event.get("type") == "content_block_stop":
        return Pieces([], [(index,)], [])
    delta = event.get("delta")
    if type(delta) is not dict:
        return _NONE
    return Pieces(
        [
            Piece((index, name), ("delta", name), delta[name], json=json, signed=name == "thinking")
            for name, json in _OF_BLOCK.items()
            if type(delta.get(name)) is str
        ],
        [],
        [],
    )


_PLACE: Final = ("item_id", "output_index", "content_index", "summary_index")


def _of_responses(event: dict[str, Any]) -> Pieces:
    kind = event.get("type")
    if type(kind) is not str:
        return _NONE
    if kind.endswith(".done"):
        return Pieces([], [_place(kind.removesuffix(".done"), event)], [])
    if not kind.endswith(".delta") or type(event.get("delta")) is not str or kind == "response.audio.delta":
        return _NONE
    base = kind.removesuffix(".delta")
    beside: list[Path] = [("logprobs",)] if event.get("logprobs") else []
    return Pieces([Piece(_place(base, event), ("delta",), event["delta"], json="arguments" in base)], [], beside)


def _place(base: str, event: dict[str, Any]) -> Channel:
    told = [event.get(name) for name in _PLACE]
    return (base, *(value if isinstance(value, str | int) else "" for value in told))


def _of_gemini(event: dict[str, Any]) -> Pieces:
    candidates = event.get("candidates")
    if type(candidates) is not list:
        return _NONE
    found = Pieces([], [], [])
    for number, candidate in enumerate(candidates):
        if type(candidate) is not dict:
            continue
        index = candidate.get("index")
        key: Channel = (index if type(index) is int else number,)
        content = candidate.get("content")
        parts = content.get("parts") if type(content) is dict else None
        for place, part in enumerate(parts if type(parts) is list else ()):
            if type(part) is dict and type(part.get("text")) is str:
                path = ("candidates", number, "content", "parts", place, "text")
                signed = "thoughtSignature" in part
                # Whatever stands between two parts, a reader sees their texts side by side.
                channel = (*key, "thought" if part.get("thought") is True else "text")
                found.pieces.append(Piece(channel, path, part["text"], signed=signed))
        if candidate.get("logprobsResult") is not None:
            found.beside.append(("candidates", number, "logprobsResult"))
        # A reason to finish may stand in every chunk, so it ends nothing here: the end of the stream does.
    return found
