"""Importing a LiteLLM configuration: what is carried, what is said of the rest, and that no secret comes along."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.migrate.litellm import Mode, import_litellm
from sekimori.migrate.report import Imported
from sekimori.policy.checks import check
from sekimori.policy.documents import Documents, parse
from sekimori.policy.kinds import KINDS, Agent, Key, Limit, Operator, Provider, Route, Tenant
from sekimori.policy.problems import Invalid
from sekimori.policy.reading import FILE_LIMIT
from sekimori.upstream.catalog import ENTRIES

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.yaml"))
CANARY = re.compile("canary", re.IGNORECASE)
MODES: list[Mode] = ["agency", "vpc"]
HAS_ALIASES = "Alias" in KINDS


def imported(text: str | bytes, **more: Any) -> Imported:
    data = text.encode() if isinstance(text, str) else text
    return import_litellm(data, "config.yaml", today="2026-11-25", **more)


def corpus(name: str, **more: Any) -> Imported:
    return imported((Path(__file__).parent / "corpus" / f"{name}.yaml").read_bytes(), **more)


def of(made: Imported, kind: type[Any]) -> list[Any]:
    return [document for document in made.documents if isinstance(document, kind)]


def said(made: Imported, place: str) -> list[str]:
    """Verdicts of the notes on a place."""
    return [note.verdict for note in made.notes if note.place == place]


def sound(made: Imported) -> None:
    """What must hold of every import, whatever the file was."""
    if made.documents:
        problems = check(Documents(parse(made.text.encode(), "import")))
        assert not [problem for problem in problems if problem.level == "error"]
        assert {step.path for step in made.keys} == {key.path for key in of(made, Key)}
        for step in made.keys:
            assert step.path in step.command
    else:
        assert made.text == ""
        assert any(note.verdict == "left_out" for note in made.notes), "nothing was written, and nobody is told why"
    assert [note.line for note in made.notes] == sorted(note.line for note in made.notes)
    for note in made.notes:
        assert note.text
        assert f"{note.place}{note.text}{note.advice}".isprintable(), note


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_is_written_can_be_applied_and_holds_no_secret(path: Path, mode: Mode) -> None:
    data = path.read_bytes()
    made = imported(data, mode=mode, tenant="acme", agent="old-proxy")
    sound(made)
    assert made.documents, "each file of the corpus has something to carry"
    whole = msgspec.json.encode(made).decode() + made.text
    assert not CANARY.search(whole), CANARY.findall(whole)
    owner = "operator/" if mode == "agency" else "clients/acme/"
    assert all(key.path.startswith(owner) for key in of(made, Key))
    assert of(made, Tenant) == [Tenant(name="acme", mode=mode)]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_every_entry_is_carried_or_spoken_of(path: Path) -> None:
    made = imported(path.read_bytes())
    served = {f"{provider.name}/{model}" for provider in of(made, Provider) for model in provider.models}
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["model_list"]
    for number, entry in enumerate(entries):
        spoken = any(note.place.startswith(f"model_list[{number}]") for note in made.notes)
        given = entry.get("litellm_params") if isinstance(entry, dict) else None
        model = given.get("model") if isinstance(given, dict) else None
        rest = str(model).partition("/")[2]
        # Of Bedrock's, LiteLLM writes before the name which API it calls.
        names = (str(model), rest.removeprefix("converse/").removeprefix("invoke/"))
        assert spoken or any(one.endswith("/" + name) for one in served for name in names), entry


def test_a_simple_file() -> None:
    made = corpus("simple")
    assert of(made, Provider) == [Provider(name="openai", catalog="openai", models=("gpt-5-mini",))]
    assert of(made, Agent) == [Agent(tenant="default", name="default", models=("openai/gpt-5-mini",))]
    assert of(made, Route) == [Route(tenant="default", provider="openai", key="operator/openai")]
    assert not made.notes
    assert not made.secrets
    (step,) = made.keys
    assert step.command == 'printf %s "$OPENAI_API_KEY" | sekimori key put operator/openai'


def test_every_address_and_key_is_a_contract_of_its_own() -> None:
    made = corpus("balanced")
    assert [(one.name, one.base_url) for one in of(made, Provider)] == [
        ("hosted-vllm", "https://one.example.com/v1"),
        ("hosted-vllm-two", "https://two.example.com/v1"),
        ("openai", None),
        ("openai-2", None),
    ]
    assert [step.where for step in made.keys] == [
        f"the variable {n}" for n in ("ONE_KEY", "TWO_KEY", "OPENAI_KEY_A", "OPENAI_KEY_B")
    ]
    assert of(made, Limit) == [
        Limit(tenant="default", concurrency=64),
        Limit(tenant="default", key="operator/openai", requests_per_minute=200, tokens_per_minute=40_000),
        Limit(tenant="default", key="operator/openai-2", requests_per_minute=600),
    ]
    if HAS_ALIASES:
        aliases = {one.name: one for one in of(made, KINDS["Alias"])}
        weights = {target.model: target.weight for target in aliases["zephyr"].targets}
        assert weights == {"hosted-vllm/zephyr-7b": 1000, "hosted-vllm-two/zephyr-7b": 333}
        weights = {target.model: target.weight for target in aliases["gpt-5-mini"].targets}
        assert weights == {"openai/gpt-5-mini": 200, "openai-2/gpt-5-mini": 600}
    else:
        falls = {route.provider: route.fallback.provider for route in of(made, Route) if route.fallback}
        assert falls == {"hosted-vllm": "hosted-vllm-two", "openai": "openai-2"}


def test_a_key_never_stands_beside_an_address_it_was_not_written_for() -> None:
    for path in CORPUS:
        made = imported(path.read_bytes())
        providers = {one.name for one in of(made, Provider)}
        assert [key.provider for key in of(made, Key)] == [one.name for one in of(made, Provider)]
        assert {route.provider for route in of(made, Route)} == providers


def test_the_environment_is_not_read_and_what_comes_from_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_API_BASE", "https://canary.example.com")
    made = corpus("azure")
    assert said(made, "model_list[2].litellm_params.api_base") == ["left_out"]
    resolved = corpus("everything")
    assert "https://example.openai.azure.com/openai/v1" in [one.base_url for one in of(resolved, Provider)]


def test_secrets_are_counted_and_their_place_is_told() -> None:
    made = corpus("everything")
    places = {note.place for note in made.notes if note.verdict == "secret"}
    assert places == {
        "environment_variables.LANGFUSE_SECRET_KEY",
        "model_list[4].litellm_params.api_key",
        "litellm_settings.cache_params.password",
        "general_settings.master_key",
        "general_settings.database_url",
        "general_settings.pass_through_endpoints[0].headers.authorization",
    }
    assert made.secrets == len(places)
    (step,) = [step for step in made.keys if step.source == "file"]
    assert step.where == "line 28 of the file"
    assert step.command.startswith("sekimori key put operator/together-ai")


def test_addresses_that_only_the_operator_can_allow_are_allowed_exactly_and_said() -> None:
    made = corpus("own-servers")
    (operator,) = of(made, Operator)
    assert [(one.host, one.port) for one in operator.allow_private] == [("localhost", 11434), ("10.0.0.7", 8000)]
    bases = [one.base_url for one in of(made, Provider)]
    assert bases == [
        "http://localhost:11434/v1",
        "http://localhost:11434/v1",
        "http://10.0.0.7:8000/v1",
        "https://tgi.example.com/v1",
    ] or bases == ["http://localhost:11434/v1", "http://10.0.0.7:8000/v1", "https://tgi.example.com/v1"]
    for place in ("model_list[3].litellm_params.api_base", "model_list[5].litellm_params.api_base"):
        assert said(made, place) == ["left_out"], "0.0.0.0 and the metadata service are no servers of models"
    assert "left_out" in said(made, "model_list[6].litellm_params.api_base")


def test_wildcards_become_what_a_provider_serves() -> None:
    made = corpus("wildcards")
    providers = {one.name: one for one in of(made, Provider)}
    assert providers["anthropic"].models == ("claude-*",)
    assert "gpt-*" in providers["openai"].models
    assert "fo::*:static::*" in providers["openai"].models
    assert providers["groq"].models == ("*",)
    assert said(made, "model_list[4].litellm_params.model") == ["left_out"]


def test_fallbacks_stay_within_a_model() -> None:
    made = corpus("fallbacks")
    falls = {route.provider: route.fallback for route in of(made, Route)}
    assert falls["openai"] is not None
    assert falls["openai"].provider == "azure"
    assert falls["anthropic"] is None, "another model was not asked for"
    assert "left_out" in said(made, "litellm_settings.fallbacks[1]")
    assert said(made, "router_settings.model_group_alias.lost") == ["left_out"]
    assert said(made, "router_settings.model_group_alias.gpt-4o") == ["left_out"]


@pytest.mark.parametrize(
    ("prefix", "entry"),
    [
        ("mistral", "mistral"),
        ("groq", "groq"),
        ("openrouter", "openrouter"),
        ("deepseek", "deepseek"),
        ("xai", "xai"),
        ("gemini", "gemini"),
        ("anthropic", "anthropic"),
        ("openai", "openai"),
    ],
)
def test_a_provider_of_the_catalogue_is_used_where_there_is_one(prefix: str, entry: str) -> None:
    made = imported(f"model_list: [{{model_name: m, litellm_params: {{model: {prefix}/m}}}}]")
    (provider,) = of(made, Provider)
    if entry in ENTRIES:
        assert (provider.catalog, provider.base_url) == (entry, None)
    else:
        assert provider.catalog == "compatible"
        assert provider.base_url.startswith("https://")


def test_prices_are_carried_to_the_digit() -> None:
    (operator,) = of(corpus("everything"), Operator)
    (price,) = operator.prices
    assert (price.model, price.input, price.output, price.date) == ("mistral-large-latest", "2", "6", "2026-11-25")


ENTRY_OF = "{{model_name: {0}, litellm_params: {{model: openai/{0}, api_key: os.environ/{1}, {2}}}}}"


def bounded(*entries: tuple[str, str, str], more: str = "") -> Imported:
    """An import of entries (model, variable of the key, further parameters)."""
    return imported(f"model_list: [{', '.join(ENTRY_OF.format(*entry) for entry in entries)}]\n{more}")


def test_rates_bound_the_key_that_they_stand_with() -> None:
    made = bounded(("a", "A", "rpm: 10, tpm: 4000"), ("b", "B", "rpm: 20"), ("c", "B", "rpm: 30"))
    first, second = (key.path for key in of(made, Key))
    assert of(made, Limit) == [
        Limit(tenant="default", key=first, requests_per_minute=10, tokens_per_minute=4000),
        Limit(tenant="default", key=second, requests_per_minute=50),
    ]
    for number, names in ((0, ("rpm", "tpm")), (1, ("rpm",)), (2, ("rpm",))):
        for name in names:
            assert said(made, f"model_list[{number}].litellm_params.{name}") == ["changed"]
    sound(made)


@pytest.mark.parametrize("rate", ["-3", "lots", "0", "1.5", "9999999999", "[1]", "null"])
def test_a_rate_that_cannot_be_kept_is_left_out(rate: str) -> None:
    made = bounded(("a", "A", f"tpm: {rate}"))
    assert of(made, Limit) == []
    assert said(made, "model_list[0].litellm_params.tpm") == ["left_out"]


def test_a_key_of_which_one_entry_has_no_rate_is_not_bounded() -> None:
    made = bounded(("a", "A", "rpm: 10"), ("b", "A", "tpm: 10"))
    assert of(made, Limit) == []
    assert said(made, "model_list[0].litellm_params.rpm") == ["left_out"]
    assert said(made, "model_list[1].litellm_params.tpm") == ["left_out"]


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("1d", {"money_per_day": "12.5"}),
        ("30d", {"money_per_month": "12.5"}),
        ("1mo", {"money_per_month": "12.5"}),
        *((other, {}) for other in ("7d", "24h", "1h", "2mo", "31d", "", "soon", "1D")),
    ],
)
def test_a_budget_is_carried_where_it_is_counted_from_the_same_moment(duration: str, expected: dict[str, str]) -> None:
    budget = "max_budget: 12.50" + (f", budget_duration: {duration}" if duration else "")
    made = bounded(("a", "A", budget))
    [key] = of(made, Key)
    assert of(made, Limit) == ([Limit(tenant="default", key=key.path, **expected)] if expected else [])
    assert said(made, "model_list[0].litellm_params.max_budget") == ["changed" if expected else "left_out"]
    made = bounded(("a", "A", "weight: 1"), more=f"litellm_settings: {{{budget}}}")
    assert of(made, Limit) == ([Limit(tenant="default", **expected)] if expected else [])
    assert said(made, "litellm_settings.max_budget") == ["changed" if expected else "left_out"]
    sound(made)


def test_a_budget_that_means_something_else_here_is_left_out() -> None:
    elsewhere = "litellm_settings: {max_budget: 5, budget_duration: 1d, timezone: Europe/Berlin}"
    assert of(bounded(("a", "A", "weight: 1"), more=elsewhere), Limit) == []
    shared = bounded(("a", "A", "max_budget: 5, budget_duration: 1d"), ("b", "A", "weight: 1"))
    assert of(shared, Limit) == []
    assert said(shared, "model_list[0].litellm_params.max_budget") == ["left_out"]
    for amount in ("-1", "0", "lots", "1e12", "0.0000000001"):
        odd = bounded(("a", "A", f"max_budget: {amount}, budget_duration: 1d"))
        assert of(odd, Limit) == []
        assert said(odd, "model_list[0].litellm_params.max_budget") == ["left_out"]


@pytest.mark.parametrize("name", ["operator", "", "Acme", "a" * 40, "all"])
def test_names_are_checked(name: str) -> None:
    for more in ({"tenant": name}, {"agent": name}):
        with pytest.raises(ValueError, match="name") as caught:
            corpus("simple", **more)
        assert not isinstance(caught.value, Invalid)


BROKEN = {
    "not YAML": "model_list: [",
    "a tab": "a:\n\t- b",
    "a list": "- a",
    "a text": "hello",
    "two documents": "a: 1\n---\nb: 2",
    "nothing": "",
    "a tag": "model_list: !!python/object/apply:os.system [echo]",
    "an unknown alias": "a: *b",
    "an alias in itself": "a: &a [*a]",
    "a name twice": "model_list: []\nmodel_list: []",
    "a merge of text": "a: {<<: b}",
    "not UTF-8": b"a: \xff",
    "a control character": b"a: \x01",
    "a line that shows otherwise": "a: \u202eb",
    "too large": b"a: " + b"x" * FILE_LIMIT,
    "too deep": "[" * 100 + "]" * 100,
    "an unquoted star": "model_list:\n  - model_name: *\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_configuration_is_refused_with_the_place(text: str | bytes) -> None:
    with pytest.raises(Invalid) as caught:
        imported(text)
    assert all(problem.text and problem.fix for problem in caught.value.problems)


@pytest.mark.parametrize("depth", [12, 30])
def test_aliases_are_written_out_within_a_bound(depth: int) -> None:
    """Each line stands for nine of the line before: 9¹² values in a few hundred bytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
    with pytest.raises(Invalid, match="values"):
        imported("\n".join(lines))


