"""The document kinds: what an operator or a tenant writes down, field by field.

A document is flat YAML whose `kind` names one of the structs below; fields are spelled in camelCase there. The types
carry their own rules, and the words of each rule (`description`) are what an error says and what docs/resources.md
shows. A field without a default must be written. Nothing here holds a secret: a `Key` is metadata, its value is put
into the vault with `sekimori key put`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, field

from sekimori.policy.base import Base, Part
from sekimori.policy.guards import Guarded, GuardInput, GuardOutput, Judge
from sekimori.terms import OPERATOR, Condition, CredentialKind, Dialect, Scope

# `\Z` and not `$`: the latter also matches before a trailing line feed, and names stand in paths, logs and headers.
_SLUG: Final = r"[a-z](?:[a-z0-9-]{0,37}[a-z0-9])?"

Slug = Annotated[
    str,
    Meta(
        pattern=rf"^{_SLUG}\Z",
        description="lower-case letters, digits and inner hyphens, beginning with a letter, at most 39 characters",
    ),
]
KeyPath = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{OPERATOR}/{_SLUG}|clients/{_SLUG}/{_SLUG})\Z",
        description="operator/NAME for a key of the operator, clients/TENANT/NAME for a key of a tenant",
    ),
]
ModelPattern = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9*][A-Za-z0-9._:@/*+-]{0,199}\Z",
        description="a model's name, where * stands for any characters; at most 200 characters, no spaces",
    ),
]
Text = Annotated[str, Meta(max_length=500, description="text of at most 500 printable characters")]
Url = Annotated[str, Meta(min_length=1, max_length=500, description="a URL of at most 500 characters")]
Host = Annotated[
    str,
    Meta(min_length=1, max_length=253, description="a DNS name or an IP address (IPv6 without brackets)"),
]
EgressHost = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        description="a DNS name, one with *. before it for any one label there, or a public IP address",
    ),
]
PathPrefix = Annotated[
    str,
    Meta(
        pattern=r"^(?:/[A-Za-z0-9._~@-]{1,100}){1,20}/?\Z",
        description="a path like /images, without escapes; it stands for all below it, too",
    ),
]
Port = Annotated[int, Meta(ge=1, le=65535, description="a port from 1 to 65535")]
AliasName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}\Z",
        description="a name without * and /, at most 200 letters, digits and ._:@+-",
    ),
]
TargetName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,255}\Z",
        description="PROVIDER/MODEL or MODEL, without *",
    ),
]
Weight = Annotated[int, Meta(ge=1, le=1000, description="a whole number from 1 to 1000")]
Seconds = Annotated[int, Meta(ge=1, le=3600, description="seconds, a whole number from 1 to 3600")]
Milliseconds = Annotated[int, Meta(ge=50, le=60_000, description="milliseconds, a whole number from 50 to 60000")]
Beside = Annotated[int, Meta(ge=1, le=2, description="1 or 2")]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000, description="a whole number from 1 to 1000000000")]
Dollars = Annotated[
    str,
    Meta(
        pattern=r"^(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,9})?\Z",
        description="US dollars per million tokens as a decimal number with at most 9 decimals, e.g. 2.50",
    ),
]
Money = Annotated[
    str,
    Meta(
        pattern=r"^(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,9})?\Z",
        description="US dollars as a decimal number with at most 9 decimals, e.g. 250.00",
    ),
]
CostTag = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._:/-]{0,63}\Z",
        description="a cost tag: lower-case letters, digits and . _ : / -, at most 64 characters",
    ),
]
TagPattern = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9*][a-z0-9._:/*-]{0,63}\Z",
        description="a cost tag, where * stands for any characters; at most 64 characters",
    ),
]
Day = Annotated[
    str,
    Meta(
        pattern=r"^20[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])\Z",
        description="a day written YYYY-MM-DD",
    ),
]
ServiceTier = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_-]{0,31}\Z",
        description="a service tier as the provider's replies name it, e.g. priority",
    ),
]
Sticky = Literal["conversation"]
# The names below stand in paths and host names of clouds, so they hold nothing that could end a segment or a label.
Project = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}\Z",
        description="a project's id: letters, digits and inner . _ : -, at most 100 characters",
    ),
]
Organization = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\Z",
        description="an organization's id: letters, digits, _ and -, at most 100 characters",
    ),
]
Location = Annotated[
    str,
    Meta(
        pattern=r"^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])\Z",
        description="a region such as us-east-1 or europe-west4: lower-case letters, digits and inner hyphens",
    ),
]
ApiVersion = Annotated[
    str,
    Meta(
        pattern=r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}(?:-preview)?\Z",
        description="a version written YYYY-MM-DD or YYYY-MM-DD-preview",
    ),
]
DeploymentName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",
        description="a deployment's name: letters, digits, and inner . _ -, at most 64 characters",
    ),
]
CatalogName = Literal[
    "openai",
    "anthropic",
    "gemini",
    "azure",
    "vertex",
    "bedrock",
    "bedrock_mantle",
    "mistral",
    "groq",
    "openrouter",
    "deepseek",
    "xai",
    "compatible",
    "sandbox",
]


class HostPort(Part, frozen=True, kw_only=True):
    """One exact host and port."""

    host: Host
    port: Port


class PriceTier(Part, frozen=True, kw_only=True):
    """What every token of a call costs whose prompt has more than `above` tokens."""

    above: Count
    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_hour: Dollars | None = None


class PriceService(Part, frozen=True, kw_only=True):
    """What a call costs that the provider says it served with another service tier than the usual one."""

    name: ServiceTier
    """As the provider's replies name it."""
    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_hour: Dollars | None = None
    tiers: tuple[PriceTier, ...] = ()


