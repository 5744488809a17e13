"""One generation of policy, compiled for deciding.

`compile` takes the documents of a generation and gives a `Snapshot`; the gateway swaps snapshots in whole. Tenants are
compiled when first asked for, and the table of a tenant holds nothing but what that tenant may know: its own documents
and the operator's providers and keys that they name. A decision is made on one table, so there is no lookup in which
another tenant's documents could be found.

Compiling does not rely on `checks.check` having been run: what does not fit is left out, or marked with a `fault`, and
decide refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from sekimori.egress.address import Denied
from sekimori.errors import Fault, Refused
from sekimori.meter.prices import DAY_MS, Cost, Rate, Rates, nano, rate, table
from sekimori.meter.prices import price as price_of
from sekimori.policy import egress
from sekimori.policy.bases import base_of, placement_of
from sekimori.policy.guards import DEFAULT, Guarded
from sekimori.policy.kinds import (
    Agent,
    Alias,
    Document,
    Egress,
    Guard,
    Key,
    Limit,
    Operator,
    Price,
    PriceService,
    PriceTier,
    Provider,
    Route,
    Tenant,
    owner_of,
    tenant_of,
)
from sekimori.policy.pattern import matches
from sekimori.terms import OPERATOR, Bound, CredentialKind, Dialect, Limits, Origin, Principal, Scope, Usage
from sekimori.terms import Provider as Contract
from sekimori.terms import Route as Hop
from sekimori.upstream.catalog import spoken

if TYPE_CHECKING:
    from sekimori.policy.decide import Decision

TENANTS_KEPT: Final = 4096
"""Compiled tenant tables held at once; the one compiled first goes first."""
DECISIONS_KEPT: Final = 64
"""Decisions remembered per agent; the oldest goes first."""

_NOWHERE: Final = Origin("https", "invalid", 443)
"""Stands for the origin of a provider that may not be dialled (RFC 6761: `invalid` never resolves)."""

_INCLUDES: Final[dict[Scope, frozenset[Scope]]] = {
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin"}),
}


def included(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """The scopes and all that they include: `admin` includes `write`, `write` includes `read`."""
    return frozenset().union(*(_INCLUDES.get(scope, frozenset()) for scope in scopes))


class Known(Struct, frozen=True):
    """A provider that a tenant may know."""

    contract: Contract
    fault: str = ""
    """Why it cannot be used; the empty string where it can."""

    def serves(self, model: str) -> bool:
        """Whether the contract lists the model."""
        return any(matches(pattern, model) for pattern in self.contract.models)


class KeyEntry(Struct, frozen=True):
    """A key that a tenant's routes may name."""

    path: str
    uid: str
    owner_uid: str
    provider: str
    """The one provider that it may be sent to."""
    credential: CredentialKind = "api_key"


class AgentTable:
    """What decides an agent's calls. Immutable but for the memory of decisions."""

    __slots__ = (
        "capabilities",
        "decisions",
        "egress",
        "guard",
        "limits",
        "limits_by_tags",
        "models",
        "offered",
        "scopes",
        "slug",
        "suspended",
        "tagged",
        "tags",
        "tenant",
        "uid",
    )

    def __init__(self, tenant: TenantTable, document: Agent, uid: str, fetches: egress.Policy, guard: Guarded) -> None:
        self.tenant = tenant
        self.slug = document.name
        self.uid = uid
        self.suspended = document.suspended
        self.models = document.models
        self.capabilities = frozenset(document.capabilities)
        self.scopes = included(document.scopes)
        self.tags = document.tags
        self.tagged = tuple(sorted(set(document.tagged)))
        """The cost tags of every call."""
        self.limits_by_tags: dict[tuple[str, ...], Limits] = {}
        self.limits = self.limits_of(self.tagged)
        """What bounds a call that says no cost tags."""
        self.egress = fetches
        self.guard = guard
        """What its calls are screened by."""
        self.decisions: dict[tuple[Any, ...], Decision] = {}
        self.offered: dict[Dialect, tuple[str, ...]] = {}

    def may_call(self, provider: str, model: str) -> bool:
        """Whether the agent's document lists the model. A pattern with a slash names the provider too."""
        full = f"{provider}/{model}"
        return any(matches(pattern, full if "/" in pattern else model) for pattern in self.models)

    def may_ask(self, alias: str) -> bool:
        """Whether the agent's document lists the alias. A pattern with a slash means models, never an alias."""
        return any(matches(pattern, alias) for pattern in self.models if "/" not in pattern)

    def limits_of(self, tags: tuple[str, ...]) -> Limits:
        """What bounds a call that carries these cost tags."""
        found = self.limits_by_tags.get(tags)
        if found is None:
            while len(self.limits_by_tags) >= DECISIONS_KEPT:
                del self.limits_by_tags[next(iter(self.limits_by_tags))]
            tenant = self.tenant
            scoped = [(f"agent:{self.uid}", tenant.bounds.get(("agent", self.slug)))]
            scoped += [(tag_scope(tenant.uid, tag), tenant.bounds.get(("tag", tag))) for tag in tags]
            scoped.append((f"tenant:{tenant.uid}", tenant.bounds.get(("", ""))))
            limits = bounded(scoped)
            found = structs.replace(limits, keys=tenant.key_limits) if tenant.key_limits else limits
            self.limits_by_tags[tags] = found
        return found

    def remember(self, key: tuple[Any, ...], decision: Decision) -> None:
        """Keep a decision; it holds for the life of the snapshot."""
        while len(self.decisions) >= DECISIONS_KEPT:
            del self.decisions[next(iter(self.decisions))]
        self.decisions[key] = decision


