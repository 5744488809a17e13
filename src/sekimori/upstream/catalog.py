"""Providers as data: how each kind of provider is addressed, authenticated and understood.

An entry describes a kind (OpenAI, Azure, any compatible server, the sandbox); a `Provider` document is a contract
with one of that kind. Adding a provider that differs only in data means adding an entry to upstream/entries.py, its
prices to meter/prices.toml (docs/prices.md) and its line to docs/providers.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from sekimori.errors import Fault, Refused
from sekimori.terms import (
    NO_PLACEMENT,
    Condition,
    CredentialKind,
    Dialect,
    Headers,
    Operation,
    Placement,
    Provider,
)
from sekimori.upstream.entries import ENTRIES as ENTRIES
from sekimori.upstream.entries import Auth, Entry, Paths

_PATHS: Final[Mapping[tuple[Dialect, Operation], str]] = MappingProxyType(
    {
        ("openai", "chat"): "/chat/completions",
        ("openai", "responses"): "/responses",
        ("openai", "embeddings"): "/embeddings",
        ("openai", "moderations"): "/moderations",
        ("openai", "completions"): "/completions",
        ("openai", "rerank"): "/rerank",
        ("openai", "images"): "/images/generations",
        ("openai", "response_retrieve"): "/responses/{object}",
        ("openai", "response_delete"): "/responses/{object}",
        ("openai", "response_cancel"): "/responses/{object}/cancel",
        ("openai", "response_items"): "/responses/{object}/input_items",
        ("anthropic", "chat"): "/v1/messages",
        ("anthropic", "count_tokens"): "/v1/messages/count_tokens",
        # In the Gemini dialect what follows the model.
        ("gemini", "chat"): ":generateContent",
        ("gemini", "count_tokens"): ":countTokens",
        ("gemini", "embeddings"): ":embedContent",
    }
)
"""Paths below the base that each dialect's own SDK appends."""
METHODS: Final[Mapping[Operation, str]] = MappingProxyType(
    {"response_retrieve": "GET", "response_items": "GET", "response_delete": "DELETE"}
)
"""Of the operations that are not asked for with POST."""
_GEMINI_ROOT: Final = re.compile(r"/v1(?:beta)?(?:/openai)?\Z")
_GEMINI_STREAM: Final = ":streamGenerateContent?alt=sse"
_GEMINI_BATCH: Final = ":batchEmbedContents"

ANTHROPIC_VERSION: Final = b"2023-06-01"
"""What the Anthropic dialect's requests name unless the caller named another version."""

_VISIBLE: Final = bytes(range(0x21, 0x7F))

# A caller's own credentials and framing never travel, whatever list let a header through: second lock.
_NEVER: Final = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"x-amz-date",
        b"x-amz-security-token",
        b"x-amz-content-sha256",
        b"openai-organization",
        b"openai-project",
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
# Fields that a shape moves into the body, or says otherwise there.
_MOVED: Final[Mapping[str, frozenset[bytes]]] = MappingProxyType(
    {
        "invoke": frozenset({b"anthropic-version", b"anthropic-beta"}),
        "raw_predict": frozenset({b"anthropic-version"}),
    }
)
_NONE_MOVED: Final[frozenset[bytes]] = frozenset()


def offers(
    catalog: str, dialect: Dialect, operation: Operation, placement: Placement = NO_PLACEMENT, *, batch: bool = False
) -> bool:
    """Whether providers of this kind can serve the operation in the dialect; `batch` is as for `target`."""
    entry = ENTRIES[catalog]
    return dialect in entry.dialects and _offered(entry, dialect, operation, placement, batch)


def _offered(entry: Entry, dialect: Dialect, operation: Operation, placement: Placement, batch: bool) -> bool:
    if entry.dated and placement.api_version and placement.api_version[:10] < entry.since.get(operation, ""):
        return False
    own = _own(entry, placement)
    if own is not None and dialect in {spoken for spoken, _ in own}:
        # Paths of its own are for one at a time: several embeddings sent to one would be refused, or worse, taken.
        return (dialect, operation) in own and not batch
    if entry.express and not placement.project:
        return False
    only = entry.operations.get(dialect)
    return (dialect, operation) in _PATHS and (only is None or operation in only)


def _own(entry: Entry, placement: Placement) -> Paths | None:
    """The entry's own paths, where it does not use the SDK's; which of them depends on the placement."""
    if entry.express and not placement.project:
        return entry.express
    if entry.dated and placement.api_version:
        return entry.dated
    return entry.paths or None


def spoken(catalog: str, dialects: Iterable[Dialect] | None, placement: Placement) -> frozenset[Dialect]:
    """What a contract speaks: what its document says, or what such a provider usually speaks, as far as it can."""
    entry = ENTRIES[catalog]
    wished = entry.usual if dialects is None else frozenset(dialects)
    if entry.express and not placement.project:
        able = frozenset(dialect for dialect, _ in entry.express)
        return (able if dialects is None else wished) & able
    return wished & entry.dialects


def accepts(catalog: str, placement: Placement, credential: CredentialKind) -> bool:
    """Whether a key with such a secret may be sent to a provider of this kind. A token bought for one cloud must not
    become known to another, and what has no form here cannot be sent at all."""
    entry = ENTRIES[catalog]
    if entry.express and (credential == "api_key") != (not placement.project):
        return False
    return credential in entry.credentials


def usual_base(catalog: str, location: str) -> str | None:
    """Where a contract leads whose document names no base URL; None where it must."""
    entry = ENTRIES[catalog]
    if entry.regional is None or not location:
        return entry.base_url
    for beginning, pattern in entry.regions:
        if location == beginning or (beginning.endswith("-") and location.startswith(beginning)):
            return pattern.replace("{location}", location)
    return entry.regional.replace("{location}", location)


