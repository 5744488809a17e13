"""The doors of the gateway: which method and path mean what, and in which dialect a refusal is spoken.

A door is a row of a table; some paths name the model, too, or an object that the provider keeps. Paths are matched as
received, byte for byte: the edge accepts only canonical ones, so there is no second spelling of a door that a rule in
front of it could miss.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from types import ModuleType
from typing import Final

from msgspec import Struct, structs

from sekimori.dialects import gemini
from sekimori.dialects.speech import SPEECH, VOICE
from sekimori.dialects.tags import tagged
from sekimori.errors import Refusal, Refused
from sekimori.gateway import azure, stored
from sekimori.gateway import gemini as google
from sekimori.gateway.closed import closed
from sekimori.meter.refusals import Figures, RateLimited, TokensLimited
from sekimori.terms import NOTHING_NAMED, Ask, Dialect, Headers, Named, Operation


class Door(Struct, frozen=True):
    """One operation in one dialect."""

    dialect: Dialect
    operation: Operation
    named: Named = NOTHING_NAMED
    unread: str = ""
    """A parameter of the query that means something to the provider and nothing here."""
    methods: tuple[str, ...] = ("POST",)
    """Those that its path takes, of this and other operations."""

    @property
    def speech(self) -> ModuleType:
        return SPEECH[self.dialect, self.operation]

    def read(self, body: bytes, headers: Headers) -> Ask:
        """The ask that a body holds. Raises Refused `malformed_json`, `unknown_field`, … naming the member."""
        if self.unread:
            # `fields` would have the provider leave its figures out, `alt` answer in another form.
            raise Refused(
                "bad_request",
                f"The query parameter `{self.unread[:80]}` is not read here.",
                advice="Leave it out; `alt=sse` asks for a stream of events.",
            )
        return tagged(self.speech.read_ask(self.operation, body, headers, self.named), headers)

    @property
    def stream_type(self) -> bytes:
        """The media type of a stream."""
        return b"application/json" if self.named.array else b"text/event-stream"

    def stream_error(self, refusal: Refusal, begun: bool) -> bytes:
        """The last bytes of a stream that cannot go on."""
        if self.named.array:
            ended: bytes = gemini.last_element(refusal, begun)
        else:
            ended = self.speech.stream_error(refusal)
        return ended


CALLS: Final[dict[str, Door]] = {
    "/v1/chat/completions": Door("openai", "chat"),
    "/v1/responses": Door("openai", "responses"),
    "/v1/embeddings": Door("openai", "embeddings"),
    "/v1/moderations": Door("openai", "moderations"),
    "/v1/completions": Door("openai", "completions"),
    "/v1/rerank": Door("openai", "rerank"),
    "/v1/images/generations": Door("openai", "images"),
    "/v1/messages": Door("anthropic", "chat"),
    "/v1/messages/count_tokens": Door("anthropic", "count_tokens"),
}
MODELS: Final = "/v1/models"


def door_of(path: str, query: str, method: str = "POST") -> Door | None:
    """The door at a path; None where there is none. `query` is what follows the `?`; of several operations at a path
    the `method` tells which.

    Raises Refused `bad_request` where a path or query is none that the door's dialect could mean.
    """
    if path.startswith(azure.ROOT):
        return _door_of_azure(path, query, method)
    plain = CALLS.get(path)
    if plain is not None:
        return plain
    kept = stored.read_path(method, path, query)
    if kept is not None:
        return Door("openai", kept[0], kept[1], methods=kept[2])
    meant = google.read_path(path, query)
    return None if meant is None else Door("gemini", *meant)


def _door_of_azure(path: str, query: str, method: str) -> Door | None:
    plain, named = azure.translated(path, query)
    kept = stored.read_path(method, plain, azure.without_version(query))
    if kept is not None and not named.model:
        return Door("openai", kept[0], kept[1], methods=kept[2])
    door = CALLS.get(plain)
    if door is None or door.dialect != "openai":
        return None
    return structs.replace(door, named=named)


def dialect_of(target: str | None) -> Dialect:
    """In which dialect to refuse what came to `target`, known or not."""
    if target is None:
        return "openai"
    if target.startswith("/v1/messages"):
        return "anthropic"
    return "gemini" if google.speaks(target) else "openai"


def no_door(path: str) -> Refused:
    """The refusal of a path at which there is no door: why it is shut, or what is there instead."""
    refusal = google.shut(path) or closed(path)
    if refusal is not None:
        return refusal
    doors = ", ".join([*CALLS, stored.DOORS, MODELS, google.DOORS, google.MODELS])
    return Refused("unsupported_operation", "There is no such door.", advice=f"Here are {doors}.")


def refuse(dialect: Dialect, refusal: Refusal, headers: Headers) -> tuple[int, Headers, bytes]:
    """The refusal as the dialect's own error, so that its SDK raises its own exception.

    The call's id is taken from the field `x-request-id` of `headers`, for the dialects that repeat it elsewhere.
    """
    call = next((value.decode() for name, value in headers if name == b"x-request-id"), None)
    status, own, body = VOICE[dialect].refusal(refusal, call)
    said = {name for name, _ in own}
    headers = [field for field in headers if field[0] not in said]
    if isinstance(refusal, RateLimited):
        own = own + figures_headers(dialect, refusal.figures, datetime.now(UTC))
    elif isinstance(refusal, TokensLimited):
        own = own + figures_headers(dialect, refusal.tokens, datetime.now(UTC), b"tokens")
    return status, own + headers, body


def figures_headers(dialect: Dialect, figures: Figures, now: datetime, of: bytes = b"requests") -> Headers:
    """The rate-limit figures of requests or tokens under the dialect's own header names, in its notation of time."""
    limit, remaining = str(figures.limit).encode(), str(figures.remaining).encode()
    seconds = math.ceil(figures.reset)
    if dialect == "anthropic":
        at = datetime.fromtimestamp(math.ceil(now.timestamp() + figures.reset), UTC)
        return [
            (b"anthropic-ratelimit-" + of + b"-limit", limit),
            (b"anthropic-ratelimit-" + of + b"-remaining", remaining),
            (b"anthropic-ratelimit-" + of + b"-reset", at.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
        ]
    minutes, rest = divmod(seconds, 60)
    return [
        (b"x-ratelimit-limit-" + of, limit),
        (b"x-ratelimit-remaining-" + of, remaining),
        (b"x-ratelimit-reset-" + of, (f"{minutes}m{rest}s" if minutes else f"{rest}s").encode()),
    ]
