"""May this call be made, and with which keys? The one place that constructs a `Grant`.

Denied unless everything below says yes, in this order; the first no is the answer:

 1. the tenant and the agent are not suspended;
 2. the credential carries `write` (or `admin`), and the agent's document lets it;
 3. a provider that the tenant may know serves the model (else `model_not_found`, in the very words used for a model
    that no one has: what only another tenant can reach does not exist);
 4. the agent's document lists the model;
 5. a route gives the agent a key there;
 6. the provider offers the operation in the caller's dialect;
 7. exactly one provider is left: an agent's own routes come before the tenant's defaults, and of several at one level
    the caller must name one (`provider/model`);
 8. the key may be used: it belongs to that provider, to this tenant or the operator, and the tenant's mode allows it;
 9. the agent has every capability that the call needs;
10. every URL that the call would have the provider fetch is on the agent's list (policy/egress);
11. the agent may use the cost tags that the call carries, and the call asks for no more output than it may have.

Where the name is an alias that the agent's document lists, 3 to 8 are asked of each target as if it had been called;
those that do not pass are left out, and where none is left the first one's refusal is the answer.

Further keys of a route and its fallback pass 3 to 8 for themselves or are left out. A call that names state kept at
the provider has one hop: the first target, the route's `key`. `checks.check` refuses documents that break 8; it is
judged here again because a call must not depend on who checked what, when (two locks).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct, structs

from sekimori.dialects.found import lacking
from sekimori.errors import Refused
from sekimori.policy import egress
from sekimori.policy.aliases import shares, taken
from sekimori.policy.guards import Guarded
from sekimori.policy.hops import NEVER, VPC, equals_of, fallback_of, hedges_of, spoken, where, whose
from sekimori.policy.kinds import Alias
from sekimori.policy.kinds import Route as RouteDocument
from sekimori.policy.pattern import matches
from sekimori.policy.problems import shown
from sekimori.policy.question import Place, Query, Trace, listed
from sekimori.policy.snapshot import AgentTable, Snapshot, TenantTable, included
from sekimori.terms import OPERATOR, Ask, Condition, Dialect, Grant, Limits, Principal, Route, Scope
from sekimori.upstream.catalog import offers
from sekimori.upstream.route import same

MODEL_LENGTH: Final = 256
"""Characters of a model's name; longer ones do not exist."""

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:@+-]|/(?!\.{0,2}(?:/|\Z)))*")

STATEFUL: Final = frozenset(
    {
        "stored_state",
        "files_by_id",
        "file_search",
        "code_interpreter",
        "background",
        "unknown_fields",
        "unknown_tools",
        "unknown_betas",
    }
)
"""Capabilities that name objects kept at the provider, or may (what the registry does not know is passed on unread).
Such an object belongs to one key: a call that needs one has no second key to go to, and never uses an operator's key,
behind which all tenants would share the objects."""

_NEVER: Final[frozenset[Condition]] = frozenset()
DOORS: Final[dict[Dialect, str]] = {
    "openai": "POST /v1/chat/completions",
    "anthropic": "POST /v1/messages",
    "gemini": "POST /v1beta/models/MODEL:generateContent",
}


class Decision(Struct, frozen=True):
    """A yes, without the principal: what is remembered."""

    routes: tuple[Route, ...]
    limits: Limits
    reasons: tuple[str, ...]
    sticky: bool = False


