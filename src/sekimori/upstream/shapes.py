"""What a cloud wants otherwise than the dialect: edits of bodies, and errors in other words. Pure.

Speech modules know nothing of clouds, so every edit stands here, under the shape that the catalogue's entry names:

    invoke       Bedrock's InvokeModel: `model` and `stream` are taken out (the target says both),
                 `anthropic_version` is set to `bedrock-2023-05-31`, and the betas of the header `anthropic-beta` become
                 the member `anthropic_beta`; a stream comes as event-stream frames (upstream/eventstream)
    raw_predict  Vertex AI's rawPredict: `model` is taken out of a chat (the target says it),
                 `anthropic_version` is set to `vertex-2023-10-16`

Sources: Anthropic, Claude on Amazon Bedrock and on Vertex AI; AWS, InvokeModel (read on 2026-11-25).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from sekimori.dialects.glance import small
from sekimori.terms import Ask
from sekimori.upstream.entries import Shape

_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
_VERSIONS: Final[dict[Shape, bytes]] = {"invoke": b'"bedrock-2023-05-31"', "raw_predict": b'"vertex-2023-10-16"'}


def shaped(shape: Shape, ask: Ask, body: bytes) -> bytes:
    """The body as the cloud wants it; `body` is what the dialect's speech made of the ask."""
    members = _members(body)
    if shape == "invoke":
        members.pop("model", None)
        members.pop("stream", None)
        betas = [
            beta.strip().decode("latin-1")
            for name, value in ask.headers
            if name == b"anthropic-beta"
            for beta in value.split(b",")
            if beta.strip()
        ]
        if betas:
            members["anthropic_beta"] = Raw(_encode(betas))
    elif ask.operation == "chat":
        members.pop("model", None)
    members["anthropic_version"] = Raw(_VERSIONS[shape])
    return _encode(members)


def plain_error(body: bytes) -> bytes:
    """An error body with its message where the dialects keep theirs, `error.message`.

    AWS and Mistral say `{"message": …}`, Google's compatible endpoint wraps the error in an array. Anything else stays.
    """
    value: Any = small(body)
    if type(value) is list and len(value) == 1:
        value = value[0]
    if type(value) is not dict:
        return body
    if type(value.get("error")) is dict:
        return _encode({"error": value["error"]})
    said = value.get("message", value.get("Message"))
    return _encode({"error": {"message": said}}) if type(said) is str else body
