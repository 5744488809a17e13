"""decide: what is granted, what is refused and in which words; and what no set of documents may ever grant."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.errors import Fault, Refused
from sekimori.policy.decide import STATEFUL, again, decide, known_model, offered
from sekimori.policy.documents import Documents
from sekimori.policy.kinds import (
    Agent,
    Alias,
    Fallback,
    Key,
    Provider,
    Route,
    Tenant,
    identity,
    tenant_of,
)
from sekimori.policy.pattern import matches
from sekimori.policy.snapshot import DECISIONS_KEPT, Snapshot
from sekimori.terms import OPERATOR, Ask, Grant, Principal, Scope
from tests.policy.worlds import (
    AGENTS,
    ASKED,
    NEEDS,
    TENANTS,
    ask,
    principal,
    right,
    snapshot,
    worlds,
)


def outcome(at: Snapshot, who: Principal, what: Ask) -> Grant | tuple[str, int, str, str]:
    """The grant, or all of the refusal that a caller can see."""
    try:
        return decide(at, who, what)
    except Refused as refused:
        return (refused.reason, refused.status, refused.text, refused.advice)


def changed(documents: Documents, document: object, **fields: object) -> Documents:
    return documents.merged(Documents([msgspec.structs.replace(document, **fields)]))  # type: ignore[list-item,type-var]


# Which key a call uses: (tenant, agent, dialect, model) -> keys in order, or the reason of the refusal.
ROUTING = [
    ("acme", "x", "anthropic", "claude-opus-5", ["clients/acme/anthropic"]),
    ("acme", "x", "openai", "gpt-4o", ["clients/acme/openai", "operator/openai"]),
    ("acme", "x", "openai", "openai/gpt-4o", ["clients/acme/openai", "operator/openai"]),
    ("acme", "y", "openai", "openai/gpt-4o", ["operator/openai"]),
    ("acme", "y", "openai", "house/gpt-4o", ["operator/house"]),
    ("acme", "y", "openai", "gpt-4o", "model_ambiguous"),
    ("acme", "y", "openai", "llama", ["operator/house"]),
    ("acme", "y", "anthropic", "llama", ["operator/house"]),
    ("acme", "y", "openai", "gpt-5-mini", "model_not_allowed"),
    ("acme", "y", "openai", "claude-opus-5", "model_not_allowed"),
    ("acme", "x", "openai", "claude-opus-5", "model_wrong_dialect"),
    ("acme", "x", "anthropic", "gpt-4o", "model_wrong_dialect"),
    ("acme", "x", "openai", "llama", "model_not_allowed"),
    ("acme", "x", "openai", "secret-model", "model_not_found"),
    ("acme", "x", "openai", "globex-own/secret-model", "model_not_found"),
    ("acme", "x", "openai", "nothing", "model_not_found"),
    ("acme", "x", "openai", "", "model_not_found"),
    ("acme", "x", "openai", "openai/", "model_not_found"),
    ("acme", "x", "openai", "GPT-4o", "model_not_found"),
    ("acme", "x", "openai", "gpt-4o" * 50, "model_not_found"),
    ("acme", "x", "openai", "gpt-5-*", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-a b", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-a\nb", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-a\n", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-\u202ea", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-/../x", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-a/..", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-a/.", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-a//b", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-a/", "model_not_found"),
    ("acme", "x", "openai", "openai//gpt-4o", "model_not_found"),
    ("acme", "x", "openai", "gpt-5-a/b.c/..d:e@f+g", ["clients/acme/openai", "operator/openai"]),
    ("globex", "z", "openai", "=cmd()", "model_not_found"),
    ("globex", "z", "openai", "secret-model", ["clients/globex/own"]),
    ("globex", "z", "openai", "gpt-4o", "model_not_found"),
]


@pytest.mark.parametrize(("tenant", "agent", "dialect", "model", "expected"), ROUTING)
def test_which_key_a_call_uses(tenant: str, agent: str, dialect: str, model: str, expected: list[str] | str) -> None:
    found = outcome(snapshot(right()), principal(tenant, agent), ask(model, dialect))  # type: ignore[arg-type]
    if isinstance(expected, str):
        assert not isinstance(found, Grant)
        assert found[0] == expected
    else:
        assert isinstance(found, Grant)
        assert [route.key for route in found.routes] == expected


def test_a_grant_says_all_that_the_walk_needs() -> None:
    grant = decide(snapshot(right(), 7), principal("acme", "x"), ask("openai/gpt-4o"))
    first, second = grant.routes
    assert (grant.generation, grant.model, first.model, second.model) == (7, "openai/gpt-4o", "gpt-4o", "gpt-4o")
    assert (first.position, second.position) == ("primary", "fallback")
    assert first.yields == {"rate_limited", "overloaded"}
    assert second.yields == frozenset()
    assert str(first.provider.origin) == "https://api.openai.com:443"
    assert first.key_owner_uid == principal("acme", "x").tenant_uid
    assert second.key_owner_uid == OPERATOR
    uid = principal("acme", "x")
    assert grant.limits.requests_per_minute == ((f"agent:{uid.agent_uid}", 60), (f"tenant:{uid.tenant_uid}", 600))
    assert grant.limits.concurrency == ((f"agent:{uid.agent_uid}", 4),)
    assert grant.reasons == (
        "tenant route to openai",
        "key clients/acme/openai",
        "fallback operator/openai on overloaded, rate_limited",
    )


def test_what_only_another_tenant_has_is_answered_like_what_no_one_has() -> None:
    """Byte for byte, but for the name the caller wrote; the same name is answered the same once it does not exist."""
    documents = right()
    without = Documents(document for document in documents if tenant_of(document) != "globex")
    for spelled in ("secret-model", "globex-own/secret-model"):
        theirs = outcome(snapshot(documents), principal("acme", "x"), ask(spelled))
        nowhere = outcome(snapshot(without), principal("acme", "x"), ask(spelled))
        other = outcome(snapshot(documents), principal("acme", "x"), ask("q" * len(spelled)))
        assert theirs == nowhere
        assert theirs == tuple(
            part.replace("q" * len(spelled), spelled) if isinstance(part, str) else part for part in other
        )


def test_a_provider_of_the_operator_that_no_route_of_the_tenant_names_does_not_exist_for_it() -> None:
    documents = right().without([("Route", "acme", "y/house")])
    assert outcome(snapshot(documents), principal("acme", "y"), ask("llama"))[0] == "model_not_found"  # type: ignore[index]
    assert outcome(snapshot(documents), principal("acme", "y"), ask("house/llama"))[0] == "model_not_found"  # type: ignore[index]


def test_ambiguity_names_only_what_the_agent_can_reach() -> None:
    found = outcome(snapshot(right()), principal("acme", "y"), ask("gpt-4o"))
    assert found == (
        "model_ambiguous",
        400,
        "The model `gpt-4o` is served by several providers.",
        "Name one: `house/gpt-4o`, `openai/gpt-4o`.",
    )


def test_a_route_of_the_agents_own_comes_before_the_tenants_defaults() -> None:
    documents = right().without([("Route", "acme", "y/openai")])
    grant = decide(snapshot(documents), principal("acme", "y"), ask("gpt-4o"))
    assert [route.key for route in grant.routes] == ["operator/house"]
    default = decide(snapshot(documents), principal("acme", "y"), ask("openai/gpt-4o"))
    assert [route.key for route in default.routes] == ["clients/acme/openai", "operator/openai"]


@pytest.mark.parametrize(
    ("kind", "name", "reason"), [("Tenant", "acme", "tenant_suspended"), ("Agent", "x", "agent_suspended")]
)
def test_suspended(kind: str, name: str, reason: str) -> None:
    documents = right()
    document = documents.get((kind, "acme", name))
    at = snapshot(changed(documents, document, suspended=True))
    assert outcome(at, principal("acme", "x"), ask("gpt-4o"))[0] == reason  # type: ignore[index]
    with pytest.raises(Refused, match=reason):
        offered(at, principal("acme", "x"), "openai")


@pytest.mark.parametrize(
    ("key", "agent", "granted"),
    [
        (("write",), ("read", "write"), True),
        (("admin",), ("read", "write"), True),
        (("admin",), ("admin",), True),
        (("read",), ("read", "write"), False),
        (("write",), ("read",), False),
        ((), ("admin",), False),
        (("admin",), (), False),
    ],
)
def test_both_the_key_and_the_agent_must_have_the_scope(
    key: tuple[Scope, ...], agent: tuple[Scope, ...], granted: bool
) -> None:
    documents = right()
    at = snapshot(changed(documents, documents.get(("Agent", "acme", "x")), scopes=agent))
    who = msgspec.structs.replace(principal("acme", "x"), scopes=frozenset(key))
    found = outcome(at, who, ask("gpt-4o"))
    assert isinstance(found, Grant) if granted else found[0] == "scope_missing"


def test_read_is_enough_to_list_models_and_not_to_call() -> None:
    at = snapshot(right())
    reader = principal("acme", "x", "read")
    assert offered(at, reader, "openai") == ("gpt-4o",)
    known_model(at, reader, "openai", "gpt-5-mini")
    assert outcome(at, reader, ask("gpt-4o"))[0] == "scope_missing"  # type: ignore[index]
    nobody = msgspec.structs.replace(reader, scopes=frozenset())
    with pytest.raises(Refused, match="scope_missing"):
        offered(at, nobody, "openai")


def test_listed_models_name_the_provider_where_a_plain_name_would_be_refused() -> None:
    assert offered(snapshot(right()), principal("acme", "y"), "openai") == ("house/gpt-4o", "llama", "openai/gpt-4o")
    assert offered(snapshot(right()), principal("acme", "y"), "anthropic") == ("gpt-4o", "llama")


def test_capabilities() -> None:
    documents = right()
    agent = documents.get(("Agent", "acme", "x"))
    needs = frozenset({"web_search"})
    who = principal("acme", "x")
    assert outcome(snapshot(documents), who, ask("gpt-4o", needs=needs)) == (
        "capability_missing",
        403,
        "This agent may not have the provider do this: `the call` needs `web_search`: the provider searches the web.",
        "Leave it out, or add web_search to `capabilities` of the agent's document.",
    )
    at = snapshot(changed(documents, agent, capabilities=("web_search",)))
    assert len(decide(at, who, ask("gpt-4o", needs=needs)).routes) == 2


@pytest.mark.parametrize("need", sorted(STATEFUL))
def test_provider_side_state_belongs_to_one_key_of_the_tenants_own(need: str) -> None:
    documents = right()
    for name in ("x", "y"):
        documents = changed(documents, documents.get(("Agent", "acme", name)), capabilities=(need,))
    needs = frozenset({need})
    own = decide(snapshot(documents), principal("acme", "x"), ask("gpt-4o", needs=needs))
    assert [route.key for route in own.routes] == ["clients/acme/openai"]
    assert own.routes[0].yields == frozenset()
    shared = outcome(snapshot(documents), principal("acme", "y"), ask("openai/gpt-4o", needs=needs))
    assert shared[0] == "capability_missing"  # type: ignore[index]


# What decide refuses although a document says so: (documents to add, the call's outcome).
SECOND_LOCK = {
    "operator key for a tenant in VPC mode": (
        [Tenant(name="acme", mode="vpc")],
        ("y", "openai/gpt-4o"),
        "operator_key_forbidden",
    ),
    "fallback to an operator key in VPC mode": ([Tenant(name="acme", mode="vpc")], ("x", "gpt-4o"), 1),
    "key of another tenant": (
        [Route(tenant="acme", provider="openai", key="clients/globex/own")],
        ("x", "gpt-4o"),
        "no_route",
    ),
    "fallback to a key of another tenant": (
        [
            Route(
                tenant="acme", provider="openai", key="clients/acme/openai", fallback=Fallback(key="clients/globex/own")
            )
        ],
        ("x", "gpt-4o"),
        1,
    ),
    "key of another provider": (
        [Route(tenant="acme", provider="openai", key="clients/acme/anthropic")],
        ("x", "gpt-4o"),
        "no_route",
    ),
    "fallback with a key of another provider": (
        [
            Route(
                tenant="acme",
                provider="openai",
                key="clients/acme/openai",
                fallback=Fallback(key="operator/openai", provider="house"),
            )
        ],
        ("x", "gpt-4o"),
        1,
    ),
    "key without a document": (
        [Route(tenant="acme", provider="openai", key="operator/missing")],
        ("x", "gpt-4o"),
        "no_route",
    ),
    "tenant provider under the name of the operator's": (
        [
            Provider(
                name="openai", tenant="acme", catalog="compatible", base_url="https://evil.example", models=("gpt-4o",)
            )
        ],
        ("x", "gpt-4o"),
        "no_route",
    ),
    "base URL at a private address": (
        [Provider(name="openai", catalog="openai", base_url="https://169.254.169.254", models=("gpt-4o",))],
        ("x", "gpt-4o"),
        "no_route",
    ),
}


@pytest.mark.parametrize("case", SECOND_LOCK)
def test_decide_refuses_what_check_should_have(case: str) -> None:
    added, (agent, model), expected = SECOND_LOCK[case]
    found = outcome(snapshot(right().merged(Documents(added))), principal("acme", agent), ask(model))
    if isinstance(expected, int):
        assert isinstance(found, Grant)
        assert len(found.routes) == expected
        assert found.routes[0].yields == frozenset()
        assert "left out" in found.reasons[-1]
    else:
        assert found[0] == expected  # type: ignore[index]


def test_an_operator_key_is_never_sent_to_a_tenants_provider() -> None:
    """The sharpest form: the operator's key names, by name, a provider that a tenant declares."""
    trap = Documents(
        [
            Provider(name="trap", tenant="acme", catalog="compatible", base_url="https://evil.example", models=("m",)),
            Key(path="operator/trap", provider="trap"),
            Route(tenant="acme", provider="trap", key="operator/trap"),
            Agent(tenant="acme", name="x", models=("*",)),
        ]
    )
    assert outcome(snapshot(right().merged(trap)), principal("acme", "x"), ask("m"))[0] == "no_route"  # type: ignore[index]


