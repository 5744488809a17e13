"""The Gemini dialect: generateContent, countTokens, the embeddings and models, as bytes in and facts out.

Reference: the types of the SDK named in `fields_gemini.SOURCE`. The model stands in the path. The one edit made to a
call on its way up: where the body repeats the model (each request of a batch must), the provider's own name for it
takes its place. All else travels as the caller's own bytes; of the headers, none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sekimori.dialects.fields_gemini import FILE, FOLDED, MODALITIES, SPELLED, TOOL_TYPES, folded
from sekimori.dialects.found import MOST_TOKENS, Found, Path, read_schema, spell, wrong
from sekimori.dialects.gemini_stream import BETWEEN, CLOSE, OPEN, Stream
from sekimori.dialects.glance import ABSENT, empty, first, glance, small
from sekimori.dialects.openai import ReplyFacts
from sekimori.dialects.strict import read_object
from sekimori.dialects.words import error_of, failure, of_status, reply_headers, unauthorized, words
from sekimori.errors import Refusal, Refused, Upstream
from sekimori.meter.usage import of_gemini
from sekimori.terms import NOTHING_NAMED, Ask, Dialect, Headers, Named, Operation, Usage

__all__ = [
    "NAME",
    "Stream",
    "last_element",
    "model_page",
    "models_page",
    "read_ask",
    "read_error",
    "read_reply",
    "refusal",
    "resource",
    "stream_error",
    "upstream_body",
]

NAME: Final[Dialect] = "gemini"
TUNED: Final = "tunedModels/"
"""What names of tuned models begin with; all others stand below `models/`."""
LONGEST_RETRY: Final = 3600.0
"""Seconds that a provider may ask our caller to wait; more is cut to this."""

_encode: Final = msgspec.json.Encoder().encode
_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_requests: Final = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef", "ref"})
_URL: Final = re.compile(r"(?:gs|https?)://([A-Za-z0-9._-]+)(?::[0-9]{1,5})?(?:[/?#].*)?", re.ASCII | re.DOTALL)
_DELAY: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?s", re.ASCII)

_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""HTTP status -> google.rpc.Code by name."""
_RPC: Final = "type.googleapis.com/google.rpc."
_KEY_REASONS: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED"})


class _Reply(Struct, rename={"usage": "usageMetadata", "feedback": "promptFeedback", "model": "modelVersion"}):
    candidates: Raw = ABSENT
    usage: Raw = ABSENT
    feedback: Raw = ABSENT
    model: Raw = ABSENT
    error: Raw = ABSENT
    totalTokens: Raw = ABSENT  # noqa: N815 - the API's own name
    embedding: Raw = ABSENT
    embeddings: Raw = ABSENT


_REPLY: Final = msgspec.json.Decoder(_Reply)


def read_ask(operation: Operation, body: bytes, headers: Headers, named: Named = NOTHING_NAMED) -> Ask:
    """The ask that a body and its path hold. `headers` are not looked at: none of a caller's travel in this dialect.

    Raises Refused `malformed_json`, `bad_request` or `unknown_field` naming the place, `unsupported_operation`.
    """
    message, required = _message_of(operation, named)
    value, members = read_object(body)
    # An escaped name does not hide: the look goes by what escapes begin with, too.
    reading = _Reading(named.model, b'ef"' in body or b"\\u00" in body)
    reading.message(value, message, ())
    if all(value.get(name) is None for name in required):
        wrong((required[0],), "given")
    found = reading.found
    return Ask(
        dialect=NAME,
        operation=operation,
        model=named.model,
        stream=named.stream,
        members=members,
        needs=frozenset(found.places),
        places=tuple(found.places.items()),
        output_cap=_output_cap(value) if operation == "chat" else None,
        size=len(body),
        objects=found.objects,
        fetches=found.fetches,
        array=named.array,
        batch=named.batch,
    )


def _message_of(operation: Operation, named: Named) -> tuple[str, tuple[str, ...]]:
    """The message that a body is, and members of which one must be there."""
    if operation == "chat":
        return "GenerateContentRequest", ("contents",)
    if operation == "count_tokens":
        return "CountTokensRequest", ("contents", "generateContentRequest", "generate_content_request")
    if operation == "embeddings":
        return ("BatchEmbedContentsRequest", ("requests",)) if named.batch else ("EmbedContentRequest", ("content",))
    raise Refused("unsupported_operation", f"The Gemini dialect has no operation `{operation}`.")


