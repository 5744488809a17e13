"""What moves a call on to its next hop."""

from __future__ import annotations

import msgspec

from sekimori.errors import REASONS
from sekimori.policy.decide import decide
from sekimori.terms import Grant
from sekimori.upstream.route import CONDITION_OF, yields
from tests.policy.worlds import ask, principal, right, snapshot


def grant(*when: str) -> Grant:
    """Two routes; the first yields on `when`, or on the usual conditions."""
    found = decide(snapshot(right()), principal("acme", "x"), ask("gpt-4o"))
    if not when:
        return found
    first = msgspec.structs.replace(found.routes[0], yields=frozenset(when))
    return msgspec.structs.replace(found, routes=(first, found.routes[1]))


def test_only_what_the_policy_names_yields() -> None:
    first, second = grant().routes
    assert yields(first, "rate_limited")
    assert yields(first, "overloaded")
    assert not yields(first, "server_error")
    assert not yields(first, None)
    assert not yields(second, "rate_limited"), "nothing comes after the last"


def test_conditions_are_of_registered_reasons_and_never_of_what_must_stop() -> None:
    assert set(CONDITION_OF) <= set(REASONS)
    stopping = {"upstream_address_forbidden", "upstream_malformed", "upstream_truncated", "upstream_refused"}
    assert not stopping & set(CONDITION_OF)