def test_fallback_at_another_provider_must_serve_the_model_too() -> None:
    at_house = Route(
        tenant="acme",
        provider="openai",
        key="clients/acme/openai",
        fallback=Fallback(key="operator/house", provider="house", when=("server_error",)),
    )
    at = snapshot(right().merged(Documents([at_house])))
    both = decide(at, principal("acme", "x"), ask("gpt-4o"))
    assert [(route.provider.name, route.key) for route in both.routes] == [
        ("openai", "clients/acme/openai"),
        ("house", "operator/house"),
    ]
    assert both.routes[0].yields == {"server_error"}
    alone = decide(at, principal("acme", "x"), ask("gpt-5-mini"))
    assert [route.key for route in alone.routes] == ["clients/acme/openai"]


def test_fallback_at_another_provider_must_be_allowed_to_the_agent_and_speak_the_dialect() -> None:
    house = right().get(("Provider", "", "house"))
    at_house = Route(
        tenant="acme",
        provider="openai",
        key="clients/acme/openai",
        fallback=Fallback(key="operator/house", provider="house"),
    )
    documents = right().merged(Documents([at_house]))
    narrow = changed(documents, documents.get(("Agent", "acme", "x")), models=("openai/gpt-4o",))
    deaf = changed(documents, house, dialects=("anthropic",))
    for less, why in ((narrow, "does not list the model there"), (deaf, "does not speak the openai dialect")):
        grant = decide(snapshot(less), principal("acme", "x"), ask("gpt-4o"))
        assert [route.key for route in grant.routes] == ["clients/acme/openai"]
        assert why in grant.reasons[-1]


