"""Aliases and several keys: what a name stands for, with which shares, and that no alias grants anything."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.errors import Refused
from sekimori.policy.aliases import shares, taken
from sekimori.policy.decide import decide, known_model, offered
from sekimori.policy.documents import Documents
from sekimori.policy.kinds import Agent, Alias, Also, CoolDown, Fallback, Key, Provider, Route, Target, Tenant
from sekimori.policy.snapshot import Snapshot
from sekimori.terms import OPERATOR, Grant
from tests.policy.worlds import ask, principal, right, snapshot

LIMITED = frozenset({"rate_limited", "overloaded"})


def fast(*models: str, agent: str | None = None, name: str = "fast", **more: Any) -> Alias:
    """An alias; a target may end in `=WEIGHT`."""
    targets = []
    for model in models:
        spelled, _, weight = model.partition("=")
        targets.append(Target(model=spelled, weight=int(weight or 1)))
    return Alias(tenant="acme", agent=agent, name=name, targets=tuple(targets), **more)


def lists(*models: str, name: str = "x", **more: Any) -> Agent:
    return Agent(tenant="acme", name=name, models=models, **more)


HOUSE = Route(tenant="acme", provider="house", key="operator/house")


def world(*documents: Any) -> Snapshot:
    return snapshot(right().merged(Documents([HOUSE])).merged(Documents(documents)))


def hops(grant: Grant) -> list[tuple[str, str, str, int]]:
    return [(hop.position, hop.key, f"{hop.provider.name}/{hop.model}", hop.weight) for hop in grant.routes]


def refused(at: Snapshot, model: str, *, agent: str = "x", dialect: Any = "openai", **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        decide(at, principal("acme", agent), ask(model, dialect, **more))
    return caught.value


def test_an_alias_stands_for_its_targets_by_their_weights() -> None:
    at = world(fast("openai/gpt-4o=3", "house/llama"), lists("fast", "gpt-4o", "llama"))
    grant = decide(at, principal("acme", "x"), ask("fast"))
    assert grant.model == "fast", "the record tells what was asked for"
    assert hops(grant) == [
        ("primary", "clients/acme/openai", "openai/gpt-4o", 3),
        ("primary", "operator/house", "house/llama", 1),
        ("fallback", "operator/openai", "openai/gpt-4o", 1),
    ]
    first, second, fallback = grant.routes
    assert first.moves == second.moves == LIMITED
    assert (first.yields, second.yields, fallback.yields) == (LIMITED, frozenset(), frozenset())
    assert first.of == fallback.of == {"openai/gpt-4o"}
    assert grant.reasons == (
        "alias fast of the tenant",
        "tenant route to openai",
        "key clients/acme/openai, weight 3",
        "fallback operator/openai on overloaded, rate_limited",
        "tenant route to house",
        "key operator/house, weight 1",
    )
    assert not grant.sticky
    assert decide(world(fast("openai/gpt-4o", sticky="conversation"), lists("*")), principal("acme", "x"),
                  ask("fast")).sticky  # fmt: skip


def test_an_alias_grants_nothing() -> None:
    """Neither what the agent's document does not list, nor where no route leads, nor another dialect."""
    alias = fast("openai/gpt-4o", "house/llama", "anthropic/claude-opus-5")
    only = decide(world(alias, lists("fast", "llama", "claude-*")), principal("acme", "x"), ask("fast"))
    assert [hop.model for hop in only.routes] == ["llama"]
    none = refused(world(alias, lists("fast")), "fast")
    assert (none.reason, none.status) == ("model_not_allowed", 403)
    assert "`fast`" in none.text
    unrouted = snapshot(right().merged(Documents([alias, lists("fast", "llama", "gpt-4o")])))
    found = decide(unrouted, principal("acme", "x"), ask("fast"))
    assert {hop.model for hop in found.routes} == {"gpt-4o"}
    other = decide(world(alias, lists("fast", "*")), principal("acme", "x"), ask("fast", "anthropic"))
    assert [hop.model for hop in other.routes] == ["llama", "claude-opus-5"]


def test_an_alias_that_the_agent_does_not_list_is_not_there() -> None:
    at = world(fast("openai/gpt-4o"), lists("gpt-4o"))
    assert refused(at, "fast").reason == "model_not_allowed"
    assert "fast" not in offered(at, principal("acme", "x"), "openai")
    with pytest.raises(Refused, match="model_not_allowed"):
        known_model(at, principal("acme", "x"), "openai", "fast")
    # A pattern with a slash means models: an agent with `openai/*` alone is not given what aliases stand for.
    assert refused(world(fast("openai/gpt-4o"), lists("openai/*")), "fast").reason == "model_not_allowed"


