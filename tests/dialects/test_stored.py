"""Stored responses of the OpenAI dialect: what a target may hold, and what replies say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sekimori.dialects import stored
from sekimori.dialects.absent import Absent
from sekimori.dialects.fields_responses import RESPONSES_INCLUDE, RESPONSES_QUERY
from sekimori.errors import Refused, Upstream
from sekimori.terms import Ask, Named, Operation
from tests.dialects import sdk

OPERATIONS: list[Operation] = ["response_retrieve", "response_delete", "response_cancel", "response_items"]


def read(operation: Operation, id: str = "resp_1", query: str = "", body: bytes = b"") -> Ask:
    return stored.read_ask(operation, body, [], Named(object=id, query=query))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_such_a_call_names_an_object_and_nothing_else(operation: Operation) -> None:
    ask = read(operation)
    assert (ask.object, ask.objects) == ("resp_1", (("resp_1", "response_id"),))
    assert (ask.model, ask.stream, ask.members, ask.needs) == ("", False, {}, {"stored_state"})
    assert stored.upstream_body(ask, "m") == b""


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "id",
    ["a%2Fb", "..", ".", "a b", "a\nb", "a%0Ab", "r" * 257, "", "résp", "a?b", "a#b", "a/b", "a\\b", "a;b", "%2E%2E"],
)
def test_what_cannot_be_one_step_of_a_path_is_nobodys_id(operation: Operation, id: str) -> None:
    with pytest.raises(Absent) as refused:
        read(operation, id)
    assert (refused.value.status, refused.value.reason) == (404, "object_not_found")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_body_is_refused(operation: Operation) -> None:
    for body in (b'{"model":"x"}', b"x", b"[]"):
        with pytest.raises(Refused):
            read(operation, body=body)
    if operation == "response_cancel":
        read(operation, body=b"{}")
    else:
        with pytest.raises(Refused, match="no body"):
            read(operation, body=b"{}")


GOOD: list[tuple[Operation, str, str]] = [
    ("response_retrieve", "", ""),
    ("response_retrieve", "stream=false", "stream=false"),
    (
        "response_retrieve",
        "include[]=reasoning.encrypted_content&include_obfuscation=true",
        "include%5B%5D=reasoning.encrypted_content&include_obfuscation=true",
    ),
    ("response_items", "limit=100&order=asc&after=msg_1", "limit=100&order=asc&after=msg_1"),
    ("response_items", "%6Cimit=5", "limit=5"),
]


@pytest.mark.parametrize(("operation", "query", "travels"), GOOD)
def test_a_query_travels_as_it_was_read(operation: Operation, query: str, travels: str) -> None:
    assert read(operation, query=query).query == travels


BAD: list[tuple[Operation, str]] = [
    ("response_retrieve", "stream=true"),
    ("response_retrieve", "stream=True"),
    ("response_retrieve", "starting_after=3"),
    ("response_retrieve", "limit=3"),
    ("response_retrieve", "model=gpt-x"),
    ("response_retrieve", "include=everything"),
    ("response_retrieve", "include"),
    ("response_retrieve", "&".join(["include=reasoning.encrypted_content"] * 41)),
    ("response_retrieve", "Stream=false"),
    ("response_retrieve", "stream=false&stream=false"),
    ("response_retrieve", "stream=false%0d%0ax"),
    ("response_items", "limit=0"),
    ("response_items", "limit=101"),
    ("response_items", "limit=1&limit=2"),
    ("response_items", "order=up"),
    ("response_items", "after=a/b"),
    ("response_items", "before=a"),
    ("response_delete", "x=1"),
    ("response_cancel", "include=reasoning.encrypted_content"),
]


@pytest.mark.parametrize(("operation", "query"), BAD)
def test_other_parameters_are_refused_by_name(operation: Operation, query: str) -> None:
    with pytest.raises(Refused) as refused:
        read(operation, query=query)
    assert refused.value.status == 400
    name = query.partition("=")[0]
    assert name in refused.value.text or "The query" in refused.value.text


def test_every_parameter_of_the_sdk_has_a_class() -> None:
    for operation, kinds in sdk.STORED.items():
        listed = RESPONSES_QUERY[operation]
        assert {name for kind in kinds for name in sdk.members(kind)} == set(listed)
    assert RESPONSES_QUERY.keys() == sdk.STORED.keys() | {"response_delete", "response_cancel"}
    assert RESPONSES_INCLUDE


def test_the_documentation_has_every_parameter() -> None:
    text = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text(encoding="utf-8")
    for operation, table in RESPONSES_QUERY.items():
        for name, rule in table.items():
            said = f"refused: {rule.refused}" if rule.refused else "inert"
            assert f"| `{operation}` | `{name}` | {said} |" in text, (operation, name)


def test_a_stored_response_tells_its_state_and_its_use() -> None:
    usage = b'"usage":{"input_tokens":7,"output_tokens":3,"total_tokens":10}'
    whole = b'{"id":"resp_1","status":"completed","store":true,"output":[{"id":"msg_1"}],' + usage + b"}"
    facts = stored.read_reply(whole)
    assert facts.usage is not None
    assert (facts.finish, facts.usage.input, facts.usage.output) == ("completed", 7, 3)
    assert facts.minted == ("resp_1", "msg_1")
    for status in ("queued", "in_progress", "failed", "cancelled"):
        facts = stored.read_reply(b'{"id":"resp_1","status":"%b","output":[],"usage":null}' % status.encode())
        assert (facts.finish, facts.usage) == (status, None), "one that failed is an answer, too"


def test_what_is_deleted_says_so() -> None:
    for body in (b'{"id":"resp_1","object":"response","deleted":true}', b'{"message":"Response deleted successfully"}'):
        assert stored.read_reply(body, "response_delete").finish == stored.DELETED
    for body in (b'{"deleted":false}', b'{"deleted":"true"}', b'{"deleted":true,"error":{"message":"x"}}', b"[]", b""):
        with pytest.raises(Upstream):
            stored.read_reply(body, "response_delete")


def test_other_replies_are_malformed() -> None:
    assert stored.read_reply(b'{"object":"list","data":[]}', "response_items").minted == ()
    for body in (b'{"data":{}}', b"{}", b"[]", b'{"error":{"message":"x"}}'):
        with pytest.raises(Upstream):
            stored.read_reply(body, "response_items")
        with pytest.raises(Upstream):
            stored.read_reply(body, "response_cancel")