def test_a_document_cannot_make_a_provider_speak_what_its_catalogue_entry_does_not() -> None:
    documents = changed(right(), right().get(("Provider", "", "openai")), dialects=("openai", "anthropic"))
    found = outcome(snapshot(documents), principal("acme", "x"), ask("gpt-4o", "anthropic"))
    assert found[0] == "model_wrong_dialect"  # type: ignore[index]


def test_dialect_and_operation_are_part_of_what_is_remembered() -> None:
    at, who = snapshot(right()), principal("acme", "y")
    assert isinstance(outcome(at, who, ask("gpt-4o", "anthropic")), Grant)
    assert outcome(at, who, ask("gpt-4o", "openai"))[0] == "model_ambiguous"  # type: ignore[index]
    assert isinstance(outcome(at, who, ask("llama", "openai", "chat")), Grant)
    assert outcome(at, who, ask("llama", "openai", "count_tokens"))[0] == "unsupported_operation"  # type: ignore[index]


def test_what_a_dated_azure_lacks_is_offered_without_the_date() -> None:
    contract = right().get(("Provider", "", "openai"))
    placed = {"catalog": "azure", "base_url": "https://my.openai.azure.com", "api_version": "2024-10-21"}
    dated = snapshot(changed(right(), contract, **placed))
    found = outcome(dated, principal("acme", "x"), ask("gpt-4o", "openai", "responses"))
    assert (found[0], "apiVersion" in found[3]) == ("unsupported_operation", True)  # type: ignore[index,operator]
    newer = snapshot(changed(right(), contract, **{**placed, "api_version": "2025-04-01-preview"}))
    assert isinstance(outcome(newer, principal("acme", "x"), ask("gpt-4o", "openai", "responses")), Grant)


