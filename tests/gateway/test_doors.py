"""Doors by path: their own, those of Azure callers, and those that are shut."""

from __future__ import annotations

import pytest

from sekimori.errors import Refused
from sekimori.gateway.azure import translated
from sekimori.gateway.closed import SHUT, closed
from sekimori.gateway.doors import CALLS, MODELS, dialect_of, door_of
from sekimori.terms import Named

VERSION = "api-version=2024-10-21"


@pytest.mark.parametrize("path", CALLS)
def test_every_door_is_found_by_its_path_alone(path: str) -> None:
    assert door_of(path, "") is CALLS[path]
    for other in (path + "/", path.upper(), "/" + path, path + "%20", path.removeprefix("/v1")):
        assert door_of(other, "") is None


AZURE = [
    ("/openai/deployments/gpt-x/chat/completions", "chat", "gpt-x"),
    ("/openai/deployments/gpt-x/embeddings", "embeddings", "gpt-x"),
    ("/openai/deployments/gpt-x/responses", "responses", "gpt-x"),
    ("/openai/deployments/house%2Fgpt-x/chat/completions", "chat", "house/gpt-x"),
    ("/openai/deployments/house/gpt-x/chat/completions", "chat", "house/gpt-x"),
    ("/openai/deployments/house/gpt-x/responses", "responses", "house/gpt-x"),
    ("/openai/deployments/gpt-x/completions", "completions", "gpt-x"),
    ("/openai/chat/completions", "chat", ""),
    ("/openai/completions", "completions", ""),
    ("/openai/responses", "responses", ""),
    ("/openai/v1/chat/completions", "chat", ""),
    ("/openai/v1/responses", "responses", ""),
    ("/openai/v1/embeddings", "embeddings", ""),
]


@pytest.mark.parametrize(("path", "operation", "model"), AZURE)
def test_azure_callers_come_to_the_doors_of_the_dialect(path: str, operation: str, model: str) -> None:
    door = door_of(path, VERSION)
    assert door is not None
    assert (door.dialect, door.operation, door.named.model) == ("openai", operation, model)
    ask = door.read(b'{"model":"in-the-body","messages":[],"input":"x"}' if operation != "chat" else CHAT, [])
    assert ask.model == (model or "in-the-body"), "the deployment decides"
    assert dialect_of(path) == "openai"


CHAT = b'{"model":"in-the-body","messages":[]}'


@pytest.mark.parametrize(
    "path",
    [
        "/openai/deployments/x/messages",
        "/openai/v1/messages",
        "/openai/v1/messages/count_tokens",
        "/openai/deployments/x",
        "/openai/deployments",
        "/openai/deployments/x/chat/completions/more",
        "/openai/deployments/completions",
        "/openai/deployments//chat/completions",
        "/openai/v1/v1/chat/completions",
        "/openai/v1/openai/v1/chat/completions",
        "/openai/v1/deployments/x/chat/completions",
        "/openai/",
        "/openai/v1/",
        "/openai",
        "/Openai/v1/responses",
    ],
)
def test_what_is_no_path_of_azures_is_no_door(path: str) -> None:
    assert door_of(path, VERSION) is None


@pytest.mark.parametrize(
    "version",
    ["2024-10-21", "2025-04-01-preview", "preview", "latest"],
)
def test_versions_that_azure_has(version: str) -> None:
    for query in (f"api-version={version}", f"x=1&api-version={version}"):
        assert translated("/openai/responses", query) == ("/v1/responses", Named())
        assert translated("/openai/v1/responses", query) == ("/v1/responses", Named())


WRONG = [
    "", "api-version=", "api-version", "api-version=v1", "api-version=2024-13-01", "api-version=2024-10-32",
    "api-version=2024-10-21-beta", "api-version=2024-10-21%00", "api-version=2024-10-21%0a", "api-version=1024-10-21",
    "api-version=2024-1-1", "api-version=２０２４-10-21", "API-Version=2024-10-21", "&" * 50,
    "api-version=2024-10-21&api-version=2024-10-21", "api-version=2024-10-21&api%2Dversion=preview",
]  # fmt: skip


@pytest.mark.parametrize("query", WRONG)
def test_other_versions_are_refused_with_what_to_send(query: str) -> None:
    with pytest.raises(Refused) as refused:
        door_of("/openai/deployments/x/chat/completions", query)
    assert (refused.value.reason, refused.value.status) == ("bad_request", 400)
    assert "api-version=2024-10-21" in refused.value.advice
    if "api-version=" in query and query != "api-version=":
        with pytest.raises(Refused):
            door_of("/openai/v1/responses", query)