def upstream_model(provider: Provider, model: str) -> str:
    """The model's name in a body: at Azure that of its deployment."""
    for named, deployment in provider.placement.deployments:
        if named == model:
            return deployment
    return model


def target(
    provider: Provider,
    dialect: Dialect,
    operation: Operation,
    model: str = "",
    stream: bool = False,
    *,
    batch: bool = False,
    object: str = "",
    query: str = "",
) -> str:
    """The request target at the provider's origin.

    A base path is what the dialect's SDK would be given: OpenAI's ends in `/v1` (added where the base has no path at
    all), Anthropic's and Gemini's do not (dropped where it is there), so one base serves all dialects of a server.
    Kinds that keep a dialect below a folder of its own, or name model and project in the path, say so in their entry.
    `model` and `stream` matter where the path tells them, `batch` where several embeddings have a path of their own,
    `object` where the call is about one; `query` is put behind it. Raises `Refused('unsupported_operation')`.
    """
    entry, placement = ENTRIES[provider.catalog], provider.placement
    if dialect not in provider.dialects or not _offered(entry, dialect, operation, placement, batch):
        raise Refused(
            "unsupported_operation",
            f"The provider `{provider.name}` does not offer {operation} in the {dialect} dialect.",
        )
    own = _own(entry, placement)
    pair = None if own is None else own.get((dialect, operation))
    if pair is not None:
        return _asked(
            _root(entry, provider.base_path) + _filled(pair[1 if stream else 0], provider, model, object), query
        )
    path = _PATHS[dialect, operation]
    if object:
        path = _asked(path.replace("{object}", _step(object)), query)
    prefix = entry.prefixes.get(dialect)
    if prefix is not None:
        return f"{_root(entry, provider.base_path)}{prefix}{'/v1' if dialect == 'openai' else ''}{path}"
    base = provider.base_path
    if dialect == "gemini":
        return _gemini_target(base, path, model, stream, batch)
    if dialect == "openai":
        return (base or "/v1") + path
    return base.removesuffix("/v1") + path


def _gemini_target(base: str, path: str, model: str, stream: bool, batch: bool) -> str:
    """Events are asked for whatever the caller wants: only they can be held back one by one."""
    if any(part in ("", ".", "..") for part in model.split("/")):
        # policy/decide lets no such name through; in a path it would be another path.
        raise Refused("bad_request", "The model's name cannot stand in a path.")
    # A colon is quoted as well: behind it a server would look for the method.
    model = quote(model, safe="/@+")
    name = model if model.startswith("tunedModels/") else f"models/{model}"
    method = _GEMINI_STREAM if stream else _GEMINI_BATCH if batch else path
    return f"{_GEMINI_ROOT.sub('', base)}/v1beta/{name}{method}"


def _step(name: str) -> str:
    """A name as one step of a path. Raises Refused where it cannot be: dialects/stored lets no such name through."""
    if name in ("", ".", ".."):
        raise Refused("bad_request", "The object's name cannot stand in a path.")
    return quote(name, safe="=")


def _asked(path: str, query: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{query}" if query else path


def _root(entry: Entry, base: str) -> str:
    """The base path without what belongs to one dialect or version of it."""
    base = _GEMINI_ROOT.sub("", base) if "gemini" in entry.dialects else base.removesuffix("/v1")
    for prefix in entry.prefixes.values():
        if base.endswith(prefix):
            return base.removesuffix(prefix)
    return base


def _filled(template: str, provider: Provider, model: str, object: str = "") -> str:
    """The template with its names, each quoted: none of them can end its segment or climb."""
    if object:
        template = template.replace("{object}", _step(object))
    placement = provider.placement
    names = {
        "{project}": placement.project,
        "{location}": placement.location,
        "{deployment}": upstream_model(provider, model),
        "{model}": upstream_model(provider, model),
        "{api_version}": placement.api_version,
    }
    for name, value in names.items():
        if name in template:
            if not value or value in (".", ".."):
                raise Refused("unsupported_operation", f"The provider `{provider.name}` lacks its {name[1:-1]}.")
            template = template.replace(name, quote(value, safe="@"))
    return template


def request_headers(
    provider: Provider,
    dialect: Dialect,
    secret: bytes,
    caller: tuple[tuple[bytes, bytes], ...] = (),
    forms: tuple[Auth, ...] | None = None,
) -> Headers:
    """The header fields of a request to a provider, framing excepted. They hold the key: never log them.

    `caller` are fields that the dialect's registry lets travel. `forms` is how the secret is sent, where not as the
    entry says: a token is always a bearer's, and a signed request (no form) holds no secret at all. Raises
    `Fault('key_unavailable')` where the key cannot stand in a header field: anything but visible ASCII (RFC 6750
    section 2.1 allows less) could end the field and begin another.
    """
    entry = ENTRIES[provider.catalog]
    headers: Headers = [(b"content-type", b"application/json")]
    for form in entry.auth[dialect] if forms is None else forms:
        if not secret or secret.translate(None, _VISIBLE):
            raise Fault(
                "key_unavailable",
                "The provider key cannot be sent.",
                advice="It is empty, or holds spaces or other characters that no provider's key has; put it again.",
            )
        headers.append((b"authorization", b"Bearer " + secret) if form == "bearer" else (form.encode(), secret))
    for field, name in entry.account:
        value = getattr(provider.placement, field)
        if value:
            headers.append((name, value.encode()))
    shape = entry.shapes.get(dialect)
    moved = _NONE_MOVED if shape is None else _MOVED[shape]
    kept = [field for field in caller if field[0] not in _NEVER and field[0] not in moved]
    if dialect == "anthropic" and shape is None and not any(name == b"anthropic-version" for name, _ in kept):
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
