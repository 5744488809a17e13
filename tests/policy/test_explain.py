"""explain: the same decision as decide, told so that a reader sees why."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.errors import Refused
from sekimori.policy.documents import Documents
from sekimori.policy.explain import explain
from sekimori.policy.kinds import Agent, Alias, Target, Tenant
from sekimori.terms import Grant
from tests.policy.test_decide import calls, outcome
from tests.policy.worlds import ask, principal, right, snapshot, worlds


def test_a_grant_explained() -> None:
    told = explain(snapshot(right(), 4), "acme", "x", dialect="openai", model="gpt-4o")
    assert told.granted
    assert told.generation == 4
    assert [(step.check, step.passed) for step in told.steps] == [
        ("suspended", True),
        ("scope", True),
        ("model", True),
        ("agent", True),
        ("route", True),
        ("dialect", True),
        ("one provider", True),
        ("key", True),
        ("capability", True),
        ("fallback", True),
    ]
    assert told.steps[-3].text == "clients/acme/openai, the tenant's own."
    assert told.steps[-1].text == "operator/openai, the operator's, on overloaded, rate_limited."
    assert [(c.name, c.chosen, c.why) for c in told.providers] == [
        ("anthropic", False, "it is not asked for or does not serve it"),
        ("house", False, "no route leads there"),
        ("openai", True, "serves the call as primary and fallback"),
    ]
    assert [(c.name, c.chosen) for c in told.keys] == [("clients/acme/openai", True), ("operator/openai", True)]


def test_a_refusal_explained() -> None:
    told = explain(snapshot(right()), "acme", "y", dialect="openai", model="gpt-4o")
    assert (told.granted, told.reason, told.routes) == (False, "model_ambiguous", ())
    assert told.advice == "Name one: `house/gpt-4o`, `openai/gpt-4o`."
    assert told.steps[-1].check == "one provider"
    assert not told.steps[-1].passed


def test_a_fallback_left_out_says_why() -> None:
    vpc = right().merged(Documents([Tenant(name="acme", mode="vpc")]))
    told = explain(snapshot(vpc), "acme", "x", dialect="openai", model="gpt-4o")
    assert told.granted
    assert told.keys[1].name == "operator/openai"
    assert not told.keys[1].chosen
    assert told.keys[1].why == "keys of the operator are off for a tenant in VPC mode"


def test_an_alias_explained() -> None:
    documents = Documents(
        [
            Alias(
                tenant="acme",
                name="fast",
                targets=(Target(model="openai/gpt-4o", weight=3), Target(model="anthropic/claude-opus-5")),
                sticky="conversation",
            ),
            Agent(tenant="acme", name="x", models=("fast", "*")),
        ]
    )
    told = explain(snapshot(right().merged(documents)), "acme", "x", dialect="openai", model="fast")
    assert [(step.check, step.text) for step in told.steps if step.check in {"alias", "target"}] == [
        ("alias", "fast is the tenant's and the agent's document lists it."),
        ("target", "openai/gpt-4o: tenant route to openai."),
    ]
    assert [(c.name, c.chosen, c.why) for c in told.targets] == [
        ("openai/gpt-4o", True, "weight 3"),
        (
            "anthropic/claude-opus-5",
            False,
            "The model `anthropic/claude-opus-5` is offered in the anthropic dialect, not in the openai dialect.",
        ),
    ]
    assert [(c.name, c.chosen) for c in told.keys] == [("clients/acme/openai", True), ("operator/openai", True)]
    assert told.sticky
    assert told.resting == ()
    plain = explain(snapshot(right()), "acme", "x", dialect="openai", model="gpt-4o")
    assert (plain.targets, plain.sticky) == ((), False)


@pytest.mark.parametrize(("tenant", "agent"), [("nobody", "x"), ("acme", "z"), ("", "")])
def test_no_such_agent(tenant: str, agent: str) -> None:
    with pytest.raises(Refused, match="bad_request"):
        explain(snapshot(right()), tenant, agent, dialect="openai", model="gpt-4o")


@settings(max_examples=300, deadline=None)
@given(worlds, st.lists(calls, min_size=1, max_size=10))
def test_explain_agrees_with_decide(documents: Documents, asked: list[tuple]) -> None:  # type: ignore[type-arg]
    at = snapshot(documents)
    agents = {(d.tenant, d.name) for d in documents if isinstance(d, Agent)}
    tenants = {d.name for d in documents if isinstance(d, Tenant)}
    for tenant, agent, dialect, operation, model, needs, scopes in asked:
        if tenant not in tenants or (tenant, agent) not in agents:
            continue
        told = explain(
            at,
            tenant,
            agent,
            dialect=dialect,
            model=model,
            operation=operation,
            needs=needs,
            scopes=frozenset(scopes),
        )
        found = outcome(at, principal(tenant, agent, *scopes), ask(model, dialect, operation, needs))
        if isinstance(found, Grant):
            assert told.granted
            assert told.routes == found.routes
            assert told.limits == found.limits
            assert all(step.passed for step in told.steps)
            assert {c.name for c in told.providers if c.chosen} == {route.provider.name for route in found.routes}
            assert [c.name for c in told.keys if c.chosen] == [route.key for route in found.routes]
        else:
            reason, _, text, advice = found
            assert (told.granted, told.reason, told.text, told.advice) == (False, reason, text, advice)
            assert [step.passed for step in told.steps].count(False) == 1
            assert not told.steps[-1].passed
            assert told.routes == ()


@settings(max_examples=150, deadline=None)
@given(worlds, calls)
def test_an_explanation_names_nothing_of_another_tenant(documents: Documents, call: tuple) -> None:  # type: ignore[type-arg]
    tenant, agent, dialect, operation, model, *_ = call
    try:
        told = explain(snapshot(documents), tenant, agent, dialect=dialect, model=model, operation=operation)
    except Refused:
        return
    other = "beta" if tenant == "alpha" else "alpha"
    said = [step.text for step in told.steps] + [f"{c.name} {c.why}" for c in (*told.providers, *told.targets)]
    # A route that names another tenant's key is this tenant's own document: its path may be told back.
    assert not any(other in text.replace(f"clients/{other}/k", "") for text in said)
