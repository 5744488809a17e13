"""What the practice provider says to `POST /v1/rerank`: the share of the query's words that a document has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sekimori.sandbox.replies import Heard, Said, fingerprint
from sekimori.sandbox.replies import say as say_chat
from sekimori.terms import Dialect, Usage

__all__ = ["events", "figures", "hear", "plain", "say"]

_encode: Final = msgspec.json.Encoder().encode


def hear(dialect: Dialect, value: dict[str, Any], key: str) -> Heard:
    """Read an ask, leniently."""
    query, documents = str(value.get("query", "")), _texts(value.get("documents"))
    return Heard(
        dialect=dialect,
        model=str(value.get("model")),
        key=fingerprint(key),
        messages=len(documents),
        last=query,
        words=max(1, sum(len(query.split()) + len(one.split()) for one in documents)),
        stream=False,
        wants_usage=True,
        tool=None,
        cap=None,
        cached=False,
        reasons=False,
        operation="rerank",
        asked=value,
    )


def _texts(given: Any) -> list[str]:
    documents = given if isinstance(given, list) else []
    return [str(one.get("text", "")) if isinstance(one, dict) else str(one) for one in documents]


def say(heard: Heard, body: bytes) -> Said:
    """The answer, which makes no tokens."""
    said = say_chat(heard, body)
    return msgspec.structs.replace(said, usage=Usage(input=said.usage.input))


def figures(dialect: Dialect, usage: Usage) -> dict[str, Any]:
    """Usage as the operation writes it."""
    return {"prompt_tokens": usage.input, "total_tokens": usage.input}


def plain(heard: Heard, said: Said, usage: Any) -> bytes:
    """A whole reply; `usage` as `figures` gives it, or what a scenario puts in its place (None leaves it out)."""
    query = set(heard.last.split())
    scored: list[dict[str, Any]] = []
    for index, text in enumerate(_texts(heard.asked.get("documents"))):
        score = len(query & set(text.split())) / max(1, len(query))
        scored.append({"index": index, "relevance_score": score, "document": {"text": text}})
    scored.sort(key=lambda one: -one["relevance_score"])
    if heard.asked.get("return_documents") is False:
        for one in scored:
            del one["document"]
    top = heard.asked.get("top_n")
    results = scored[:top] if isinstance(top, int) else scored
    told = {} if usage is None else {"usage": usage}
    return _encode({"id": f"rerank-{said.id[-16:]}", "model": heard.model, "results": results, **told})


def events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    """There is no stream of rerankings."""
    raise AssertionError("rerankings are never streamed")
