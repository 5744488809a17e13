"""The keys that may serve a model at a route, each judged for itself: what becomes the hops of a call.

A key that may not be used is left out, with the reason in the trace. The rules of `_hop` are the second lock on what
`checks.check` refuses when it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import structs

from sekimori.policy.kinds import Alias, CoolDown
from sekimori.policy.kinds import Route as RouteDocument
from sekimori.policy.question import Place, Query, Trace, listed
from sekimori.policy.snapshot import AgentTable, Known
from sekimori.terms import OPERATOR, Route
from sekimori.upstream.catalog import accepts, offers

_REST: Final = CoolDown()
NEVER: Final = (0, 0)
"""`Route.hedges` of a hop beside which nothing is asked."""
VPC: Final = "keys of the operator are off for a tenant in VPC mode"


def equals_of(
    agent: AgentTable, query: Query, place: Place, before: Sequence[Route], stateful: frozenset[str], trace: Trace
) -> list[Route]:
    """The hops that a route's keys give, weighted as it says, none that is among `before`; a `stateful` call has its
    first key's alone. One that names objects has all of the tenant's own: `narrowed` leaves those that made them."""
    route = place.route
    keys: list[tuple[str, str | None, int]] = [(route.key, None, route.weight)]
    if not stateful or query.named:
        keys += [(other.key, other.provider, other.weight) for other in route.also]
    hops: list[Route] = []
    for path, at, weight in keys:
        hop = _judged(agent, query, "primary", path, at or place.provider, place)
        if isinstance(hop, str):
            trace.passed_over[path] = hop
        elif stateful and (before or hops) and hop.key_owner_uid == OPERATOR:
            trace.passed_over[path] = "tenants share it"
        elif all(where(hop) != where(other) for other in (*before, *hops)):
            hops.append(structs.replace(hop, weight=weight))
    return hops


def fallback_of(
    agent: AgentTable,
    query: Query,
    place: Place,
    equals: Sequence[Route],
    stateful: frozenset[str],
    trace: Trace,
    reasons: list[str],
) -> Route | None:
    """The second hop of a route, judged as if it were the first; None where it has none or may not be used."""
    fallback = place.route.fallback
    if fallback is None:
        trace.passed("fallback", "The route has none.")
        return None
    hop: Route | str
    if stateful:
        hop = f"{listed(sorted(stateful))} belongs to one key"
    elif not fallback.when:
        hop = "its document names no condition"
    else:
        hop = _judged(agent, query, "fallback", fallback.key, fallback.provider or place.provider, place)
        if isinstance(hop, Route) and any(where(hop) == where(other) for other in equals):
            hop = "the call has tried it by then"
    if isinstance(hop, str):
        trace.passed_over[fallback.key] = hop
        trace.passed("fallback", f"{fallback.key} is left out: {hop}.")
        reasons.append(f"fallback {fallback.key} left out: {hop}")
        return None
    when = ", ".join(sorted(fallback.when))
    trace.passed("fallback", f"{fallback.key}, {whose(hop)}, on {when}.")
    reasons.append(f"fallback {fallback.key} on {when}")
    return hop


def hedges_of(rule: RouteDocument | Alias, query: Query, equals: Sequence[Route], trace: Trace) -> tuple[int, int]:
    """After how many milliseconds without an answer an equal is asked too, and how many at most; zeros: never.

    What a call asks for that needs a capability may change or keep something at the provider: asked twice, twice.
    """
    hedge = rule.hedge
    if hedge is None:
        return NEVER
    if query.needs or query.named:
        why = "what the call needs may have an effect, and must not have it twice"
    elif len(equals) < 2:
        why = "there is no equal"
    elif all(hop.stores for hop in equals):
        why = "the agent may have state kept at the provider"
    else:
        trace.passed("hedge", f"{hedge.most} more at most, each after {hedge.after} ms without an answer.")
        return hedge.after, hedge.most
    trace.passed("hedge", f"Left out: {why}.")
    return NEVER


def _judged(
    agent: AgentTable, query: Query, position: Literal["primary", "fallback"], path: str, at: str, place: Place
) -> Route | str:
    """One key at one provider for the model of a place, or why it may not serve it."""
    known = agent.tenant.known.get(at)
    if known is None or not known.serves(place.model):
        return f"{at} does not serve the model"
    if not agent.may_call(at, place.model):
        return "the agent's document does not list the model there"
    return spoken(known, query) or _hop(agent, position, path, at, place)


def _hop(
    agent: AgentTable, position: Literal["primary", "fallback"], path: str, provider: str, place: Place
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
        return VPC
    if known.fault:
        return f"{provider} cannot be used, {known.fault}"
    if not accepts(contract.catalog, contract.placement, key.credential):
        return f"{provider} takes no key whose credential is {key.credential}"
    rest = place.route.cool_down or _REST
    return Route(
        position=position,
        key=path,
        key_uid=key.uid,
        key_owner_uid=key.owner_uid,
        provider=contract,
        model=place.model,
        stores="stored_state" in agent.capabilities and key.owner_uid != OPERATOR,
        of=frozenset({place.name}),
        rests=(rest.first, rest.longest),
        credential=key.credential,
    )


def where(hop: Route) -> tuple[str, str, str]:
    """The deployment of a hop. Within one tenant a provider's name stands for one provider."""
    return hop.key_uid, hop.provider.name, hop.model


def spoken(known: Known, query: Query) -> str:
    """Why the provider does not offer the operation in the dialect; empty where it does."""
    if query.dialect not in known.contract.dialects:
        return f"it does not speak the {query.dialect} dialect"
    contract = known.contract
    if not offers(contract.catalog, query.dialect, query.operation, contract.placement, batch=query.batch):
        return f"it does not offer {query.what} in the {query.dialect} dialect"
    return ""


def whose(route: Route) -> str:
    return "the operator's" if route.key_owner_uid == OPERATOR else "the tenant's own"