class Price(Part, frozen=True, kw_only=True):
    """What one model of one catalogue entry costs, in US dollars per million tokens."""

    catalog: CatalogName
    model: ModelPattern
    """An exact name: a price is never guessed from a pattern."""
    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    """Input read from the provider's cache; without it, as `input`."""
    cache_write: Dollars | None = None
    """Input written to the provider's cache; without it, as `input`."""
    cache_write_hour: Dollars | None = None
    """Input written to it for an hour; without it, as `cache_write`."""
    tiers: tuple[PriceTier, ...] = ()
    """Prices of longer prompts, ascending by `above`."""
    services: tuple[PriceService, ...] = ()
    """Prices of other service tiers."""
    begins: Day | None = field(name="from", default=None)
    """The first day (UTC) on which it holds; without it, always. A model may have several prices that differ in it."""
    source: Url
    """Where the price is published or agreed; shown beside each cost."""
    date: Day
    """The day on which the source said so."""


class Operator(Base, frozen=True, kw_only=True, tag="Operator"):
    """Deployment-wide settings that are policy. At most one."""

    allow_private: tuple[HostPort, ...] = ()
    """Hosts and ports that base URLs may name although their address is private, loopback or otherwise special."""
    prices: tuple[Price, ...] = ()
    """Prices that replace or add to the built-in table."""


class Tenant(Base, frozen=True, kw_only=True, tag="Tenant"):
    """A client of the operator."""

    name: Slug
    mode: Literal["agency", "vpc"]
    """`agency`: operator keys may serve this tenant where a Route says so. `vpc`: they never do."""
    vertical: Text = ""
    """The tenant's line of business."""
    key_store: Literal["embedded"] = "embedded"
    """Where the tenant's secrets are kept."""
    suspended: bool = False
    """True refuses every call of every agent of the tenant."""


class Agent(Base, frozen=True, kw_only=True, tag="Agent"):
    """A tenant's program that calls models."""

    tenant: Slug
    name: Slug
    purpose: Text = ""
    """What it is for, in a sentence."""
    models: tuple[ModelPattern, ...] = ()
    """Models it may call. Patterns with a slash are compared with `provider/model`, others with the model alone."""
    capabilities: tuple[str, ...] = ()
    """What it may have a provider do beyond a plain call; from the closed list."""
    scopes: tuple[Scope, ...] = ("read", "write")
    """The most that any API key of this agent can carry; `write` includes `read`, `admin` includes both."""
    tags: tuple[TagPattern, ...] = ()
    """Cost tags that its calls may carry. A call with another is refused."""
    tagged: tuple[CostTag, ...] = ()
    """Cost tags that every call of it carries, whatever it says: what a Limit on them bounds cannot be evaded."""
    suspended: bool = False
    """True refuses every call of the agent."""


class Deployment(Part, frozen=True, kw_only=True):
    """Under which name an Azure resource serves a model."""

    model: ModelPattern
    """The model's exact name, as agents call it."""
    deployment: DeploymentName


