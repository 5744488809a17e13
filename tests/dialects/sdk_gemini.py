"""What google-genai can send, read from its own types: models, and what its converters make of arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pydantic
from google.genai import types

from sekimori.dialects.fields_gemini import GEMINI, Member

SENT_AS = {
    # What the SDK's arguments become on the wire, as its own converters have it.
    "GenerateContentConfig": "GenerateContentRequest",
    "CountTokensConfig": "CountTokensRequest",
}
NOT_SENT = {
    "httpOptions": "settings of the SDK",
    "shouldReturnHttpResponse": "settings of the SDK",
    "automaticFunctionCalling": "settings of the SDK",
    "automaticContinuation": "settings of the SDK",
}
RENAMED = {"generationOutputConfig": "outputConfig"}
SCALARS = {
    # Messages of the SDK that stand in the body as something else, or that are judged where they stand.
    "Schema": "a schema is searched for references",
    "Content": "",
}


def wire(kind: Any) -> dict[str, tuple[str, Any]]:
    """Member in camel case -> (in snake case, its type)."""
    return {field.alias or name: (name, field.annotation) for name, field in kind.model_fields.items()}


def held(annotation: Any) -> Iterator[Any]:
    """The messages among what a member can be."""
    stack = [annotation]
    while stack:
        one = stack.pop()
        if isinstance(one, type) and issubclass(one, pydantic.BaseModel):
            yield one
        else:
            stack.extend(get_args(one))


def member_of(message: str, name: str) -> Member | None:
    """Where the registry has a member of the SDK's configuration: in the request, or in its generationConfig."""
    name = RENAMED.get(name, name)
    if message == "GenerateContentRequest":
        return GEMINI[message].get(name) or GEMINI["GenerationConfig"].get(name)
    return GEMINI[message].get(name)


ROOTS = [
    types.GenerateContentConfig, types.CountTokensConfig, types.EmbedContentConfig, types.Content, types.Tool,
    types.ToolConfig, types.SafetySetting, types.GenerationConfig, types.ImageConfig,
]  # fmt: skip


def messages() -> Iterator[tuple[str, Any]]:
    """Every message that a body can hold, under the registry's name for it, with the type that it is in the SDK."""
    seen: set[str] = set()
    stack = list(ROOTS)
    while stack:
        kind = stack.pop()
        if kind.__name__ in seen:
            continue
        seen.add(kind.__name__)
        message = SENT_AS.get(kind.__name__, kind.__name__)
        yield message, kind
        for name, (_, annotation) in wire(kind).items():
            member = None if message not in GEMINI or name in NOT_SENT else member_of(message, name)
            if member is not None and not member.rule.refused and member.inside:
                stack += [one for one in held(annotation) if one not in (types.File, types.HttpOptions)]