def test_no_version_is_needed_where_azure_needs_none() -> None:
    assert translated("/openai/v1/responses", "") == ("/v1/responses", Named())


@pytest.mark.parametrize("deployment", ["%FF", "x" * 257, "a%0Ab", "a%E2%80%AEb", "%C0%80"])
def test_deployments_that_are_no_names(deployment: str) -> None:
    with pytest.raises(Refused, match="bad_request"):
        door_of(f"/openai/deployments/{deployment}/chat/completions", VERSION)


# Doors of stored responses.

STORED: list[tuple[str, str, str]] = [
    ("GET", "", "response_retrieve"),
    ("DELETE", "", "response_delete"),
    ("POST", "/cancel", "response_cancel"),
    ("GET", "/input_items", "response_items"),
]


@pytest.mark.parametrize(("method", "rest", "operation"), STORED)
@pytest.mark.parametrize("root", ["/v1/responses", "/openai/responses", "/openai/v1/responses"])
def test_stored_responses_are_named_by_the_path(root: str, method: str, rest: str, operation: str) -> None:
    door = door_of(f"{root}/resp_1{rest}", f"{VERSION}&include=x" if root != "/v1/responses" else "include=x", method)
    assert door is not None
    assert (door.dialect, door.operation) == ("openai", operation)
    assert door.named == Named(object="resp_1", query="include=x"), "a version is no business of the provider's"
    assert method in door.methods


def test_a_method_that_such_a_path_does_not_take_is_none_of_the_doors() -> None:
    for rest, methods in (("", ("GET", "DELETE")), ("/cancel", ("POST",)), ("/input_items", ("GET",))):
        for method in ("PUT", "PATCH", "HEAD", "OPTIONS"):
            door = door_of(f"/v1/responses/resp_1{rest}", "", method)
            assert door is not None
            assert door.methods == methods


@pytest.mark.parametrize("path", ["/openai/deployments/x/responses/resp_1", "/v1/responses//cancel", "/responses/r"])
def test_what_is_no_path_of_a_stored_response(path: str) -> None:
    assert door_of(path, VERSION, "GET") is None


# Doors that are shut.

OF_THE_SDK = [
    "/v1/images/edits", "/v1/images/variations", "/v1/audio/speech", "/v1/files",
    "/v1/files/file-1/content", "/v1/uploads", "/v1/batches", "/v1/vector_stores", "/v1/assistants", "/v1/threads/runs",
    "/v1/conversations", "/v1/containers", "/v1/fine_tuning/jobs", "/v1/evals", "/v1/videos", "/v1/realtime",
    "/v1/responses/resp_1/more", "/v1/responses/resp_1/cancel/", "/v1/responses/", "/v1/responses/resp_1/",
    "/v1/responses/input_tokens", "/v1/responses/compact", "/v1/chat/completions/c_1", "/v1/organization/users",
    "/v1/deployments", "/v1/skills", "/v1/decisions",
]  # fmt: skip


@pytest.mark.parametrize("path", OF_THE_SDK)
def test_doors_that_are_shut_say_why_and_what_to_do(path: str) -> None:
    assert door_of(path, "") is None
    refused = closed(path)
    assert refused is not None
    assert (refused.reason, refused.status) == ("unsupported_operation", 404)
    assert refused.text.endswith(".")
    assert refused.advice.endswith(".")


@pytest.mark.parametrize("path", ["/v1/", "/v1", "/", "/v1/nothing", "/v1/Files", "/files", "/v2/files", MODELS])
def test_what_nobody_knows_is_no_door(path: str) -> None:
    assert closed(path) is None


def test_every_path_of_openais_sdk_has_a_door_or_a_reason() -> None:
    """A new resource of the SDK fails here until somebody has decided what it is."""
    import re
    from pathlib import Path

    import openai

    resources = Path(openai.__file__).parent / "resources"
    found = set()
    for file in resources.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        found |= set(
            re.findall(r'(?:self\._(?:get|post|put|patch|delete|get_api_list)\(|path_template\()\s*"/([a-z_]+)', text)
        )
    assert {"responses", "files", "chat"} <= found
    doors = {path.removeprefix("/v1/").partition("/")[0] for path in (*CALLS, MODELS)}
    assert found <= doors | SHUT.keys(), found - doors - SHUT.keys()