class Provider(Base, frozen=True, kw_only=True, tag="Provider"):
    """A provider contract: where it listens and which models it serves."""

    name: Slug
    tenant: Slug | None = None
    """The tenant that owns it and alone may use it; without it, the operator's."""
    catalog: CatalogName
    """How it speaks: authentication, paths and prices."""
    base_url: Url | None = None
    """As the provider's own SDK takes it, e.g. https://host/v1; without it, the catalogue's."""
    models: tuple[ModelPattern, ...]
    """Models it serves."""
    dialects: tuple[Dialect, ...] | None = None
    """Dialects it speaks; without it, all that the catalogue names."""
    project: Project | None = None
    """Vertex AI: the Google Cloud project. OpenAI: the project that calls are billed to."""
    location: Location | None = None
    """Vertex AI: the location. Bedrock: the AWS region."""
    organization: Organization | None = None
    """OpenAI: the organization that calls are billed to."""
    api_version: ApiVersion | None = None
    """Azure: the dated surface to call; without it, the v1 surface."""
    deployments: tuple[Deployment, ...] = ()
    """Azure: deployments whose name is not the model's."""


class Key(Base, frozen=True, kw_only=True, tag="Key"):
    """Metadata of a provider key. The value is put with `sekimori key put PATH`."""

    path: KeyPath
    provider: Slug
    """The one provider that this key may ever be sent to."""
    credential: CredentialKind = "api_key"
    """What its secret is."""
    note: Text = ""
    """For people."""


class Fallback(Part, frozen=True, kw_only=True):
    """The second key of a route and when it may be used."""

    key: KeyPath
    provider: Slug | None = None
    """The provider that the key belongs to; without it, the route's."""
    when: tuple[Condition, ...] = ("rate_limited", "overloaded")
    """Answers of the first key that let the second one try."""


class Also(Part, frozen=True, kw_only=True):
    """A further key of a route, the first one's equal."""

    key: KeyPath
    provider: Slug | None = None
    """The provider that the key belongs to; without it, the route's."""
    weight: Weight = 1
    """Its share of the calls, against the weights of the others."""


class CoolDown(Part, frozen=True, kw_only=True):
    """How long a deployment rests after it failed, so that its equals are asked first."""

    first: Seconds = 5
    """Seconds after one failure; each further one in a row doubles them."""
    longest: Seconds = 300
    """The most, whatever the provider asks for."""


class Hedge(Part, frozen=True, kw_only=True):
    """When an equal is asked too, because the first one brings nothing. All that are asked may be billed."""

    after: Milliseconds
    """How long the first one may bring nothing."""
    most: Beside = 1
    """Equals that one call asks so, at most."""


class Route(Base, frozen=True, kw_only=True, tag="Route"):
    """Which key a tenant, or one agent of it, uses at a provider."""

    tenant: Slug
    agent: Slug | None = None
    """The agent it is for; without it, every agent of the tenant that has no own."""
    provider: Slug
    key: KeyPath
    weight: Weight = 1
    """The key's share of the calls, where there are others."""
    also: tuple[Also, ...] = ()
    """Further keys that serve the same models as equals."""
    when: tuple[Condition, ...] = ("rate_limited", "overloaded")
    """Answers of one key that let an equal try."""
    sticky: Sticky | None = None
    """`conversation`: the same conversation comes to the same key while that is well."""
    cool_down: CoolDown | None = None
    hedge: Hedge | None = None
    """When an equal is asked beside one that is slow; without it, never."""
    fallback: Fallback | None = None


class Target(Part, frozen=True, kw_only=True):
    """One model that an alias stands for."""

    model: TargetName
    """As an agent would call it. Never another alias."""
    weight: Weight = 1
    """Its share of the calls, against the weights of the others."""


class Alias(Base, frozen=True, kw_only=True, tag="Alias"):
    """A name that agents call, and the models that it stands for."""

    tenant: Slug
    agent: Slug | None = None
    """The agent it is for; without it, every agent of the tenant that has no own of this name."""
    name: AliasName
    targets: tuple[Target, ...]
    """Equals, each judged like a plain call of it."""
    when: tuple[Condition, ...] = ("rate_limited", "overloaded")
    """Answers of one target that let an equal try."""
    sticky: Sticky | None = None
    """`conversation`: the same conversation comes to the same target and key while that is well."""
    hedge: Hedge | None = None
    """When an equal is asked beside one that is slow; without it, never."""


