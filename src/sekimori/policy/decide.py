"""May this call be made, and with which key? The one place that constructs a `Grant`.

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
10. every URL that the call would have the provider fetch is on the agent's list (policy/egress).

The fallback, where the route has one, passes 3 to 8 for itself or is left out. `checks.check` refuses documents that
break 8; it is judged here again because a call must not depend on who checked what, when (two locks).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal

from msgspec import Struct, structs

from sekimori.dialects.found import lacking
from sekimori.errors import Refused
from sekimori.policy import egress
from sekimori.policy.kinds import Fallback
from sekimori.policy.kinds import Route as RouteDocument
from sekimori.policy.problems import shown
from sekimori.policy.snapshot import AgentTable, Known, Snapshot, TenantTable, included
from sekimori.terms import OPERATOR, Ask, Dialect, Grant, Limits, Operation, Principal, Route, Scope
from sekimori.upstream.catalog import offers

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
Such an object belongs to one key: a call that needs one never moves to another key, and never uses an operator's key,
behind which all tenants would share the objects."""

_VPC: Final = "keys of the operator are off for a tenant in VPC mode"

DOORS: Final[dict[Dialect, str]] = {"openai": "POST /v1/chat/completions", "anthropic": "POST /v1/messages"}


class Query(Struct, frozen=True):
    """What a decision depends on, besides the snapshot and the agent."""

    dialect: Dialect
    operation: Operation
    model: str
    needs: frozenset[str]
    scopes: frozenset[Scope]
    places: tuple[tuple[str, str], ...] = ()
    """Where in the body each need stands. Only words of a refusal depend on it, never the decision."""


class Decision(Struct, frozen=True):
    """A yes, without the principal: what is remembered."""

    routes: tuple[Route, ...]
    limits: Limits
    reasons: tuple[str, ...]


class Step(Struct, frozen=True):
    """One check, as `explain` shows it."""

    check: str
    passed: bool
    text: str


class Trace:
    """How a decision was reached."""

    __slots__ = ("passed_over", "steps")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.passed_over: dict[str, str] = {}
        """Provider or key that was considered and not used -> why."""

    def passed(self, check: str, text: str) -> None:
        self.steps.append(Step(check, True, text))

    def refused(self, check: str, reason: str, text: str, advice: str = "") -> Refused:
        self.steps.append(Step(check, False, text))
        return Refused(reason, text, advice=advice)


def decide(snapshot: Snapshot, principal: Principal, ask: Ask) -> Grant:
    """Leave to make the call. Raises `Refused` with the reason.

    Remembered per agent and question (scopes and needs included) for the life of the snapshot; refusals are not, so
    that a caller who asks for what does not exist fills nothing.
    """
    agent = snapshot.agent(principal)
    key = (ask.model, ask.dialect, ask.operation, ask.needs, principal.scopes)
    decision = agent.decisions.get(key)
    if decision is None:
        query = Query(ask.dialect, ask.operation, ask.model, ask.needs, principal.scopes, ask.places)
        decision = resolve(agent, query, Trace())
        agent.remember(key, decision)
    if ask.fetches:
        # Not remembered: URLs are the caller's to vary without end. Judged again before each hop, as all else.
        egress.require(ask.fetches, agent.egress)
    return Grant(
        principal,
        snapshot.generation,
        ask.dialect,
        ask.operation,
        ask.model,
        decision.routes,
        decision.limits,
        decision.reasons,
    )


def again(snapshot: Snapshot, principal: Principal, ask: Ask, route: Route) -> tuple[Grant, Route]:
    """The call decided anew before a hop, on the current snapshot, and the hop as that decision has it.

    Raises `Refused`: with the new decision's reason, or `no_route` where it no longer has this hop.
    """
    grant = decide(snapshot, principal, ask)
    for hop in grant.routes:
        if hop.position == route.position and hop.key_uid == route.key_uid:
            return grant, hop
    raise Refused("no_route", "The policy changed while the call was made and no longer has its next key.")