class TenantTable:
    """All that a tenant's calls are decided on."""

    __slots__ = (
        "agents",
        "aliases",
        "bounds",
        "key_limits",
        "keys",
        "known",
        "mode",
        "routes",
        "slug",
        "suspended",
        "uid",
    )

    def __init__(self, document: Tenant, uid: str) -> None:
        self.slug = document.name
        self.uid = uid
        self.mode = document.mode
        self.suspended = document.suspended
        self.known: Mapping[str, Known] = {}
        """Provider by name: the tenant's own, and the operator's that its routes and keys name."""
        self.keys: Mapping[str, KeyEntry] = {}
        """Key by path: the tenant's own and the operator's that its routes name."""
        self.routes: Mapping[tuple[str | None, str], Route] = {}
        """Route by (agent or None, provider)."""
        self.aliases: Mapping[tuple[str | None, str], Alias] = {}
        """Alias by (agent or None, name)."""
        self.agents: Mapping[str, AgentTable] = {}
        """Agent by uid."""
        self.bounds: Mapping[tuple[str, str], Limit] = {}
        """Limit by what it is for: (`agent` | `key` | `tag`, name), or two empty strings for the tenant as a whole."""
        self.key_limits: tuple[tuple[str, Limits], ...] = ()
        """(uid of a key, what bounds this tenant's use of it)."""

    def route(self, agent: str, provider: str) -> Route | None:
        """The agent's own route to the provider, else the tenant's default."""
        return self.routes.get((agent, provider)) or self.routes.get((None, provider))

    def alias(self, agent: str, name: str) -> Alias | None:
        """The agent's own alias of the name, else the tenant's."""
        if not self.aliases:
            return None
        return self.aliases.get((agent, name)) or self.aliases.get((None, name))


def uid_name(document: Document) -> str | None:
    """Under which name a document's uid is kept; None for kinds that have none."""
    match document:
        case Tenant():
            return f"tenant/{document.name}"
        case Agent():
            return f"agent/{document.tenant}/{document.name}"
        case Key():
            return f"key/{document.path}"
        case _:
            return None


def uid_names(documents: Iterable[Document]) -> list[str]:
    """The names for which `compile` needs a uid."""
    return [name for document in documents if (name := uid_name(document))]


def compile(documents: Iterable[Document], uids: Mapping[str, str], generation: int) -> Snapshot:
    """A snapshot of a generation. `uids` holds a uid for each of `uid_names(documents)`.

    Raises `Fault('policy_unavailable')` where a uid is missing or stands for two things: deciding on it could take one
    tenant, agent or key for another.
    """
    return Snapshot(documents, uids, generation)


