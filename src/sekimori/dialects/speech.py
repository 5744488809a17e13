"""Which module speaks which operation of which dialect: the one table that doors, calls and the sandbox share.

A speech is a module of pure functions, bytes in and facts out:

    read_ask(operation, body, headers, named) -> Ask     what an ask needs; raises Refused naming the place
    upstream_body(ask, model, *, include_usage, stores)  the body for the provider: the caller's bytes, listed edits
    read_reply(body, operation) -> ReplyFacts            what a plain reply says of itself; raises Upstream
    read_error(status, body) -> Upstream                 the refusal that stands for a provider's error reply
    Stream(hide_usage) : EventStream                     a stream on its way through
    stream_error(refusal) -> bytes                       the event that ends a stream which cannot go on

and the voice of a dialect words what is no operation's own: `refusal`, `models_page`, `model_page`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final

from sekimori.dialects import (
    anthropic,
    completions,
    embeddings,
    gemini,
    images,
    moderations,
    openai,
    rerank,
    responses,
    stored,
)
from sekimori.terms import Dialect, Operation

SPEECH: Final[Mapping[tuple[Dialect, Operation], ModuleType]] = MappingProxyType(
    {
        ("openai", "chat"): openai,
        ("openai", "responses"): responses,
        ("openai", "embeddings"): embeddings,
        ("openai", "moderations"): moderations,
        ("openai", "completions"): completions,
        ("openai", "rerank"): rerank,
        ("openai", "images"): images,
        ("openai", "response_retrieve"): stored,
        ("openai", "response_delete"): stored,
        ("openai", "response_cancel"): stored,
        ("openai", "response_items"): stored,
        ("anthropic", "chat"): anthropic,
        ("anthropic", "count_tokens"): anthropic,
        ("gemini", "chat"): gemini,
        ("gemini", "count_tokens"): gemini,
        ("gemini", "embeddings"): gemini,
    }
)
"""By what is asked for."""

VOICE: Final[Mapping[Dialect, ModuleType]] = MappingProxyType(
    {"openai": openai, "anthropic": anthropic, "gemini": gemini}
)
"""By dialect: how refusals and lists of models are worded."""