def test_a_stranger_to_this_generation() -> None:
    at = snapshot(right())
    gone = msgspec.structs.replace(principal("acme", "x"), agent_uid="0" * 26)
    assert outcome(at, gone, ask("gpt-4o"))[0] == "credential_revoked"  # type: ignore[index]
    other = msgspec.structs.replace(principal("acme", "x"), tenant_uid=principal("globex", "z").tenant_uid)
    assert outcome(at, other, ask("gpt-4o"))[0] == "credential_revoked"  # type: ignore[index]
    with pytest.raises(Fault, match="policy_unavailable"):
        decide(at, msgspec.structs.replace(principal("acme", "x"), tenant="globex"), ask("gpt-4o"))


def test_again_follows_the_policy_of_the_instant() -> None:
    who, what = principal("acme", "x"), ask("gpt-4o")
    before = decide(snapshot(right(), 1), who, what)
    grant, hop = again(snapshot(right(), 2), who, what, before.routes[1])
    assert (grant.generation, hop.key) == (2, "operator/openai")
    plain = Documents([Route(tenant="acme", provider="openai", key="clients/acme/openai")])
    assert again(snapshot(right().merged(plain), 2), who, what, before.routes[1])[1] is None
    nothing = right().without([("Agent", "acme", "x")])
    with pytest.raises(Refused, match="credential_revoked"):
        again(snapshot(nothing, 2), who, what, before.routes[0])


