"""What does not fit together in a set of documents. `apply` refuses a set that has errors; warnings are shown.

The rules that protect keys stand here so that a wrong document is refused when it is written, and once more in decide,
which trusts no one to have asked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import Final

from sekimori.dialects.fields import CAPABILITIES
from sekimori.dialects.tags import MOST_TAGS
from sekimori.egress.address import Denied, classify, parse_host
from sekimori.identity.names import RESERVED
from sekimori.meter.prices import is_day, nano
from sekimori.policy import egress
from sekimori.policy.aliases import taken
from sekimori.policy.bases import base_of, misjudged, misplaced, placement_of
from sekimori.policy.documents import Documents, Located
from sekimori.policy.kinds import (
    Agent,
    Alias,
    Egress,
    Guard,
    Hedge,
    Key,
    Limit,
    Operator,
    Price,
    Provider,
    Route,
    Target,
    Tenant,
    owner_of,
)
from sekimori.policy.pattern import matches, overlap
from sekimori.policy.problems import Invalid, Problem, shown
from sekimori.policy.reading import nearest
from sekimori.terms import Dialect
from sekimori.upstream.catalog import ENTRIES, accepts, spoken

PATTERNS_COMPARED: Final = 64
"""Patterns with `*` of one provider that are compared with another's for the ambiguity warning; it is advice, and the
comparison costs the product of their lengths."""

_FETCHING: Final = frozenset({"images_by_url", "remote_mcp"})
"""Capabilities with which a call names URLs."""
EQUALS: Final = 8
"""Keys of one route and targets of one alias, at most: all that a call may choose among is remembered."""


def check(documents: Documents) -> list[Problem]:
    """Every problem of a set, errors first; within those in canonical order. Empty for a set without any.

    What is said may name any tenant of the set (`Did you mean …?`): it is for who may read all of it.
    """
    checker = _Checker(documents)
    problems = [problem for located in documents.located() for problem in checker.of(located)]
    return sorted(problems, key=lambda problem: problem.level)


def require(documents: Documents) -> list[Problem]:
    """The warnings of a set. Raises `Invalid` with its errors where it has any."""
    problems = check(documents)
    errors = [problem for problem in problems if problem.level == "error"]
    if errors:
        raise Invalid(errors)
    return problems


class _Checker:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._tenants: dict[str, Tenant] = {}
        self._agents: dict[str, list[Agent]] = {}
        self._routes: dict[str, list[Route]] = {}
        self._providers: dict[tuple[str | None, str], Provider] = {}
        self._keys: dict[str, Key] = {}
        self._egress: set[tuple[str | None, str | None]] = set()
        self._aliases: dict[str, list[Alias]] = {}
        self._operator = Operator()
        for document in documents:
            match document:
                case Tenant():
                    self._tenants[document.name] = document
                case Agent():
                    self._agents.setdefault(document.tenant, []).append(document)
                case Route():
                    self._routes.setdefault(document.tenant, []).append(document)
                case Provider():
                    self._providers[document.tenant, document.name] = document
                case Key():
                    self._keys[document.path] = document
                case Egress():
                    self._egress.add((document.tenant, document.agent if document.tenant else document.vertical))
                case Alias():
                    self._aliases.setdefault(document.tenant, []).append(document)
                case Operator():
                    self._operator = document

    def of(self, located: Located) -> Iterator[Problem]:
        match located.document:
            case Operator() as document:
                yield from self._check_operator(located, document)
            case Tenant() as document:
                yield from self._reserved(located, document.name)
                yield from self._ambiguous(located, document.name, None)
            case Provider() as document:
                yield from self._check_provider(located, document)
            case Key() as document:
                yield from self._check_key(located, document)
            case Agent() as document:
                yield from self._check_agent(located, document)
            case Route() as document:
                yield from self._check_route(located, document)
            case Limit() as document:
                yield from self._check_limit(located, document)
            case Egress() as document:
                yield from self._check_egress(located, document)
            case Alias() as document:
                yield from self._check_alias(located, document)
            case Guard() as document:
                yield from self._tenant(located, document.tenant)
                if document.tenant in self._tenants:
                    yield from self._agent(located, document.tenant, document.agent)
                yield from misjudged(located, document, self._operator.allow_private)

    def _check_operator(self, located: Located, document: Operator) -> Iterator[Problem]:
        for number, place in enumerate(document.allow_private):
            field = f"allowPrivate[{number}].host"
            host = parse_host(place.host)
            if isinstance(host, Denied):
                yield located.problem(field, host.text, host.advice or "Write a DNS name or an IP address.")
            elif host.name != place.host:
                yield located.problem(field, f"{shown(place.host)} is not the canonical form.", f"Write {host.name}.")
            elif host.address is not None:
                found = classify(host.address)
                if not found.allowed and not found.allowable:
                    text = f"{host.name} cannot be allowed ({found.reason.replace('_', ' ')})."
                    yield located.problem(field, text, "Remove it: no model is served there.")
        seen: set[tuple[str, str, str | None]] = set()
        for number, price in enumerate(document.prices):
            if "*" in price.model:
                text = f"{price.model} is a pattern; a price is for one model."
                yield located.problem(f"prices[{number}].model", text, "Write the model's exact name.")
            if (price.catalog, price.model, price.begins) in seen:
                text = f"{price.catalog} {price.model} is priced twice."
                yield located.problem(
                    f"prices[{number}].model", text, "Keep one. Those of one model must differ in `from`."
                )
            seen.add((price.catalog, price.model, price.begins))
            yield from _check_price(located, price, number)

    def _check_provider(self, located: Located, document: Provider) -> Iterator[Problem]:
        yield from self._reserved(located, document.name)
        entry = ENTRIES[document.catalog]
        if document.tenant is not None:
            yield from self._tenant(located, document.tenant)
            if (None, document.name) in self._providers:
                # A key names its provider by name: with two of one name it could be sent to the other's address.
                text = f"{document.name} is the name of a provider of the operator."
                yield located.problem("name", text, "Choose another name.")
        if not document.models:
            yield located.problem("models", "lists no model.", 'Write the models it serves, or ["*"] for any.')
        for number, dialect in enumerate(document.dialects or ()):
            if dialect not in entry.dialects:
                text = f"{entry.title} does not speak the {dialect} dialect."
                yield located.problem(f"dialects[{number}]", text, f"Known are {', '.join(sorted(entry.dialects))}.")
        if document.dialects == ():
            yield located.problem("dialects", "lists no dialect.", "Write one, or remove the line.")
        yield from misplaced(located, document)
        base = base_of(document, self._operator.allow_private)
        if isinstance(base, Denied):
            yield located.problem("baseUrl", base.text, base.advice or "Write https://HOST, or https://HOST/PATH.")

    def _check_key(self, located: Located, document: Key) -> Iterator[Problem]:
        owner = owner_of(document.path)
        if owner is not None and owner not in self._tenants:
            yield from self._tenant(located, owner, "path")
            return
        provider = self._provider(owner, document.provider)
        if provider is None:
            yield self._no_provider(located, "provider", owner, document.provider)
        elif not accepts(provider.catalog, placement_of(provider), document.credential):
            text = f"{provider.name} takes no key whose credential is {document.credential}."
            able = ", ".join(sorted(ENTRIES[provider.catalog].credentials))
            yield located.problem("credential", text, f"{ENTRIES[provider.catalog].title} takes {able}.")

    def _check_agent(self, located: Located, document: Agent) -> Iterator[Problem]:
        yield from self._reserved(located, document.name)
        if document.tenant not in self._tenants:
            yield from self._tenant(located, document.tenant)
            return
        for number, capability in enumerate(document.capabilities):
            if capability not in CAPABILITIES:
                fix = nearest(capability, list(CAPABILITIES)) or f"Known are {', '.join(CAPABILITIES)}."
                text = f"{shown(capability)} is not a capability."
                yield located.problem(f"capabilities[{number}]", text, fix)
            elif capability in _FETCHING and not self._may_fetch(document):
                text = f"{capability} is of no use: no Egress document allows this agent any URL."
                fix = f"Write one with tenant: {document.tenant}, agent: {document.name} and allow: [{{host: …}}]."
                yield located.problem(f"capabilities[{number}]", text, fix, "warning")
        if len(document.tagged) > MOST_TAGS:
            text = f"gives more than {MOST_TAGS} tags."
            yield located.problem("tagged", text, f"Keep at most {MOST_TAGS}.")
        if not document.scopes:
            yield located.problem("scopes", "lists no scope.", "Write [read, write], or set suspended: true.")
        if not document.models:
            yield located.problem("models", "lists none: it can call nothing.", "List its models.", "warning")
        reached = [(p.name, model) for p in self._reached(document) for model in p.models]
        named = [one.name for one in self._aliases.get(document.tenant, []) if one.agent in {None, document.name}]
        for number, pattern in enumerate(document.models):
            if "/" not in pattern and any(matches(pattern, name) for name in named):
                continue
            if not any(overlap(pattern, f"{at}/{model}" if "/" in pattern else model) for at, model in reached):
                text = f"no route of this agent leads to a provider that serves {pattern}."
                fix = "Add a Route, or mend the name."
                yield located.problem(f"models[{number}]", text, fix, "warning")
        yield from self._ambiguous(located, document.tenant, document)

    def _check_route(self, located: Located, document: Route) -> Iterator[Problem]:
        if document.tenant not in self._tenants:
            yield from self._tenant(located, document.tenant)
            return
        yield from self._agent(located, document.tenant, document.agent)
        provider = self._provider(document.tenant, document.provider)
        if provider is None:
            yield self._no_provider(located, "provider", document.tenant, document.provider)
        else:
            yield from self._hop(located, "key", document, document.key, document.provider)
        yield from self._check_equals(located, document)
        fallback = document.fallback
        if fallback is None:
            return
        if fallback.key in {document.key, *(other.key for other in document.also)}:
            yield located.problem("fallback.key", "is the same key.", "Name another key, or remove the fallback.")
        if not fallback.when:
            yield located.problem("fallback.when", "names no condition.", "Write [rate_limited, overloaded].")
        at = fallback.provider or document.provider
        if self._provider(document.tenant, at) is not None:
            yield from self._hop(located, "fallback.key", document, fallback.key, at)
        elif fallback.provider is not None:
            yield self._no_provider(located, "fallback.provider", document.tenant, at)

    def _check_equals(self, located: Located, document: Route) -> Iterator[Problem]:
        """The further keys of a route, and what is said of them all."""
        seen = {document.key}
        for number, other in enumerate(document.also):
            field = f"also[{number}]"
            if other.key in seen:
                # A key belongs to one provider, so the same key twice is the same deployment twice.
                yield located.problem(
                    f"{field}.key", f"{other.key} is named twice.", "Keep one, and give it the weight."
                )
            seen.add(other.key)
            at = other.provider or document.provider
            if self._provider(document.tenant, at) is not None:
                yield from self._hop(located, f"{field}.key", document, other.key, at)
            elif other.provider is not None:
                yield self._no_provider(located, f"{field}.provider", document.tenant, at)
        if len(document.also) >= EQUALS:
            yield located.problem("also", f"makes more than {EQUALS} keys.", "Remove some.")
        if not document.also:
            for field, idle in (("weight", document.weight != 1), ("sticky", document.sticky is not None)):
                if idle:
                    yield located.problem(field, "chooses among one key.", "Add `also`, or remove it.", "warning")
        yield from _check_hedge(located, document.hedge, 1 + len(document.also), "Add `also`, or remove it.")
        rest = document.cool_down
        if rest is not None and rest.first > rest.longest:
            text = f"begins with {rest.first} s and ends with {rest.longest} s."
            yield located.problem("coolDown.longest", text, f"Write {rest.first} or more.")

    def _check_alias(self, located: Located, document: Alias) -> Iterator[Problem]:
        tenant = document.tenant
        if tenant not in self._tenants:
            yield from self._tenant(located, tenant)
            return
        yield from self._agent(located, tenant, document.agent)
        if not document.targets:
            yield located.problem("targets", "lists none.", "Write the models that it stands for.")
        if len(document.targets) > EQUALS:
            yield located.problem("targets", f"lists more than {EQUALS}.", "Remove some.")
        provider = taken(document, {p.name: p.models for p in self._known(tenant)})
        if provider and document.targets:
            text = f"{document.name} is a model of {provider}, and none of the targets is that model."
            yield located.problem("name", text, f"Choose another name, or add PROVIDER/{document.name} to the targets.")
        for number, target in enumerate(document.targets):
            yield from self._check_target(located, document, target, f"targets[{number}].model")
        names = [target.model for target in document.targets]
        for number, name in enumerate(names):
            if name in names[:number]:
                text = f"{name} is named twice."
                yield located.problem(f"targets[{number}].model", text, "Keep one, and give it the weight.")
        if not any(route.also for route in self._routes.get(tenant, [])):  # else a target may have several keys
            fix = "Add a target, or remove it."
            yield from _check_hedge(located, document.hedge, len(document.targets), fix)
        agents = [one for one in self._agents.get(tenant, []) if document.agent in {None, one.name}]
        lists = [one for one in agents if any(matches(p, document.name) for p in one.models if "/" not in p)]
        if not lists:
            text = "no agent lists it: nobody may call it."
            yield located.problem("", text, f"Add {document.name} to `models` of an Agent.", "warning")
        for agent in lists:
            yield from self._missing(located, document, agent)

    def _check_target(self, located: Located, document: Alias, target: Target, field: str) -> Iterator[Problem]:
        tenant, model = document.tenant, target.model
        if model in {one.name for one in self._aliases[tenant] if one.agent in {None, document.agent}}:
            text = f"{model} is an alias, and aliases do not lead to aliases."
            yield located.problem(field, text, "Write PROVIDER/MODEL.")
            return
        head, slash, rest = model.partition("/")
        known = {p.name: p for (owner, _), p in self._providers.items() if owner in {None, tenant}}
        if slash and head in known:
            serving = [head] if any(matches(pattern, rest) for pattern in known[head].models) else []
            if not serving:
                names = [f"{head}/{name}" for name in known[head].models]
                fix = nearest(model, names) or f"It serves {', '.join(known[head].models[:8])}."
                yield located.problem(field, f"{head} does not serve {shown(rest)}.", fix)
        else:
            serving = [one.name for one in known.values() if any(matches(pattern, model) for pattern in one.models)]
            if not serving:
                plain = [(one.name, name) for one in known.values() for name in one.models if "*" not in name]
                names = [name for _, name in plain] + [f"{at}/{name}" for at, name in plain]
                text = f"{tenant} may use no provider that serves {model}."
                yield located.problem(field, text, nearest(model, names) or "Write PROVIDER/MODEL.")
        ends = {
            route.provider
            for route in self._routes.get(tenant, [])
            if document.agent is None or route.agent in {None, document.agent}
        }
        if serving and not ends & set(serving):
            text = f"no route leads to {' or '.join(serving[:8])}."
            yield located.problem(field, text, "Add a Route, or remove the target.", "warning")

    def _known(self, tenant: str) -> list[Provider]:
        """The providers that the tenant's calls are decided on: its own, and those that its routes and keys name."""
        routes = self._routes.get(tenant, [])
        names = {name for r in routes for name in (r.provider, *(other.provider for other in r.also))}
        names |= {r.fallback.provider for r in routes if r.fallback}
        names |= {key.provider for key in self._keys.values() if owner_of(key.path) == tenant}
        return [
            p for (owner, name), p in self._providers.items() if owner == tenant or (owner is None and name in names)
        ]

    def _missing(self, located: Located, document: Alias, agent: Agent) -> Iterator[Problem]:
        """Targets that an agent who lists the alias may not call: they are left out for it."""
        for number, target in enumerate(document.targets):
            head, slash, rest = target.model.partition("/")
            at = self._provider(document.tenant, head) if slash else None
            places = [(at.name, rest)] if at else [(p.name, target.model) for p in self._reached(agent)]
            patterns = [(p, f"{name}/{model}" if "/" in p else model) for name, model in places for p in agent.models]
            if places and not any(matches(pattern, spelled) for pattern, spelled in patterns):
                text = f"the agent {agent.name} lists the alias and not {target.model}: it is left out for it."
                fix = f"Add {target.model} to its `models`, or leave it so."
                yield located.problem(f"targets[{number}].model", text, fix, "warning")

    def _hop(self, located: Located, field: str, route: Route, path: str, provider: str) -> Iterator[Problem]:
        """The rules of one key at one provider. decide judges them again."""
        owner = owner_of(path)
        if owner is not None and owner != route.tenant:
            text = f"{path} is not a key of {route.tenant}."
            yield located.problem(field, text, f"Name operator/NAME or clients/{route.tenant}/NAME.")
            return
        key = self._keys.get(path)
        if key is None:
            mine = [name for name in self._keys if owner_of(name) in {None, route.tenant}]
            fix = nearest(path, mine) or f"Write a Key document with path: {path}."
            yield located.problem(field, f"there is no Key document for {path}.", fix)
            return
        if key.provider != provider:
            text = f"{path} belongs to the provider {key.provider} and is never sent to {provider}."
            yield located.problem(field, text, f"Name a key of {provider}.")
        elif owner is None and (route.tenant, provider) in self._providers:
            text = "a key of the operator is never sent to a provider of a tenant."
            yield located.problem(field, text, f"Name clients/{route.tenant}/NAME.")
        if owner is None and self._tenants[route.tenant].mode == "vpc":
            text = f"{path} is a key of the operator, and {route.tenant} is in VPC mode."
            yield located.problem(field, text, f"Name clients/{route.tenant}/NAME.")

    def _check_limit(self, located: Located, document: Limit) -> Iterator[Problem]:
        if document.tenant not in self._tenants:
            yield from self._tenant(located, document.tenant)
            return
        yield from self._agent(located, document.tenant, document.agent)
        named = [word for word in ("agent", "key", "tag") if getattr(document, word) is not None]
        if len(named) > 1:
            text = f"is for {' and '.join(named)} at once."
            yield located.problem(named[1], text, "Write one Limit for each: all that apply to a call hold.")
        bounds = {
            "requestsPerMinute": document.requests_per_minute,
            "concurrency": document.concurrency,
            "tokensPerMinute": document.tokens_per_minute,
            "tokensPerDay": document.tokens_per_day,
            "moneyPerDay": document.money_per_day,
            "moneyPerMonth": document.money_per_month,
            "maxOutputTokens": document.max_output_tokens,
        }
        if all(bound is None for bound in bounds.values()):
            yield located.problem("", "bounds nothing.", f"Write one of {', '.join(bounds)}.")
        if document.key is not None:
            yield from self._limited_key(located, document, document.key)
        if document.tag is not None:
            yield from self._limited_tag(located, document, document.tag)
        day, month = document.money_per_day, document.money_per_month
        if day is not None and month is not None and nano(month) < nano(day):
            text = f"${day} a day cannot be reached: ${month} a month is less."
            yield located.problem("moneyPerDay", text, "Lower it, or raise moneyPerMonth.")
        minute, daily = document.tokens_per_minute, document.tokens_per_day
        if minute is not None and daily is not None and daily < minute:
            text = f"{minute} tokens a minute cannot be reached: {daily} a day is less."
            yield located.problem("tokensPerMinute", text, "Lower it, or raise tokensPerDay.")

    def _limited_key(self, located: Located, document: Limit, path: str) -> Iterator[Problem]:
        owner = owner_of(path)
        mine = [name for name in self._keys if owner_of(name) in {None, document.tenant}]
        if owner is not None and owner != document.tenant:
            text = f"{path} is not a key of {document.tenant}."
            yield located.problem("key", text, f"Name operator/NAME or clients/{document.tenant}/NAME.")
        elif path not in self._keys:
            fix = nearest(path, mine) or f"Write a Key document with path: {path}."
            yield located.problem("key", f"there is no Key document for {path}.", fix)
        if document.max_output_tokens is not None:
            fix = "Write it in the Limit of the tenant, an agent or a tag."
            yield located.problem("maxOutputTokens", "is for calls, not for keys.", fix)

    def _limited_tag(self, located: Located, document: Limit, tag: str) -> Iterator[Problem]:
        """Whether calls carry the tag, and whether they must: what may be left out bounds only who means well."""
        agents = self._agents.get(document.tenant, [])
        may = [agent.name for agent in agents if any(matches(pattern, tag) for pattern in agent.tags)]
        must = [agent.name for agent in agents if tag in agent.tagged]
        if not may and not must:
            fix = f"Add {tag} to `tagged` or `tags` of an Agent, or mend the tag."
            yield located.problem("tag", f"no agent of {document.tenant} can carry {tag}.", fix, "warning")
        free = sorted(set(may) - set(must))
        if free:
            text = f"{', '.join(free[:3])} may leave {tag} out, and a call without it is not bounded by this."
            yield located.problem("tag", text, f"Add {tag} to `tagged` of the Agent where it must hold.", "warning")

    def _may_fetch(self, agent: Agent) -> bool:
        vertical = self._tenants[agent.tenant].vertical
        places = {(agent.tenant, agent.name), (agent.tenant, None), *({(None, vertical)} if vertical else ())}
        return not places.isdisjoint(self._egress)

    def _check_egress(self, located: Located, document: Egress) -> Iterator[Problem]:
        if document.tenant is not None:
            if document.vertical is not None:
                text = "is for a tenant or for a vertical, not for both."
                yield located.problem("vertical", text, "Remove one of the two.")
            if document.tenant not in self._tenants:
                yield from self._tenant(located, document.tenant)
            else:
                yield from self._agent(located, document.tenant, document.agent)
        elif not document.vertical:
            yield located.problem("", "is for nobody.", "Write tenant, tenant and agent, or vertical.")
        else:
            if document.agent is not None:
                yield located.problem("agent", "is for an agent without its tenant.", "Write tenant, or remove it.")
            if all(tenant.vertical != document.vertical for tenant in self._tenants.values()):
                text = f"no tenant is of the vertical {shown(document.vertical)}."
                yield located.problem("vertical", text, "Mend it, or that of the Tenant document.", "warning")
        for number, line in enumerate(document.allow):
            host = egress.host_of(line.host)
            if isinstance(host, Denied):
                fix = host.advice or "Write a public DNS name, or *. before one."
                yield located.problem(f"allow[{number}].host", f"{shown(line.host)}: {host.text}", fix)
            elif host.name != line.host.removeprefix("*."):
                text = f"{shown(line.host)} is not the canonical form."
                prefix = "*." if line.host.startswith("*.") else ""
                yield located.problem(f"allow[{number}].host", text, f"Write {prefix}{host.name}.")
            if not line.schemes:
                yield located.problem(f"allow[{number}].schemes", "lists no scheme.", "Write [https], or remove it.")

    def _reserved(self, located: Located, name: str) -> Iterator[Problem]:
        if name in RESERVED:
            yield located.problem("name", f"{name} is a reserved word.", "Choose another name.")

    def _tenant(self, located: Located, tenant: str, field: str = "tenant") -> Iterator[Problem]:
        if tenant not in self._tenants:
            fix = nearest(tenant, list(self._tenants)) or f"Write a Tenant document with name: {tenant}."
            yield located.problem(field, f"there is no tenant {tenant}.", fix)

    def _agent(self, located: Located, tenant: str, agent: str | None) -> Iterator[Problem]:
        names = [item.name for item in self._agents.get(tenant, [])]
        if agent is not None and agent not in names:
            fix = nearest(agent, names) or f"Write an Agent document with name: {agent}."
            yield located.problem("agent", f"{tenant} has no agent {agent}.", fix)

    def _provider(self, tenant: str | None, name: str) -> Provider | None:
        """As a tenant (None: the operator) may name it: its own, or the operator's."""
        return self._providers.get((tenant, name)) or self._providers.get((None, name))

    def _no_provider(self, located: Located, field: str, tenant: str | None, name: str) -> Problem:
        # One text for a provider that no one has and one that another tenant has.
        names = [known for owner, known in self._providers if owner in {None, tenant}]
        whose = f"{tenant} may use no provider" if tenant else "the operator has no provider"
        fix = nearest(name, names) or f"Write a Provider document with name: {name}."
        return located.problem(field, f"{whose} {name}.", fix)

    def _reached(self, agent: Agent) -> list[Provider]:
        """The providers to which a route of the agent leads."""
        routes = [r for r in self._routes.get(agent.tenant, []) if r.agent in {None, agent.name}]
        found = (self._provider(agent.tenant, name) for name in dict.fromkeys(route.provider for route in routes))
        return [provider for provider in found if provider is not None]

    def _ambiguous(self, located: Located, tenant: str, agent: Agent | None) -> Iterator[Problem]:
        """Models that several routes of one level serve: plain names of them are refused when called."""
        level = agent.name if agent else None
        names = [route.provider for route in self._routes.get(tenant, []) if route.agent == level]
        providers = [p for p in (self._provider(tenant, name) for name in names) if p is not None]
        for one, other in combinations(providers, 2):
            model = _common(one.models, other.models) if _spoken(one) & _spoken(other) else None
            if model is not None:
                text = f"{one.name} and {other.name} both serve {model}: a call that names it plainly is refused."
                fix = f"Agents write {one.name}/MODEL or {other.name}/MODEL; or narrow the providers' models."
                yield located.problem("", text, fix, "warning")


