"""Tokens of a call from the provider's own figures, told alike for every dialect.

Figures are taken when they can be true: whole, not negative, not absurd, and consistent. The counts that money hangs
on (input, output) are either believed or unknown: None, and the walk settles at the reservation. A detail that cannot
be true (more cached than input) is dropped, and what is left is marked estimated.
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import structs

from sekimori.terms import Usage

MOST: Final = 1_000_000_000
"""Tokens of one call. The longest contexts are some millions; beyond this a figure is a mistake."""


def of_openai(figures: Any, service: Any = None) -> Usage | None:
    """`usage` of the OpenAI dialect: prompt_tokens, completion_tokens, total_tokens and their details; and the
    `service_tier` that stands beside it.

    Some providers (Gemini's endpoint, xAI) leave reasoning out of completion_tokens and into total_tokens; what is
    billed as output is the larger of the two ways to see it.
    """
    if type(figures) is not dict:
        return None
    given = _part(figures, "prompt_tokens_details")
    made = _part(figures, "completion_tokens_details")
    details = _Details(
        cached=given.get("cached_tokens", figures.get("prompt_cache_hit_tokens")),
        cache_write=given.get("cache_write_tokens"),
        reasoning=made.get("reasoning_tokens"),
    )
    return _with_total(figures, figures.get("prompt_tokens"), figures.get("completion_tokens"), details, service)


def of_openai_responses(figures: Any, service: Any = None) -> Usage | None:
    """`usage` of the OpenAI dialect's responses: input_tokens, output_tokens, total_tokens and their details; and the
    `service_tier` that stands beside it."""
    if type(figures) is not dict:
        return None
    given = _part(figures, "input_tokens_details")
    details = _Details(
        cached=given.get("cached_tokens"),
        cache_write=given.get("cache_write_tokens"),
        reasoning=_part(figures, "output_tokens_details").get("reasoning_tokens"),
    )
    return _with_total(figures, figures.get("input_tokens"), figures.get("output_tokens"), details, service)


def of_openai_embeddings(figures: Any) -> Usage | None:
    """`usage` of the OpenAI dialect's embeddings: prompt_tokens, and total_tokens, which says the same.

    Where the total is more, it is what was read (servers that count pieces of a long text apart).
    """
    if type(figures) is not dict:
        return None
    input_ = _count(figures.get("prompt_tokens"))
    if input_ is None:
        return None
    total = _count(figures.get("total_tokens", input_))
    return Usage(input=max(input_, total or 0), estimated=total != input_)


def of_rerank(figures: Any, meta: Any = None) -> Usage | None:
    """`usage` of a reranking (prompt_tokens and total_tokens, or the total alone), or what `meta.tokens` says beside it
    (Cohere): only what was read is counted."""
    if type(figures) is dict and figures.get("prompt_tokens") is None:
        figures = {**figures, "prompt_tokens": figures.get("total_tokens")}
    told = of_openai_embeddings(figures)
    if told is None and type(meta) is dict:
        input_ = _count(_part(meta, "tokens").get("input_tokens"))
        told = None if input_ is None else Usage(input=input_)
    return told


def _with_total(figures: dict[str, Any], given: Any, made: Any, details: _Details, service: Any) -> Usage | None:
    """Input and output beside a `total_tokens`, all of which must agree."""
    input_, output = _count(given), _count(made)
    if input_ is None or output is None:
        return None
    total = figures.get("total_tokens")
    if total is not None:
        known = _count(total)
        if known is None or known < input_ + output:
            details.doubt = True
        else:
            output = known - input_
    if details.reasoning > output:
        # Left out of the completion, and no total to tell so: count it, for it is billed.
        output += details.reasoning
        details.doubt = True
    return details.usage(input_, output, service_of(service))


def of_anthropic(figures: Any) -> Usage | None:
    """`usage` of the Anthropic dialect: input_tokens without what the cache gave or took, output_tokens.

    Where `iterations` are listed (compaction), their sum is what is billed if it is more.
    """
    if type(figures) is not dict:
        return None
    whole = _anthropic(figures)
    iterations = figures.get("iterations")
    if whole is None or type(iterations) is not list or not 1 < len(iterations) <= 1000:
        return whole
    parts = [_anthropic(one) if type(one) is dict else None for one in iterations]
    known = [part for part in parts if part is not None]
    if len(known) != len(parts):
        return structs.replace(whole, estimated=True)
    billed = Usage(
        input=sum(part.input for part in known),
        output=sum(part.output for part in known),
        cached=sum(part.cached for part in known),
        cache_write=sum(part.cache_write for part in known),
        reasoning=sum(part.reasoning for part in known),
        cache_write_hour=sum(part.cache_write_hour for part in known),
        service=whole.service,
        estimated=whole.estimated or any(part.estimated for part in known),
    )
    if billed.input + billed.output <= whole.input + whole.output:
        return whole
    return billed if billed.input <= MOST and billed.output <= MOST else None


def _anthropic(figures: dict[str, Any]) -> Usage | None:
    fresh = _count(figures.get("input_tokens"))
    output = _count(figures.get("output_tokens"))
    if fresh is None or output is None:
        return None
    # Input is the sum of three figures, so a cache figure that cannot be true leaves the input unknown, too.
    cached = _count(figures.get("cache_read_input_tokens") or 0)
    written = _count(figures.get("cache_creation_input_tokens") or 0)
    if cached is None or written is None:
        return None
    details = _Details(
        reasoning=_part(figures, "output_tokens_details").get("thinking_tokens"),
        cache_write_hour=_part(figures, "cache_creation").get("ephemeral_1h_input_tokens"),
    )
    details.cached, details.cache_write = cached, written
    # Fast mode is a speed of its own beside the service tier, and what is charged for.
    service = "fast" if figures.get("speed") == "fast" else service_of(figures.get("service_tier"))
    return details.usage(fresh + cached + written, output, service)


_OUTPUT: Final = frozenset({"candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"})


def of_gemini(figures: Any, *, answers: bool = True) -> Usage | None:
    """`usageMetadata` of the Gemini dialect; `answers` is False of what has no output, as embeddings.

    Proto JSON leaves out what is zero, so the prompt must be told and one figure that bounds the output. The prompt
    counts what came from the cache, not what the provider's tools brought in; candidates do not count thoughts. Where
    the total is more than that, what is billed as output is the rest of it. The service tier is `serviceTier` of the
    Gemini API, or Vertex AI's `trafficType`, where told.
    """
    if type(figures) is not dict or (answers and not _OUTPUT & figures.keys()):
        return None
    counts = [
        _count(figures.get(name, 0))
        for name in ("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    ]
    prompt, tools, said, thought = counts
    if "promptTokenCount" not in figures or prompt is None or tools is None or said is None or thought is None:
        return None
    details = _Details(cached=figures.get("cachedContentTokenCount"))
    details.reasoning = thought
    input_, output = prompt + tools, said + thought
    total = figures.get("totalTokenCount")
    if total is not None:
        known = _count(total)
        if known is None or known < input_ + output:
            details.doubt = True
        else:
            output = known - input_
    return details.usage(input_, output, _gemini_service(figures))


def _gemini_service(figures: dict[str, Any]) -> str:
    told = figures.get("serviceTier", figures.get("trafficType"))
    return service_of(told.lower().removeprefix("on_demand_")) if type(told) is str else ""


class _Details:
    """The figures beside input and output, and whether any of them could not be believed."""

    __slots__ = ("cache_write", "cache_write_hour", "cached", "doubt", "reasoning")

    def __init__(
        self, *, cached: Any = None, cache_write: Any = None, reasoning: Any = None, cache_write_hour: Any = None
    ) -> None:
        self.doubt = False
        self.cached = self._read(cached)
        self.cache_write = self._read(cache_write)
        self.reasoning = self._read(reasoning)
        self.cache_write_hour = self._read(cache_write_hour)

    def _read(self, figure: Any) -> int:
        if figure is None:
            return 0
        count = _count(figure)
        if count is None:
            self.doubt = True
            return 0
        return count

    def usage(self, input_: int, output: int, service: str = "") -> Usage | None:
        if input_ > MOST or output > MOST:
            return None
        cached, written, reasoning, hour = self.cached, self.cache_write, self.reasoning, self.cache_write_hour
        if cached + written > input_:
            self.doubt, cached, written = True, 0, 0
        if hour > written:
            self.doubt, hour = True, 0
        if reasoning > output:
            self.doubt, reasoning = True, 0
        return Usage(input_, output, cached, written, reasoning, self.doubt, hour, service)


USUAL: Final = frozenset({"default", "standard", "auto", "on_demand", "unspecified"})
"""What providers call the service tier that their list prices are for."""


def service_of(told: Any) -> str:
    """The service tier that a reply names; empty for the usual one and for what is no short word."""
    if type(told) is not str or told in USUAL or not _SERVICE.fullmatch(told):
        return ""
    return told


_SERVICE: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def _count(figure: Any) -> int | None:
    """A whole number of tokens that can be true. `true` is no number, and 12.0 is how no provider writes 12."""
    return figure if type(figure) is int and 0 <= figure <= MOST else None


def _part(figures: dict[str, Any], name: str) -> dict[str, Any]:
    part = figures.get(name)
    return part if type(part) is dict else {}


def input_of(request_bytes: int) -> int:
    """Input tokens that a request of so many bytes may have, rather too many than too few: a token is seldom less than
    three bytes, JSON around it included. What a request only names (URLs, files, kept conversations) is not in it."""
    return min(MOST, -(-request_bytes // 3))


def estimate(request_bytes: int, released_bytes: int, known: Usage | None) -> Usage:
    """What a hop used whose provider did not say, or not all: marked estimated, and rather too much than too little.

    Each streamed token is an event of its own, so the bytes released say more than what was used. What the provider did
    say is a floor.
    """
    told = known or Usage()
    return Usage(
        input=told.input or input_of(request_bytes),
        output=min(MOST, max(told.output, -(-released_bytes // 3))),
        cached=told.cached,
        cache_write=told.cache_write,
        reasoning=told.reasoning,
        estimated=True,
        cache_write_hour=told.cache_write_hour,
        service=told.service,
    )
