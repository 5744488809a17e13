"""Why a call would be granted or refused, and with which key: the same decision, told step by step.

Nobody is called and nothing is recorded. What is told concerns one agent and holds only what its tenant may know, so
it can be shown to the tenant as it is.
"""

from __future__ import annotations

from msgspec import Struct

from sekimori.errors import Refused
from sekimori.policy.decide import Query, Step, Trace, resolve
from sekimori.policy.snapshot import AgentTable, Snapshot
from sekimori.terms import Dialect, Limits, Operation, Route, Scope


class Candidate(Struct, frozen=True):
    """A provider or key that was considered."""

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
    """Every key that the route names."""
    routes: tuple[Route, ...]
    """What the call would try, in order; empty where refused."""
    limits: Limits


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
    try:
        routes = resolve(table, query, trace).routes
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
        routes=routes,
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
    used: dict[str, str] = {}
    for route in routes:
        name = route.provider.name
        used[name] = f"{used[name]} and {route.position}" if name in used else route.position
    found = []
    for name in sorted(table.tenant.known):
        if name in used:
            found.append(Candidate(name, True, f"serves the call as {used[name]}"))
        else:
            found.append(
                Candidate(name, False, trace.passed_over.get(name, "it is not asked for or does not serve it"))
            )
    return found


def _keys(trace: Trace, routes: tuple[Route, ...]) -> list[Candidate]:
    used = [Candidate(route.key, True, f"{route.position} at {route.provider.name}") for route in routes]
    # Key paths hold a slash, providers' names do not.
    return used + [Candidate(name, False, why) for name, why in trace.passed_over.items() if "/" in name]