def test_another_tenants_alias_does_not_exist() -> None:
    theirs = Alias(tenant="globex", name="fast", targets=(Target(model="secret-model"),))
    at, alone = world(theirs, lists("*")), world(lists("*"))
    assert str(refused(at, "fast")) == str(refused(alone, "fast"))
    assert refused(at, "fast").reason == "model_not_found"
    assert decide(at, principal("globex", "z"), ask("fast")).routes[0].model == "secret-model"
    # And an alias of acme's cannot name what only globex has.
    mine = fast("globex-own/secret-model", "secret-model")
    assert refused(world(mine, lists("*")), "fast").reason == "model_not_found"


def test_an_agents_own_alias_comes_first_and_is_nobody_elses() -> None:
    at = world(
        fast("openai/gpt-4o"), fast("house/llama", agent="x"), fast("house/llama", agent="y", name="own"),
        lists("*"), lists("*", name="y"),
    )  # fmt: skip
    assert decide(at, principal("acme", "x"), ask("fast")).routes[0].model == "llama"
    assert decide(at, principal("acme", "x"), ask("fast")).reasons[0] == "alias fast of the agent"
    assert decide(at, principal("acme", "y"), ask("fast")).routes[0].model == "gpt-4o"
    assert refused(at, "own").reason == "model_not_found"


@pytest.mark.parametrize(
    ("alias", "provider"),
    [
        (fast("house/llama", name="gpt-4o"), "house"),
        (fast("house/llama", name="gpt-5-mini"), "openai"),
        (fast("openai/gpt-4o", "house/llama", name="gpt-5-mini"), "openai"),
        (fast("openai/gpt-5-mini", "house/llama", name="gpt-5-mini"), ""),
        (fast("openai/gpt-4o", "house/gpt-4o", name="gpt-4o"), ""),
        (fast("house/gpt-4o", name="gpt-4o"), ""),
        (fast("house/llama", name="fast"), ""),
    ],
)
def test_an_alias_takes_no_models_name_but_that_of_a_target(alias: Alias, provider: str) -> None:
    models = {"openai": ("gpt-4o", "gpt-5-*"), "house": ("llama", "gpt-4o"), "any": ("*", "**")}
    assert taken(alias, models) == provider
    found = None if provider else decide(world(alias, lists("*")), principal("acme", "x"), ask(alias.name))
    if found is None:
        refusal = refused(world(alias, lists("*")), alias.name)
        assert refusal.reason == "model_ambiguous"
        assert not any(known in refusal.text for known in models), "who has the model is not told"
    # Whoever names the provider gets the model itself, whatever aliases there are.
    if "gpt" in alias.name:
        itself = decide(world(alias, lists("*")), principal("acme", "x"), ask(f"openai/{alias.name}"))
        assert {hop.provider.name for hop in itself.routes} == {"openai"}


def test_aliases_do_not_lead_to_aliases() -> None:
    at = world(fast("faster"), fast("fast", name="faster"), fast("self", name="self"), lists("*"))
    for name in ("fast", "faster", "self"):
        assert refused(at, name).reason == "model_not_found"


@pytest.mark.parametrize(
    "name", ["fast ", "fast\n", "FAST", "fast/", "/fast", "acme/fast", "alias/fast", "fa*t", "*", ""]
)
def test_what_is_not_the_name_is_not_the_alias(name: str) -> None:
    assert refused(world(fast("openai/gpt-4o"), lists("*")), name).reason == "model_not_found"


def test_listed_models_hold_the_aliases_that_can_be_called() -> None:
    at = world(
        fast("openai/gpt-4o"), fast("anthropic/claude-opus-5", name="wise"), fast("nowhere", name="lost"),
        fast("openai/gpt-4o", "house/gpt-4o", name="gpt-4o"), lists("fast", "wise", "lost", "gpt-4o", "claude-*"),
    )  # fmt: skip
    who = principal("acme", "x", "read")
    assert offered(at, who, "openai") == ("fast", "gpt-4o", "house/gpt-4o")
    assert offered(at, who, "anthropic") == ("gpt-4o", "wise")
    known_model(at, who, "openai", "fast")


SECOND = Key(path="clients/acme/openai-2", provider="openai")


def several(**more: Any) -> Route:
    also = (Also(key="clients/acme/openai-2", weight=2), Also(key="operator/house", provider="house"))
    return Route(
        **{"tenant": "acme", "provider": "openai", "key": "clients/acme/openai", "weight": 4, "also": also, **more}
    )


def test_several_keys_are_equals_with_their_weights() -> None:
    at = world(SECOND, several(when=("server_error",), cool_down=CoolDown(first=2, longest=9), sticky="conversation"))
    grant = decide(at, principal("acme", "x"), ask("openai/gpt-4o"))
    assert hops(grant) == [
        ("primary", "clients/acme/openai", "openai/gpt-4o", 4),
        ("primary", "clients/acme/openai-2", "openai/gpt-4o", 2),
        ("primary", "operator/house", "house/gpt-4o", 1),
    ]
    assert {hop.moves for hop in grant.routes} == {frozenset({"server_error"})}
    assert {hop.rests for hop in grant.routes} == {(2, 9)}
    assert [hop.key_owner_uid == OPERATOR for hop in grant.routes] == [False, False, True]
    assert grant.sticky
    # The house does not serve this model: its key is left out, the others go on.
    assert len(decide(at, principal("acme", "x"), ask("openai/gpt-5-mini")).routes) == 2


