"""The catalogue: where a call goes, how the key is sent, what a status means."""

from __future__ import annotations

import pytest

from sekimori.egress.address import BaseUrl, check_base_url
from sekimori.errors import Fault, Refused
from sekimori.policy.kinds import Provider as Document
from sekimori.terms import Dialect, Operation, Origin, Provider
from sekimori.upstream.catalog import ENTRIES, condition, offers, request_headers, target


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
    ],
)
def test_targets(catalog: str, path: str, dialect: Dialect, operation: Operation, expected: str) -> None:
    assert target(provider(catalog, path), dialect, operation) == expected


@pytest.mark.parametrize(
    ("catalog", "dialects", "dialect", "operation"),
    [
        ("openai", (), "anthropic", "chat"),
        ("openai", (), "openai", "count_tokens"),
        ("anthropic", (), "openai", "chat"),
        ("anthropic", (), "anthropic", "responses"),
        ("compatible", ("anthropic",), "openai", "embeddings"),
        ("compatible", ("openai",), "anthropic", "chat"),
    ],
)
def test_what_is_not_offered(
    catalog: str, dialects: tuple[Dialect, ...], dialect: Dialect, operation: Operation
) -> None:
    with pytest.raises(Refused, match="unsupported_operation"):
        target(provider(catalog, "", *dialects), dialect, operation)


def test_every_entry_is_whole() -> None:
    for name, entry in ENTRIES.items():
        assert entry.name == name
        assert entry.usual <= entry.dialects
        assert set(entry.auth) == entry.dialects
        assert all(entry.auth.values())
        assert all(offers(name, dialect, "chat") for dialect in entry.dialects)
        if entry.base_url:
            assert isinstance(check_base_url(entry.base_url), BaseUrl)


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
        ("openai", 200, None),
        ("openai", 301, None),
        ("openai", 400, None),
        ("openai", 401, None),
        ("openai", 600, None),
    ],
)
def test_what_a_status_means(catalog: str, status: int, expected: str | None) -> None:
    assert condition(provider(catalog), status) == expected