def test_remembered_decisions_are_bounded_and_carry_the_callers_own_principal() -> None:
    at = snapshot(right())
    for number in range(3 * DECISIONS_KEPT):
        decide(at, principal("acme", "x"), ask(f"gpt-5-{number}"))
    table = at.agent(principal("acme", "x"))
    assert len(table.decisions) == DECISIONS_KEPT
    one = decide(at, principal("acme", "x"), ask("gpt-4o"))
    other = msgspec.structs.replace(principal("acme", "x"), credential="other")
    assert decide(at, other, ask("gpt-4o")).principal is other
    assert one.routes is decide(at, other, ask("gpt-4o")).routes
    for number in range(2 * DECISIONS_KEPT):
        outcome(at, principal("acme", "x"), ask(f"no-{number}"))
    assert decide(at, principal("acme", "x"), ask("gpt-4o")).routes is one.routes, "refusals push nothing out"


def test_scopes_and_needs_are_part_of_what_is_remembered() -> None:
    at = snapshot(right())
    decide(at, principal("acme", "x", "write"), ask("gpt-4o"))
    assert outcome(at, principal("acme", "x", "read"), ask("gpt-4o"))[0] == "scope_missing"  # type: ignore[index]
    needy = ask("gpt-4o", needs=frozenset({"web_search"}))
    assert outcome(at, principal("acme", "x"), needy)[0] == "capability_missing"  # type: ignore[index]