def decide(snapshot: Snapshot, principal: Principal, ask: Ask) -> Grant:
    """Leave to make the call. Raises `Refused` with the reason.

    Remembered per agent and question (scopes and needs included) for the life of the snapshot; refusals are not, so
    that a caller who asks for what does not exist fills nothing.
    """
    agent = snapshot.agent(principal)
    named = bool(ask.objects)
    key = (ask.model, ask.dialect, ask.operation, ask.needs, principal.scopes, named, ask.batch)
    decision = agent.decisions.get(key)
    if decision is None:
        query = Query(ask.dialect, ask.operation, ask.model, ask.needs, principal.scopes, ask.places, named, ask.batch)
        decision = resolve(agent, query, Trace())
        agent.remember(key, decision)
    if ask.fetches:
        # Not remembered: URLs are the caller's to vary without end. Judged again before each hop, as all else.
        egress.require(ask.fetches, agent.egress)
    tags, limits = agent.tagged, decision.limits
    if ask.tags.tags:
        tags = _tags(agent, ask.tags.tags)
        limits = agent.limits_of(tags)
    if limits.output_cap is not None and ask.output_cap is not None and ask.output_cap > limits.output_cap:
        raise Refused(
            "output_cap_exceeded",
            f"A call may ask for {limits.output_cap} output tokens at most; this one asks for {ask.output_cap}.",
            advice="Lower it, or raise `maxOutputTokens` in the Limit document.",
        )
    return Grant(
        principal,
        snapshot.generation,
        ask.dialect,
        ask.operation,
        ask.model,
        decision.routes,
        limits,
        decision.reasons,
        decision.sticky,
        tags,
    )


def admit(snapshot: Snapshot, principal: Principal, ask: Ask) -> None:
    """Passes where the agent may ask this of some model: steps 1, 2, 9 and the cost tags of 11.

    For a call that names an object and no model: what is refused here is refused before anything is looked up, and
    whatever `decide` still refuses on the model that made the object must look as if there were no such object. Raises
    `Refused` as `decide` does.
    """
    agent = snapshot.agent(principal)
    _admit(agent, principal.scopes, "write", Trace())
    missing = ask.needs - agent.capabilities
    if missing:
        raise lacking(missing, dict(ask.places))
    _tags(agent, ask.tags.tags)


def _tags(agent: AgentTable, said: tuple[str, ...]) -> tuple[str, ...]:
    """The cost tags of a call. Raises `Refused` where the agent may not use one.

    Not part of what is remembered: a caller who makes tags up must not push decisions out.
    """
    for tag in said:
        if tag not in agent.tagged and not any(matches(pattern, tag) for pattern in agent.tags):
            raise Refused(
                "tag_not_allowed",
                f"This agent may not use the cost tag `{tag}`.",
                advice="Leave it out, or add it to `tags` of the agent's document.",
            )
    return tuple(sorted({*agent.tagged, *said}))


def again(snapshot: Snapshot, principal: Principal, ask: Ask, route: Route) -> tuple[Grant, Route | None]:
    """The call decided anew before a hop, on the current snapshot, and the hop as that decision has it: None where it
    no longer has it. Raises `Refused` where the call is no longer granted at all.
    """
    grant = decide(snapshot, principal, ask)
    return grant, next((hop for hop in grant.routes if same(hop, route)), None)


def narrowed(grant: Grant, key_uids: frozenset[str]) -> Grant | None:
    """The grant with only the routes whose key is one of these; None where none is.

    For a call that names an object kept at the provider, which belongs to the keys it was made with. A key that tenants
    share is never one of them, whatever is said: the second lock on what STATEFUL refuses.
    """
    routes = tuple(route for route in grant.routes if route.key_uid in key_uids and route.key_owner_uid != OPERATOR)
    if not routes:
        return None
    return grant if len(routes) == len(grant.routes) else structs.replace(grant, routes=routes)


def offered(snapshot: Snapshot, principal: Principal, dialect: Dialect) -> tuple[str, ...]:
    """The models that the agent may call in the dialect, sorted; each name resolves when it is called.

    Aliases are listed by their names; a name that several providers serve is listed as `provider/model`. Where both the
    provider's and the agent's document have a pattern there is no name to list. Raises `Refused` as `decide` does,
    `read` being enough.
    """
    agent = snapshot.agent(principal)
    _admit(agent, principal.scopes, "read", Trace())
    names = agent.offered.get(dialect)
    if names is None:
        names = agent.offered[dialect] = tuple(sorted(set(_names(agent, dialect))))
    return names


