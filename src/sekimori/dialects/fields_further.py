"""The dated field registry of further operations of the OpenAI dialect: moderations, text completions, rerank, images.

Classes, date and sources are those of `fields`; docs/dialects.md shows these tables, and tests/dialects/test_fields.py
walks the SDK's types against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# One registry in several files, for the sake of their length: so the makers of its tables are shared, though private.
from sekimori.dialects.fields import _OTHER_MODELS, OPENAI_CHAT, Rule, _inert, _table

MODERATIONS: Final = _table(
    _inert("model", "input"),
    {"models": _OTHER_MODELS, "route": _OTHER_MODELS, "fallbacks": _OTHER_MODELS},
)
"""Top-level members of `POST /v1/moderations`."""

MODERATIONS_INPUT: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"text": frozenset({"type", "text"}), "image_url": frozenset({"type", "image_url"})}
)
"""Types of the parts of its `input`, with their members."""
MODERATIONS_IMAGE: Final = frozenset({"url"})
"""Members of the object at `image_url`."""

COMPLETIONS: Final = _table(
    _inert(
        "model", "prompt", "suffix", "stream", "stream_options", "temperature", "top_p", "n", "best_of", "stop", "seed",
        "max_tokens", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "echo", "user",
    ),
    # Not in OpenAI's own types: what servers of this dialect add.
    _inert(
        "top_k", "top_a", "min_p", "typical_p", "repetition_penalty", "length_penalty", "min_tokens", "ignore_eos",
        "stop_token_ids", "skip_special_tokens", "spaces_between_special_tokens", "include_stop_str_in_output",
        "add_special_tokens", "truncate_prompt_tokens", "response_format", "guided_json", "guided_regex",
        "guided_choice", "guided_grammar", "structured_outputs", "grammar", "json_schema", "cache_prompt",
    ),
    {"models": _OTHER_MODELS, "route": _OTHER_MODELS, "fallbacks": _OTHER_MODELS},
    {"data_sources": OPENAI_CHAT["data_sources"]},
)  # fmt: skip
"""Top-level members of `POST /v1/completions`."""

COMPLETIONS_SCHEMAS: Final = ("response_format", "guided_json", "structured_outputs", "json_schema")
"""Members that hold JSON Schemas."""

RERANK: Final = _table(
    # No SDK of OpenAI's has it: what vLLM, llama.cpp, Jina's and Cohere's servers take.
    _inert(
        "model", "query", "documents", "top_n", "return_documents", "max_tokens_per_doc", "max_chunks_per_doc",
        "truncate_prompt_tokens", "truncation", "priority", "user",
    ),
    {"models": _OTHER_MODELS, "route": _OTHER_MODELS, "fallbacks": _OTHER_MODELS},
)  # fmt: skip
"""Top-level members of `POST /v1/rerank`."""
RERANK_DOCUMENT: Final = frozenset({"text"})
"""Members of a document that is an object."""

IMAGES: Final = _table(
    _inert(
        "model", "prompt", "n", "background", "complexity", "frame_count", "frame_duration_ms", "moderation",
        "output_compression", "output_format", "quality", "response_format", "safety_identifier", "size", "style",
        "user",
    ),
    {
        "stream": Rule(note="only `false`"),
        "partial_images": Rule(note="only of a stream"),
        "svg": Rule(refused="it names another model than the one that was decided on"),
    },
    # Not in OpenAI's own types: what servers of this dialect add.
    _inert("negative_prompt", "seed", "steps", "guidance_scale", "width", "height"),
    {"models": _OTHER_MODELS, "route": _OTHER_MODELS, "fallbacks": _OTHER_MODELS},
)  # fmt: skip
"""Top-level members of `POST /v1/images/generations`."""