class _Reading:
    """One body on its way through the registry."""

    __slots__ = ("found", "model", "references")

    def __init__(self, model: str, references: bool) -> None:
        self.found = Found()
        self.model = model
        self.references = references
        """Whether the body may hold a schema that refers to another."""

    def message(self, value: Any, message: str, path: Path) -> None:
        """Judge a message, or several: Google's servers take one alone where many may stand, and so do we. The depth
        of the JSON bounds the recursion."""
        if type(value) is list:
            for index, one in enumerate(value):
                self.message(one, message, (*path, index))
            return
        if type(value) is not dict:
            wrong(path, "an object")
        known = SPELLED[message]
        for name, inner in value.items():
            listed = known.get(name)
            if listed is None:
                self._unknown(name, message, (*path, name))
                continue
            member, other = listed
            if other and other in value:
                raise Refused(
                    "bad_request",
                    f"`{spell((*path, name))}` stands there twice, as `{name}` and as `{other}`.",
                    advice="Write it once: servers disagree on which of the two counts.",
                )
            if inner is None:
                continue
            at = (*path, name)
            if not member.rule.inert:
                self.found.apply(member.rule, inner, at)
            if member.reads:
                self._value(member.reads, inner, at)
            if member.inside:
                self.message(inner, member.inside, at)

    def _unknown(self, name: str, message: str, path: Path) -> None:
        """A member that is not listed. One that a server may take for a listed one is refused whatever was granted."""
        listed = FOLDED[message].get(folded(name))
        if listed is not None:
            raise Refused("unknown_field", f"`{spell(path)}` is spelled otherwise: `{listed}`.")
        self.found.need("unknown_tools" if message == "Tool" else "unknown_fields", path)

    def _value(self, reads: str, value: Any, path: Path) -> None:
        """See fields_gemini.Reads."""
        if reads == "schema":
            if self.references:
                read_schema(self.found, value, path, _REFERENCES)
        elif reads == "model":
            self._model(value, path)
        elif reads == "video":
            self.found.need("image_generation", path)
            self.found.need("audio_out", path)
        else:
            for at, one in _each(value, path):
                if reads == "object":
                    self.found.names(one, at)
                elif reads == "fetch":
                    self.found.fetch(one, at)
                elif reads == "file":
                    self._file(_text(one, at), at)
                elif reads == "modality":
                    self._kind(one, MODALITIES, "unknown_fields", at)
                else:
                    self._kind(one, TOOL_TYPES, "unknown_tools", at)

    def _model(self, value: Any, path: Path) -> None:
        """The model was decided on as the path names it; a server may go by the body."""
        if _text(value, path).removeprefix("models/") != self.model:
            raise Refused(
                "bad_request",
                f"`{spell(path)}` names another model than the path.",
                advice=f"Leave it out, or write `{resource(self.model)[:200]}`.",
            )

    def _file(self, uri: str, path: Path) -> None:
        kept = FILE.fullmatch(uri)
        if kept is not None:
            self.found.need("files_by_id", path)
            self.found.names(kept[1], path)
            return
        self.found.need("images_by_url", path)
        self.found.fetch(uri, path)
        host = _URL.fullmatch(uri)
        if host is None or "generativelanguage" in host[1].lower():
            # Too odd to say that it names no file kept at the provider.
            self.found.need("files_by_id", path)
            self.found.names(uri, path)

    def _kind(self, value: Any, table: Any, unknown: str, path: Path) -> None:
        """A name of an enumeration. Servers take numbers, too, which say nothing to us."""
        needed = table.get(value.upper()) if type(value) is str else None
        if needed is None:
            self.found.need(unknown, path)
        else:
            for capability in (needed,) if type(needed) is str else needed:
                if capability:
                    self.found.need(capability, path)


def _each(value: Any, path: Path) -> Iterable[tuple[Path, Any]]:
    """The values of a member that may hold one or several, with their places."""
    if type(value) is not list:
        return [(path, value)]
    return [((*path, index), one) for index, one in enumerate(value)]


def _text(value: Any, path: Path) -> str:
    if type(value) is not str:
        wrong(path, "a string")
    return value


def _output_cap(value: dict[str, Any]) -> int | None:
    """The most tokens that the candidates can have by the caller's own bound, all of them together."""
    config = value.get("generationConfig", value.get("generation_config"))
    if type(config) is not dict:
        return None
    most = _count(config, "maxOutputTokens", 0)
    candidates = _count(config, "candidateCount", 1)
    return None if most is None else most * (candidates or 1)


def _count(config: dict[str, Any], name: str, least: int) -> int | None:
    count = config.get(name, config.get(SPELLED["GenerationConfig"][name][1]))
    if count is not None and (type(count) is not int or not least <= count <= MOST_TOKENS):
        wrong(("generationConfig", name), f"a whole number from {least} to {MOST_TOKENS}")
    return count


def resource(model: str) -> str:
    """A model's name as the API's paths and bodies have it."""
    return model if model.startswith(TUNED) else f"models/{model}"


def upstream_body(ask: Ask, model: str, *, include_usage: bool = False, stores: bool = False) -> bytes:
    """The body for the provider: the caller's own bytes of every member, no model added.

    Where the body repeats the model it is given the provider's name for it. `stores` changes nothing: an answer is kept
    only where its ask says so, which is judged before, or where the key's owner has it logged.
    """
    if model == ask.model:
        return _encode(ask.members)
    name = Raw(_encode(resource(model)))
    return _encode({member: _renamed(member, raw, name) for member, raw in ask.members.items()})


