"""The bytes of an entry, held to docs/spec/entry.md by vectors, by RFC 8785's own package and by every way to err."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from sekimori.ledger import entry
from sekimori.ledger.entry import Ids, Leaf, Malformed
from sekimori.terms import Check, Usage, Verdict

VECTORS = json.loads((Path(__file__).parent / "vectors" / "entry.json").read_text())
SPEC = (Path(__file__).parents[2] / "docs" / "spec" / "entry.md").read_text()

token = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9:._/-]{0,127}", fullmatch=True)
uuid7 = st.from_regex(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", fullmatch=True)
number = st.integers(0, entry.MAX_NUMBER)
small = st.integers(1, 65_535)
leaves = st.builds(
    Leaf,
    actor=token,
    agent=st.none() | token,
    call=st.none() | uuid7,
    class_=small,
    commit=st.binary(min_size=32, max_size=32).map(lambda digest: base64.b64encode(digest).decode()),
    daykey=token,
    generation=number,
    hop=st.none() | number,
    id=uuid7,
    kind=small,
    n=number,
    run=uuid7,
    schema=small,
    tenant=token,
    time=number,
    v=st.just(1),
)


@given(leaves)
def test_a_leaf_is_rfc8785(leaf: Leaf) -> None:
    data = entry.leaf_bytes(leaf)
    assert data == rfc8785.dumps(json.loads(data))
    assert entry.parse_leaf(data) == leaf
    assert len(data) <= entry.MAX_LEAF


@given(leaves, st.data())
def test_only_the_canonical_form_is_a_leaf(leaf: Leaf, data: st.DataObject) -> None:
    whole = entry.leaf_bytes(leaf)
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = entry.parse_leaf(bytes(changed))
    except Malformed:
        return
    assert entry.leaf_bytes(parsed) == changed


LEAF = VECTORS["leaves"][0]["leaf"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"v":1', '"v":2'),
        ('"v":1', '"v":1.0'),
        ('"v":1', '"v":01'),
        ('"v":1', '"v": 1'),
        ('"v":1', '"v":1,"w":1'),
        ('"v":1', '"v":1,"v":1'),
        ('"hop":0,', ""),
        ('"hop":0', '"hop":-1'),
        ('"hop":0', '"hop":-0'),
        ('"hop":0', '"hop":0e0'),
        ('"hop":0', '"hop":9007199254740992'),
        ('"hop":0', '"hop":"0"'),
        ('"hop":0', '"hop":true'),
        ('"kind":3', '"kind":0'),
        ('"kind":3', '"kind":65536'),
        ('"actor":"agent', '"actor":"\\u0061gent'),
        ('"actor":"agent', '"actor":"é'),
        ('"actor":"agent', '"actor":"'),
        ('"actor":"agent', '"actor":"\\n'),
        ('{"actor"', ' {"actor"'),
        ('"v":1}', '"v":1}\n'),
        ('"id":"0', '"id":"A'),
        ("-7", "-4"),
    ],
)
def test_what_is_no_leaf(old: str, new: str) -> None:
    text = LEAF.replace(old, new, 1)
    assert text != LEAF
    with pytest.raises(Malformed):
        entry.parse_leaf(text.encode())


def test_base64_with_stray_bits_is_no_commitment() -> None:
    leaf = entry.parse_leaf(LEAF.encode())
    stray = structs.replace(leaf, commit=leaf.commit[:42] + chr(ord(leaf.commit[42]) + 1) + "=")
    assert base64.b64decode(stray.commit) == base64.b64decode(leaf.commit)
    with pytest.raises(Malformed):
        entry.parse_leaf(entry.leaf_bytes(stray))


def test_a_trailing_line_feed_in_a_name_is_refused() -> None:
    leaf = entry.parse_leaf(LEAF.encode())
    for change in ({"actor": "a\n"}, {"tenant": "t\n"}, {"run": leaf.run + "\n"}, {"commit": leaf.commit + "\n"}):
        with pytest.raises(Malformed):
            entry.parse_leaf(entry.leaf_bytes(structs.replace(leaf, **change)))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_leaf_or_malformed(data: bytes) -> None:
    for whole in (data, b"[" * 50_000, LEAF.encode()[: len(data)]):
        try:
            entry.parse_leaf(whole)
        except Malformed:
            continue


# -- vectors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["leaves"], ids=lambda vector: vector["about"])
def test_leaf_vectors(vector: dict[str, Any]) -> None:
    data = vector["leaf"].encode()
    leaf = entry.parse_leaf(data)
    assert entry.leaf_bytes(leaf) == data
    assert hashlib.sha256(b"\x00" + data).hexdigest() == vector["leaf_hash"]
    aead = AESGCM(bytes.fromhex(vector["key"]))
    salt, nonce, payload = bytes.fromhex(vector["salt"]), bytes.fromhex(vector["nonce"]), vector["payload"].encode()
    associated = entry.associated(vector["origin"], leaf.id)
    assert associated.hex() == vector["associated"]
    assert entry.commit(salt, payload) == leaf.commit
    ciphertext = entry.seal(aead, nonce, salt, payload, associated)
    assert ciphertext.hex() == vector["ciphertext"]
    assert entry.unseal(aead, ciphertext, associated) == (salt, payload)
    state, read = entry.disclose(vector["origin"], leaf, ciphertext, aead)
    assert state == "present"
    assert read is not None
    written = json.loads(entry.payload_bytes(read))
    told = json.loads(payload)
    # A verdict leaves out what it does not say, which an older schema wrote as null.
    older, newer = told.pop("verdict", None), written.pop("verdict", None)
    assert told.items() <= written.items(), "nothing of an older schema is lost"
    assert msgspec.convert(older, Verdict | None) == msgspec.convert(newer, Verdict | None)


def examples() -> list[entry.Payload]:
    """One of each kind, every member set."""
    usage = Usage(input=900, output=80, cached=100, cache_write=10, reasoning=20, estimated=True)
    verdict = Verdict(
        allowed=True, checks=(Check("encoding", "skipped", None, None, "not configured"),), bytes=12, reason="r"
    )
    change = entry.Change("create", "Agent", "acme", "writer")
    return [
        entry.RunOpened(deployment="gw.example", software="sekimori/0.1.0"),
        entry.RunClosed(by="recovery", interrupted=2),
        entry.Decided(
            dialect="anthropic",
            operation="chat",
            model="m",
            stream=True,
            provider="p",
            provider_model="pm",
            key="clients/acme/main",
            key_uid="ku",
            position="fallback",
            reasons=["a", "b"],
            request_bytes=1,
            max_output=None,
            verdict=verdict,
            credential="c",
        ),
        entry.Settled(
            outcome="answered",
            status=200,
            reason=60,
            usage=usage,
            cost_nano=123,
            price_source="catalogue",
            ms_first_byte=5,
            ms_total=9,
            released_bytes=77,
            verdict=verdict,
            request_id="r",
        ),
        entry.Refused(
            reason=22,
            text="t",
            status=403,
            dialect="openai",
            operation="chat",
            model="m",
            count=1,
            first_ms=1,
            last_ms=2,
            credential="c",
            detail=["d"],
            repeats="i",
            verdict=verdict,
        ),
        entry.KeyUsed(
            key="operator/o",
            key_uid="ku",
            key_version=3,
            provider="p",
            model="m",
            usage=usage,
            cost_nano=9,
            outcome="yielded",
        ),
        entry.Progress(ms=10_000, released_bytes=5),
        entry.Proposed(generation=4, changes=[change], digest="sha256:00"),
        entry.Applied(generation=4, changes=[change], digest="sha256:00", outcome="abandoned"),
        entry.KeyChanged(action="rotated", path="operator/o", key_uid="ku", version=2),
        entry.ApiKeyIssued(credential="c", agent="a", scopes=["read", "write"], expires_ms=None, note="n"),
        entry.ApiKeyRevoked(credential="c", agent="a"),
        entry.KekRotated(old="1", new="2", rewrapped=3),
        entry.ObjectsAdopted(key="clients/acme/own", key_uid="ku", ids=["file-1", "vs_2"]),
    ]


def test_payload_vectors() -> None:
    """Member names and order of every schema are frozen: a change is a new schema number."""
    assert {name: entry.payload_bytes(each).decode() for name, each in zip(KINDS, examples(), strict=True)} == VECTORS[
        "payloads"
    ]


@pytest.mark.parametrize("schema", [1, 2])
def test_payloads_of_earlier_schemas_read_as_they_were(schema: int) -> None:
    for payload in examples():
        kind, written = entry.WRITTEN[type(payload)]
        older = VECTORS[f"payloads_of_schema_{schema}"].get(entry.KINDS[kind])
        assert (older is not None) == (written > schema)
        if older is not None:
            assert entry.parse_payload(kind, schema, older.encode()) == payload


def test_a_corrected_estimate_reads_back() -> None:
    corrects = entry.Corrected(id="resp_1", agent="a", time=5, tags=None, unpriced=True)
    usage = Usage(input=-3, output=7)
    used = entry.KeyUsed(
        key="k", key_uid="ku", key_version=1, provider="p", model="m", usage=usage, outcome="answered",
        corrects=corrects, deleted="resp_2",
    )  # fmt: skip
    assert entry.parse_payload(*entry.WRITTEN[entry.KeyUsed], entry.payload_bytes(used)) == used


KINDS = [entry.KINDS[number] for number in sorted(entry.KINDS)]


@pytest.mark.parametrize("payload", examples(), ids=lambda payload: type(payload).__name__)
def test_payloads_read_back(payload: entry.Payload) -> None:
    at = entry.WRITTEN[type(payload)]
    assert entry.parse_payload(*at, entry.payload_bytes(payload)) == payload
    newer = json.dumps({**json.loads(entry.payload_bytes(payload)), "later": 1}).encode()
    assert entry.parse_payload(*at, newer) == payload, "members that are not known are skipped"
    with pytest.raises(Malformed):
        entry.parse_payload(*at, b"{}")
    assert entry.parse_payload(at[0], 999, b"{}") is None


def test_every_outcome_of_the_spec_is_one() -> None:
    for outcome in ("not_sent", "answered", "yielded", "interrupted", "aborted"):
        entry.parse_payload(entry.SETTLED, 1, msgspec.json.encode({"outcome": outcome}))
    with pytest.raises(Malformed):
        entry.parse_payload(entry.SETTLED, 1, b'{"outcome":"lost"}')


def test_the_registries_are_what_the_spec_says() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", SPEC.split("## Kinds")[1].split("\n## ")[0], re.MULTILINE))
    assert {int(number): name for number, name in rows.items()} == entry.KINDS
    found = re.findall(r"^\| (\d+) \| `(\w+)` \| (\d+) ", SPEC.split("## Classes")[1].split("\n## ")[0], re.MULTILINE)
    assert {int(number): (name, int(days)) for number, name, days in found} == {
        number: (info.name, info.days) for number, info in entry.CLASSES.items()
    }


def test_retention_is_what_the_mission_asks() -> None:
    days = {info.name: info.days for info in entry.CLASSES.values()}
    assert days == {
        "log_integrity": 2555,
        "login": 365,
        "key_access": 365,
        "agent_creation": 90,
        "agent_execution": 90,
        "configuration": 2555,
        "network_access": 30,
    }


# -- ciphertext ------------------------------------------------------------------------------------------------------


def test_a_ciphertext_opens_only_as_its_own_entry() -> None:
    aead = AESGCM(bytes(32))
    associated = entry.associated("gw.example/acme", "one")
    sealed = entry.seal(aead, bytes(12), bytes(32), b"payload", associated)
    assert entry.unseal(aead, sealed, associated) == (bytes(32), b"payload")
    for other in (("gw.example/globex", "one"), ("gw.example/acme", "two"), ("gw.example/acm", "e\x00one")):
        with pytest.raises(InvalidTag):
            entry.unseal(aead, sealed, entry.associated(*other))
    with pytest.raises(InvalidTag):
        entry.unseal(AESGCM(bytes(31) + b"1"), sealed, associated)
    with pytest.raises(Malformed):
        entry.unseal(aead, sealed[:59], associated)


# -- ids -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2**42), st.binary(min_size=10, max_size=10)), min_size=2, max_size=200))
def test_ids_increase_whatever_the_clock_does(steps: list[tuple[int, bytes]]) -> None:
    ids = Ids()
    made = [ids.next(now, random) for now, random in steps]
    assert made == sorted(set(made))
    assert all(entry.is_uuid7(id) for id in made)


def test_an_id_says_its_millisecond_and_the_counter_carries() -> None:
    ids = Ids()
    assert ids.next(0x0123456789AB, b"\xff" * 10) == "01234567-89ab-77ff-bfff-ffffffffffff"
    for _ in range(0x800):
        last = ids.next(0x0123456789AB, bytes(10))
    assert last == "01234567-89ab-7fff-8000-000000000000"
    assert ids.next(0x0123456789AB, bytes(10)) == "01234567-89ac-7000-8000-000000000000"
    assert ids.next(5, bytes(10)) == "01234567-89ac-7001-8000-000000000000", "the clock went back"


@pytest.mark.parametrize(
    "id",
    [
        "01234567-89ab-47ff-bfff-ffffffffffff",
        "01234567-89ab-77ff-ffff-ffffffffffff",
        "01234567-89AB-77ff-bfff-ffffffffffff",
        "0123456789ab77ffbfffffffffffffff",
        "01234567-89ab-77ff-bfff-ffffffffffff\n",
    ],
)
def test_what_is_no_id(id: str) -> None:
    assert not entry.is_uuid7(id)


def test_the_example_of_the_spec_is_the_first_vector() -> None:
    example = SPEC.split("```")[1].strip()
    assert re.sub(r"\n ", "", example) == LEAF
    assert f"{len(LEAF)} bytes" in SPEC