def _names(agent: AgentTable, dialect: Dialect) -> Iterator[str]:
    for owner, name in agent.tenant.aliases:
        if owner in {None, agent.slug} and agent.may_ask(name) and _leads(agent, dialect, name):
            yield name
    for provider, known in agent.tenant.known.items():
        listed = {model for model in known.contract.models if "*" not in model}
        wished = {model.removeprefix(f"{provider}/") for model in agent.models if "*" not in model}
        for model in listed | {wish for wish in wished if known.serves(wish)}:
            if not agent.may_call(provider, model):
                continue
            for spelled in (model, f"{provider}/{model}"):
                if _leads(agent, dialect, spelled) == provider:
                    yield spelled
                    break


def known_model(snapshot: Snapshot, principal: Principal, dialect: Dialect, model: str) -> None:
    """Passes where the agent may call the model in the dialect. Raises `Refused` as `decide` would, `read` being
    enough."""
    agent = snapshot.agent(principal)
    resolve(agent, Query(dialect, "chat", model, frozenset(), principal.scopes), Trace(), asked="read")


def _leads(agent: AgentTable, dialect: Dialect, spelled: str) -> str:
    """The provider to which a plain call of the name comes, the first where there are several; empty where to none."""
    try:
        query = Query(dialect, "chat", spelled, frozenset(), agent.scopes)
        return resolve(agent, query, Trace(), asked="read").routes[0].provider.name
    except Refused:
        return ""


def may_screen(snapshot: Snapshot, principal: Principal) -> Guarded:
    """What an agent that wants a text screened has it screened by. Raises `Refused` where it may not ask."""
    agent = snapshot.agent(principal)
    _admit(agent, principal.scopes, "read", Trace())
    return agent.guard


def _admit(agent: AgentTable, scopes: frozenset[Scope], wanted: Scope, trace: Trace) -> None:
    """Steps 1 and 2."""
    if agent.tenant.suspended:
        raise trace.refused("suspended", "tenant_suspended", "This tenant is suspended.")
    if agent.suspended:
        raise trace.refused("suspended", "agent_suspended", "This agent is suspended.")
    trace.passed("suspended", "Neither the tenant nor the agent is suspended.")
    if wanted not in included(scopes):
        text = f"This API key lacks the scope `{wanted}`."
        raise trace.refused("scope", "scope_missing", text, "Use a key that was issued with it.")
    if wanted not in agent.scopes:
        text = f"This agent may not use the scope `{wanted}`."
        raise trace.refused("scope", "scope_missing", text, "Add it to `scopes` of the agent's document.")
    trace.passed("scope", f"The API key and the agent have the scope {wanted}.")


def resolve(agent: AgentTable, query: Query, trace: Trace, asked: Scope = "write") -> Decision:
    """The decision itself; `trace` is told every step. Raises `Refused`."""
    _admit(agent, query.scopes, asked, trace)
    alias = agent.tenant.alias(agent.slug, query.model)
    if alias is not None and agent.may_ask(alias.name):
        return _decision(agent, query, _targets(agent, query, alias, trace), alias, trace)
    # An alias that the agent does not list is none of its names: what it asks for is the model, if there is one.
    place = _place(agent, query, query.model, trace, hidden=alias is not None)
    return _decision(agent, query, [place], None, trace)


def _targets(agent: AgentTable, query: Query, alias: Alias, trace: Trace) -> list[Place]:
    """The targets of an alias that stand a plain call's judgement, in order; at least one. Raises `Refused`."""
    name = shown(alias.name, 128)
    provider = taken(alias, {name: known.contract.models for name, known in agent.tenant.known.items()})
    if provider:
        trace.passed_over[provider] = f"it has a model {name}, which is an alias, too"
        text = f"The name `{name}` is an alias and a model, too."
        raise trace.refused("alias", "model_ambiguous", text, f"Call the model as `PROVIDER/{name}`.")
    whose = "the agent's own" if alias.agent else "the tenant's"
    trace.passed("alias", f"{name} is {whose} and the agent's document lists it.")
    places: list[Place] = []
    first: Refused | None = None
    for target in alias.targets:
        judged = Trace()
        try:
            place = _place(agent, query, target.model, judged)
        except Refused as refused:
            first = first or refused
            trace.left_out[target.model] = refused.text
            continue
        finally:
            trace.passed_over.update(judged.passed_over)
        places.append(structs.replace(place, weight=target.weight))
        trace.passed("target", f"{target.model}: {_level(place.route)} route to {place.provider}.")
    if not places:
        assert first is not None
        text = f"The alias `{name}` leads to nothing that this agent may call: {first.text}"
        raise trace.refused("target", first.reason, text, first.advice)
    return places