def _renamed(member: str, raw: Raw, name: Raw) -> Raw:
    """A member with the model's name in it replaced, wherever the registry lets one stand."""
    if bytes(raw) == b"null":
        return raw
    if member == "model":
        return name
    if member in ("generateContentRequest", "generate_content_request"):
        return Raw(_encode(_with_model(_members(raw), name)))
    if member == "requests":
        # A batch of one may stand alone.
        several = _requests(raw) if first(raw) == b"[" else [_members(raw)]
        renamed = [_with_model(one, name) for one in several]
        return Raw(_encode(renamed if first(raw) == b"[" else renamed[0]))
    return raw


def _with_model(members: dict[str, Raw], name: Raw) -> dict[str, Raw]:
    return {member: name if member == "model" else raw for member, raw in members.items()}


def read_reply(body: bytes, operation: Operation = "chat") -> ReplyFacts:
    """What a plain reply says of itself. Raises Upstream: malformed, or an error in spite of its 200."""
    reply = glance(_REPLY, body)
    if reply is None:
        raise Upstream("upstream_malformed", "The provider's reply is not a JSON object.")
    if not empty(reply.error):
        raise failure("server_error")
    if operation == "count_tokens":
        if type(small(reply.totalTokens)) is not int:
            raise Upstream("upstream_malformed", "The provider's reply has no `totalTokens`.")
        return ReplyFacts(Usage())  # counting spends nothing
    if operation == "embeddings":
        if first(reply.embedding) != b"{" and first(reply.embeddings) != b"[":
            raise Upstream("upstream_malformed", "The provider's reply has no `embeddings`.")
        return ReplyFacts(of_gemini(small(reply.usage), answers=False))
    if first(reply.candidates) != b"[" and first(reply.feedback) != b"{":
        raise Upstream("upstream_malformed", "The provider's reply has no `candidates`.")
    candidates, model = small(reply.candidates), small(reply.model)
    candidate = candidates[0] if candidates else small(reply.feedback)
    said = candidate if type(candidate) is dict else {}
    finish = said.get("finishReason", said.get("blockReason"))
    return ReplyFacts(
        of_gemini(small(reply.usage)),
        finish if type(finish) is str else "",
        model if type(model) is str else "",
    )


def read_error(status: int, body: bytes) -> Upstream:
    """The refusal that stands for a provider's error reply; its words are safe to show."""
    error = error_of(body) or {}
    given = error.get("details")
    details = [one for one in given if type(one) is dict] if type(given) is list else []
    # Google answers 400 to a key that is none, and its words would be taken for the caller's fault.
    if status == 400 and any(one.get("reason") in _KEY_REASONS for one in details if type(one.get("reason")) is str):
        return unauthorized(status)
    refused = of_status(status, body)
    if refused.retry_after is not None:
        for one in details:
            delay = one.get("retryDelay")
            if type(delay) is str and _DELAY.fullmatch(delay):
                refused.retry_after = min(float(delay[:-1]), LONGEST_RETRY)
    return refused


def refusal(refused: Refusal, request_id: str | None = None) -> tuple[int, Headers, bytes]:
    """Status, headers and body of a refusal, so that the SDK raises its own exception. 529 is not of this dialect."""
    status = 503 if refused.status == 529 else refused.status
    return status, reply_headers(refused, request_id), _encode(_error(refused))


def stream_error(refused: Refusal) -> bytes:
    """The event that ends a stream which cannot go on: the SDK raises on it."""
    return b"data: " + _encode(_error(refused)) + b"\n\n"


def last_element(refused: Refusal, begun: bool) -> bytes:
    """The same as the last element of an array, of which elements were sent already where it has `begun`."""
    return (BETWEEN if begun else OPEN) + _encode(_error(refused)) + CLOSE


def _error(refused: Refusal) -> dict[str, Any]:
    status = 503 if refused.status == 529 else refused.status
    name = _STATUS.get(status) or ("INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    details: list[dict[str, Any]] = [
        {"@type": _RPC + "ErrorInfo", "reason": refused.reason.upper(), "domain": "sekimori"}
    ]
    if refused.retry_after is not None:
        delay = f"{max(1, math.ceil(refused.retry_after))}s"
        details.append({"@type": _RPC + "RetryInfo", "retryDelay": delay})
    return {"error": {"code": status, "message": words(refused), "status": name, "details": details}}


def models_page(names: Iterable[str]) -> bytes:
    """`GET /v1beta/models`: all names on one page."""
    return _encode({"models": [_model(name) for name in names]})


def model_page(name: str) -> bytes:
    """`GET /v1beta/models/{model}`."""
    return _encode(_model(name))


def _model(name: str) -> dict[str, Any]:
    # Only what can be called by it is listed; of limits and temperatures the gateway knows nothing.
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    return {"name": resource(name), "displayName": name, "supportedGenerationMethods": methods}
