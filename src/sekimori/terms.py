"""The nouns of Sekimori, frozen.

Every module speaks in these. They hold data and no behaviour beyond what reads as an adjective of the data.
Slugs are names people choose (`^[a-z]([a-z0-9-]{0,37}[a-z0-9])?$`); uids are random, immutable and never
reused (128 bits, 26 characters of lower-case Crockford base32) and are what the ledger, the associated data of
every ciphertext and the database hold.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

OPERATOR = "operator"
"""Owner of what belongs to the company that runs Sekimori; reserved as a tenant name."""

Dialect = Literal["openai", "anthropic", "gemini"]
Operation = Literal[
    "chat",
    "responses",
    "embeddings",
    "count_tokens",
    "response_retrieve",
    "response_delete",
    "response_cancel",
    "response_items",
    "moderations",
    "completions",
    "rerank",
    "images",
]
Scope = Literal["read", "write", "admin"]
Headers = list[tuple[bytes, bytes]]
"""Header fields in order; names in lower case, values without surrounding white space."""

Condition = Literal["rate_limited", "overloaded", "server_error", "connect_failed", "timed_out", "key_unavailable"]
"""Why a hop may yield to the next one. `rate_limited` is 429, `overloaded` 529, `server_error` any other 5xx."""


CredentialKind = Literal["api_key", "entra", "google_service_account", "google_external_account", "aws"]
"""What the secret of a provider key is: one word that is sent as it is; or what a short-lived token is bought with, or
a request is signed with (vault/credentials has the forms)."""


class Principal(Struct, frozen=True):
    """Who calls: one agent of one tenant, and the credential that showed it."""

    tenant: str
    tenant_uid: str
    agent: str
    agent_uid: str
    credential: str
    """The public id of the API key (never the key itself)."""
    scopes: frozenset[Scope]


class Named(Struct, frozen=True, gc=False):
    """What the target of a request says of the call, in the dialects whose paths do."""

    model: str = ""
    """The model, where the path names it (Gemini) or the deployment (Azure callers); else the body does."""
    stream: bool = False
    """The path asks for a stream."""
    array: bool = False
    """The stream is asked for as one JSON array and not as server-sent events (Gemini without `alt=sse`)."""
    batch: bool = False
    """The path is that of several embeddings in one call (Gemini)."""
    object: str = ""
    """An object kept at the provider that the path names, and that the call is about."""
    query: str = ""
    """What follows the `?`, where the operation reads it."""


NOTHING_NAMED = Named()


class Tags(Struct, frozen=True, gc=False):
    """Whom and what a call is for, as its caller says: for usage, never for deciding."""

    end_user: str = ""
    session: str = ""
    tags: tuple[str, ...] = ()
    """Cost tags, sorted, each once."""


NO_TAGS = Tags()


class Ask(Struct, frozen=True, gc=False):
    """What is asked, in the caller's dialect; the bytes of every member are untouched."""

    dialect: Dialect
    operation: Operation
    model: str
    """As the caller wrote it: `model` or `provider/model`."""
    stream: bool
    members: dict[str, Raw]
    """Top-level members of the body in the caller's order; values are the caller's own bytes."""
    needs: frozenset[str] = frozenset()
    """Capabilities the registry asks for (closed list in dialects/fields)."""
    places: tuple[tuple[str, str], ...] = ()
    """For each of them the first place in the body or headers that asks for it, as people write it."""
    output_cap: int | None = None
    """The caller's own bound on output tokens, of all answers together."""
    answers: int = 0
    """How many answers are asked for, where it is not `n` that says it."""
    wants_usage_event: bool = False
    """OpenAI dialect: the caller asked for the extra usage event of a stream."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Caller's headers that the registry lets travel to the provider."""
    size: int = 0
    """Bytes of the body as received."""
    objects: tuple[tuple[str, str], ...] = ()
    """Objects kept at the provider that the ask names: (id, the place where it stands)."""
    fetches: tuple[tuple[str, str], ...] = ()
    """URLs that the provider would fetch: (URL, the place where it stands)."""
    tags: Tags = NO_TAGS
    array: bool = False
    """The stream is asked for as one JSON array (Gemini dialect)."""
    batch: bool = False
    """Several embeddings in one call, by a path of its own (Gemini dialect)."""
    object: str = ""
    """An object kept at the provider that the call is about, and that stands in its target; also among `objects`. Such
    a call names no model: it is decided on the one that the object was made with."""
    query: str = ""
    """What travels behind the `?` of the target: read, judged and written anew."""


class Origin(Struct, frozen=True):
    """Where a provider listens. `host` is a DNS name or an IP literal without brackets."""

    scheme: Literal["https", "http"]
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Placement(Struct, frozen=True):
    """Where inside a cloud a contract leads, beside its address. What a kind of provider takes none of is empty."""

    project: str = ""
    """Google Cloud project, or OpenAI project."""
    location: str = ""
    """Google Cloud location, or AWS region."""
    organization: str = ""
    """OpenAI organization."""
    api_version: str = ""
    """Azure: the dated surface; empty is the v1 surface."""
    deployments: tuple[tuple[str, str], ...] = ()
    """Azure: (model, deployment) where their names differ."""


NO_PLACEMENT = Placement()


