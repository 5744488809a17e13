"""What a hop changes in what a provider keeps: whose use is known, and whose is still an estimate."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sekimori.gateway.kept import works_on
from sekimori.gateway.leg import Leg
from sekimori.meter.reservation import Most
from sekimori.policy.decide import decide
from sekimori.terms import Ask, Usage
from sekimori.upstream.call import Answer
from tests.policy.worlds import ask, principal, right, snapshot

GRANT = decide(snapshot(right()), principal("acme", "x"), ask("gpt-4o"))
ASKED = replace(ask("gpt-4o"), operation="responses", needs=frozenset({"background", "stored_state"}))
ZERO, SAID = Usage(), Usage(input=5, output=7)


def answered(finish: str, usage: Usage | None) -> Answer:
    answer = Answer()
    answer.sent, answer.status, answer.finish, answer.usage = True, 200, finish, usage
    return answer


def leg(asked: Ask, answer: Answer, most: Any = None) -> Leg:
    made = Leg(0, GRANT, GRANT.routes[0], asked, most, 0.0)
    made.answer = answer
    return made


@pytest.mark.parametrize(
    ("finish", "usage", "works"),
    [
        ("queued", None, True),
        ("in_progress", None, True),
        ("queued", ZERO, True),
        ("in_progress", SAID, True),
        ("completed", SAID, False),
        ("max_output_tokens", SAID, False),
        ("cancelled", None, False),
        ("", None, True),
    ],
)
def test_what_is_worked_on_has_used_what_is_reserved_whatever_it_says(
    finish: str, usage: Usage | None, works: bool
) -> None:
    """Some servers tell figures from the first, and these are zeros then."""
    answer = answered(finish, usage)
    assert works_on(ASKED, answer) == works
    most = Most(100, 900, nano=7)
    settled, nano = leg(ASKED, answer, most).usage("answered")
    if works or usage is None:
        assert (settled, nano) == (Usage(100, 900, estimated=True), 7)
        unbounded, _ = leg(ASKED, answer).usage("answered")
        assert unbounded is not None
        assert unbounded.estimated
    else:
        assert (settled, nano) == (usage, 0)
    assert not works_on(replace(ASKED, needs=frozenset()), answer)