def _place(agent: AgentTable, query: Query, asked: str, trace: Trace, *, hidden: bool = False) -> Place:
    """Steps 3 to 7 for one name. Raises `Refused`. `hidden`: the name is an alias that the agent does not list."""
    tenant = agent.tenant
    name = shown(asked, 128)

    served, model = _served(tenant, asked)
    if not served and not hidden:
        text = f"The model `{name}` does not exist."
        raise trace.refused("model", "model_not_found", text, "GET /v1/models lists the models of this agent.")
    trace.passed("model", f"Served by {listed(served)}." if served else "It is an alias.")

    allowed = _keep(served, trace, lambda p: "" if agent.may_call(p, model) else "the agent does not list it there")
    if not allowed:
        text = f"This agent may not call the model `{name}`."
        raise trace.refused("agent", "model_not_allowed", text, "Add it to `models` of the agent's document.")
    trace.passed("agent", f"The agent's document lists it at {listed(allowed)}.")

    routed = _keep(allowed, trace, lambda p: "" if tenant.route(agent.slug, p) else "no route leads there")
    if not routed:
        text = f"No route gives this agent a key for the model `{name}`."
        raise trace.refused("route", "no_route", text, f"Add a Route document with provider {listed(allowed)}.")
    trace.passed("route", f"A route leads to {listed(routed)}.")

    usable = _keep(routed, trace, lambda p: spoken(tenant.known[p], query))
    if not usable:
        raise _unspoken(tenant, routed, query, name, trace)
    trace.passed("dialect", f"{query.operation} in the {query.dialect} dialect is offered by {listed(usable)}.")

    own = [p for p in usable if (agent.slug, p) in tenant.routes]
    for provider in usable if own else ():
        if provider not in own:
            trace.passed_over[provider] = "a route of the agent's own comes first"
    chosen = own or list(usable)
    if len(chosen) > 1:
        choices = ", ".join(f"`{shown(p + '/' + model, 170)}`" for p in sorted(chosen))
        text = f"The model `{name}` is served by several providers."
        raise trace.refused("one provider", "model_ambiguous", text, f"Name one: {choices}.")
    provider = chosen[0]
    trace.passed("one provider", f"{provider}, by {'a route of the agent' if own else 'the route of the tenant'}.")
    route = tenant.route(agent.slug, provider)
    assert route is not None
    return Place(provider, model, route)


