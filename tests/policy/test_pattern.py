"""Patterns: against regular expressions, and overlap against all short names."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.policy.pattern import matches, overlap

patterns = st.text("ab*/.", max_size=8)
names = st.text("ab/.", max_size=10)


@given(patterns, names)
def test_a_star_stands_for_any_characters(pattern: str, name: str) -> None:
    wanted = ".*".join(re.escape(part) for part in pattern.split("*"))
    assert matches(pattern, name) == (re.fullmatch(wanted, name, re.DOTALL) is not None)


def test_overlap_is_exact() -> None:
    short = ["".join(letters) for length in range(4) for letters in product("ab*", repeat=length)]
    long = ["".join(letters) for length in range(8) for letters in product("ab", repeat=length)]
    reached = {pattern: {name for name in long if matches(pattern, name)} for pattern in short}
    for one, other in product(short, repeat=2):
        assert overlap(one, other) == bool(reached[one] & reached[other]), (one, other)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o*", "gpt-4o", True),
        ("*", "", True),
        ("a*a", "a", False),
        ("a*b*a", "aba", True),
        ("gpt.4o", "gpt-4o", False),
        ("[a-z]", "a", False),
        ("GPT-4o", "gpt-4o", False),
        ("*\n", "a\n", True),
        ("claude-?", "claude-5", False),
    ],
)
def test_nothing_but_the_star_is_special(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def test_a_hostile_name_costs_no_backtracking() -> None:
    """Exponential in the number of stars if it backtracked: this would not end."""
    assert not matches("a*" * 60 + "b", "a" * 20_000)