class Provider(Struct, frozen=True):
    """One provider contract, compiled from its document and the catalogue."""

    name: str
    owner: str
    """`operator` or the tenant's slug."""
    owner_uid: str
    """`operator` or the tenant's uid."""
    catalog: str
    """Entry of upstream/catalog: decides auth style, paths and prices."""
    origin: Origin
    base_path: str
    """Path of the base URL as written, without trailing slash; upstream/catalog.target makes the target of it."""
    dialects: frozenset[Dialect]
    models: tuple[str, ...]
    """Names or patterns with `*`."""
    private: bool = False
    """True only where the operator's configuration allows this exact host and port despite its address."""
    placement: Placement = NO_PLACEMENT


class Route(Struct, frozen=True):
    """One way to serve a call: which key at which provider. The key is named, never held."""

    position: Literal["primary", "fallback"]
    key: str
    """`operator/<name>` or `clients/<tenant>/<name>`."""
    key_uid: str
    key_owner_uid: str
    provider: Provider
    model: str
    """The model's name as the provider knows it."""
    yields: frozenset[Condition] = frozenset()
    """Answers of this hop that let the fallback of its route try (empty where it has none)."""
    stores: bool = False
    """Whether the provider may keep what is said: the agent has the capability and the key is its tenant's own."""
    moves: frozenset[Condition] = frozenset()
    """Answers of this hop that let an equal try: another of the same position (empty where there is none)."""
    weight: int = 1
    """Share of the calls among the equals."""
    of: frozenset[str] = frozenset()
    """`provider/model` of the route it is of: a fallback stands in for hops of its own routes alone."""
    rests: tuple[int, int] = (5, 300)
    """Seconds it rests after a first failure, and at most."""
    credential: CredentialKind = "api_key"
    """What the key's secret is; the vault refuses to use it as anything else."""
    hedges: tuple[int, int] = (0, 0)
    """Milliseconds without an answer after which an equal is asked beside it, and how many at most; zeros: never."""


class Bound(Struct, frozen=True, gc=False):
    """What one scope may use; None is unbounded."""

    scope: str
    tokens_per_minute: int | None = None
    """In any 60 s."""
    tokens_per_day: int | None = None
    """In a UTC day."""
    nano_per_day: int | None = None
    """Nano-USD in a UTC day."""
    nano_per_month: int | None = None
    """Nano-USD in a calendar month, UTC."""


class Limits(Struct, frozen=True):
    """What bounds a call's admission; None is unbounded. Scope -> bound, narrowest first.

    Scopes: `agent:<uid>`, `tenant:<uid>`, `key:<tenant uid>/<key uid>`, `tag:<tenant uid>/<tag>`.
    """

    requests_per_minute: tuple[tuple[str, int], ...] = ()
    """(scope, requests in any 60 s)."""
    concurrency: tuple[tuple[str, int], ...] = ()
    usage: tuple[Bound, ...] = ()
    """Bounds on tokens and money."""
    output_cap: int | None = None
    """The most output tokens a call may ask for."""
    keys: tuple[tuple[str, Limits], ...] = ()
    """(uid of a provider key, what bounds the hops that use it)."""


class Grant(Struct, frozen=True, gc=False):
    """Leave to make one call. Only policy/decide constructs it."""

    principal: Principal
    generation: int
    """Of the policy it was decided on."""
    dialect: Dialect
    operation: Operation
    model: str
    routes: tuple[Route, ...]
    """Every hop that the call may take, in the order of the documents, fallbacks last; never empty."""
    limits: Limits
    reasons: tuple[str, ...]
    """Why it was granted, a line each; for the record and `explain`."""
    sticky: bool = False
    """Whether the same conversation is to come to the same one of several equals."""
    tags: tuple[str, ...] = ()
    """The cost tags that count: those of the ask and those that the agent's document gives it; sorted, each once."""


class Usage(Struct, frozen=True, gc=False):
    """Tokens of one hop by the provider's own figures.

    `input` includes `cached` and `cache_write`; `output` includes `reasoning`.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write_hour: int = 0
    """Of `cache_write`, what the cache keeps for an hour."""
    service: str = ""
    """The service tier that the provider says it served with; empty where it says none, or the usual one."""


class Finding(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a check found, never the text itself."""

    type: str
    """EMAIL, AWS_KEY, a rule's name…"""
    start: int | None = None
    end: int | None = None
    """In code points of the text that was screened; None in a stream."""
    place: str = ""
    """Where in the call the text stands, as people write it."""
    count: int = 1
    """How many of the kind, where they are told together."""


class Check(Struct, frozen=True, gc=False, omit_defaults=True):
    """One guard's word on a text."""

    name: str
    status: Literal["ran", "skipped", "failed_open", "failed_closed"]
    passed: bool | None = None
    """None where the check did not run: neither passed nor failed."""
    confidence: float | None = None
    """How sure the check is of its word."""
    reason: str = ""
    score: float | None = None
    """From 0 to 1, rising with suspicion, whatever the threshold."""
    findings: tuple[Finding, ...] = ()
    mode: str = ""
    """What the policy has the check do: shadow, flag, mask or block."""
    unread: int = 0
    """Bytes that the check should have read and did not."""


class Verdict(Struct, frozen=True, gc=False, omit_defaults=True):
    """What screening said of one direction of a call."""

    allowed: bool
    checks: tuple[Check, ...]
    bytes: int = 0
    """How much text was seen."""
    reason: str = ""
    action: Literal["", "allow", "flag", "mask", "block"] = ""
    """What was done; empty where nothing was looked for."""
    confidence: float | None = None
    """Of the check that blocked."""
    latency_ms: float | None = None
    model: str = ""
    """Which weights, and which judge, said it."""
