"""Providers as data: how each kind of provider is addressed, authenticated and understood.

An entry describes a kind (OpenAI, Anthropic, any compatible server, the sandbox); a `Provider` document is a contract
with one of that kind. Adding a provider that differs only in data means adding an entry here, its prices in
meter/prices.toml and its line in docs/providers.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from sekimori.errors import Fault, Refused
from sekimori.terms import Condition, Dialect, Headers, Operation, Provider

Auth = Literal["bearer", "x-api-key"]
"""`Authorization: Bearer KEY` (RFC 6750 section 2.1), or the key alone in a field of that name."""


class Entry(Struct, frozen=True):
    """One kind of provider."""

    name: str
    title: str
    base_url: str | None
    """Where it listens unless the document says; None where the document must say."""
    dialects: frozenset[Dialect]
    """What such a provider may speak."""
    usual: frozenset[Dialect]
    """What it speaks unless the document says."""
    auth: Mapping[Dialect, tuple[Auth, ...]]
    """How the key is sent; every form carries the same key to the same origin."""
    conditions: Mapping[int, Condition]
    """Statuses that mean something other than the general rule (429 rate_limited, 529 overloaded, other 5xx
    server_error) by the provider's own reference."""
    include_usage: bool = False
    """OpenAI dialect: a stream tells its usage only when asked to (`stream_options.include_usage`)."""


_PATHS: Final[Mapping[tuple[Dialect, Operation], str]] = MappingProxyType(
    {
        ("openai", "chat"): "/chat/completions",
        ("openai", "responses"): "/responses",
        ("openai", "embeddings"): "/embeddings",
        ("anthropic", "chat"): "/v1/messages",
        ("anthropic", "count_tokens"): "/v1/messages/count_tokens",
    }
)
"""Paths below the base that each dialect's own SDK appends."""

ANTHROPIC_VERSION: Final = b"2023-06-01"
"""What the Anthropic dialect's requests name unless the caller named another version."""

_OPENAI: Final[frozenset[Dialect]] = frozenset({"openai"})
_ANTHROPIC: Final[frozenset[Dialect]] = frozenset({"anthropic"})
_BOTH: Final = _OPENAI | _ANTHROPIC
_BEARER: Final[tuple[Auth, ...]] = ("bearer",)

ENTRIES: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(
                name="openai",
                title="OpenAI",
                base_url="https://api.openai.com/v1",
                dialects=_OPENAI,
                usual=_OPENAI,
                auth={"openai": _BEARER},
                conditions={503: "overloaded"},
                include_usage=True,
            ),
            Entry(
                name="anthropic",
                title="Anthropic",
                base_url="https://api.anthropic.com",
                dialects=_ANTHROPIC,
                usual=_ANTHROPIC,
                auth={"anthropic": ("x-api-key",)},
                conditions={},
            ),
            Entry(
                name="compatible",
                title="Any server that speaks one of the dialects (vLLM, llama.cpp, Ollama, a gateway)",
                base_url=None,
                dialects=_BOTH,
                usual=_OPENAI,
                # Such servers look for the key where OpenAI's SDK puts it even when they speak Anthropic's dialect.
                auth={"openai": _BEARER, "anthropic": ("x-api-key", "bearer")},
                conditions={503: "overloaded"},
                include_usage=True,
            ),
            Entry(
                name="sandbox",
                title="Sekimori's own practice provider",
                base_url=None,
                dialects=_BOTH,
                usual=_BOTH,
                auth={"openai": _BEARER, "anthropic": ("x-api-key",)},
                conditions={503: "overloaded"},
                include_usage=True,
            ),
        )
    }
)

_VISIBLE: Final = bytes(range(0x21, 0x7F))

# A caller's own credentials and framing never travel, whatever list let a header through: second lock.
_NEVER: Final = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"cookie",
        b"host",
        b"connection",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"accept-encoding",
        b"expect",
        b"upgrade",
        b"te",
        b"trailer",
    }
)


def offers(catalog: str, dialect: Dialect, operation: Operation) -> bool:
    """Whether providers of this kind can serve the operation in the dialect."""
    entry = ENTRIES[catalog]
    return dialect in entry.dialects and (dialect, operation) in _PATHS


def target(provider: Provider, dialect: Dialect, operation: Operation) -> str:
    """The request target at the provider's origin.

    A base path is what the dialect's SDK would be given: OpenAI's ends in `/v1` (added where the base has no path at
    all), Anthropic's does not (dropped where it is there), so one base serves both dialects of a server.
    Raises `Refused('unsupported_operation')`.
    """
    path = _PATHS.get((dialect, operation))
    if path is None or dialect not in provider.dialects:
        raise Refused(
            "unsupported_operation",
            f"The provider `{provider.name}` does not offer {operation} in the {dialect} dialect.",
        )
    base = provider.base_path
    if dialect == "openai":
        return (base or "/v1") + path
    return base.removesuffix("/v1") + path


def request_headers(
    provider: Provider, dialect: Dialect, secret: bytes, caller: tuple[tuple[bytes, bytes], ...] = ()
) -> Headers:
    """The header fields of a request to a provider, framing excepted. They hold the key: never log them.

    `caller` are fields that the dialect's registry lets travel. Raises `Fault('key_unavailable')` where the key cannot
    stand in a header field: anything but visible ASCII (RFC 6750 section 2.1 allows less) could end the field and begin
    another.
    """
    if not secret or secret.translate(None, _VISIBLE):
        raise Fault(
            "key_unavailable",
            "The provider key cannot be sent.",
            advice="It is empty, or holds spaces or other characters that no provider's key has; put it again.",
        )
    headers: Headers = [(b"content-type", b"application/json")]
    for form in ENTRIES[provider.catalog].auth[dialect]:
        headers.append((b"authorization", b"Bearer " + secret) if form == "bearer" else (b"x-api-key", secret))
    kept = [field for field in caller if field[0] not in _NEVER]
    if dialect == "anthropic" and not any(name == b"anthropic-version" for name, _ in kept):
        headers.append((b"anthropic-version", ANTHROPIC_VERSION))
    return headers + kept


def condition(provider: Provider, status: int) -> Condition | None:
    """What a provider's error status means for the next hop; None where it is no reason to try one."""
    special = ENTRIES[provider.catalog].conditions.get(status)
    if special is not None:
        return special
    if status == 429:
        return "rate_limited"
    if status == 529:
        return "overloaded"
    return "server_error" if 500 <= status <= 599 else None