def offered(snapshot: Snapshot, principal: Principal, dialect: Dialect) -> tuple[str, ...]:
    """The models that the agent may call in the dialect, sorted; each name resolves when it is called.

    A name that several providers serve is listed as `provider/model`. Where both the provider's and the agent's
    document have a pattern there is no name to list. Raises `Refused` as `decide` does, `read` being enough.
    """
    agent = snapshot.agent(principal)
    _admit(agent, principal.scopes, "read", Trace())
    names = agent.offered.get(dialect)
    if names is None:
        names = agent.offered[dialect] = tuple(sorted(set(_names(agent, dialect))))
    return names


def _names(agent: AgentTable, dialect: Dialect) -> Iterator[str]:
    for provider, known in agent.tenant.known.items():
        listed = {model for model in known.contract.models if "*" not in model}
        wished = {model.removeprefix(f"{provider}/") for model in agent.models if "*" not in model}
        for model in listed | {wish for wish in wished if known.serves(wish)}:
            if not agent.may_call(provider, model):
                continue
            for spelled in (model, f"{provider}/{model}"):
                if _reaches(agent, dialect, spelled, provider):
                    yield spelled
                    break


def known_model(snapshot: Snapshot, principal: Principal, dialect: Dialect, model: str) -> None:
    """Passes where the agent may call the model in the dialect. Raises `Refused` as `decide` would, `read` being
    enough."""
    agent = snapshot.agent(principal)
    resolve(agent, Query(dialect, "chat", model, frozenset(), principal.scopes), Trace(), asked="read")


def _reaches(agent: AgentTable, dialect: Dialect, spelled: str, provider: str) -> bool:
    """Whether a plain call of the name comes to the provider."""
    try:
        query = Query(dialect, "chat", spelled, frozenset(), agent.scopes)
        return resolve(agent, query, Trace(), asked="read").routes[0].provider.name == provider
    except Refused:
        return False


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
    tenant = agent.tenant
    name = shown(query.model, 128)

    served, model = _served(tenant, query.model)
    if not served:
        text = f"The model `{name}` does not exist."
        raise trace.refused("model", "model_not_found", text, "GET /v1/models lists the models of this agent.")
    trace.passed("model", f"Served by {_list(served)}.")

    allowed = _keep(served, trace, lambda p: "" if agent.may_call(p, model) else "the agent does not list it there")
    if not allowed:
        text = f"This agent may not call the model `{name}`."
        raise trace.refused("agent", "model_not_allowed", text, "Add it to `models` of the agent's document.")
    trace.passed("agent", f"The agent's document lists it at {_list(allowed)}.")

    routed = _keep(allowed, trace, lambda p: "" if tenant.route(agent.slug, p) else "no route leads there")
    if not routed:
        text = f"No route gives this agent a key for the model `{name}`."
        raise trace.refused("route", "no_route", text, f"Add a Route document with provider {_list(allowed)}.")
    trace.passed("route", f"A route leads to {_list(routed)}.")

    usable = _keep(routed, trace, lambda p: _spoken(tenant.known[p], query))
    if not usable:
        raise _unspoken(tenant, routed, query, name, trace)
    trace.passed("dialect", f"{query.operation} in the {query.dialect} dialect is offered by {_list(usable)}.")

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

    return _decision(agent, query, provider, model, trace)


def _decision(agent: AgentTable, query: Query, provider: str, model: str, trace: Trace) -> Decision:
    """Steps 8 and 9 for the one provider that is left."""
    tenant = agent.tenant
    route = tenant.route(agent.slug, provider)
    assert route is not None
    first = _hop(agent, "primary", route.key, provider, model)
    if isinstance(first, str):
        trace.passed_over[route.key] = first
        reason = "operator_key_forbidden" if first == _VPC else "no_route"
        raise trace.refused("key", reason, f"The key of this agent's route cannot be used: {first}.")
    trace.passed("key", f"{route.key}, {_whose(first)}.")

    missing = query.needs - agent.capabilities
    if missing:
        lacks = lacking(missing, dict(query.places))
        raise trace.refused("capability", lacks.reason, lacks.text, lacks.advice)
    stateful = query.needs & STATEFUL
    if stateful and first.key_owner_uid == OPERATOR:
        text = f"{_list(sorted(stateful))} is not available on a key that tenants share."
        raise trace.refused("capability", "capability_missing", text, "Route this agent to a key of the tenant.")
    trace.passed("capability", f"Needs {_list(sorted(query.needs)) or 'none'}.")

    reasons = [f"{_level(route)} route to {provider}", f"key {route.key}"]
    if route.fallback is None:
        trace.passed("fallback", "The route has none.")
        return Decision((first,), agent.limits, tuple(reasons))
    fallback = route.fallback
    second = _second(agent, query, fallback, provider, model)
    if isinstance(second, str):
        trace.passed_over[fallback.key] = second
        trace.passed("fallback", f"{fallback.key} is left out: {second}.")
        reasons.append(f"fallback {fallback.key} left out: {second}")
        return Decision((first,), agent.limits, tuple(reasons))
    when = ", ".join(sorted(fallback.when))
    trace.passed("fallback", f"{fallback.key}, {_whose(second)}, on {when}.")
    reasons.append(f"fallback {fallback.key} on {when}")
    first = structs.replace(first, yields=frozenset(fallback.when))
    return Decision((first, second), agent.limits, tuple(reasons))


