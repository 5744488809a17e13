"""Doors of the providers that this gateway keeps shut: what each is, why it is not here, and what to do instead.

Whoever comes to one has an agent that works elsewhere; "no such door" would leave him to guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from sekimori.errors import Refused


class Shut(Struct, frozen=True):
    """Why a door is shut."""

    text: str
    advice: str


_KEPT: Final = "what is kept there is open to everybody behind the same key, and leaves this gateway's record."
_INLINE: Final = "Send the content in the call itself: as text, as a `data:` URL or as `file_data`."
_GO_ON: Final = (
    "Send the whole conversation with each call, or go on by `previous_response_id` of POST /v1/responses with the "
    "capability `stored_state`."
)
_ADMIN: Final = Shut(
    "The provider's administration is not reached through here: it is for the owner of the key.",
    "Use the provider's console.",
)
_STATE: Final = Shut(f"Objects kept at the provider are not managed through here: {_KEPT}", _GO_ON)
_FILES: Final = Shut(f"Files are not kept at a provider through here: {_KEPT}", _INLINE)
_LATER: Final = Shut(
    "Work that goes on after its call has ended is not carried: its use and its results could not be recorded with it.",
    "Make the calls one by one; they may run at the same time, within the agent's limits.",
)
_TRAINING: Final = Shut(
    "Models are not trained or evaluated through here: that would have the provider keep what the tenant sends.",
    "Do it with the provider's own console, and list the model in the Provider document when it is there.",
)
_LIVE: Final = Shut(
    "Live sessions are not carried: they are no calls that can be recorded, screened and metered one by one.",
    "Use POST /v1/chat/completions or POST /v1/responses with `stream`.",
)
_MEDIA: Final = Shut(
    "Sound and video are not made or read through this door: they come in forms that no guard reads.",
    "POST /v1/chat/completions takes sound inline (`input_audio`).",
)

SHUT: Final[Mapping[str, Shut]] = MappingProxyType(
    {
        "images": Shut(
            "Images are not edited or varied through here: they are sent in a form that no guard reads.",
            "Make them (POST /v1/images/generations), or use the tool `image_generation` of POST /v1/responses.",
        ),
        "audio": _MEDIA,
        "videos": _MEDIA,
        "realtime": _LIVE,
        "live": _LIVE,
        "files": _FILES,
        "uploads": _FILES,
        "batches": _LATER,
        "vector_stores": _STATE,
        "assistants": _STATE,
        "threads": _STATE,
        "conversations": _STATE,
        "containers": _STATE,
        "skills": _STATE,
        "agents": _STATE,
        "chatkit": _STATE,
        "vaults": _STATE,
        "responses": Shut(
            "Responses are not counted or compacted through here.",
            "Stored ones have GET and DELETE /v1/responses/ID, POST …/cancel and GET …/input_items.",
        ),
        "chat": Shut(
            "Stored completions are not read, changed or deleted through here.",
            "Keep the reply when it comes.",
        ),
        "fine_tuning": _TRAINING,
        "evals": _TRAINING,
        "decisions": Shut(
            "Decisions are not carried: this gateway does not know what they may reach.",
            "Use POST /v1/responses with a JSON schema in `text.format`.",
        ),
        "content_provenance_checks": _FILES,
        "deployments": Shut(
            "Deployments are not listed or managed through here: they are the models of Provider documents.",
            "GET /openai/models?api-version=… lists the models of this agent.",
        ),
        "organization": _ADMIN,
        "projects": _ADMIN,
        "safety": _ADMIN,
        "webhook_endpoints": _ADMIN,
        "webhook_event_types": _ADMIN,
    }
)
"""First step of a path below `/v1/` -> why it is shut. What has a door of its own is found there first."""


def closed(path: str) -> Refused | None:
    """The refusal of a door that is shut; None where nothing is known of the path."""
    if not path.startswith("/v1/"):
        return None
    shut = SHUT.get(path.removeprefix("/v1/").partition("/")[0])
    return None if shut is None else Refused("unsupported_operation", shut.text, advice=shut.advice)
