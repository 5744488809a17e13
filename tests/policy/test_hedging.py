"""Which hops may have an equal asked beside them: by policy alone, and only where that costs no more than money."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sekimori.errors import Refusal
from sekimori.policy.decide import decide
from sekimori.policy.documents import Documents
from sekimori.policy.explain import explain
from sekimori.policy.kinds import Alias, Also, Fallback, Hedge, Route
from sekimori.terms import OPERATOR, Grant
from sekimori.upstream.route import beside, same
from tests.policy.test_aliases import SECOND, fast, lists, several, world
from tests.policy.worlds import AGENTS, ASKED, NEEDS, TENANTS, ask, principal, snapshot, worlds

HEDGED = several(hedge=Hedge(after=800))


def hedges(grant: Grant) -> list[tuple[str, tuple[int, int]]]:
    return [(hop.position, hop.hedges) for hop in grant.routes]


def test_without_the_word_nothing_is_hedged() -> None:
    grant = decide(world(SECOND, several()), principal("acme", "x"), ask("openai/gpt-4o"))
    assert set(hedges(grant)) == {("primary", (0, 0))}


def test_a_routes_equals_are_hedged_and_its_fallback_is_not() -> None:
    documents = several(
        also=(Also(key="clients/acme/openai-2"),),
        hedge=Hedge(after=800, most=2),
        fallback=Fallback(key="operator/house", provider="house"),
    )
    at = world(SECOND, documents)
    grant = decide(at, principal("acme", "x"), ask("openai/gpt-4o"))
    assert hedges(grant) == [("primary", (800, 2)), ("primary", (800, 2)), ("fallback", (0, 0))]
    told = explain(at, "acme", "x", dialect="openai", model="openai/gpt-4o")
    [step] = [step for step in told.steps if step.check == "hedge"]
    assert step.text == "2 more at most, each after 800 ms without an answer."


def test_an_aliases_word_holds_among_its_targets_and_theirs_does_not() -> None:
    alias = fast("openai/gpt-4o", "house/llama", hedge=Hedge(after=300))
    grant = decide(world(SECOND, HEDGED, alias, lists("fast", "gpt-4o", "llama")), principal("acme", "x"), ask("fast"))
    assert {hop.provider.name for hop in grant.routes} == {"openai", "house"}
    assert {hop.hedges for hop in grant.routes} == {(300, 1)}
    plain = fast("openai/gpt-4o", "house/llama")
    grant = decide(world(SECOND, HEDGED, plain, lists("fast", "gpt-4o", "llama")), principal("acme", "x"), ask("fast"))
    assert {hop.hedges for hop in grant.routes} == {(0, 0)}


@pytest.mark.parametrize("need", ["web_search", "remote_mcp", "images_by_url", "stored_state", "unknown_fields"])
def test_a_call_that_needs_a_capability_is_never_hedged(need: str) -> None:
    at = world(SECOND, HEDGED, lists("gpt-4o", capabilities=(need,)))
    grant = decide(at, principal("acme", "x"), ask("openai/gpt-4o", needs=frozenset({need})))
    assert {hop.hedges for hop in grant.routes} == {(0, 0)}
    told = explain(at, "acme", "x", dialect="openai", model="openai/gpt-4o", needs=frozenset({need}))
    [step] = [step for step in told.steps if step.check == "hedge"]
    assert step.text.startswith("Left out: what the call needs")


def test_a_call_that_names_an_object_is_never_hedged() -> None:
    named = replace(ask("openai/gpt-4o"), objects=(("resp_1", "previous_response_id"),))
    grant = decide(world(SECOND, HEDGED), principal("acme", "x"), named)
    assert {hop.hedges for hop in grant.routes} == {(0, 0)}


def test_where_the_provider_may_keep_what_is_said_it_is_not_said_twice() -> None:
    grant = decide(
        world(SECOND, HEDGED, lists("gpt-4o", capabilities=("stored_state",))),
        principal("acme", "x"),
        ask("openai/gpt-4o"),
    )
    # What tenants share keeps nothing; but beside it, too, no hop is made that might.
    assert [(hop.stores, hop.hedges) for hop in grant.routes] == [
        (True, (0, 0)),
        (True, (0, 0)),
        (False, (800, 1)),
    ]
    shared = grant.routes[2]
    assert not any(beside(grant.routes, shared, hop) for hop in grant.routes)


def test_what_is_asked_beside_another_is_what_the_policy_of_this_instant_says() -> None:
    grant = decide(world(SECOND, HEDGED), principal("acme", "x"), ask("openai/gpt-4o"))
    first, second, _ = grant.routes
    assert beside(grant.routes, first, second)
    assert not beside(grant.routes, first, first), "itself"
    assert not beside(grant.routes[1:], first, second), "what is under way is granted no more"
    assert not beside([replace(hop, hedges=(0, 0)) for hop in grant.routes], first, second), "nor hedged"
    assert not beside(grant.routes, first, replace(second, position="fallback"))
    fallback = replace(first, position="fallback")
    assert not beside([fallback, second], fallback, second)


@settings(max_examples=300, deadline=None)
@given(
    worlds,
    st.sampled_from(TENANTS),
    st.sampled_from(AGENTS),
    st.sampled_from(ASKED),
    st.frozensets(st.sampled_from(NEEDS), max_size=1),
)
def test_a_hop_beside_another_is_granted_an_equal_and_of_a_call_that_needs_nothing(
    documents: Documents, tenant: str, agent: str, model: str, needs: frozenset[str]
) -> None:
    try:
        grant = decide(snapshot(documents), principal(tenant, agent), ask(model, needs=needs))
    except Refusal:
        return
    pairs = [(one, other) for one in grant.routes for other in grant.routes if beside(grant.routes, one, other)]
    for one, other in pairs:
        assert not needs
        assert one.position == other.position == "primary"
        assert not same(one, other)
        assert not (one.stores or other.stores)
        assert other.key_owner_uid in {OPERATOR, grant.principal.tenant_uid}
    if pairs:
        said = [one for one in documents if isinstance(one, Route | Alias) and one.hedge is not None]
        assert any(one.tenant == tenant for one in said), "no document of the tenant says so"
