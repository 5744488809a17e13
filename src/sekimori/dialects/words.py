"""What went wrong, in words that are safe to hand on: refusals out, providers' errors in.

A provider's error is written for the owner of the key: it may echo a part of the key, name the organisation, tell its
limits. The caller may be somebody else. So only what the caller can act on passes (their request was wrong), and of
that only the message, with all that looks like a credential or an account's name taken out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sekimori.dialects.glance import ABSENT, glance, small
from sekimori.errors import Refusal, Upstream
from sekimori.terms import Condition, Headers

RETRY_AFTER: Final = 1.0
"""Seconds after which to try again where a provider failed in passing and did not say."""
_MOST_WORDS: Final = 1000


class _Failed(Struct):
    error: Raw = ABSENT


_ERROR: Final = msgspec.json.Decoder(_Failed)

# Each run is tried from its beginning alone (lookbehind) and never given back (possessive): time stays linear.
_SECRETS: Final = re.compile(
    r"""
      (?<![A-Za-z0-9_.\-])[A-Za-z0-9_.\-]*\*{2,}[A-Za-z0-9_.*\-]*              # a key masked by the provider itself
    | \b(?:sk|pk|rk|gsk|xai|pplx|nvapi|hf|ghp|key|org|proj|user|acct|wrkspc)[-_][A-Za-z0-9_\-]{6,}
    | \b(?:AIza|AKIA|ASIA|ya29\.|eyJ)[A-Za-z0-9_.\-]{8,}
    | \b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b
    | \b[Bb]earer\s+\S+
    | (?<![A-Za-z0-9+/_=])[A-Za-z0-9+/_=]{32,}                                  # no model's name is so long a word
    | (?<![\w.+\-])[\w.+\-]+@[\w\-]+\.[\w.\-]+                              # mail addresses
    | https?://\S+                                                             # may carry credentials or account ids
    """,
    re.VERBOSE | re.ASCII,
)


class ErrorEvent(Struct, frozen=True):
    """An error that came as an event of a stream."""

    condition: Condition | None
    """Why the next hop may try, where that is such a reason."""
    refusal: Upstream


def words(refusal: Refusal) -> str:
    """The message of a refusal: what is wrong, then what to do."""
    return f"{refusal.text} {refusal.advice}" if refusal.advice else refusal.text


def reply_headers(refusal: Refusal, request_id: str | None) -> Headers:
    """Header fields of a refusal. SDKs obey `x-should-retry` before `retry-after`, so only one of them is sent."""
    headers: Headers = [(b"content-type", b"application/json")]
    if refusal.retry_after is None:
        headers.append((b"x-should-retry", b"false"))
    else:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(refusal.retry_after))))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if request_id is not None:
        headers.append((b"x-request-id", request_id.encode()))
    headers.extend((name.lower().encode(), value.encode()) for name, value in refusal.headers)
    return headers


def safe(text: str) -> str:
    """A provider's message with what looks like a credential, an account or an address taken out, cut to a length."""
    read = text[: 4 * _MOST_WORDS]
    if len(read) < len(text):
        read = read.rpartition(" ")[0]  # half a secret would not look like one
    shown = "".join(char if char.isprintable() else " " for char in read)
    shown = _SECRETS.sub("[removed]", shown)
    return shown if len(shown) <= _MOST_WORDS else shown[:_MOST_WORDS] + "…"


def failure(condition: Condition) -> Upstream:
    """The refusal that stands for a provider's failure in passing; the provider's words stay here."""
    if condition == "rate_limited":
        return Upstream("upstream_rate_limited", "The provider limits the rate of this key.", retry_after=RETRY_AFTER)
    if condition == "overloaded":
        return Upstream("upstream_overloaded", "The provider is overloaded.", retry_after=RETRY_AFTER)
    return Upstream("upstream_error", "The provider failed.", retry_after=RETRY_AFTER)


def of_status(status: int, body: bytes) -> Upstream:
    """The refusal that stands for a provider's error reply. Both dialects keep the message at `error.message`."""
    if status == 429:
        return failure("rate_limited")
    if status in (503, 529):
        return failure("overloaded")
    if status == 408 or status == 504:
        return Upstream("upstream_timeout", "The provider took too long.", retry_after=RETRY_AFTER)
    if status in (401, 402, 403, 407):
        return unauthorized(status)
    if not 400 <= status < 500:
        return failure("server_error")
    said = message_of(body)
    return Upstream(
        "upstream_refused",
        f"The provider refused the request: {safe(said)}" if said else f"The provider refused the request ({status}).",
        status=status if status in (400, 404, 409, 413, 422) else 400,
    )


def unauthorized(status: int) -> Upstream:
    """The refusal of a call whose key the provider does not accept. Its own words would name the key or the account,
    which may be another's than the caller's."""
    return Upstream(
        "upstream_unauthorized",
        f"The provider does not accept the key that serves this call (status {status}).",
        advice="Whoever owns the key can see why; `route explain` names the key.",
    )


def message_of(body: bytes) -> str:
    """`error.message` of an error body; empty where there is none to be read."""
    found = error_of(body)
    said = found.get("message") if found is not None else None
    return said if isinstance(said, str) else ""


def error_of(body: bytes) -> Mapping[str, Any] | None:
    """The object at `error`, whose `message` all dialects share. Gemini's OpenAI endpoint puts it into an array."""
    value = glance(_ERROR, body)
    if value is None and body.lstrip()[:1] == b"[":
        several = small(body)
        alone = several[0] if type(several) is list and len(several) == 1 else None
        found = alone.get("error") if type(alone) is dict else None
    else:
        found = None if value is None else small(value.error)
    return found if isinstance(found, dict) else None


def condition_of(error: Mapping[str, Any]) -> Condition:
    """What an error of the OpenAI dialect that came with a 200 says. Providers write the status into `code`, or a word
    into `type`."""
    said = {str(error.get(name)).lower() for name in ("type", "code", "status") if error.get(name) is not None}
    if said & {"429", "rate_limit_exceeded", "rate_limit_error", "insufficient_quota", "requests", "tokens"}:
        return "rate_limited"
    if any("overloaded" in word or word in ("529", "503") for word in said):
        return "overloaded"
    return "server_error"
