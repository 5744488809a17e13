"""The call's id, in every place where a dialect's SDK looks for it, and once in each."""

from __future__ import annotations

import json

import pytest

from sekimori.errors import Refused
from sekimori.gateway.doors import refuse
from sekimori.terms import Dialect


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
def test_a_refusal_says_the_calls_id_wherever_its_dialect_does(dialect: Dialect) -> None:
    headers = [(b"x-request-id", b"call-1"), (b"x-sekimori-record", b"entry-1")]
    _, sent, body = refuse(dialect, Refused("bad_request", "Mend it."), headers)
    assert [value for name, value in sent if name == b"x-request-id"] == [b"call-1"]
    assert (b"x-sekimori-record", b"entry-1") in sent
    if dialect == "anthropic":
        assert json.loads(body)["request_id"] == "call-1"
        assert [value for name, value in sent if name == b"request-id"] == [b"call-1"]


def test_what_is_refused_before_it_is_a_call_has_no_id() -> None:
    _, sent, body = refuse("anthropic", Refused("bad_request", "Mend it."), [])
    assert json.loads(body)["request_id"] is None
    assert not {b"x-request-id", b"request-id"} & {name for name, _ in sent}
