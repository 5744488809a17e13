"""What the SDKs can send, read from their own types."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import typing_extensions as te
from anthropic.types import MessageCreateParams as _  # noqa: F401 - fails early where the SDK is not installed
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_tokens_params
from anthropic.types.beta import message_create_params as beta_create_params
from openai.types import completion_create_params as legacy_create_params
from openai.types import embedding_create_params, image_generate_params, moderation_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import input_item_list_params, response_create_params, response_retrieve_params

OPENAI = [
    completion_create_params.CompletionCreateParamsNonStreaming,
    completion_create_params.CompletionCreateParamsStreaming,
]
RESPONSES = [
    response_create_params.ResponseCreateParamsNonStreaming,
    response_create_params.ResponseCreateParamsStreaming,
]
STORED = {
    "response_retrieve": [
        response_retrieve_params.ResponseRetrieveParamsNonStreaming,
        response_retrieve_params.ResponseRetrieveParamsStreaming,
    ],
    "response_items": [input_item_list_params.InputItemListParams],
}
"""What the SDK can put behind the `?` of a call about a stored response."""
MODERATIONS = [moderation_create_params.ModerationCreateParams]
IMAGES = [
    image_generate_params.ImageGenerateParamsNonStreaming,
    image_generate_params.ImageGenerateParamsStreaming,
]
COMPLETIONS = [
    legacy_create_params.CompletionCreateParamsNonStreaming,
    legacy_create_params.CompletionCreateParamsStreaming,
]
EMBEDDINGS = [embedding_create_params.EmbeddingCreateParams]
ANTHROPIC = [
    message_create_params.MessageCreateParamsNonStreaming,
    message_create_params.MessageCreateParamsStreaming,
    message_count_tokens_params.MessageCountTokensParams,
    beta_create_params.MessageCreateParamsNonStreaming,
    beta_create_params.MessageCreateParamsStreaming,
    beta_count_tokens_params.MessageCountTokensParams,
]


def members(kind: Any) -> dict[str, Any]:
    """Members of a TypedDict with their types."""
    return te.get_type_hints(kind, include_extras=True)


def dicts(kind: Any, *, through: frozenset[str] | None = None) -> Iterator[Any]:
    """Every TypedDict that a value of the type can be or contain."""
    seen: set[Any] = set()
    stack = [kind]
    while stack:
        one = stack.pop()
        if te.is_typeddict(one):
            if one in seen:
                continue
            seen.add(one)
            yield one
            stack.extend(members(one).values())
        else:
            stack.extend(te.get_args(one))


def choices(kind: Any) -> Iterator[Any]:
    """The TypedDicts among what a member can be, arrays and unions opened, nothing inside of them."""
    stack = [kind]
    while stack:
        one = stack.pop()
        if te.is_typeddict(one):
            yield one
        elif te.get_origin(one) is not te.Literal:
            stack.extend(te.get_args(one))


def literals(kind: Any) -> set[Any]:
    """The literal values of a type."""
    found: set[Any] = set()
    stack = [kind]
    while stack:
        one = stack.pop()
        if te.get_origin(one) is te.Literal:
            found |= set(te.get_args(one))
        elif te.get_origin(one) in (typing.Union, types.UnionType, te.Required, te.NotRequired, te.Annotated):
            stack.extend(te.get_args(one))
    return found


def kinds(kind: Any) -> set[str]:
    """The values of its `type` member."""
    return {value for value in literals(members(kind).get("type")) if isinstance(value, str)}