def _decision(agent: AgentTable, query: Query, places: list[Place], alias: Alias | None, trace: Trace) -> Decision:
    """Steps 8 and 9 for the places that are left: every hop that the call may take."""
    stateful = query.needs & STATEFUL
    usable: list[tuple[Place, list[Route]]] = []
    first: list[Route] = []
    for place in places[:1] if stateful and not query.named else places:
        hops = equals_of(agent, query, place, first, stateful, trace)
        if hops:
            usable.append((place, hops))
            first += hops
    if not usable:
        why = trace.passed_over[places[0].route.key]
        reason = "operator_key_forbidden" if why == VPC else "no_route"
        raise trace.refused("key", reason, f"The key of this agent's route cannot be used: {why}.")
    trace.passed("key", "; ".join(f"{hop.key}, {whose(hop)}" for hop in first) + ".")

    missing = query.needs - agent.capabilities
    if missing:
        lacks = lacking(missing, dict(query.places))
        raise trace.refused("capability", lacks.reason, lacks.text, lacks.advice)
    if stateful and first[0].key_owner_uid == OPERATOR:
        text = f"{listed(sorted(stateful))} is not available on a key that tenants share."
        raise trace.refused("capability", "capability_missing", text, "Route this agent to a key of the tenant.")
    trace.passed("capability", f"Needs {listed(sorted(query.needs)) or 'none'}.")

    rule = alias or usable[0][0].route
    several = len(first) > 1
    when = frozenset(rule.when) if several else _NEVER
    hedges = hedges_of(rule, query, first, trace)
    reasons = [] if alias is None else [f"alias {alias.name} of the {_level(alias)}"]
    primary: list[Route] = []
    fallbacks: dict[tuple[str, str, str], Route] = {}
    scale = shares([(place.weight, [hop.weight for hop in hops]) for place, hops in usable])
    for (place, hops), weights in zip(usable, scale, strict=True):
        reasons.append(f"{_level(place.route)} route to {place.provider}")
        for hop, weight in zip(hops, weights, strict=True):
            reasons.append(f"key {hop.key}, weight {weight}" if several else f"key {hop.key}")
        second = fallback_of(agent, query, place, first, stateful, trace, reasons)
        yields = _NEVER
        if second is not None and place.route.fallback is not None:
            yields = frozenset(place.route.fallback.when)
            known = fallbacks.get(where(second), second)
            fallbacks[where(second)] = structs.replace(known, of=known.of | second.of)
        primary += [
            structs.replace(hop, weight=weight, moves=when, yields=yields, hedges=NEVER if hop.stores else hedges)
            for hop, weight in zip(hops, weights, strict=True)
        ]
    last = (
        [structs.replace(hop, moves=when) for hop in fallbacks.values()] if len(fallbacks) > 1 else fallbacks.values()
    )
    return Decision((*primary, *last), agent.limits, tuple(reasons), rule.sticky is not None)


def _served(tenant: TenantTable, asked: str) -> tuple[list[str], str]:
    """The providers that serve what was asked for, and the model's own name.

    A name that begins with a known provider's name and a slash means that provider and no other. What is no name (a
    pattern, white space, a path that climbs) no one serves, whatever their patterns: names stand in records, reports
    and, for some providers, in paths.
    """
    if len(asked) > MODEL_LENGTH or not _NAME.fullmatch(asked):
        return [], asked
    head, slash, rest = asked.partition("/")
    if slash and head in tenant.known:
        return ([head] if rest and tenant.known[head].serves(rest) else []), rest
    return sorted(name for name, known in tenant.known.items() if known.serves(asked)), asked


def _keep(names: Sequence[str], trace: Trace, why_not: Callable[[str], str]) -> list[str]:
    """The names for which `why_not` has nothing to say; the others are passed over for what it says."""
    kept = []
    for name in names:
        said = why_not(name)
        if said:
            trace.passed_over[name] = said
        else:
            kept.append(name)
    return kept


def _unspoken(tenant: TenantTable, routed: list[str], query: Query, name: str, trace: Trace) -> Refused:
    spoken = {dialect for p in routed for dialect in tenant.known[p].contract.dialects}
    if query.dialect in spoken or not spoken:
        text = f"{query.what} is not offered for the model `{name}` in the {query.dialect} dialect."
        contracts = [tenant.known[p].contract for p in routed]
        dated = [one.name for one in contracts if one.placement.api_version]
        advice = ""
        if any(offers(one.catalog, query.dialect, query.operation) for one in contracts if one.name in dated):
            advice = f"Leave `apiVersion` out of the Provider document of {listed(dated)}: without a date it is."
        return trace.refused("dialect", "unsupported_operation", text, advice)
    others = sorted(spoken)
    text = f"The model `{name}` is offered in the {' and '.join(others)} dialect, not in the {query.dialect} dialect."
    return trace.refused(
        "dialect", "model_wrong_dialect", text, f"Call {' or '.join(DOORS[d] for d in others if d in DOORS)}."
    )


def _level(document: RouteDocument | Alias) -> str:
    return "agent" if document.agent else "tenant"
