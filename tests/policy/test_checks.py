"""check: what does not fit together, at its line, with the fix; and that no set it passes gives away a key."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings

from sekimori.policy.checks import check, require
from sekimori.policy.documents import Documents, parse
from sekimori.policy.kinds import Route, Tenant, identity, owner_of
from sekimori.policy.problems import Invalid
from tests.policy.worlds import right, worlds

# What is added to (or replaced in) the right set -> line within it, field, what is said, the fix.
WRONG: list[tuple[str, int, str, str, str]] = [
    ("kind: Agent\ntenant: acne\nname: w", 2, "tenant", "there is no tenant acne", "Did you mean acme?"),
    ("kind: Agent\ntenant: zzz\nname: w", 2, "tenant", "there is no tenant zzz", "Write a Tenant document"),
    ("kind: Tenant\nname: operator\nmode: vpc", 2, "name", "operator is a reserved word", "another name"),
    ("kind: Tenant\nname: clients\nmode: vpc", 2, "name", "clients is a reserved word", "another name"),
    ("kind: Agent\ntenant: acme\nname: all\nmodels: [gpt-4o]", 3, "name", "all is a reserved word", "another name"),
    ("kind: Agent\ntenant: acme\nname: w\nmodels: [gpt-4o]\nscopes: []", 5, "scopes", "lists no scope", "suspended"),
    (
        "kind: Agent\ntenant: acme\nname: w\nmodels: [gpt-4o]\ncapabilities:\n- web_serch",
        6,
        "capabilities[0]",
        "web_serch is not a capability",
        "Did you mean web_search?",
    ),
    ("kind: Provider\nname: p\ncatalog: openai\nmodels: []", 4, "models", "lists no model", '["*"]'),
    ("kind: Provider\nname: p\ncatalog: compatible\nmodels: [m]", 1, "baseUrl", "no address", "Write baseUrl"),
    (
        "kind: Provider\nname: p\ncatalog: mistral\nmodels: [m]\ndialects: [anthropic]",
        5,
        "dialects[0]",
        "Mistral does not speak the anthropic dialect",
        "Known are openai.",
    ),
    (
        "kind: Provider\nname: p\ncatalog: groq\nmodels: [m]\nproject: x",
        5,
        "project",
        "means nothing to Groq",
        "Remove the line",
    ),
    (
        "kind: Provider\nname: p\ncatalog: openai\nmodels: [m]\napiVersion: 2024-10-21",
        5,
        "apiVersion",
        "means nothing to OpenAI",
        "Remove the line",
    ),
    ("kind: Provider\nname: p\ncatalog: bedrock\nmodels: [m]", 1, "location", "Amazon Bedrock", "Write it"),
    ("kind: Provider\nname: p\ncatalog: vertex\nmodels: [m]\nproject: x", 1, "location", "a project has one", "global"),
    (
        "kind: Provider\nname: p\ncatalog: vertex\nmodels: [m]\ndialects: [openai]",
        1,
        "project",
        "only the gemini dialect",
        "Write it",
    ),
    (
        "kind: Provider\nname: p\ncatalog: azure\nbaseUrl: https://x.openai.azure.com\nmodels: [m]\n"
        "deployments: [{model: m*, deployment: d}]",
        6,
        "deployments[0].model",
        "m* is a pattern",
        "exact name",
    ),
    (
        "kind: Key\npath: operator/openai\nprovider: openai\ncredential: aws",
        4,
        "credential",
        "takes no key whose credential is aws",
        "OpenAI takes api_key",
    ),
    ("kind: Provider\nname: p\ncatalog: openai\nmodels: [m]\ndialects: []", 5, "dialects", "no dialect", "Write one"),
    (
        "kind: Provider\ntenant: acme\nname: openai\ncatalog: openai\nmodels: [m]",
        3,
        "name",
        "openai is the name of a provider of the operator",
        "another name",
    ),
    (
        "kind: Provider\ntenant: nobody\nname: p\ncatalog: openai\nmodels: [m]",
        2,
        "tenant",
        "there is no tenant nobody",
        "Write a Tenant document",
    ),
    *(
        (
            f"kind: Provider\ntenant: acme\nname: p\ncatalog: compatible\nmodels: [m]\nbaseUrl: {url}",
            6,
            "baseUrl",
            said,
            fix,
        )
        for url, said, fix in (
            ("https://10.0.0.1", "is not a public address", "allowPrivate"),
            ("https://127.0.0.1", "is not a public address", "allowPrivate"),
            ("https://[::1]", "is not a public address", "allowPrivate"),
            ("https://169.254.169.254", "is not a public address", "public host name"),
            ("https://0x7f.1", "", ""),
            ("https://2130706433", "", ""),
            ("http://models.example.com", "unencrypted", "Use https"),
            ("https://localhost", "", ""),
            ("https://127.0.0.1:9002", "is not a public address", "allowPrivate"),
            ("https://models.example.com:25", "Port 25", ""),
            ("ftp://models.example.com", "https://", ""),
            ("https://user:pw@models.example.com", "", ""),
            ("https:///.e1", "", "Write"),
        )
    ),
    ("kind: Key\npath: operator/k\nprovider: opena", 3, "provider", "the operator has no provider opena", "openai?"),
    ("kind: Key\npath: operator/k\nprovider: globex-own", 3, "provider", "the operator has no provider", ""),
    ("kind: Key\npath: clients/acme/k\nprovider: globex-own", 3, "provider", "acme may use no provider", ""),
    ("kind: Key\npath: clients/nobody/k\nprovider: openai", 2, "path", "there is no tenant nobody", ""),
    ("kind: Key\npath: clients/operator/k\nprovider: openai", 2, "path", "there is no tenant operator", ""),
    (
        "kind: Route\ntenant: acme\nprovider: openai\nkey: clients/globex/own",
        4,
        "key",
        "is not a key of acme",
        "clients/acme/NAME",
    ),
    (
        "kind: Route\ntenant: acme\nprovider: openai\nkey: operator/opnai",
        4,
        "key",
        "there is no Key document for operator/opnai",
        "Did you mean operator/openai?",
    ),
    (
        "kind: Route\ntenant: acme\nprovider: openai\nkey: clients/acme/anthropic",
        4,
        "key",
        "belongs to the provider anthropic and is never sent to openai",
        "Name a key of openai.",
    ),
    ("kind: Route\ntenant: acme\nprovider: nothing\nkey: operator/openai", 3, "provider", "may use no provider", ""),
    ("kind: Route\ntenant: acme\nprovider: globex-own\nkey: operator/openai", 3, "provider", "may use no provider", ""),
    ("kind: Route\ntenant: acme\nagent: w\nprovider: openai\nkey: operator/openai", 3, "agent", "no agent w", ""),
    ("kind: Route\ntenant: nobody\nprovider: openai\nkey: operator/openai", 2, "tenant", "no tenant nobody", ""),
    (
        "kind: Route\ntenant: acme\nprovider: openai\nkey: operator/openai\nfallback:\n  key: operator/openai",
        6,
        "fallback.key",
        "is the same key",
        "",
    ),
    (
        "kind: Route\ntenant: acme\nprovider: openai\nkey: operator/openai\nfallback:\n  key: clients/acme/openai\n"
        "  when: []",
        7,
        "fallback.when",
        "names no condition",
        "",
    ),
    (
        "kind: Route\ntenant: acme\nprovider: openai\nkey: operator/openai\nfallback:\n  key: clients/globex/own",
        6,
        "fallback.key",
        "is not a key of acme",
        "",
    ),
    (
        "kind: Route\ntenant: acme\nprovider: openai\nkey: operator/openai\nfallback:\n  key: operator/house",
        6,
        "fallback.key",
        "belongs to the provider house and is never sent to openai",
        "",
    ),
    (
        "kind: Route\ntenant: acme\nprovider: openai\nkey: operator/openai\nfallback:\n  key: operator/house\n"
        "  provider: globex-own",
        7,
        "fallback.provider",
        "acme may use no provider globex-own",
        "",
    ),
    (
        "kind: Tenant\nname: acme\nmode: vpc",
        0,
        "key",
        "operator/house is a key of the operator, and acme is in VPC mode",
        "clients/acme/NAME",
    ),
    (
        "kind: Tenant\nname: acme\nmode: vpc",
        0,
        "fallback.key",
        "operator/openai is a key of the operator, and acme is in VPC mode",
        "clients/acme/NAME",
    ),
    ("kind: Limit\ntenant: globex", 1, "", "bounds nothing", "requestsPerMinute"),
    ("kind: Limit\ntenant: acme\nagent: w\nconcurrency: 1", 3, "agent", "acme has no agent w", ""),
    ("kind: Limit\ntenant: acme\nagent: x\ntag: t\nconcurrency: 1", 4, "tag", "for agent and tag at once", "one Limit"),
    (
        "kind: Limit\ntenant: acme\nkey: clients/globex/own\nconcurrency: 1",
        3,
        "key",
        "is not a key of acme",
        "acme/NAME",
    ),
    ("kind: Limit\ntenant: acme\nkey: operator/none\nconcurrency: 1", 3, "key", "there is no Key document", ""),
    (
        "kind: Limit\ntenant: acme\nkey: operator/openai\nmaxOutputTokens: 1",
        4,
        "maxOutputTokens",
        "not for keys",
        "agent",
    ),
    (
        "kind: Limit\ntenant: acme\nmoneyPerDay: '2.50'\nmoneyPerMonth: '2'",
        3,
        "moneyPerDay",
        "$2.50 a day cannot be reached",
        "moneyPerMonth",
    ),
    (
        "kind: Limit\ntenant: acme\ntokensPerMinute: 9\ntokensPerDay: 8",
        3,
        "tokensPerMinute",
        "cannot be reached",
        "Lower",
    ),
    (
        "kind: Agent\ntenant: acme\nname: x\ntagged: [a, b, c, d, e, f, g, h, i]",
        4,
        "tagged",
        "more than 8 tags",
        "at most 8",
    ),
    (
        "kind: Operator\nallowPrivate: [{host: 127.0.0.1, port: 9001}]\nprices:\n"
        "- {catalog: openai, model: m, input: 1, output: 1, source: s, date: 2026-11-22, from: 2026-02-30}",
        4,
        "prices[0].from",
        "there is no day 2026-02-30",
        "calendar",
    ),
    (
        "kind: Operator\nallowPrivate: [{host: 127.0.0.1, port: 9001}]\nprices:\n"
        "- {catalog: openai, model: m, input: 1, output: 1, source: s, date: 2026-11-22,"
        " tiers: [{above: 9, input: '1', output: '1'}, {above: 8, input: '1', output: '1'}]}",
        4,
        "prices[0].tiers",
        "do not ascend",
        "shorter prompts first",
    ),
    ("kind: Limit\ntenant: nobody\nconcurrency: 1", 2, "tenant", "there is no tenant nobody", ""),
    (
        "kind: Operator\nallowPrivate:\n- {host: 127.0.0.1, port: 9001}\n- {host: LOCALHOST, port: 1}",
        4,
        "allowPrivate[1].host",
        "LOCALHOST is not the canonical form",
        "Write localhost.",
    ),
    (
        "kind: Operator\nallowPrivate:\n- {host: 127.0.0.1, port: 9001}\n- {host: 169.254.169.254, port: 80}",
        4,
        "allowPrivate[1].host",
        "cannot be allowed",
        "Remove it",
    ),
    (
        "kind: Operator\nallowPrivate:\n- {host: 127.0.0.1, port: 9001}\n- {host: 0177.0.0.1, port: 80}",
        4,
        "allowPrivate[1].host",
        "",
        "",
    ),
    (
        "kind: Operator\nallowPrivate: [{host: 127.0.0.1, port: 9001}]\nprices:\n"
        "- {catalog: openai, model: 'gpt-*', input: 1, output: 1, source: s, date: 2026-11-22}",
        4,
        "prices[0].model",
        "is a pattern",
        "exact name",
    ),
    (
        "kind: Operator\nallowPrivate: [{host: 127.0.0.1, port: 9001}]\nprices:\n"
        "- {catalog: openai, model: m, input: '1', output: '1', source: s, date: 2026-11-22}\n"
        "- {catalog: openai, model: m, input: '2', output: '1', source: s, date: 2026-11-22}",
        5,
        "prices[1].model",
        "is priced twice",
        "Keep one.",
    ),
]

ROUTE = "kind: Route\ntenant: acme\nprovider: openai\nkey: clients/acme/openai\n"
FAST = "kind: Alias\ntenant: acme\nname: fast\n"
ROUTING: list[tuple[str, int, str, str, str]] = [
    (ROUTE + "also: [{key: clients/acme/openai}]", 5, "also[0].key", "is named twice", "the weight"),
    (ROUTE + "also:\n- {key: operator/openai}\n- {key: operator/openai, weight: 2}", 7, "also[1].key", "twice", ""),
    (ROUTE + "also: [{key: clients/globex/own}]", 5, "also[0].key", "is not a key of acme", "clients/acme/NAME"),
    (ROUTE + "also: [{key: operator/house}]", 5, "also[0].key", "is never sent to openai", "a key of openai"),
    (ROUTE + "also: [{key: operator/houze, provider: house}]", 5, "also[0].key", "no Key document", "operator/house?"),
    (ROUTE + "also: [{key: operator/house, provider: hause}]", 5, "also[0].provider", "no provider hause", "house?"),
    (
        ROUTE + "also: [{key: operator/openai}]\nfallback:\n  key: operator/openai",
        7,
        "fallback.key",
        "is the same key",
        "another key",
    ),
    (
        ROUTE + "also:\n" + "\n".join(f"- {{key: operator/k{n}}}" for n in range(8)),
        5,
        "also",
        "more than 8 keys",
        "Remove",
    ),
    (ROUTE + "coolDown: {first: 9, longest: 8}", 5, "coolDown.longest", "begins with 9 s", "Write 9 or more."),
    ("kind: Alias\ntenant: acne\nname: f\ntargets: [{model: gpt-4o}]", 2, "tenant", "no tenant acne", "acme?"),
    ("kind: Alias\ntenant: acme\nagent: w\nname: f\ntargets: [{model: gpt-4o}]", 3, "agent", "no agent w", ""),
    (FAST + "targets: []", 4, "targets", "lists none", "Write the models"),
    (FAST + "targets:\n" + "\n".join(f"- {{model: gpt-5-{n}}}" for n in range(9)), 4, "targets", "more than 8", ""),
    (FAST + "targets:\n- {model: gpt-4o}\n- {model: gpt-4o, weight: 2}", 6, "targets[1].model", "is named twice", ""),
    (FAST + "targets: [{model: openai/gtp-4o}]", 4, "targets[0].model", "does not serve gtp-4o", "openai/gpt-4o?"),
    (FAST + "targets: [{model: openai/zzzzzz}]", 4, "targets[0].model", "does not serve", "It serves gpt-4o, gpt-5-*."),
    (FAST + "targets: [{model: lama}]", 4, "targets[0].model", "no provider that serves lama", "Did you mean llama?"),
    (FAST + "targets: [{model: opanai/gpt-4o}]", 4, "targets[0].model", "no provider that serves", "openai/gpt-4o?"),
    (FAST + "targets: [{model: secret-model}]", 4, "targets[0].model", "no provider that serves", "PROVIDER/MODEL"),
    (FAST + "targets: [{model: globex-own/secret-model}]", 4, "targets[0].model", "no provider that serves", ""),
    (FAST + "targets: [{model: fast}]", 4, "targets[0].model", "aliases do not lead to aliases", "PROVIDER/MODEL"),
    (
        FAST + "targets: [{model: faster}]\n---\nkind: Alias\ntenant: acme\nname: faster\ntargets: [{model: gpt-4o}]",
        4,
        "targets[0].model",
        "faster is an alias",
        "PROVIDER/MODEL",
    ),
    (
        "kind: Alias\ntenant: acme\nname: gpt-5-mini\ntargets: [{model: house/llama}]",
        3,
        "name",
        "is a model of openai, and none of the targets is",
        "another name",
    ),
]


@pytest.mark.parametrize(
    ("text", "line", "field", "said", "fix"), ROUTING, ids=[f"{n}-{w[2]}" for n, w in enumerate(ROUTING)]
)
def test_an_error_in_routes_and_aliases_names_its_place_and_fix(
    text: str, line: int, field: str, said: str, fix: str
) -> None:
    found = [p for p in check(right().merged(Documents(parse(text.encode(), "new.yaml")))) if p.level == "error"]
    assert any(p.field == field and said in p.text and fix in p.fix and p.line == line for p in found), found
    assert all(p.fix for p in found)


def warned(text: str) -> list[tuple[str, str]]:
    found = check(right().merged(Documents(parse(text.encode(), "new.yaml"))))
    assert all(p.level == "warning" for p in found), found
    return [(p.field, p.text) for p in found if p.file == "new.yaml"]


def test_warnings_of_routes_and_aliases() -> None:
    assert warned(ROUTE + "weight: 3\nsticky: conversation") == [
        ("weight", "chooses among one key."),
        ("sticky", "chooses among one key."),
    ]
    assert warned(FAST + "targets: [{model: openai/gpt-4o}]") == [("", "no agent lists it: nobody may call it.")]
    agent = "\n---\nkind: Agent\ntenant: acme\nname: x\nmodels: [fast, gpt-4o]"
    assert warned(FAST + "targets: [{model: openai/gpt-4o}]" + agent) == [], "an alias is no misspelt model"
    assert warned(FAST + "targets: [{model: openai/gpt-4o}, {model: openai/gpt-5-mini}]" + agent) == [
        ("targets[1].model", "the agent x lists the alias and not openai/gpt-5-mini: it is left out for it.")
    ]
    for_x = FAST.replace("name", "agent: x\nname")
    assert ("targets[0].model", "no route leads to house.") in warned(for_x + "targets: [{model: house/llama}]" + agent)
    same = "kind: Alias\ntenant: acme\nname: gpt-4o\ntargets: [{model: openai/gpt-4o}]"
    assert warned(same) == [], "an alias may have the name of the very model that it stands for"


def quoted(text: str) -> bytes:
    """Prices are text: a whole number needs quotes, which the tables above leave out for readability."""
    return text.replace("input: 1,", "input: '1',").replace("output: 1,", "output: '1',").encode()


@pytest.mark.parametrize(
    ("text", "line", "field", "said", "fix"), WRONG, ids=[f"{n}-{w[2]}" for n, w in enumerate(WRONG)]
)
def test_an_error_names_file_line_field_and_fix(text: str, line: int, field: str, said: str, fix: str) -> None:
    found = [p for p in check(right().merged(Documents(parse(quoted(text), "new.yaml")))) if p.level == "error"]
    wanted = "new.yaml" if line else "right.yaml"
    problems = [p for p in found if p.field == field and p.file == wanted and said in p.text and fix in p.fix]
    assert problems, found
    assert problems[0].line == line or not line
    assert problems[0].fix


def test_the_right_set_is_right() -> None:
    warnings = require(right())
    assert [(w.subject, w.text) for w in warnings] == [
        (
            "Agent acme/y",
            "house and openai both serve gpt-4o: a call that names it plainly is refused.",
        ),
    ]


def test_a_bound_on_a_tag_that_may_be_left_out_is_warned_of() -> None:
    limit = "kind: Limit\ntenant: acme\ntag: lab\ntokensPerDay: 5\n"

    def warned(tags: str) -> list[str]:
        agent = f"---\nkind: Agent\ntenant: acme\nname: w\nmodels: [llama]\n{tags}"
        found = check(right().merged(Documents(parse((limit + agent).encode(), "new.yaml"))))
        return [problem.text for problem in found if problem.subject.startswith("Limit")]

    assert warned("") == ["no agent of acme can carry lab."]
    assert warned("tagged: [lab]") == []
    assert warned('tags: ["l*"]') == ["w may leave lab out, and a call without it is not bounded by this."]
    assert warned('tags: ["l*"]\ntagged: [lab]') == []


def test_a_wrong_set_is_refused_whole() -> None:
    wrong = right().merged(Documents([Tenant(name="acme", mode="vpc")]))
    with pytest.raises(Invalid) as caught:
        require(wrong)
    assert len(caught.value.problems) == 3
    assert all(problem.level == "error" for problem in caught.value.problems)


def test_an_operator_key_that_names_a_tenants_provider_is_refused_twice() -> None:
    text = (
        b"kind: Provider\nname: trap\ntenant: acme\ncatalog: compatible\nbaseUrl: https://evil.example\nmodels: [m]\n"
        b"---\n{kind: Key, path: operator/trap, provider: trap}\n"
        b"---\n{kind: Route, tenant: acme, provider: trap, key: operator/trap}\n"
    )
    found = [p for p in check(right().merged(Documents(parse(text, "trap.yaml")))) if p.level == "error"]
    assert [(p.line, p.field, p.text) for p in found] == [
        (8, "provider", "the operator has no provider trap."),
        (10, "key", "a key of the operator is never sent to a provider of a tenant."),
    ]


def test_unknown_and_foreign_providers_are_answered_in_the_same_words() -> None:
    def said(name: str) -> str:
        route = Route(tenant="acme", provider=name, key="operator/openai")
        (problem,) = [p for p in check(right().merged(Documents([route]))) if p.level == "error"]
        return f"{problem.text} {problem.fix}".replace(name, "NAME")

    assert said("globex-own") == said("nobodys-own")


def test_a_hedge_without_an_equal_is_a_warning() -> None:
    also = "also: [{key: operator/openai}]\n"
    for text, field, said in (
        (ROUTE + "hedge: {after: 500}", "hedge", "asks an equal, and there is none."),
        (ROUTE + also + "hedge: {after: 500}", "", ""),
        (ROUTE + also + "hedge: {after: 500, most: 2}", "hedge.most", "asks 2 more, and there is 1."),
        (FAST + "targets: [{model: openai/gpt-4o}]\nhedge: {after: 500}", "hedge", "asks an equal, and there is none."),
        (FAST + "targets: [{model: openai/gpt-4o}, {model: openai/gpt-5-mini}]\nhedge: {after: 500}", "", ""),
        # Its one target may have several keys.
        (ROUTE + also + "---\n" + FAST + "targets: [{model: openai/gpt-4o}]\nhedge: {after: 500}", "", ""),
    ):
        problems = check(right().merged(Documents(parse(text.encode(), "h.yaml"))))
        found = [(p.level, p.field, p.text) for p in problems if p.field.startswith("hedge")]
        assert found == ([("warning", field, said)] if field else []), text


def test_warnings_tell_what_works_but_is_hardly_meant() -> None:
    text = b"kind: Agent\ntenant: acme\nname: w\nmodels: [gpt-4o, gtp-4o, openai/*, house/llama]\n"
    found = [p for p in check(right().merged(Documents(parse(text, "w.yaml")))) if p.file == "w.yaml"]
    assert [(p.level, p.line, p.field) for p in found] == [("warning", 4, "models[1]"), ("warning", 4, "models[3]")]
    bare = Documents(parse(b"kind: Agent\ntenant: acme\nname: w\n", "w.yaml"))
    (problem,) = [p for p in check(right().merged(bare)) if p.file == "w.yaml"]
    assert (problem.level, problem.field) == ("warning", "models")


@settings(max_examples=300, deadline=None)
@given(worlds)
def test_what_check_passes_protects_keys(documents: Documents) -> None:
    """Read from the documents alone: a set without errors has no route that decide's second lock would have to stop."""
    if any(problem.level == "error" for problem in check(documents)):
        return
    modes = {d.name: d.mode for d in documents if isinstance(d, Tenant)}
    providers = {key[1:] for key in map(identity, documents) if key[0] == "Provider"}
    keys = {d.path: d.provider for d in documents if hasattr(d, "path")}
    for route in documents:
        if isinstance(route, Route):
            hops = [(route.key, route.provider)]
            if route.fallback:
                hops.append((route.fallback.key, route.fallback.provider or route.provider))
            hops += [(other.key, other.provider or route.provider) for other in route.also]
            for path, provider in hops:
                assert owner_of(path) in {None, route.tenant}
                assert keys[path] == provider
                assert ("", provider) in providers or (owner_of(path) and (route.tenant, provider) in providers)
                assert not (owner_of(path) is None and modes[route.tenant] == "vpc")
    assert not {name for owner, name in providers if owner} & {name for owner, name in providers if not owner}


@settings(max_examples=150, deadline=None)
@given(worlds)
def test_every_problem_has_a_fix_and_a_subject(documents: Documents) -> None:
    for problem in check(documents):
        assert problem.text
        assert problem.fix
        assert problem.subject
        msgspec.json.encode(problem)