def test_depth_is_counted_through_aliases() -> None:
    lines = ["a0: &a0 [[[[[[[[x]]]]]]]]"]
    lines += [f"a{n}: &a{n} [[[[[[*a{n - 1}]]]]]]" for n in range(1, 9)]
    with pytest.raises(Invalid, match="deep"):
        imported("\n".join(lines))


@pytest.mark.parametrize("text", ["{}", "model_list: []", "model_list: null", "general_settings: {master_key: x}"])
def test_a_file_without_models_writes_nothing_and_says_so(text: str) -> None:
    made = imported(text)
    assert not made.documents
    sound(made)


def test_a_huge_file_ends() -> None:
    entry = "  - {{model_name: m{n}, litellm_params: {{model: openai/m, api_base: 'https://h{n}.example.com'}}}}"
    made = imported("model_list:\n" + "\n".join(entry.format(n=n) for n in range(700)))
    assert len(of(made, Provider)) == 500
    assert "left_out" in said(made, "model_list[500]")
    sound(made)


WORDS = st.sampled_from(
    [
        *("openai/gpt-5-mini", "azure/x", "anthropic/*", "*", "ollama/llama3", "vertex_ai/gemini", "bedrock/a.b-v1:0"),
        *(
            "1d",
            "30d",
            "gpt-4o",
            "https://a.example.com/v1",
            "http://localhost:1",
            "https://x.openai.azure.com",
            "os.environ/KEY",
        ),
        *(
            "http://[::1]:8000/v1",
            "sk-abcdefghijklmnopqrst",
            "none",
            "embedding",
            "chat",
            "shared",
            "operator",
            "",
            "é",
        ),
    ]
)
SCALARS = st.one_of(WORDS, st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none())
PARAMETERS = st.sampled_from(
    [
        *("model", "api_base", "api_key", "api_version", "rpm", "tpm", "weight", "input_cost_per_token"),
        *("max_budget", "budget_duration"),
        *("output_cost_per_token", "custom_llm_provider", "litellm_credential_name", "organization", "timeout", "x"),
    ]
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "model_name": SCALARS,
        "litellm_params": st.one_of(st.dictionaries(PARAMETERS, SCALARS, max_size=6), SCALARS),
        "model_info": st.one_of(st.dictionaries(st.sampled_from(["mode", "id", "x"]), SCALARS), SCALARS),
    },
)
FALLBACKS = st.one_of(SCALARS, st.lists(st.dictionaries(WORDS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)))))
FILES = st.fixed_dictionaries(
    {"model_list": st.one_of(st.lists(st.one_of(ENTRY, SCALARS), max_size=6), SCALARS)},
    optional={
        "litellm_settings": st.one_of(st.fixed_dictionaries({"fallbacks": FALLBACKS}), SCALARS),
        "router_settings": st.one_of(
            st.fixed_dictionaries({"model_group_alias": st.one_of(st.dictionaries(WORDS, SCALARS), SCALARS)}), SCALARS
        ),
        "general_settings": st.one_of(
            st.dictionaries(st.sampled_from(["master_key", "global_max_parallel_requests"]), SCALARS), SCALARS
        ),
        "environment_variables": st.one_of(st.dictionaries(WORDS, SCALARS), SCALARS),
        "credential_list": st.one_of(
            st.lists(st.fixed_dictionaries({"credential_name": SCALARS, "credential_values": SCALARS})), SCALARS
        ),
    },
)


