"""Snapshot: compiled lazily, bounded, per tenant only what it may know; uids that do not tell apart are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from sekimori.dialects.fields import CAPABILITIES
from sekimori.errors import Fault
from sekimori.policy import snapshot as module
from sekimori.policy.decide import STATEFUL, decide
from sekimori.policy.documents import Documents
from sekimori.policy.kinds import Agent, Operator, Price, Tenant
from sekimori.policy.snapshot import compile, included, uid_names
from sekimori.terms import Usage
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
