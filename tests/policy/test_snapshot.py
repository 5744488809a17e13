"""Snapshot: compiled lazily, bounded, per tenant only what it may know; uids that do not tell apart are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from sekimori.dialects.fields import CAPABILITIES
from sekimori.errors import Fault, Refused
from sekimori.policy import snapshot as module
from sekimori.policy.decide import STATEFUL, decide
from sekimori.policy.documents import Documents
from sekimori.policy.kinds import Agent, Limit, Operator, Price, Tenant
from sekimori.policy.snapshot import Snapshot, compile, included, key_scope, tag_scope, uid_names
from sekimori.terms import Ask, Bound, Limits, Tags, Usage
from tests.policy.worlds import TENANTS, ask, principal, right, snapshot, uids, worlds


def test_uid_names_are_those_of_tenants_agents_and_keys() -> None:
    names = uid_names(right())
    assert names == [
        "tenant/acme",
        "tenant/globex",
        "key/operator/house",
        "key/operator/openai",
        "key/clients/acme/anthropic",
        "key/clients/acme/openai",
        "key/clients/globex/own",
        "agent/acme/x",
        "agent/acme/y",
        "agent/globex/z",
    ]


@pytest.mark.parametrize("name", uid_names(right()))
def test_a_missing_uid_stops_the_generation(name: str) -> None:
    known = uids(right())
    for wrong in ({k: v for k, v in known.items() if k != name}, {**known, name: ""}):
        with pytest.raises(Fault, match=f"policy_unavailable.*{name}"):
            compile(right(), wrong, 1)


def test_a_uid_that_stands_for_two_things_stops_the_generation() -> None:
    known = uids(right())
    with pytest.raises(Fault, match="stands for two"):
        compile(right(), {**known, "agent/globex/z": known["agent/acme/x"]}, 1)
    with pytest.raises(Fault, match="stands for two"):
        compile(right(), {**known, "key/clients/globex/own": known["tenant/acme"]}, 1)


def test_uids_of_what_is_gone_do_no_harm() -> None:
    at = compile(right(), {**uids(right()), "tenant/old": "0" * 26}, 1)
    assert at.tenant("0" * 26) is None
    assert len(at.tenant_uids()) == 2


def test_a_tenants_table_holds_what_it_may_know() -> None:
    at = snapshot(right())
    acme, globex = (at.tenant(principal(*who).tenant_uid) for who in (("acme", "x"), ("globex", "z")))
    assert acme is not None
    assert globex is not None
    assert set(acme.known) == {"anthropic", "openai", "house"}
    assert set(globex.known) == {"globex-own"}
    assert set(acme.keys) == {"clients/acme/anthropic", "clients/acme/openai", "operator/openai", "operator/house"}
    assert set(globex.keys) == {"clients/globex/own"}
    assert at.tenant(acme.uid) is acme, "compiled once"


@settings(max_examples=200, deadline=None)
@given(worlds)
def test_no_table_holds_another_tenants_documents(documents: Documents) -> None:
    at = snapshot(documents)
    for uid in at.tenant_uids():
        table = at.tenant(uid)
        assert table is not None
        other = next(name for name in TENANTS if name != table.slug)
        assert not any(key.path.startswith(f"clients/{other}/") for key in table.keys.values())
        assert all(known.contract.owner in {"operator", table.slug} for known in table.known.values())
        assert all(route.tenant == table.slug for route in table.routes.values())
        assert all(agent.tenant is table for agent in table.agents.values())


def test_compiled_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TENANTS_KEPT", 3)
    documents = Documents(
        [
            *(Tenant(name=f"t{n}", mode="agency") for n in range(10)),
            *(Agent(tenant=f"t{n}", name="x") for n in range(10)),
        ]
    )
    at = snapshot(documents)
    for _ in range(2):
        for n in range(10):
            assert at.agent(principal(f"t{n}", "x")).slug == "x"
        assert len(at._tables) == 3


def test_private_is_told_only_where_the_operator_allows_the_place() -> None:
    route = decide(snapshot(right()), principal("acme", "y"), ask("llama")).routes[0]
    assert route.provider.private
    assert not decide(snapshot(right()), principal("acme", "x"), ask("gpt-4o")).routes[0].provider.private


def test_costs_are_the_operators_prices_then_the_tables() -> None:
    usage = Usage(input=1_000_000, output=1_000_000)
    at = snapshot(right())
    mini = decide(at, principal("acme", "x"), ask("gpt-5-mini")).routes[0]
    unknown = decide(at, principal("acme", "x"), ask("gpt-5-huge")).routes[0]
    listed = at.cost(usage, mini, 0)
    assert listed is not None
    assert listed.nano == 2_250_000_000
    assert listed.source.startswith("https://developers.openai.com/")
    assert at.cost(usage, unknown, 0) is None
    agreed = [
        Price(catalog="openai", model=m, input="1", output="0.5", source="contract 7", date="2026-01-31")
        for m in ("gpt-5-mini", "gpt-5-huge")
    ]
    priced = snapshot(right().merged(Documents([Operator(prices=tuple(agreed))])))
    for route in (mini, unknown):
        assert priced.cost(usage, route, 0) == (1_500_000_000, "contract 7 (2026-01-31)")


def test_scopes_include_the_lesser_ones() -> None:
    assert included(("admin",)) == {"read", "write", "admin"}
    assert included(("write",)) == {"read", "write"}
    assert included(()) == frozenset()


def test_what_is_stateful_is_on_the_closed_list() -> None:
    assert set(CAPABILITIES) >= STATEFUL


def test_limits_are_those_of_the_agent_its_tags_its_keys_and_its_tenant() -> None:
    limits = [
        Limit(tenant="acme", tokens_per_day=1, money_per_day="0.5", max_output_tokens=90),
        Limit(tenant="acme", agent="x", money_per_month="12.000000001", max_output_tokens=70),
        Limit(tenant="acme", tag="lab", tokens_per_minute=3, requests_per_minute=8),
        Limit(tenant="acme", tag="free", tokens_per_minute=4, max_output_tokens=50),
        Limit(tenant="acme", key="operator/openai", tokens_per_day=7, concurrency=2),
    ]
    agent = Agent(tenant="acme", name="x", models=("gpt-4o", "gpt-5-*"), tagged=("lab",), tags=("fr*",))
    at = snapshot(right().merged(Documents([*limits, agent])))
    grant = decide(at, principal("acme", "x"), ask("gpt-4o"))
    tenant, x = at.uid("tenant/acme"), at.uid("agent/acme/x")
    key = at.uid("key/operator/openai")
    own = key_scope(str(tenant), str(key))
    assert grant.tags == ("lab",)
    assert grant.limits.usage == (
        Bound(f"agent:{x}", nano_per_month=12 * 10**9 + 1),
        Bound(f"tag:{tenant}/lab", tokens_per_minute=3),
        Bound(f"tenant:{tenant}", tokens_per_day=1, nano_per_day=5 * 10**8),
    )
    assert (f"tag:{tenant}/lab", 8) in grant.limits.requests_per_minute
    assert grant.limits.output_cap == 70
    assert grant.limits.keys == ((key, Limits(concurrency=((own, 2),), usage=(Bound(own, tokens_per_day=7),))),)
    tagged = decide(at, principal("acme", "x"), replace(ask("gpt-4o"), tags=Tags(tags=("free",))))
    assert tagged.tags == ("free", "lab")
    assert tagged.limits.output_cap == 50
    assert [one.scope for one in tagged.limits.usage if one.scope.startswith("tag")] == [
        tag_scope(str(tenant), "free"),
        tag_scope(str(tenant), "lab"),
    ]
    for cap, reason in ((70, ""), (71, "output_cap_exceeded")):
        assert refused(at, replace(ask("gpt-4o"), output_cap=cap)) == reason
    assert refused(at, replace(ask("gpt-4o"), tags=Tags(tags=("paid",)))) == "tag_not_allowed"
    assert refused(at, replace(ask("gpt-4o"), tags=Tags(tags=("lab",)))) == ""


def refused(at: Snapshot, what: Ask) -> str:
    try:
        decide(at, principal("acme", "x"), what)
    except Refused as refusal:
        return refusal.reason
    return ""