@given(FILES, st.sampled_from(MODES))
@settings(max_examples=300, deadline=None)
def test_an_import_never_crashes_and_what_it_writes_is_sound(tree: Any, mode: Mode) -> None:
    try:
        made = imported(json.dumps(tree, allow_nan=True), mode=mode)
    except Invalid as invalid:
        assert invalid.problems
        return
    sound(made)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        sound(imported(data))
    except Invalid as invalid:
        assert invalid.problems


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=14, max_size=30), st.data())
@settings(max_examples=100, deadline=None)
def test_a_literal_secret_is_in_nothing_that_comes_out(secret: str, data: st.DataObject) -> None:
    """Whatever it looks like: what makes it one is where it stands."""
    secret = "zq7" + secret
    provider = data.draw(st.sampled_from(["openai/m", "azure/m", "groq/m", "custom_openai/m", "nobody/m", "m"]))
    base = data.draw(
        st.sampled_from(["", "https://a.openai.azure.com", "http://10.0.0.1:80", "ftp://x", "os.environ/X"])
    )
    parameters = {"model": provider, "api_key": secret, **({"api_base": base} if base else {})}
    tree = {
        "model_list": [{"model_name": "m", "litellm_params": parameters}],
        "general_settings": {"master_key": secret},
        "environment_variables": {"SOME_API_KEY": secret},
    }
    made = imported(json.dumps(tree))
    assert made.secrets == 3
    assert secret not in msgspec.json.encode(made).decode()