calls = st.tuples(
    st.sampled_from(TENANTS),
    st.sampled_from(AGENTS),
    st.sampled_from(["openai", "anthropic"]),
    st.sampled_from(["chat", "count_tokens"]),
    st.sampled_from(ASKED),
    st.frozensets(st.sampled_from(NEEDS), max_size=2),
    st.sampled_from([("write",), ("read",), ("admin",), ("read", "write")]),
)


@settings(max_examples=400, deadline=None)
@given(worlds, st.lists(calls, min_size=1, max_size=12))
def test_no_set_of_documents_grants_what_they_do_not_say(documents: Documents, asked: list[tuple]) -> None:  # type: ignore[type-arg]
    at = snapshot(documents)
    for tenant, agent, dialect, operation, model, needs, scopes in asked:
        who = principal(tenant, agent, *scopes)
        found = outcome(at, who, ask(model, dialect, operation, needs))
        if isinstance(found, Grant):
            check_grant(documents, found, needs)


def check_grant(documents: Documents, grant: Grant, needs: frozenset[str]) -> None:
    """What must hold of any grant, read from the documents alone."""
    who = grant.principal
    tenant, agent = documents.get(("Tenant", who.tenant, who.tenant)), documents.get(("Agent", who.tenant, who.agent))
    assert isinstance(tenant, Tenant)
    assert isinstance(agent, Agent)
    assert not tenant.suspended
    assert not agent.suspended
    assert {"write", "admin"} & who.scopes
    assert {"write", "admin"} & set(agent.scopes)
    assert needs <= set(agent.capabilities)
    alias = documents.get(("Alias", who.tenant, f"{who.agent}/{grant.model}")) or documents.get(
        ("Alias", who.tenant, f"*/{grant.model}")
    )
    if alias is not None and not any(matches(p, grant.model) for p in agent.models if "/" not in p):
        alias = None  # one that the agent does not list is not there
    assert alias is None or isinstance(alias, Alias)
    named = [grant.model] if alias is None else [target.model for target in alias.targets]
    primary = [hop for hop in grant.routes if hop.position == "primary"]
    fallbacks = [hop for hop in grant.routes if hop.position == "fallback"]
    assert grant.routes == (*primary, *fallbacks)
    assert primary, "a fallback never comes alone"
    found = {(hop.key_uid, hop.provider.name, hop.model) for hop in grant.routes}
    assert len(found) == len(grant.routes), "no deployment twice"
    if needs & STATEFUL:
        assert len(grant.routes) == 1, "what is kept at a provider belongs to one key"
    for hop in primary:
        (of,) = hop.of
        at, _, model = of.partition("/")
        assert model == hop.model
        assert {model, of} & set(named), "only what was asked for, or a target of its alias"
        route = routed(documents, who, at)
        keys = {(route.key, route.provider)} | {(one.key, one.provider or route.provider) for one in route.also}
        assert (hop.key, hop.provider.name) in keys, "deny by default: no route, no grant"
        assert hop.weight >= 1
        assert hop.moves == (frozenset((alias or route).when) if len(primary) > 1 else frozenset())
        if hop.yields:
            assert route.fallback is not None
            assert hop.yields == frozenset(route.fallback.when)
            assert any(of in one.of for one in fallbacks)
    for hop in fallbacks:
        assert not hop.yields
        for of in hop.of:
            route = routed(documents, who, of.partition("/")[0])
            assert route.fallback is not None, "a further key only where the route names one"
            assert route.fallback.when
            assert (hop.key, hop.provider.name) == (route.fallback.key, route.fallback.provider or route.provider)
            assert any(of in one.of for one in primary), "it stands in for what the call may try"
    for hop in grant.routes:
        key = documents.get(("Key", who.tenant if hop.key.startswith("clients/") else "", hop.key))
        assert isinstance(key, Key)
        assert key.provider == hop.provider.name, "a key is sent to its own provider only"
        assert hop.key.startswith((f"{OPERATOR}/", f"clients/{who.tenant}/")), "never another tenant's key"
        assert hop.key_owner_uid == (OPERATOR if hop.key.startswith(OPERATOR) else who.tenant_uid)
        assert hop.provider.owner in {OPERATOR, who.tenant}, "never another tenant's provider"
        if hop.key_owner_uid == OPERATOR:
            assert hop.provider.owner == OPERATOR, "an operator key stays with the operator's providers"
            assert tenant.mode == "agency"
            assert not needs & STATEFUL
        owner = "" if hop.provider.owner == OPERATOR else who.tenant
        provider = documents.get(("Provider", owner, hop.provider.name))
        assert isinstance(provider, Provider)
        assert any(matches(pattern, hop.model) for pattern in provider.models)
        assert grant.dialect in hop.provider.dialects
        assert str(hop.provider.origin) not in {"http://127.0.0.1:9002", "https://10.0.0.1:443", "https://invalid:443"}
        full = f"{hop.provider.name}/{hop.model}"
        assert any(matches(p, full if "/" in p else hop.model) for p in agent.models)


