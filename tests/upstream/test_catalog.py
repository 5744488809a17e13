"""The catalogue: where a call goes, how the key is sent, what a status means."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec import structs

from sekimori.egress.address import BaseUrl, check_base_url
from sekimori.errors import Fault, Refused
from sekimori.policy.kinds import Provider as Document
from sekimori.terms import (
    NO_PLACEMENT,
    CredentialKind,
    Dialect,
    Operation,
    Origin,
    Placement,
    Provider,
)
from sekimori.upstream.catalog import ENTRIES, accepts, condition, offers, request_headers, target, usual_base

PREVIEW = Placement(api_version="2025-04-01-preview")
DATED = Placement(api_version="2024-10-21", deployments=(("m", "prod-m"),))


def provider(catalog: str, path: str = "", *dialects: Dialect) -> Provider:
    entry = ENTRIES[catalog]
    spoken = frozenset(dialects) or entry.dialects
    return Provider("p", "operator", "operator", catalog, Origin("https", "h", 443), path, spoken, ("*",))


@pytest.mark.parametrize(
    ("catalog", "path", "dialect", "operation", "expected"),
    [
        ("openai", "/v1", "openai", "chat", "/v1/chat/completions"),
        ("openai", "/v1", "openai", "responses", "/v1/responses"),
        ("compatible", "/proxy/v1", "openai", "embeddings", "/proxy/v1/embeddings"),
        ("sandbox", "", "openai", "responses", "/v1/responses"),
        ("anthropic", "", "anthropic", "chat", "/v1/messages"),
        ("anthropic", "/v1", "anthropic", "chat", "/v1/messages"),
        ("anthropic", "", "anthropic", "count_tokens", "/v1/messages/count_tokens"),
        ("compatible", "", "openai", "chat", "/v1/chat/completions"),
        ("compatible", "/v1", "openai", "chat", "/v1/chat/completions"),
        ("compatible", "/v1", "anthropic", "chat", "/v1/messages"),
        ("compatible", "/v1beta/openai", "openai", "chat", "/v1beta/openai/chat/completions"),
        ("compatible", "/proxy", "anthropic", "chat", "/proxy/v1/messages"),
        ("compatible", "/proxy/v1", "anthropic", "count_tokens", "/proxy/v1/messages/count_tokens"),
        ("sandbox", "", "anthropic", "chat", "/v1/messages"),
        ("gemini", "", "openai", "chat", "/v1beta/openai/chat/completions"),
        ("gemini", "/v1beta", "openai", "chat", "/v1beta/openai/chat/completions"),
        ("gemini", "/v1beta/openai", "openai", "chat", "/v1beta/openai/chat/completions"),
        ("gemini", "/proxy", "openai", "chat", "/proxy/v1beta/openai/chat/completions"),
    ],
)
def test_targets(catalog: str, path: str, dialect: Dialect, operation: Operation, expected: str) -> None:
    assert target(provider(catalog, path), dialect, operation) == expected


@pytest.mark.parametrize(
    ("path", "operation", "model", "stream", "batch", "expected"),
    [
        ("", "chat", "gemini-x", False, False, "/v1beta/models/gemini-x:generateContent"),
        ("", "chat", "gemini-x", True, False, "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"),
        ("/v1beta", "count_tokens", "gemini-x", False, False, "/v1beta/models/gemini-x:countTokens"),
        ("/v1beta/openai", "embeddings", "gemini-x", False, False, "/v1beta/models/gemini-x:embedContent"),
        ("/v1", "embeddings", "gemini-x", False, True, "/v1beta/models/gemini-x:batchEmbedContents"),
        ("/proxy", "chat", "tunedModels/t-1", False, False, "/proxy/v1beta/tunedModels/t-1:generateContent"),
        # What stands in a model's name stays in it: a colon is where a server looks for the method.
        ("", "chat", "x:predict", False, False, "/v1beta/models/x%3Apredict:generateContent"),
        ("", "chat", "a/b@c+d", False, False, "/v1beta/models/a/b@c+d:generateContent"),
        ("", "chat", "x?alt=json#y z%2F", False, False, "/v1beta/models/x%3Falt%3Djson%23y%20z%252F:generateContent"),
    ],
)
def test_targets_that_name_the_model(
    path: str, operation: Operation, model: str, stream: bool, batch: bool, expected: str
) -> None:
    for catalog in ("gemini", "compatible", "sandbox"):
        assert target(provider(catalog, path), "gemini", operation, model, stream, batch=batch) == expected


@pytest.mark.parametrize("model", ["", ".", "..", "a/../b", "a/./b", "a//b", "/a", "a/"])
def test_a_model_that_climbs_is_no_target(model: str) -> None:
    with pytest.raises(Refused, match="bad_request"):
        target(provider("gemini"), "gemini", "chat", model)


def test_several_embeddings_in_one_call_go_only_where_they_have_a_path() -> None:
    assert offers("gemini", "gemini", "embeddings", batch=True)
    assert offers("vertex", "gemini", "embeddings", WHOLE)
    assert not offers("vertex", "gemini", "embeddings", WHOLE, batch=True)
    assert not offers("vertex", "gemini", "embeddings", NO_PLACEMENT), "express mode embeds nothing"
    with pytest.raises(Refused, match="unsupported_operation"):
        target(structs.replace(provider("vertex"), placement=WHOLE), "gemini", "embeddings", "m", batch=True)


@pytest.mark.parametrize(
    ("catalog", "dialects", "dialect", "operation"),
    [
        ("openai", (), "anthropic", "chat"),
        ("openai", (), "openai", "count_tokens"),
        ("anthropic", (), "anthropic", "responses"),
        ("compatible", ("anthropic",), "openai", "embeddings"),
        ("anthropic", (), "openai", "embeddings"),
        ("anthropic", ("anthropic",), "openai", "chat"),
        ("deepseek", (), "anthropic", "count_tokens"),
        ("bedrock", (), "anthropic", "count_tokens"),
        ("mistral", (), "anthropic", "chat"),
        ("vertex", (), "openai", "chat"),
        ("vertex", (), "anthropic", "chat"),
        ("compatible", ("openai",), "anthropic", "chat"),
        ("openai", (), "gemini", "chat"),
        ("gemini", (), "anthropic", "chat"),
        ("gemini", ("openai",), "gemini", "chat"),
    ],
)
def test_what_is_not_offered(
    catalog: str, dialects: tuple[Dialect, ...], dialect: Dialect, operation: Operation
) -> None:
    with pytest.raises(Refused, match="unsupported_operation"):
        target(provider(catalog, "", *dialects), dialect, operation)


WHOLE = Placement("my-project", "europe-west4")


@pytest.mark.parametrize(
    ("catalog", "path", "placement", "dialect", "operation", "stream", "expected"),
    [
        ("azure", "", NO_PLACEMENT, "openai", "chat", False, "/openai/v1/chat/completions"),
        ("azure", "/openai/v1", NO_PLACEMENT, "openai", "chat", True, "/openai/v1/chat/completions"),
        ("azure", "", PREVIEW, "openai", "responses", True, "/openai/responses?api-version=2025-04-01-preview"),
        ("azure", "/openai/v1", NO_PLACEMENT, "anthropic", "chat", True, "/anthropic/v1/messages"),
        ("azure", "", DATED, "anthropic", "count_tokens", False, "/anthropic/v1/messages/count_tokens"),
        (
            "azure",
            "",
            DATED,
            "openai",
            "chat",
            True,
            "/openai/deployments/prod-m/chat/completions?api-version=2024-10-21",
        ),
        (
            "vertex",
            "",
            WHOLE,
            "openai",
            "chat",
            False,
            "/v1/projects/my-project/locations/europe-west4/endpoints/openapi/chat/completions",
        ),
        (
            "vertex",
            "/v1",
            WHOLE,
            "anthropic",
            "chat",
            False,
            "/v1/projects/my-project/locations/europe-west4/publishers/anthropic/models/m:rawPredict",
        ),
        (
            "vertex",
            "",
            WHOLE,
            "anthropic",
            "chat",
            True,
            "/v1/projects/my-project/locations/europe-west4/publishers/anthropic/models/m:streamRawPredict",
        ),
        (
            "vertex",
            "",
            WHOLE,
            "anthropic",
            "count_tokens",
            False,
            "/v1/projects/my-project/locations/europe-west4/publishers/anthropic/models/count-tokens:rawPredict",
        ),
        (
            "vertex",
            "",
            WHOLE,
            "gemini",
            "chat",
            True,
            "/v1/projects/my-project/locations/europe-west4/publishers/google/models/m:streamGenerateContent?alt=sse",
        ),
        (
            "vertex",
            "",
            WHOLE,
            "gemini",
            "embeddings",
            False,
            "/v1/projects/my-project/locations/europe-west4/publishers/google/models/m:embedContent",
        ),
        ("vertex", "", NO_PLACEMENT, "gemini", "chat", False, "/v1/publishers/google/models/m:generateContent"),
        ("bedrock", "", WHOLE, "openai", "chat", False, "/openai/v1/chat/completions"),
        ("bedrock", "", WHOLE, "anthropic", "chat", False, "/model/m/invoke"),
        ("bedrock", "", WHOLE, "anthropic", "chat", True, "/model/m/invoke-with-response-stream"),
        ("bedrock_mantle", "", WHOLE, "openai", "chat", False, "/v1/chat/completions"),
        ("bedrock_mantle", "/openai/v1", WHOLE, "openai", "chat", False, "/openai/v1/chat/completions"),
        ("bedrock_mantle", "", WHOLE, "anthropic", "chat", False, "/anthropic/v1/messages"),
        ("mistral", "/v1", NO_PLACEMENT, "openai", "chat", False, "/v1/chat/completions"),
        ("groq", "/openai/v1", NO_PLACEMENT, "openai", "chat", False, "/openai/v1/chat/completions"),
        ("openrouter", "/api/v1", NO_PLACEMENT, "openai", "chat", False, "/api/v1/chat/completions"),
        ("openrouter", "/api/v1", NO_PLACEMENT, "anthropic", "chat", False, "/api/v1/messages"),
        ("deepseek", "", NO_PLACEMENT, "openai", "chat", False, "/v1/chat/completions"),
        ("deepseek", "/v1", NO_PLACEMENT, "anthropic", "chat", False, "/anthropic/v1/messages"),
        ("deepseek", "/anthropic", NO_PLACEMENT, "anthropic", "chat", False, "/anthropic/v1/messages"),
        ("xai", "/v1", NO_PLACEMENT, "anthropic", "chat", False, "/v1/messages"),
        ("anthropic", "", NO_PLACEMENT, "openai", "chat", False, "/v1/chat/completions"),
    ],
)
def test_where_each_cloud_is_called(
    catalog: str,
    path: str,
    placement: Placement,
    dialect: Dialect,
    operation: Operation,
    stream: bool,
    expected: str,
) -> None:
    placed = structs.replace(provider(catalog, path), placement=placement)
    assert target(placed, dialect, operation, "m", stream) == expected


@pytest.mark.parametrize(
    "model",
    [
        "../../x",
        "a/../b",
        "..",
        "a?b=c",
        "a#b",
        "a%2e%2e",
        "a b",
        "m:rawPredict",
        "arn:aws:bedrock:us:1:p/q",
        "ü",
        "\n",
    ],
)
def test_a_models_name_stays_one_segment(model: str) -> None:
    for catalog, dialect in (("vertex", "anthropic"), ("bedrock", "anthropic"), ("azure", "openai")):
        placed = structs.replace(provider(catalog), placement=structs.replace(WHOLE, api_version="2024-10-21"))
        try:
            made = target(placed, dialect, "chat", model)  # type: ignore[arg-type]
            usual = target(placed, dialect, "chat", "m")  # type: ignore[arg-type]
        except Refused:
            assert model == ".."
            continue
        assert made.count("/") == usual.count("/")
        assert made.count("?") == usual.count("?")
        assert made.count(":") == usual.count(":")
        assert "#" not in made
        assert " " not in made
        assert made.isascii()


@pytest.mark.parametrize(
    ("catalog", "location", "expected"),
    [
        ("vertex", "europe-west4", "https://europe-west4-aiplatform.googleapis.com"),
        ("vertex", "global", "https://aiplatform.googleapis.com"),
        ("vertex", "us", "https://aiplatform.us.rep.googleapis.com"),
        ("vertex", "", "https://aiplatform.googleapis.com"),
        ("bedrock", "us-east-1", "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ("bedrock", "cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("bedrock", "", None),
        ("bedrock_mantle", "us-west-2", "https://bedrock-mantle.us-west-2.api.aws"),
        ("azure", "", None),
        ("groq", "", "https://api.groq.com/openai/v1"),
    ],
)
def test_where_each_region_listens(catalog: str, location: str, expected: str | None) -> None:
    assert usual_base(catalog, location) == expected


@pytest.mark.parametrize(
    ("catalog", "placement", "credentials"),
    [
        ("openai", NO_PLACEMENT, {"api_key"}),
        ("azure", NO_PLACEMENT, {"api_key", "entra"}),
        ("vertex", WHOLE, {"google_service_account", "google_external_account"}),
        ("vertex", NO_PLACEMENT, {"api_key"}),
        ("bedrock", WHOLE, {"api_key", "aws"}),
        ("compatible", NO_PLACEMENT, {"api_key"}),
    ],
)
def test_a_token_of_one_cloud_goes_to_no_other(catalog: str, placement: Placement, credentials: set[str]) -> None:
    kinds = get_args(CredentialKind)
    assert {kind for kind in kinds if accepts(catalog, placement, kind)} == credentials


def test_openais_account_is_named_to_openai_alone() -> None:
    account = Placement(organization="org-1", project="proj_1")
    for catalog in ENTRIES:
        placed = structs.replace(provider(catalog), placement=account)
        caller = ((b"openai-organization", b"theirs"), (b"openai-project", b"theirs"))
        for dialect in ENTRIES[catalog].dialects:
            named = [f for f in request_headers(placed, dialect, b"k-1", caller) if f[0].startswith(b"openai-")]
            expected = [(b"openai-organization", b"org-1"), (b"openai-project", b"proj_1")]
            assert named == (expected if catalog == "openai" else [])


def test_every_entry_is_whole() -> None:
    for name, entry in ENTRIES.items():
        assert entry.name == name
        assert entry.usual <= entry.dialects
        assert set(entry.auth) == entry.dialects
        assert all(entry.auth.values())
        assert all(offers(name, dialect, "chat", WHOLE) for dialect in entry.dialects)
        for base in (entry.base_url, usual_base(name, "us-east-1"), usual_base(name, "us")):
            if base:
                assert isinstance(check_base_url(base, owner="acme"), BaseUrl)
        assert entry.needs <= entry.takes
        assert entry.source
        assert entry.date >= "2026-11-25"
        assert bool(entry.scope) == bool(entry.credentials & {"entra", "google_service_account"})
        assert bool(entry.service) == ("aws" in entry.credentials)


def test_documents_and_catalogue_name_the_same_entries() -> None:
    for name in ENTRIES:
        assert Document(name="p", catalog=name, models=("m",)).catalog == name  # type: ignore[arg-type]
    from sekimori.policy.documents import parse

    for name in ENTRIES:
        parse(f"{{kind: Provider, name: p, catalog: {name}, models: [m]}}".encode(), "a")


@pytest.mark.parametrize(
    ("catalog", "dialect", "expected"),
    [
        ("openai", "openai", [(b"authorization", b"Bearer k-1")]),
        ("anthropic", "anthropic", [(b"x-api-key", b"k-1"), (b"anthropic-version", b"2023-06-01")]),
        (
            "compatible",
            "anthropic",
            [(b"x-api-key", b"k-1"), (b"authorization", b"Bearer k-1"), (b"anthropic-version", b"2023-06-01")],
        ),
        ("sandbox", "openai", [(b"authorization", b"Bearer k-1")]),
        ("azure", "openai", [(b"api-key", b"k-1")]),
        ("azure", "anthropic", [(b"x-api-key", b"k-1"), (b"api-key", b"k-1"), (b"anthropic-version", b"2023-06-01")]),
        ("vertex", "gemini", [(b"x-goog-api-key", b"k-1")]),
        ("vertex", "anthropic", [(b"authorization", b"Bearer k-1")]),
        ("bedrock", "anthropic", [(b"authorization", b"Bearer k-1")]),
        ("bedrock_mantle", "anthropic", [(b"authorization", b"Bearer k-1"), (b"anthropic-version", b"2023-06-01")]),
        ("gemini", "gemini", [(b"x-goog-api-key", b"k-1")]),
        ("gemini", "openai", [(b"authorization", b"Bearer k-1")]),
        ("compatible", "gemini", [(b"x-goog-api-key", b"k-1")]),
    ],
)
def test_how_the_key_is_sent(catalog: str, dialect: Dialect, expected: list[tuple[bytes, bytes]]) -> None:
    headers = request_headers(provider(catalog), dialect, b"k-1")
    assert headers == [(b"content-type", b"application/json"), *expected]


def test_the_callers_version_and_betas_travel_and_its_credentials_never_do() -> None:
    caller = (
        (b"anthropic-version", b"2024-01-01"),
        (b"anthropic-beta", b"x"),
        (b"authorization", b"Bearer sk-sek_theirs"),
        (b"x-api-key", b"sk-sek_theirs"),
        (b"cookie", b"a=b"),
        (b"host", b"evil"),
        (b"transfer-encoding", b"chunked"),
        (b"content-length", b"0"),
    )
    headers = request_headers(provider("anthropic"), "anthropic", b"k-1", caller)
    assert headers == [
        (b"content-type", b"application/json"),
        (b"x-api-key", b"k-1"),
        (b"anthropic-version", b"2024-01-01"),
        (b"anthropic-beta", b"x"),
    ]


@pytest.mark.parametrize(
    "secret", ["", " zq9", "zq9 ", "zq9\r\nx: y", "zq9\n", "zqé9", "zq\x009", "\tzq9", "zq 9", "zq9\x7f"]
)
def test_a_key_that_could_end_the_header_field_is_not_sent_and_not_told(secret: str) -> None:
    with pytest.raises(Fault, match="key_unavailable") as caught:
        request_headers(provider("openai"), "openai", secret.encode())
    assert "zq" not in str(caught.value)


@pytest.mark.parametrize(
    ("catalog", "status", "expected"),
    [
        ("openai", 429, "rate_limited"),
        ("openai", 503, "overloaded"),
        ("openai", 500, "server_error"),
        ("anthropic", 529, "overloaded"),
        ("anthropic", 503, "server_error"),
        ("anthropic", 429, "rate_limited"),
        ("compatible", 502, "server_error"),
        ("groq", 498, "overloaded"),
        ("deepseek", 503, "overloaded"),
        ("openai", 498, None),
        ("gemini", 503, "overloaded"),
        ("gemini", 429, "rate_limited"),
        ("openai", 200, None),
        ("openai", 301, None),
        ("openai", 400, None),
        ("openai", 401, None),
        ("openai", 600, None),
    ],
)
def test_what_a_status_means(catalog: str, status: int, expected: str | None) -> None:
    assert condition(provider(catalog), status) == expected


STORED = [
    ("openai", NO_PLACEMENT, "/v1/responses/resp_1{}"),
    ("compatible", NO_PLACEMENT, "/v1/responses/resp_1{}"),
    ("sandbox", NO_PLACEMENT, "/v1/responses/resp_1{}"),
    ("azure", NO_PLACEMENT, "/openai/v1/responses/resp_1{}"),
    ("azure", PREVIEW, "/openai/responses/resp_1{}?api-version=2025-04-01-preview"),
]


@pytest.mark.parametrize(("catalog", "placement", "expected"), STORED)
def test_stored_responses_have_targets_of_their_own(catalog: str, placement: Placement, expected: str) -> None:
    at = structs.replace(provider(catalog), placement=placement, base_path="")
    for operation, rest in (
        ("response_retrieve", ""),
        ("response_delete", ""),
        ("response_cancel", "/cancel"),
        ("response_items", "/input_items"),
    ):
        path = expected.format(rest)
        assert target(at, "openai", operation, "m", object="resp_1") == path
        behind = f"{path}{'&' if '?' in path else '?'}limit=2"
        assert target(at, "openai", operation, "m", object="resp_1", query="limit=2") == behind
        for odd, quoted in (("a/b", "a%2Fb"), ("a?b", "a%3Fb"), ("a%2Fb", "a%252Fb"), ("a=", "a=")):
            assert quoted in target(at, "openai", operation, "m", object=odd)
        for climbing in ("..", "."):
            with pytest.raises(Refused):
                target(at, "openai", operation, "m", object=climbing)


@pytest.mark.parametrize(
    ("version", "operation", "offered"),
    [
        ("2024-10-21", "responses", False),
        ("2025-02-01-preview", "responses", False),
        ("2025-03-01-preview", "responses", True),
        ("2025-03-01-preview", "response_retrieve", True),
        ("2025-03-01-preview", "response_cancel", False),
        ("2025-04-01-preview", "response_cancel", True),
        ("preview", "responses", True),
        ("2024-10-21", "chat", True),
        ("", "responses", True),
    ],
)
def test_a_dated_surface_offers_what_it_had_by_then(version: str, operation: Operation, offered: bool) -> None:
    assert offers("azure", "openai", operation, Placement(api_version=version)) == offered