class Snapshot:
    """The policy of one generation."""

    __slots__ = (
        "_documents",
        "_operator",
        "_rates",
        "_shared",
        "_tables",
        "_tenants",
        "_uids",
        "_verticals",
        "generation",
    )

    def __init__(self, documents: Iterable[Document], uids: Mapping[str, str], generation: int) -> None:
        self.generation = generation
        self._operator = Operator()
        self._shared: list[Provider | Key] = []
        self._tenants: dict[str, Tenant] = {}
        self._verticals: dict[str, Egress] = {}
        self._documents: dict[str, list[Document]] = {}
        self._tables: dict[str, TenantTable] = {}
        names = []
        for document in documents:
            name = uid_name(document)
            if name is not None:
                names.append(name)
            tenant = tenant_of(document)
            if isinstance(document, Operator):
                self._operator = document
            elif isinstance(document, Provider | Key) and tenant is None:
                self._shared.append(document)
            elif isinstance(document, Egress) and tenant is None:
                self._verticals[document.vertical or ""] = document
            elif tenant is not None:
                self._documents.setdefault(tenant, []).append(document)
        self._rates = _rates(self._operator)
        self._uids = MappingProxyType({name: _uid(uids, name) for name in names})
        if len(set(self._uids.values())) != len(self._uids):
            raise Fault("policy_unavailable", "The policy cannot be used.", advice="A uid stands for two things.")
        for held in self._documents.values():
            for document in held:
                if isinstance(document, Tenant):
                    self._tenants[self._uids[f"tenant/{document.name}"]] = document

    @property
    def operator(self) -> Operator:
        """Deployment-wide settings."""
        return self._operator

    def cost(self, usage: Usage, route: Hop, now_ms: int) -> Cost | None:
        """What a hop cost by this generation's prices of the day; None where its model has none."""
        found = self.price(route, now_ms)
        return None if found is None else found.of(usage)

    def price(self, route: Hop, now_ms: int) -> Rate | None:
        """The price of a route's model on the day; None where it has none."""
        return price_of(route.provider.catalog, route.model, now_ms // DAY_MS, self._rates)

    def tenant_uids(self) -> list[str]:
        """Of every tenant."""
        return list(self._tenants)

    def uid(self, name: str) -> str | None:
        """The uid of `tenant/T`, `agent/T/A` or `key/PATH`."""
        return self._uids.get(name)

    def tenant(self, uid: str) -> TenantTable | None:
        """The tenant's table, compiled when first asked for."""
        table = self._tables.get(uid)
        if table is None:
            document = self._tenants.get(uid)
            if document is None:
                return None
            while len(self._tables) >= TENANTS_KEPT:
                del self._tables[next(iter(self._tables))]
            table = self._tables[uid] = self._compiled(document, uid)
        return table

    def agent(self, principal: Principal) -> AgentTable:
        """The table of the agent that calls.

        Raises `Refused('credential_revoked')` where this generation has no such agent, and
        `Fault('policy_unavailable')` where the principal's names and uids do not belong together.
        """
        table = self._tables.get(principal.tenant_uid) or self.tenant(principal.tenant_uid)
        agent = table.agents.get(principal.agent_uid) if table is not None else None
        if table is None or agent is None:
            raise Refused("credential_revoked", "The agent that this API key was issued to no longer exists.")
        if table.slug != principal.tenant or agent.slug != principal.agent:
            raise Fault("policy_unavailable", "The policy cannot be used for this API key.")
        return agent

    def guard(self, principal: Principal) -> Guarded:
        """What the agent's calls are screened by. Raises as `agent` does."""
        return self.agent(principal).guard

    def _compiled(self, document: Tenant, uid: str) -> TenantTable:
        table = TenantTable(document, uid)
        own = self._documents[document.name]
        routes = [item for item in own if isinstance(item, Route)]
        keys = [item for item in own if isinstance(item, Key)]
        table.routes = MappingProxyType({(route.agent, route.provider): route for route in routes})
        table.aliases = MappingProxyType({(one.agent, one.name): one for one in own if isinstance(one, Alias)})
        table.known = MappingProxyType(self._known(table, own, routes, keys))
        table.keys = MappingProxyType(self._keys(table, routes, keys))
        table.agents = MappingProxyType(self._agents(table, own))
        return table

    def _known(self, table: TenantTable, own: list[Document], routes: list[Route], keys: list[Key]) -> dict[str, Known]:
        named = {route.provider for route in routes} | {key.provider for key in keys}
        named |= {route.fallback.provider for route in routes if route.fallback and route.fallback.provider}
        named |= {other.provider for route in routes for other in route.also if other.provider}
        mine = [item for item in own if isinstance(item, Provider)]
        theirs = [item for item in self._shared if isinstance(item, Provider) and item.name in named]
        known: dict[str, Known] = {}
        for provider in [*mine, *theirs]:
            compiled = self._provider(provider, table.uid if provider.tenant else OPERATOR)
            if provider.name in known:
                # Which of the two a key belongs to cannot be told, and a guess could send it to the other.
                compiled = Known(compiled.contract, "its name stands for two providers")
            known[provider.name] = compiled
        return known

    def _provider(self, document: Provider, owner_uid: str) -> Known:
        base = base_of(document, self._operator.allow_private)
        placement = placement_of(document)
        return Known(
            Contract(
                name=document.name,
                owner=document.tenant or OPERATOR,
                owner_uid=owner_uid,
                catalog=document.catalog,
                origin=_NOWHERE if isinstance(base, Denied) else base.origin,
                base_path="" if isinstance(base, Denied) else base.path,
                dialects=spoken(document.catalog, document.dialects, placement),
                models=document.models,
                private=False if isinstance(base, Denied) else base.private,
                placement=placement,
            ),
            f"its base URL is refused ({base.reason})" if isinstance(base, Denied) else "",
        )

    def _keys(self, table: TenantTable, routes: list[Route], keys: list[Key]) -> dict[str, KeyEntry]:
        named = {route.key for route in routes} | {route.fallback.key for route in routes if route.fallback}
        named |= {other.key for route in routes for other in route.also}
        shared = [item for item in self._shared if isinstance(item, Key) and item.path in named]
        return {
            key.path: KeyEntry(
                key.path,
                self._uids[f"key/{key.path}"],
                table.uid if owner_of(key.path) else OPERATOR,
                key.provider,
                key.credential,
            )
            for key in [*keys, *shared]
        }

    def _agents(self, table: TenantTable, own: list[Document]) -> dict[str, AgentTable]:
        bounds: dict[tuple[str, str], Limit] = {}
        for item in own:
            if isinstance(item, Limit):
                named = [(word, name) for word in ("agent", "key", "tag") if (name := getattr(item, word)) is not None]
                bounds[named[0] if named else ("", "")] = item
        table.bounds = MappingProxyType(bounds)
        table.key_limits = tuple(
            (entry.uid, bounded([(key_scope(table.uid, entry.uid), bounds["key", path])]))
            for path, entry in table.keys.items()
            if ("key", path) in bounds
        )
        lists = {item.agent: egress.compiled(item.allow, _named(item)) for item in own if isinstance(item, Egress)}
        usual = lists.get(None) or self._vertical(table)
        guards = {item.agent: item.guarded() for item in own if isinstance(item, Guard)}
        guard = guards.get(None, DEFAULT)
        agents = [item for item in own if isinstance(item, Agent)]
        uids = [self._uids[f"agent/{item.tenant}/{item.name}"] for item in agents]
        return {
            uid: AgentTable(table, item, uid, lists.get(item.name, usual), guards.get(item.name, guard))
            for uid, item in zip(uids, agents, strict=True)
        }

    def _vertical(self, table: TenantTable) -> egress.Policy:
        """What the operator allows the tenants of this vertical that have no Egress document."""
        document = self._verticals.get(self._tenants[table.uid].vertical) if self._tenants[table.uid].vertical else None
        return egress.NOTHING if document is None else egress.compiled(document.allow, _named(document))


def _named(document: Egress) -> str:
    whose = document.tenant or f"vertical {document.vertical}"
    return f"The Egress document {whose}/{document.agent}" if document.agent else f"The Egress document {whose}"


def key_scope(tenant_uid: str, key_uid: str) -> str:
    """The scope of a tenant's use of a provider key."""
    return f"key:{tenant_uid}/{key_uid}"


def tag_scope(tenant_uid: str, tag: str) -> str:
    """The scope of a tenant's cost tag."""
    return f"tag:{tenant_uid}/{tag}"


def bounded(scoped: Iterable[tuple[str, Limit | None]]) -> Limits:
    """What the Limit documents of these scopes say together."""
    there = [(scope, bound) for scope, bound in scoped if bound is not None]
    caps = [bound.max_output_tokens for _, bound in there if bound.max_output_tokens is not None]
    usage = [
        Bound(
            scope,
            tokens_per_minute=bound.tokens_per_minute,
            tokens_per_day=bound.tokens_per_day,
            nano_per_day=None if bound.money_per_day is None else nano(bound.money_per_day),
            nano_per_month=None if bound.money_per_month is None else nano(bound.money_per_month),
        )
        for scope, bound in there
    ]
    return Limits(
        requests_per_minute=tuple(
            (scope, bound.requests_per_minute) for scope, bound in there if bound.requests_per_minute is not None
        ),
        concurrency=tuple((scope, bound.concurrency) for scope, bound in there if bound.concurrency is not None),
        usage=tuple(one for one in usage if one != Bound(one.scope)),
        output_cap=min(caps, default=None),
    )


def _rates(operator: Operator) -> Rates:
    """The prices of the Operator document. One that contradicts itself is left out: its model has no price."""
    found: dict[tuple[str, str, int], Rate] = {}
    for price in operator.prices:
        figures = {**_figures(price), "tiers": [_figures(tier) for tier in price.tiers]}
        services = [{**_figures(one), "tiers": [_figures(tier) for tier in one.tiers]} for one in price.services]
        try:
            made = rate(**figures, services=services, begins=price.begins or "", source=price.source, date=price.date)
        except ValueError:
            continue
        found[price.catalog, price.model, made.begins] = made
    return table((catalog, model, made) for (catalog, model, _), made in found.items())


def _figures(part: Price | PriceTier | PriceService) -> dict[str, Any]:
    names = ("name", "above", "input", "output", "cached", "cache_write", "cache_write_hour")
    return {name: getattr(part, name) for name in names if hasattr(part, name)}


def _uid(uids: Mapping[str, str], name: str) -> str:
    uid = uids.get(name)
    if not uid:
        raise Fault("policy_unavailable", "The policy cannot be used.", advice=f"There is no uid for {name}.")
    return uid
