"""Why a call would be granted or refused, and with which key: the same decision, told step by step.

Nobody is called and nothing is recorded. What is told concerns one agent and holds only what its tenant may know, so
it can be shown to the tenant as it is.
"""

from __future__ import annotations

from msgspec import Struct

from sekimori.errors import Refused
from sekimori.policy.decide import resolve
from sekimori.policy.question import Query, Step, Trace
from sekimori.policy.snapshot import AgentTable, Snapshot
from sekimori.terms import Dialect, Limits, Operation, Route, Scope
from sekimori.upstream.health import Resting


class Candidate(Struct, frozen=True):
    """A provider, key or target of an alias that was considered."""

    name: str
    chosen: bool
    why: str


class Explanation(Struct, frozen=True):
    """The answer to: what would happen to this call?"""

    generation: int
    tenant: str
    agent: str
    dialect: Dialect
    operation: Operation
    model: str
    granted: bool
    reason: str
    """Reason of the refusal (errors.REASONS); empty where granted."""
    text: str
    """What the caller would be told; empty where granted."""
    advice: str
    steps: tuple[Step, ...]
    """The checks in order, up to the first that failed."""
    providers: tuple[Candidate, ...]
    """Every provider that the tenant may know."""
    keys: tuple[Candidate, ...]
    """Every key that the routes name."""
    targets: tuple[Candidate, ...]
    """Every target, where the model is an alias."""
    routes: tuple[Route, ...]
    """What the call may try: equals by their weights, then fallbacks; empty where refused."""
    sticky: bool
    """Whether the same conversation comes to the same one of several equals."""
    limits: Limits
    resting: tuple[Resting, ...] = ()
    """Of the routes, those that failed lately and are asked after their equals; known to who serves alone."""


def explain(
    snapshot: Snapshot,
    tenant: str,
    agent: str,
    *,
    dialect: Dialect,
    model: str,
    operation: Operation = "chat",
    needs: frozenset[str] = frozenset(),
    scopes: frozenset[Scope] = frozenset({"write"}),
) -> Explanation:
    """The decision for an agent by name. Raises `Refused('bad_request')` where there is no such agent."""
    table = table_of(snapshot, tenant, agent)
    query = Query(dialect, operation, model, needs, scopes)
    trace = Trace()
    refused: Refused | None = None
    routes: tuple[Route, ...] = ()
    sticky = False
    try:
        decision = resolve(table, query, trace)
        routes, sticky = decision.routes, decision.sticky
    except Refused as refusal:
        refused = refusal
    return Explanation(
        generation=snapshot.generation,
        tenant=tenant,
        agent=agent,
        dialect=dialect,
        operation=operation,
        model=model,
        granted=refused is None,
        reason=refused.reason if refused else "",
        text=refused.text if refused else "",
        advice=refused.advice if refused else "",
        steps=tuple(trace.steps),
        providers=tuple(_providers(table, trace, routes)),
        keys=tuple(_keys(trace, routes)),
        targets=tuple(_targets(table, model, trace)),
        routes=routes,
        sticky=sticky,
        limits=table.limits,
    )


def table_of(snapshot: Snapshot, tenant: str, agent: str) -> AgentTable:
    """The table of an agent by name. Raises `Refused('bad_request')` where there is none."""
    uid, agent_uid = snapshot.uid(f"tenant/{tenant}"), snapshot.uid(f"agent/{tenant}/{agent}")
    table = snapshot.tenant(uid) if uid else None
    if table is None:
        raise Refused("bad_request", f"There is no tenant `{tenant}`.")
    if agent_uid is None or agent_uid not in table.agents:
        raise Refused("bad_request", f"The tenant `{tenant}` has no agent `{agent}`.")
    return table.agents[agent_uid]


def _providers(table: AgentTable, trace: Trace, routes: tuple[Route, ...]) -> list[Candidate]:
    used: dict[str, list[str]] = {}
    for route in routes:
        positions = used.setdefault(route.provider.name, [])
        if route.position not in positions:
            positions.append(route.position)
    found = []
    for name in sorted(table.tenant.known):
        if name in used:
            found.append(Candidate(name, True, f"serves the call as {' and '.join(used[name])}"))
        else:
            found.append(
                Candidate(name, False, trace.passed_over.get(name, "it is not asked for or does not serve it"))
            )
    return found


def _keys(trace: Trace, routes: tuple[Route, ...]) -> list[Candidate]:
    used = [Candidate(route.key, True, f"{route.position} at {route.provider.name}") for route in routes]
    names = {one.name for one in used}
    # Key paths hold a slash, providers' names do not.
    left = [(name, why) for name, why in trace.passed_over.items() if "/" in name and name not in names]
    return used + [Candidate(name, False, why) for name, why in left]


def _targets(table: AgentTable, asked: str, trace: Trace) -> list[Candidate]:
    alias = table.tenant.alias(table.slug, asked)
    if alias is None or not table.may_ask(alias.name):
        return []
    left = trace.left_out
    return [
        Candidate(one.model, one.model not in left, left.get(one.model, f"weight {one.weight}"))
        for one in alias.targets
    ]