def routed(documents: Documents, who: Principal, provider: str) -> Route:
    """The route that counts for the agent there."""
    own = documents.get(("Route", who.tenant, f"{who.agent}/{provider}"))
    route = own or documents.get(("Route", who.tenant, f"*/{provider}"))
    assert isinstance(route, Route), "deny by default: no route, no grant"
    return route


@settings(max_examples=200, deadline=None)
@given(worlds, st.lists(calls, min_size=1, max_size=8))
def test_without_routes_nothing_is_granted(documents: Documents, asked: list[tuple]) -> None:  # type: ignore[type-arg]
    at = snapshot(Documents(document for document in documents if not isinstance(document, Route)))
    for tenant, agent, dialect, operation, model, needs, scopes in asked:
        assert not isinstance(
            outcome(at, principal(tenant, agent, *scopes), ask(model, dialect, operation, needs)), Grant
        )


@settings(max_examples=300, deadline=None)
@given(worlds, st.lists(calls, min_size=1, max_size=12))
def test_a_tenant_cannot_tell_whether_another_exists(documents: Documents, asked: list[tuple]) -> None:  # type: ignore[type-arg]
    """The two-tenant differential: every answer to one tenant is the same, byte for byte, without the other's
    documents, and without the operator's that only the other names."""
    for tenant in TENANTS:
        mine = [document for document in documents if tenant_of(document) in {None, tenant}]
        named = {d.provider for d in mine if isinstance(d, Route | Key) and tenant_of(d) == tenant}
        named |= {d.fallback.provider for d in mine if isinstance(d, Route) and d.fallback and d.fallback.provider}
        named |= {other.provider for d in mine if isinstance(d, Route) for other in d.also if other.provider}
        less = [d for d in mine if not (isinstance(d, Provider) and d.tenant is None and d.name not in named)]
        at, alone = snapshot(documents), snapshot(Documents(less))
        for _, agent, dialect, operation, model, needs, scopes in asked:
            who, what = principal(tenant, agent, *scopes), ask(model, dialect, operation, needs)
            assert outcome(at, who, what) == outcome(alone, who, what)


@settings(max_examples=200, deadline=None)
@given(worlds, st.sampled_from(TENANTS), st.sampled_from(AGENTS), st.sampled_from(["openai", "anthropic"]))
def test_every_listed_model_can_be_called(documents: Documents, tenant: str, agent: str, dialect: str) -> None:
    at, who = snapshot(documents), principal(tenant, agent)
    try:
        names = offered(at, who, dialect)  # type: ignore[arg-type]
    except Refused:
        return
    for name in names:
        found = outcome(at, who, ask(name, dialect))  # type: ignore[arg-type]
        assert isinstance(found, Grant) or found[0] == "scope_missing"


def test_identities_in_the_sample_are_what_the_tests_name() -> None:
    assert ("Route", "acme", "y/house") in {identity(document) for document in right()}