def _second(agent: AgentTable, query: Query, fallback: Fallback, provider: str, model: str) -> Route | str:
    """The second hop, or why the call has none. It is judged as if it were the first."""
    stateful = query.needs & STATEFUL
    if stateful:
        return f"{_list(sorted(stateful))} belongs to one key"
    if not fallback.when:
        return "its document names no condition"
    at = fallback.provider or provider
    known = agent.tenant.known.get(at)
    if known is None or not known.serves(model):
        return f"{at} does not serve the model"
    if not agent.may_call(at, model):
        return "the agent's document does not list the model there"
    return _spoken(known, query) or _hop(agent, "fallback", fallback.key, at, model)


def _hop(
    agent: AgentTable, position: Literal["primary", "fallback"], path: str, provider: str, model: str
) -> Route | str:
    """One key at one provider, or why the key may not be sent there."""
    tenant = agent.tenant
    known, key = tenant.known.get(provider), tenant.keys.get(path)
    if key is None:
        return f"{path} is not declared"
    if known is None or key.provider != provider:
        return f"{path} belongs to another provider"
    contract = known.contract
    if key.owner_uid not in {OPERATOR, tenant.uid}:
        return f"{path} is not this tenant's"
    if contract.owner_uid not in {OPERATOR, tenant.uid}:
        return f"{provider} is not this tenant's"
    if key.owner_uid == OPERATOR and contract.owner_uid != OPERATOR:
        return "a key of the operator is never sent to a provider of a tenant"
    if key.owner_uid == OPERATOR and tenant.mode != "agency":
        return _VPC
    if known.fault:
        return f"{provider} cannot be used, {known.fault}"
    return Route(
        position=position,
        key=path,
        key_uid=key.uid,
        key_owner_uid=key.owner_uid,
        provider=contract,
        model=model,
        stores="stored_state" in agent.capabilities and key.owner_uid != OPERATOR,
    )


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


def _spoken(known: Known, query: Query) -> str:
    """Why the provider does not offer the operation in the dialect; empty where it does."""
    if query.dialect not in known.contract.dialects:
        return f"it does not speak the {query.dialect} dialect"
    if not offers(known.contract.catalog, query.dialect, query.operation):
        return f"it does not offer {query.operation} in the {query.dialect} dialect"
    return ""


def _unspoken(tenant: TenantTable, routed: list[str], query: Query, name: str, trace: Trace) -> Refused:
    spoken = {dialect for p in routed for dialect in tenant.known[p].contract.dialects}
    if query.dialect in spoken or not spoken:
        text = f"{query.operation} is not offered for the model `{name}` in the {query.dialect} dialect."
        return trace.refused("dialect", "unsupported_operation", text)
    others = sorted(spoken)
    text = f"The model `{name}` is offered in the {' and '.join(others)} dialect, not in the {query.dialect} dialect."
    return trace.refused("dialect", "model_wrong_dialect", text, f"Call {' or '.join(DOORS[d] for d in others)}.")


def _whose(route: Route) -> str:
    return "the operator's" if route.key_owner_uid == OPERATOR else "the tenant's own"


def _level(route: RouteDocument) -> str:
    return "agent" if route.agent else "tenant"


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