def _check_hedge(located: Located, hedge: Hedge | None, equals: int, fix: str) -> Iterator[Problem]:
    if hedge is not None and equals < 2:
        yield located.problem("hedge", "asks an equal, and there is none.", fix, "warning")
    elif hedge is not None and hedge.most >= equals:
        text = f"asks {hedge.most} more, and there is {equals - 1}."
        yield located.problem("hedge.most", text, f"Write {equals - 1}.", "warning")


def _check_price(located: Located, price: Price, number: int) -> Iterator[Problem]:
    """What rate() would refuse: tiers that do not ascend, days that are none, service tiers named twice."""
    at = f"prices[{number}]"
    for place, tiers in [
        (f"{at}.tiers", price.tiers),
        *((f"{at}.services[{index}].tiers", one.tiers) for index, one in enumerate(price.services)),
    ]:
        if any(one.above >= other.above for one, other in pairwise(tiers)):
            yield located.problem(place, "do not ascend by `above`.", "Write the shorter prompts first, each once.")
    names = [one.name for one in price.services]
    if len(set(names)) < len(names):
        yield located.problem(f"{at}.services", "name a service tier twice.", "Keep one.")
    if price.begins is not None and not is_day(price.begins):
        yield located.problem(f"{at}.from", f"there is no day {price.begins}.", "Write a day of the calendar.")


def _spoken(provider: Provider) -> frozenset[Dialect]:
    return spoken(provider.catalog, provider.dialects, placement_of(provider))


def _common(one: Iterable[str], other: Iterable[str]) -> str | None:
    """A name or pattern of one list of models that overlaps with one of the other."""
    plain, others = {m for m in one if "*" not in m}, {m for m in other if "*" not in m}
    stars, other_stars = [m for m in one if "*" in m], [m for m in other if "*" in m]
    both = sorted(plain & others)
    both += sorted(m for m in plain if any(matches(star, m) for star in other_stars))
    both += sorted(m for m in others if any(matches(star, m) for star in stars))
    if both:
        return both[0]
    pairs = ((a, b) for a in stars[:PATTERNS_COMPARED] for b in other_stars[:PATTERNS_COMPARED])
    return next((a for a, b in pairs if overlap(a, b)), None)