def test_each_further_key_is_judged_for_itself() -> None:
    vpc = Tenant(name="acme", mode="vpc")
    for documents, left in (
        ((vpc, several()), 2),
        ((several(also=(Also(key="clients/globex/own"),)),), 1),
        ((several(also=(Also(key="clients/globex/own", provider="globex-own"),)),), 1),
        ((several(also=(Also(key="operator/house"),)),), 1),
        ((several(also=(Also(key="operator/missing"),)),), 1),
        ((several(also=(Also(key="clients/acme/openai"),)),), 1),
        ((several(), lists("openai/*")), 2),
        ((several(key="clients/globex/own"),), 2),
    ):
        grant = decide(world(SECOND, *documents), principal("acme", "x"), ask("openai/gpt-4o"))
        assert len(grant.routes) == left
        assert all(hop.key.startswith(("operator/", "clients/acme/")) for hop in grant.routes)
        assert (grant.routes[0].moves == frozenset()) == (left == 1)


def test_where_no_key_is_left_the_first_ones_reason_is_told() -> None:
    only = several(key="operator/openai", also=(Also(key="operator/house", provider="house"),))
    assert refused(world(Tenant(name="acme", mode="vpc"), only), "openai/gpt-4o").reason == "operator_key_forbidden"


@pytest.mark.parametrize("need", ["stored_state", "files_by_id"])
def test_a_call_that_names_state_has_the_first_targets_key_alone(need: str) -> None:
    agent = lists("*", capabilities=(need,))
    route = several(fallback=Fallback(key="operator/openai"))
    alias = fast("openai/gpt-4o", "house/llama")
    at = world(SECOND, route, alias, agent)
    for name in ("fast", "openai/gpt-4o"):
        grant = decide(at, principal("acme", "x"), ask(name, needs=frozenset({need})))
        assert [hop.key for hop in grant.routes] == ["clients/acme/openai"]
        assert grant.routes[0].moves == grant.routes[0].yields == frozenset()
        assert len(decide(at, principal("acme", "x"), ask(name)).routes) > 1
    shared = world(fast("house/llama", "openai/gpt-4o"), agent)
    assert refused(shared, "fast", needs=frozenset({need})).reason == "capability_missing"


def test_a_fallback_that_is_one_of_the_equals_is_left_out() -> None:
    route = several(fallback=Fallback(key="operator/house", provider="house"))
    grant = decide(world(SECOND, route), principal("acme", "x"), ask("openai/gpt-4o"))
    assert [hop.position for hop in grant.routes] == ["primary"] * 3
    assert "left out" in grant.reasons[-1]
    assert all(hop.yields == frozenset() for hop in grant.routes)


def test_one_fallback_of_two_targets_stands_in_for_both() -> None:
    both = Route(
        tenant="acme",
        provider="house",
        key="operator/house",
        fallback=Fallback(key="operator/openai", provider="openai"),
    )
    grant = decide(world(both, fast("openai/gpt-4o", "house/gpt-4o"), lists("*")), principal("acme", "x"), ask("fast"))
    assert [hop.position for hop in grant.routes] == ["primary", "primary", "fallback"]
    assert grant.routes[2].of == {"openai/gpt-4o", "house/gpt-4o"}


_counts = st.lists(
    st.tuples(st.integers(1, 1000), st.lists(st.integers(1, 1000), min_size=1, max_size=8)), min_size=1, max_size=8
)


@given(_counts)
def test_shares_are_exact(targets: list[tuple[int, list[int]]]) -> None:
    found = shares(targets)
    total = sum(map(sum, found))
    assert all(share >= 1 for keys in found for share in keys)
    whole = sum(weight for weight, _ in targets)
    for (weight, keys), given_ in zip(targets, found, strict=True):
        for key, share in zip(keys, given_, strict=True):
            assert Fraction(share, total) == Fraction(weight, whole) * Fraction(key, sum(keys))


def test_a_provider_that_serves_anything_hides_no_alias() -> None:
    url = "https://models.acme.example/v1"
    at = world(
        Provider(name="any", tenant="acme", catalog="compatible", base_url=url, models=("*",)),
        Key(path="clients/acme/any", provider="any"),
        Route(tenant="acme", provider="any", key="clients/acme/any"),
        fast("house/llama"),
        lists("fast", "llama"),
    )
    assert [hop.provider.name for hop in decide(at, principal("acme", "x"), ask("fast")).routes] == ["house"]
    # Without the alias the name is a model like any other, and the provider says whether it has it.
    assert decide(at, principal("acme", "x"), ask("any/fast")).routes[0].model == "fast"
