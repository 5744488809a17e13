"""Every way to carry a credential, wrongly and rightly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sekimori.errors import Refused
from sekimori.identity import apikey
from sekimori.identity.authenticate import Credential, KeyIndex, authenticate
from sekimori.terms import Headers, Principal

PEPPER = apikey.Pepper(1, b"1" * 32)
NEWER = apikey.Pepper(2, b"2" * 32)
KEY = apikey.mint(b"a" * 32).encode()
OTHER = apikey.mint(b"b" * 32).encode()
UNKNOWN = apikey.mint(b"c" * 32).encode()
NOW = 1_800_000_000_000


def credential(key: bytes = KEY, id: str = "one", pepper: apikey.Pepper = PEPPER, **more: object) -> Credential:
    fields = {"tenant": "acme", "tenant_uid": "t1", "agent": "mail", "agent_uid": "a1", "scopes": frozenset({"read"})}
    return Credential(id=id, hash=pepper.hash(key), pepper=pepper.version, **{**fields, **more})  # type: ignore[arg-type]


@pytest.fixture
def index() -> KeyIndex:
    index = KeyIndex([PEPPER])
    index.put(credential())
    index.put(credential(OTHER, "two", tenant="globex", tenant_uid="t2"))
    return index


def reason(headers: Headers, index: KeyIndex, query: str = "", now: int = NOW) -> str:
    with pytest.raises(Refused) as caught:
        authenticate(headers, query, index, now)
    assert caught.value.status == 401
    for key in (KEY, OTHER, UNKNOWN):
        assert key.decode() not in str(caught.value)
    return caught.value.reason


ME = Principal("acme", "t1", "mail", "a1", "one", frozenset({"read"}))


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + KEY)],
        [(b"authorization", b"bearer " + KEY)],
        [(b"authorization", b"BEARER   " + KEY)],
        [(b"x-api-key", KEY)],
        [(b"api-key", KEY)],
        [(b"x-goog-api-key", KEY)],
        [(b"x-api-key", KEY), (b"authorization", b"Bearer " + KEY)],
        [(b"authorization", b"Bearer " + KEY), (b"x-api-key", KEY), (b"api-key", KEY), (b"x-goog-api-key", KEY)],
        [(b"host", b"x"), (b"cookie", b"key=" + OTHER), (b"x-api-key", KEY), (b"accept", b"*/*"), (b"accept", b"a/b")],
        [(b"x-api-key-2", OTHER), (b"x-api-key", KEY), (b"proxy-authorization", b"Bearer " + OTHER)],
    ],
)
def test_one_key_under_any_of_its_names(headers: Headers, index: KeyIndex) -> None:
    assert authenticate(headers, "", index, NOW) == ME


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], "credential_missing"),
        ([(b"cookie", b"authorization=" + KEY)], "credential_missing"),
        ([(b"x-api-key", KEY), (b"x-api-key", KEY)], "credential_ambiguous"),
        ([(b"authorization", b"Bearer " + KEY)] * 2, "credential_ambiguous"),
        ([(b"x-api-key", KEY), (b"api-key", KEY), (b"x-api-key", KEY)], "credential_ambiguous"),
        ([(b"x-api-key", KEY), (b"api-key", OTHER)], "credential_ambiguous"),
        ([(b"authorization", b"Bearer " + KEY), (b"x-api-key", OTHER)], "credential_ambiguous"),
        ([(b"authorization", b"Bearer " + KEY), (b"x-api-key", UNKNOWN)], "credential_ambiguous"),
        ([(b"authorization", b"Bearer " + KEY), (b"x-api-key", b"")], "credential_ambiguous"),
        ([(b"x-api-key", b""), (b"authorization", b"Bearer " + KEY)], "credential_ambiguous"),
        ([(b"x-api-key", b"x"), (b"x-api-key", b"x")], "credential_ambiguous"),
        ([(b"x-api-key", KEY), (b"authorization", b"Basic " + KEY)], "credential_malformed"),
        ([(b"authorization", b"Basic dXNlcjpwYXNz")], "credential_malformed"),
        ([(b"authorization", KEY)], "credential_malformed"),
        ([(b"authorization", b"Bearer")], "credential_malformed"),
        ([(b"authorization", b"Bearer ")], "credential_malformed"),
        ([(b"authorization", b"Bearer\t" + KEY)], "credential_malformed"),
        ([(b"authorization", b"Bearer " + KEY + b", Bearer " + OTHER)], "credential_malformed"),
        ([(b"authorization", b"Bearer " + KEY + b"," + OTHER)], "credential_malformed"),
        ([(b"authorization", b"")], "credential_malformed"),
        ([(b"x-api-key", b"")], "credential_malformed"),
        ([(b"x-api-key", b"Bearer " + KEY)], "credential_malformed"),
        ([(b"x-api-key", b"sk-ant-something")], "credential_malformed"),
        ([(b"x-api-key", KEY[:-1])], "credential_malformed"),
        ([(b"x-api-key", KEY + b"0")], "credential_malformed"),
        ([(b"x-api-key", KEY.upper())], "credential_malformed"),
        ([(b"x-api-key", KEY[:-1] + (b"0" if KEY[-1:] != b"0" else b"1"))], "credential_malformed"),
        ([(b"x-api-key", b"\xff" * 43)], "credential_malformed"),
        ([(b"x-api-key", b"0" * 100_000)], "credential_malformed"),
        ([(b"x-api-key", UNKNOWN)], "credential_unknown"),
        ([(b"authorization", b"Bearer " + UNKNOWN)], "credential_unknown"),
    ],
)
def test_wrong_credentials(headers: Headers, expected: str, index: KeyIndex) -> None:
    assert reason(headers, index) == expected


@pytest.mark.parametrize(
    "query",
    ["key=x", "a=1&key=x", "KEY=x", "k%65y=x", "key", "api_key=x", "api-key=x", "apiKey=x", "x-api-key=x", "token=x",
     "access_token=x", "authorization=Bearer+x", "a=1;key=x", "x_goog_api_key=x", f"q={KEY.decode()}",
     f"q={KEY.decode().replace('_', '%5F')}", "%4B%45%59=x"],
)  # fmt: skip
def test_a_credential_in_the_query_is_refused_even_beside_a_good_one(query: str, index: KeyIndex) -> None:
    assert reason([(b"x-api-key", KEY)], index, query) == "credential_malformed"


@pytest.mark.parametrize(
    "query",
    ["limit=20", "after_id=key", "beta=true&monkey=1", "max_tokens=1", "keys=1", "q=sk-sek", "api-version=1", "%"],
)
def test_other_queries_are_not_our_business(query: str, index: KeyIndex) -> None:
    assert authenticate([(b"x-api-key", KEY)], query, index, NOW) == ME


def test_expiry_is_exact(index: KeyIndex) -> None:
    index.put(credential(expires_ms=NOW))
    assert authenticate([(b"x-api-key", KEY)], "", index, NOW - 1) == ME
    assert reason([(b"x-api-key", KEY)], index) == "credential_expired"
    assert reason([(b"x-api-key", KEY)], index, now=NOW + 1) == "credential_expired"


def test_revocation_bites_on_the_next_request(index: KeyIndex) -> None:
    assert authenticate([(b"x-api-key", KEY)], "", index, NOW) == ME
    known = index.get("one")
    assert known is not None
    index.put(replace(known, revoked=True))
    assert reason([(b"x-api-key", KEY)], index) == "credential_revoked"
    index.put(replace(known, revoked=True, expires_ms=1))
    assert reason([(b"x-api-key", KEY)], index) == "credential_revoked"
    index.remove("one")
    assert reason([(b"x-api-key", KEY)], index) == "credential_unknown"
    assert index.get("one") is None
    index.remove("one")


def test_a_stranger_cannot_tell_a_revoked_key_from_one_that_never_was(index: KeyIndex) -> None:
    index.put(credential(UNKNOWN, "three", revoked=True))
    said = []
    for key in (UNKNOWN, apikey.mint(b"d" * 32).encode()):
        with pytest.raises(Refused) as caught:
            authenticate([(b"x-api-key", key)], "", index, NOW)
        said.append((caught.value.text, caught.value.advice, caught.value.status, caught.value.headers))
    assert said[0] == said[1]


def test_a_replaced_entry_leaves_nothing_behind(index: KeyIndex) -> None:
    index.put(credential(UNKNOWN, "one", agent="new"))
    assert len(index) == 2
    assert reason([(b"x-api-key", KEY)], index) == "credential_unknown"
    assert authenticate([(b"x-api-key", UNKNOWN)], "", index, NOW).agent == "new"


def test_one_key_cannot_be_two_credentials(index: KeyIndex) -> None:
    with pytest.raises(ValueError):
        index.put(credential(KEY, "two"))
    assert authenticate([(b"x-api-key", KEY)], "", index, NOW) == ME
    assert authenticate([(b"x-api-key", OTHER)], "", index, NOW).tenant == "globex"


def test_peppers_have_versions() -> None:
    index = KeyIndex([PEPPER, NEWER])
    assert index.pepper.version == 2
    index.put(credential())
    index.put(credential(OTHER, "two", NEWER))
    assert authenticate([(b"x-api-key", KEY)], "", index, NOW).credential == "one"
    assert authenticate([(b"x-api-key", OTHER)], "", index, NOW).credential == "two"
    with pytest.raises(ValueError):
        KeyIndex([NEWER]).put(credential())
    with pytest.raises(ValueError):
        KeyIndex([])
    with pytest.raises(ValueError):
        index.use(PEPPER)
    later = KeyIndex([PEPPER])
    later.use(NEWER)
    assert later.pepper is NEWER
    # A hash that is filed under another pepper than its own serves nobody.
    index.put(replace(credential(UNKNOWN, "three"), pepper=2))
    assert reason([(b"x-api-key", UNKNOWN)], index) == "credential_unknown"


names = st.sampled_from([b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"host"])
values = st.one_of(st.binary(max_size=60), st.sampled_from([KEY, OTHER, UNKNOWN, b"Bearer " + KEY, b"bearer " + OTHER]))


@given(st.lists(st.tuples(names, values), max_size=5), st.text(max_size=20))
def test_only_one_key_alone_gets_in(headers: Headers, query: str) -> None:
    index = KeyIndex([PEPPER])
    index.put(credential())
    index.put(credential(OTHER, "two"))
    carried = [(name, value) for name, value in headers if name not in (b"cookie", b"host")]
    try:
        principal = authenticate(headers, query, index, NOW)
    except Refused as refused:
        assert refused.reason.startswith("credential_")
        return
    plain = {value.split(b" ")[-1] for _, value in carried}
    assert plain == {KEY if principal.credential == "one" else OTHER}
    assert len({name for name, _ in carried}) == len(carried)