class Limit(Base, frozen=True, kw_only=True, tag="Limit"):
    """Bounds on admission: for a tenant as a whole, one agent, one provider key as the tenant uses it, or one tag."""

    tenant: Slug
    agent: Slug | None = None
    key: KeyPath | None = None
    """Calls that use this provider key, the tenant's own or an operator's: this tenant's use of it."""
    tag: CostTag | None = None
    """Calls that carry this cost tag."""
    requests_per_minute: Count | None = None
    """Requests in any 60 seconds."""
    concurrency: Count | None = None
    """Requests at once."""
    tokens_per_minute: Count | None = None
    """Input and output tokens in any 60 seconds."""
    tokens_per_day: Count | None = None
    """Input and output tokens in a UTC day."""
    money_per_day: Money | None = None
    """In a UTC day."""
    money_per_month: Money | None = None
    """In a calendar month, UTC."""
    max_output_tokens: Count | None = None
    """The most output tokens that a call may ask for."""


class Allowed(Part, frozen=True, kw_only=True):
    """Where a provider may be sent to fetch something."""

    host: EgressHost
    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    ports: tuple[Port, ...] = ()
    """Without it, the usual port of the scheme."""
    paths: tuple[PathPrefix, ...] = ()
    """Paths and all below them; without it, any."""


class Egress(Base, frozen=True, kw_only=True, tag="Egress"):
    """What providers may fetch, by URL, for a tenant, for one agent of it, or for the tenants of one vertical."""

    tenant: Slug | None = None
    agent: Slug | None = None
    """The agent it is for; without it, every agent of the tenant that has no own."""
    vertical: Text | None = None
    """In a tenant's stead, by the operator: for tenants of this vertical that have no document of their own."""
    allow: tuple[Allowed, ...]
    """Nothing else is."""


class Guard(Base, frozen=True, kw_only=True, tag="Guard"):
    """What is looked for in what an agent's calls say and are told, and what is done about it."""

    tenant: Slug
    agent: Slug | None = None
    """The agent it is for; without it, every agent of the tenant that has no own."""
    input: GuardInput = GuardInput()
    output: GuardOutput = GuardOutput()
    stream: Literal["window", "hold-all"] = "window"
    """`window` releases what has settled; `hold-all` waits for the whole reply and judges it as one."""
    judge: Judge | None = None
    """A model in the cell that is asked where the classifier is not sure."""

    def guarded(self) -> Guarded:
        """What the gateway screens by."""
        return Guarded(self.input, self.output, self.stream, self.judge)


Document = Operator | Tenant | Provider | Key | Agent | Route | Alias | Limit | Egress | Guard

KINDS: Final[dict[str, type[Document]]] = {
    "Operator": Operator,
    "Tenant": Tenant,
    "Provider": Provider,
    "Key": Key,
    "Agent": Agent,
    "Route": Route,
    "Limit": Limit,
    "Egress": Egress,
    "Alias": Alias,
    "Guard": Guard,
}
"""In the order in which exports and diffs list them: what is referred to before what refers."""


def owner_of(path: str) -> str | None:
    """The tenant that a key path belongs to; None for the operator's."""
    return None if path.startswith(OPERATOR + "/") else path.split("/")[1]


def tenant_of(document: Document) -> str | None:
    """The tenant that a document concerns; None where it is the operator's."""
    match document:
        case Operator():
            return None
        case Tenant():
            return document.name
        case Key():
            return owner_of(document.path)
        case _:
            return document.tenant


def name_of(document: Document) -> str:
    """What tells a document from others of its kind and tenant: a name, a key's path, `AGENT/PROVIDER`…"""
    match document:
        case Operator():
            return OPERATOR
        case Tenant() | Provider() | Agent():
            return document.name
        case Key():
            return document.path
        case Route():
            return f"{document.agent or '*'}/{document.provider}"
        case Limit():
            named = ((word, getattr(document, word)) for word in ("agent", "key", "tag"))
            # An agent's name stands alone, as it always did; a slug has no colon.
            names = [name if word == "agent" else f"{word}:{name}" for word, name in named if name is not None]
            return ",".join(names) or "*"
        case Egress():
            return document.agent or ("*" if document.tenant else f"vertical {document.vertical or ''}")
        case Alias():
            return f"{document.agent or '*'}/{document.name}"
        case Guard():
            return document.agent or "*"


Identity = tuple[str, str, str]
"""(kind, tenant or '', name)."""


def identity(document: Document) -> Identity:
    """What stays the same when a document is edited."""
    return type(document).__name__, tenant_of(document) or "", name_of(document)
