"""Whom and what a call is for: canonical, bounded, and never a reason to fail but for a malformed header of ours."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sekimori.dialects.tags import MOST, MOST_TAGS, tagged
from sekimori.errors import Refused
from sekimori.terms import NO_TAGS, Ask, Dialect, Headers, Tags


def ask(dialect: Dialect = "openai", **members: Any) -> Ask:
    return Ask(dialect, "chat", "m", False, {name: Raw(msgspec.json.encode(value)) for name, value in members.items()})


def said(headers: Headers, dialect: Dialect = "openai", **members: Any) -> Tags:
    return tagged(ask(dialect, **members), headers).tags


@pytest.mark.parametrize(
    ("headers", "tags"),
    [
        ([], NO_TAGS),
        ([(b"authorization", b"x"), (b"tags", b"a")], NO_TAGS),
        ([(b"x-sekimori-tags", b"b,a")], Tags(tags=("a", "b"))),
        ([(b"x-sekimori-tags", b" B , a,,a ")], Tags(tags=("a", "b"))),
        ([(b"x-sekimori-tags", b"team/1:x.y_z-")], Tags(tags=("team/1:x.y_z-",))),
        ([(b"x-sekimori-user", b"u"), (b"x-sekimori-session", b"s")], Tags("u", "s")),
        ([(b"x-session-id", b"other"), (b"x-sekimori-session", b"s")], Tags("", "s")),
        ([(b"x-sekimori-session", b"s"), (b"x-session-id", b"other")], Tags("", "s")),
        ([(b"x-session-id", b"other")], Tags("", "other")),
        ([(b"x-sekimori-user", b"u"), (b"x-sekimori-user", b"u")], Tags("u")),
    ],
)
def test_headers(headers: Headers, tags: Tags) -> None:
    assert said(headers) == tags


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-sekimori-tags", b"")],
        [(b"x-sekimori-tags", b" , ")],
        [(b"x-sekimori-tags", b"a b")],
        [(b"x-sekimori-tags", b"-a")],
        [(b"x-sekimori-tags", b"*")],
        [(b"x-sekimori-tags", b"\xe9")],
        [(b"x-sekimori-tags", b"a" * 65)],
        [(b"x-sekimori-tags", b",".join(b"t%d" % n for n in range(MOST_TAGS + 1)))],
        [(b"x-sekimori-tags", b"a"), (b"x-sekimori-tags", b"b")],
        [(b"x-sekimori-user", b"")],
        [(b"x-sekimori-user", b"a"), (b"x-sekimori-user", b"b")],
        [(b"x-sekimori-user", b"a" * (MOST + 1))],
        [(b"x-sekimori-session", b"\x7f")],
        [(b"x-sekimori-session", b"\xc3\xa9")],
    ],
)
def test_a_malformed_header_of_ours_is_named(headers: Headers) -> None:
    with pytest.raises(Refused) as refused:
        said(headers)
    assert refused.value.reason == "bad_request"
    assert headers[0][0].decode() in refused.value.text


@pytest.mark.parametrize(
    ("dialect", "members", "tags"),
    [
        ("openai", {"user": "u"}, Tags("u")),
        ("openai", {"user": "u", "safety_identifier": "s"}, Tags("s")),
        ("openai", {"prompt_cache_key": "k"}, Tags("", "k")),
        ("openai", {"metadata": {"user_id": "u"}}, NO_TAGS),
        ("openai", {"user": 5, "prompt_cache_key": None}, NO_TAGS),
        ("anthropic", {"metadata": {"user_id": "u"}}, Tags("u")),
        ("anthropic", {"metadata": {"user_id": None}}, NO_TAGS),
        ("anthropic", {"metadata": [1]}, NO_TAGS),
        ("anthropic", {"user": "u"}, NO_TAGS),
        ("gemini", {"labels": {"user": "u", "session": "s"}}, Tags("u", "s")),
        ("gemini", {"labels": {"team": "research"}}, NO_TAGS),
        ("gemini", {"labels": {"user": 5, "session": None, "sekimori-tags": None}}, NO_TAGS),
        ("gemini", {"labels": ["user"]}, NO_TAGS),
        ("openai", {"labels": {"user": "u"}}, NO_TAGS),
    ],
)
def test_bodies(dialect: Dialect, members: dict[str, Any], tags: Tags) -> None:
    assert said([], dialect, **members) == tags
    kept = said([(b"x-sekimori-user", b"mine"), (b"x-sekimori-session", b"s")], dialect, **members)
    assert kept == Tags("mine", "s")


def test_a_cost_tag_may_be_a_label_at_vertex_ai() -> None:
    assert said([], "gemini", labels={"sekimori-tags": "team-a", "user": "u"}) == Tags("u", "", ("team-a",))
    assert said([(b"x-sekimori-tags", b"b,c")], "gemini", labels={"sekimori-tags": "a"}).tags == ("b", "c")
    for odd in ("", "a,b", "A", "-a", "a" * 65, 5, ["a"]):
        with pytest.raises(Refused, match="bad_request") as refused:
            said([], "gemini", labels={"sekimori-tags": odd})
        assert "`sekimori-tags`" in refused.value.text


def test_what_is_long_in_a_body_is_its_digest() -> None:
    one, other = said([], user="x" * 500).end_user, said([], user="x" * 501).end_user
    assert one != other
    assert one == said([], user="x" * 500).end_user
    assert one.startswith("sha256:")
    assert said([], user="a\nb").end_user.startswith("sha256:")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"x-sekimori-tags", b"x-sekimori-user", b"x-sekimori-session", b"x-session-id", b"x"]),
            st.binary(max_size=200) | st.sampled_from([b"a", b"a,b", b"A, b"]),
        ),
        max_size=5,
    ),
    st.dictionaries(
        st.sampled_from(["user", "safety_identifier", "prompt_cache_key", "metadata", "labels"]),
        st.none()
        | st.integers()
        | st.text(max_size=300)
        | st.dictionaries(st.sampled_from(["user_id", "user", "session", "sekimori-tags"]), st.text(max_size=200)),
    ),
    st.sampled_from(["openai", "anthropic", "gemini"]),
)
def test_whatever_comes_is_bounded_or_refused(headers: Headers, members: dict[str, Any], dialect: Dialect) -> None:
    try:
        found = said(headers, dialect, **members)
    except Refused:
        return
    for text in (found.end_user, found.session):
        assert len(text) <= MOST
        assert text.isprintable()
    assert len(found.tags) <= MOST_TAGS
    assert list(found.tags) == sorted(set(found.tags))
    assert all(tag.isascii() and tag == tag.lower() and "," not in tag for tag in found.tags)
