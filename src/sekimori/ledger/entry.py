"""The bytes of a ledger entry: leaf, payload, commitment, ciphertext. The only place that makes or reads them.

An entry is a public **leaf** (RFC 8785 JSON, what the Merkle tree hashes) and a private **payload** (JSON of one of
the structs below). The leaf commits to the payload through a salted hash, so a payload can be purged by destroying
its day key, and nothing in the leaf lets anyone guess what it said. docs/spec/entry.md states every byte; the vectors
in tests/ledger/vectors hold this module to it. Numbers of the registries stand in ledgers: append, never reuse.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Annotated, Final, Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from msgspec import Meta, Struct, field

from sekimori.terms import Dialect, Operation, Scope, Tags, Usage, Verdict

VERSION: Final = 1
MAX_LEAF: Final = 65_535
"""Bytes; the bound of C2SP entry bundles (two length bytes)."""
MAX_PAYLOAD: Final = 256 * 1024
"""Bytes of plaintext; what is larger does not belong in a record."""
MAX_NUMBER: Final = 2**53 - 1
"""Largest integer that RFC 8785 (IEEE 754 doubles) carries exactly."""
SALT: Final = 32
NONCE: Final = 12
RANDOM: Final = 10
"""Random bytes that one id takes."""

# -- classes: how long the payload of an entry is kept (days; retention policy entries may lengthen them) ------------

LOG_INTEGRITY: Final = 1
LOGIN: Final = 2
KEY_ACCESS: Final = 3
AGENT_CREATION: Final = 4
AGENT_EXECUTION: Final = 5
CONFIGURATION: Final = 6
NETWORK_ACCESS: Final = 7


class ClassInfo(Struct, frozen=True):
    """A class of entries."""

    name: str
    days: int
    """Default retention of the payload."""


CLASSES: Final[dict[int, ClassInfo]] = {
    LOG_INTEGRITY: ClassInfo("log_integrity", 7 * 365),
    LOGIN: ClassInfo("login", 365),
    KEY_ACCESS: ClassInfo("key_access", 365),
    AGENT_CREATION: ClassInfo("agent_creation", 90),
    AGENT_EXECUTION: ClassInfo("agent_execution", 90),
    CONFIGURATION: ClassInfo("configuration", 7 * 365),
    NETWORK_ACCESS: ClassInfo("network_access", 30),
}

# -- kinds: what an entry says, and the payload of each (number, schema) ---------------------------------------------

RUN_OPENED: Final = 1
RUN_CLOSED: Final = 2
DECIDED: Final = 3
SETTLED: Final = 4
REFUSED: Final = 5
KEY_USED: Final = 6
PROGRESS: Final = 7
PROPOSED: Final = 8
APPLIED: Final = 9
KEY_CHANGED: Final = 10
API_KEY_ISSUED: Final = 11
API_KEY_REVOKED: Final = 12
KEK_ROTATED: Final = 13
OBJECTS_ADOPTED: Final = 14

Outcome = Literal["not_sent", "answered", "yielded", "interrupted", "aborted"]
"""How a hop ended: nothing was sent; answered; failed and gave way to another hop; the process or its record of the end
was lost (nobody knows how far it went); cut off by us or by the caller."""


class Payload(Struct, frozen=True, kw_only=True, gc=False):
    """What an entry says. A changed or added member is a new schema number; readers skip members they do not know."""


class RunOpened(Payload, frozen=True, kw_only=True):
    """First entry (n = 0) of a process's run in a log."""

    deployment: str
    software: str
    """`sekimori/<version>`."""


class RunClosed(Payload, frozen=True, kw_only=True):
    """Last entry of a run in a log."""

    by: Literal["close", "recovery"]
    interrupted: int
    """Pairs that were still open and are closed as `interrupted` right before this entry."""


class Decided(Payload, frozen=True, kw_only=True):
    """One hop of a call is authorised; durable before anything leaves. Its pair is the `Settled` of (call, hop)."""

    dialect: Dialect
    operation: Operation
    model: str
    """As asked."""
    stream: bool
    provider: str
    provider_model: str
    """As sent."""
    key: str
    """Path of the provider key."""
    key_uid: str
    position: Literal["primary", "fallback"]
    reasons: list[str]
    """Why it was granted, a line each."""
    request_bytes: int
    max_output: int | None
    """Bound on output tokens that the reservation used; None is unbounded."""
    verdict: Verdict | None
    """Of the input's screening."""
    credential: str
    """Public id of the API key."""
    tags: Tags | None = None
    """Whom and what the call is for, as its caller said; None where nothing was said."""
    reserved: Usage | None = None
    """What the hop may use at most by its reservation; None where no bound on tokens or money applied."""
    reserved_nano: int | None = None
    """What that costs at the dearest; None where no bound on money applied."""


class Settled(Payload, frozen=True, kw_only=True):
    """How that hop ended; durable before the reply's last byte."""

    outcome: Outcome
    status: int | None = None
    """HTTP status of the provider; None where none was seen."""
    reason: int | None = None
    """Number in errors.REASONS; None where nothing went wrong."""
    usage: Usage | None = None
    cost_nano: int | None = None
    """10^-9 of `currency`; None where no price is known."""
    currency: str = "USD"
    price_source: str | None = None
    ms_first_byte: int | None = None
    ms_total: int | None = None
    """None where nobody measured it (closed by recovery)."""
    released_bytes: int | None = None
    """Bytes of the reply that the caller was given; None where nobody knows."""
    verdict: Verdict | None = None
    """Of the output's screening."""
    request_id: str | None = None
    minted: list[str] = []
    """Ids of the objects that the provider keeps from now on for this tenant and key."""


class Refused(Payload, frozen=True, kw_only=True):
    """A call that was not answered; repeats within ten seconds are one more entry with their count."""

    reason: int
    """Number in errors.REASONS."""
    text: str
    status: int
    dialect: str
    operation: str
    model: str
    count: int
    first_ms: int
    last_ms: int
    credential: str | None = None
    """Public id; None where the credential was not recognised (never its text)."""
    detail: list[str] = []
    repeats: str | None = None
    """Id of the entry whose repeats these are; None on the first."""
    verdict: Verdict | None = None


class Corrected(Struct, frozen=True, gc=False):
    """Whose estimate a use corrects: that of the `KeyUsed` with the same id in `began`."""

    id: str
    """The provider's own, of what it worked on."""
    agent: str
    """Uid of the agent that had it begun."""
    time: int
    """When that was recorded, in milliseconds since 1970: the difference counts on that day."""
    tags: Tags | None = None
    """Whom and what that was for: the difference counts there."""
    unpriced: bool = False
    """Whether the estimate had no price."""


class KeyUsed(Payload, frozen=True, kw_only=True):
    """A provider key was lent for a hop. Kept longer than the call; says nothing of its content."""

    key: str
    key_uid: str
    key_version: int | None
    """None where the process ended before it could say (`interrupted`)."""
    provider: str
    model: str
    usage: Usage | None = None
    cost_nano: int | None = None
    currency: str = "USD"
    outcome: Outcome
    tags: Tags | None = None
    """As in `Decided`: what usage is reported by outlives the call's own entries."""
    began: str = ""
    """Id of a response that the provider works on after the call: `usage` and `cost_nano` are an estimate until its end
    is fetched."""
    corrects: Corrected | None = None
    """Of a call that fetched such an end: `usage` and `cost_nano` are what is to be added to the estimate (less than
    nothing where that was too much), and count for the agent, day and tags of it."""
    deleted: str = ""
    """Id of an object that the provider keeps no more."""


class Progress(Payload, frozen=True, kw_only=True):
    """A long stream is still running (every ten seconds)."""

    ms: int
    """Since the call began."""
    released_bytes: int


class Change(Struct, frozen=True):
    """One document of a configuration change."""

    action: Literal["create", "change", "delete"]
    kind: str
    tenant: str | None
    name: str


class Proposed(Payload, frozen=True, kw_only=True):
    """A generation is about to be committed; durable before it is."""

    generation: int
    changes: list[Change]
    digest: str
    """Of the whole proposed set of documents: `sha256:<hex>`."""


class Applied(Payload, frozen=True, kw_only=True):
    """What became of it."""

    generation: int
    changes: list[Change]
    digest: str
    outcome: Literal["applied", "abandoned"] = "applied"
    """`abandoned`: recovery found that the generation was never committed."""


class KeyChanged(Payload, frozen=True, kw_only=True):
    """A provider key was changed; never a byte of it."""

    action: Literal["put", "rotated", "destroyed", "frozen", "unfrozen"]
    path: str
    key_uid: str
    version: int


class ApiKeyIssued(Payload, frozen=True, kw_only=True):
    """An agent was given an API key."""

    credential: str
    agent: str
    scopes: list[Scope]
    expires_ms: int | None
    note: str = ""


class ApiKeyRevoked(Payload, frozen=True, kw_only=True):
    """An API key bites no more."""

    credential: str
    agent: str


class KekRotated(Payload, frozen=True, kw_only=True):
    """The key-encryption key was changed; tenant keys are wrapped anew."""

    old: str
    new: str
    """Version ids."""
    rewrapped: int


class ObjectsAdopted(Payload, frozen=True, kw_only=True):
    """Objects that a provider keeps and that were made elsewhere may be named with this key from now on."""

    key: str
    key_uid: str
    ids: list[str]


SCHEMAS: Final[dict[tuple[int, int], type[Payload]]] = {
    (RUN_OPENED, 1): RunOpened,
    (RUN_CLOSED, 1): RunClosed,
    (DECIDED, 1): Decided,
    (SETTLED, 1): Settled,
    (REFUSED, 1): Refused,
    (KEY_USED, 1): KeyUsed,
    (PROGRESS, 1): Progress,
    (PROPOSED, 1): Proposed,
    (APPLIED, 1): Applied,
    (KEY_CHANGED, 1): KeyChanged,
    (API_KEY_ISSUED, 1): ApiKeyIssued,
    (API_KEY_REVOKED, 1): ApiKeyRevoked,
    (KEK_ROTATED, 1): KekRotated,
    (OBJECTS_ADOPTED, 1): ObjectsAdopted,
    # Schemas 2 and 3 have members more, which default to what schema 1 could not say: one struct reads both.
    (DECIDED, 2): Decided,
    (SETTLED, 2): Settled,
    (KEY_USED, 2): KeyUsed,
    (KEY_USED, 3): KeyUsed,
    (DECIDED, 3): Decided,
    (SETTLED, 3): Settled,
    (REFUSED, 2): Refused,
}
"""(kind, schema) -> payload. What is read may be of any of these; what is written has the last schema of its kind."""
KINDS: Final[dict[int, str]] = {kind: payload.__name__ for (kind, _), payload in SCHEMAS.items()}
WRITTEN: Final[dict[type[Struct], tuple[int, int]]] = {payload: at for at, payload in SCHEMAS.items()}
"""Payload -> the (kind, schema) it is written as."""

# -- the leaf --------------------------------------------------------------------------------------------------------

_NAME = r"^[A-Za-z0-9][A-Za-z0-9:._/-]{0,127}\Z"
_UUID7 = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z"
Token = Annotated[str, Meta(pattern=_NAME)]
"""Needs no escape in JSON: actors, uids, day-key ids. No identifier of a person may stand in one."""
Uuid7 = Annotated[str, Meta(pattern=_UUID7)]
Number = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Small = Annotated[int, Meta(ge=1, le=65_535)]

is_token = re.compile(_NAME).match
is_uuid7 = re.compile(_UUID7).match


class Leaf(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Leaf v1. Members stand in RFC 8785 order, so that encoding in declared order is canonical."""

    actor: Token
    agent: Token | None
    call: Uuid7 | None
    class_: Small = field(name="class")
    commit: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{43}=\Z")]
    daykey: Token
    generation: Number
    hop: Number | None
    id: Uuid7
    kind: Small
    n: Number
    run: Uuid7
    schema: Small
    tenant: Token
    time: Number
    """Milliseconds since 1970, by the clock of the writer; order is told by the index, not by this."""
    v: Literal[1]


class Row(Struct, frozen=True, gc=False):
    """What the owner's own rows keep of an entry: its place, what it is looked up by, and the encrypted payload."""

    index: int
    id: str
    call: str | None
    kind: int
    class_: int
    time: int
    daykey: str
    ciphertext: bytes | None
    """None once purged."""


class Malformed(Exception):
    """Bytes that are not what this specification says; they come from a disk or a stranger, not from a caller."""


State = Literal["present", "purged", "missing", "altered", "unknown"]
"""Of a payload: readable and as committed; its day key is destroyed; the key is there but the ciphertext is not; the
ciphertext is not what was committed; of a schema that this version does not know."""


class Aead(Protocol):
    """AES-256-GCM under one day key (`cryptography`'s AESGCM)."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...


leaf_bytes = msgspec.json.Encoder().encode
"""Leaf -> its canonical bytes. Does not validate: the writer checks tokens once, where they enter."""
payload_bytes = msgspec.json.Encoder().encode
"""Payload -> plaintext bytes. Any JSON that decodes to the schema; the commitment covers the bytes as they are."""
_leaf = msgspec.json.Decoder(Leaf)
_payloads = {at: msgspec.json.Decoder(payload) for at, payload in SCHEMAS.items()}


def parse_leaf(data: bytes) -> Leaf:
    """The leaf of exactly these bytes. Raises Malformed on anything that is not the canonical form."""
    if len(data) > MAX_LEAF:
        raise Malformed(f"leaf of {len(data)} bytes; at most {MAX_LEAF}")
    try:
        leaf = _leaf.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a leaf: {error}") from None
    # One byte string per leaf: spaces, member order, escapes, 1.0 for 1 and base64 with stray bits are all refused.
    if leaf_bytes(leaf) != data or base64.b64encode(base64.b64decode(leaf.commit)).decode() != leaf.commit:
        raise Malformed("leaf is not in canonical form")
    return leaf


def parse_payload(kind: int, schema: int, data: bytes) -> Payload | None:
    """The payload, or None where this version does not know (kind, schema). Raises Malformed."""
    decoder = _payloads.get((kind, schema))
    if decoder is None:
        return None
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"payload of kind {kind} schema {schema}: {error}") from None


def commit(salt: bytes, payload: bytes) -> str:
    """base64 SHA-256(salt ‖ payload). The salt keeps a guessable payload from being tried against the leaf."""
    return _committed(salt + payload)


def _committed(salted: bytes) -> str:
    return binascii.b2a_base64(hashlib.sha256(salted).digest(), newline=False).decode()


def origin(deployment: str, log: str) -> str:
    """Name of a log, and of the key that signs its checkpoints."""
    return f"{deployment}/{log}"


def associated(origin: str, id: str) -> bytes:
    """Associated data of a payload's ciphertext: it opens only as this entry of this log."""
    return f"{origin}\x00{id}".encode()


def seal(aead: Aead, nonce: bytes, salt: bytes, payload: bytes, associated: bytes) -> bytes:
    """nonce ‖ AES-256-GCM(salt ‖ payload). `nonce` and `salt` must be fresh random bytes."""
    return nonce + aead.encrypt(nonce, salt + payload, associated)


def close(aead: Aead, nonce: bytes, salt: bytes, payload: bytes, associated: bytes) -> tuple[str, bytes]:
    """(`commit`, `seal`) of one payload, which is copied once for both."""
    salted = salt + payload
    return _committed(salted), nonce + aead.encrypt(nonce, salted, associated)


def unseal(aead: Aead, ciphertext: bytes, associated: bytes) -> tuple[bytes, bytes]:
    """(salt, payload). Raises Malformed where it is too short, cryptography's InvalidTag where it was altered."""
    if len(ciphertext) < NONCE + SALT + 16:
        raise Malformed("ciphertext is too short")
    plain = aead.decrypt(ciphertext[:NONCE], ciphertext[NONCE:], associated)
    return plain[:SALT], plain[SALT:]


def disclose(origin: str, leaf: Leaf, ciphertext: bytes | None, aead: Aead | None) -> tuple[State, Payload | None]:
    """What can be read of an entry's payload, and whether it is what the leaf committed to. Never raises on bytes."""
    if aead is None:
        return "purged", None
    if ciphertext is None:
        return "missing", None
    try:
        salt, plain = unseal(aead, ciphertext, associated(origin, leaf.id))
        if not hmac.compare_digest(commit(salt, plain), leaf.commit):
            return "altered", None
        payload = parse_payload(leaf.kind, leaf.schema, plain)
    except (InvalidTag, Malformed):
        return "altered", None
    return ("unknown", None) if payload is None else ("present", payload)


_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""First digit of the last 64 bits: its two upper bits are 10 (RFC 9562)."""


class Ids:
    """UUIDv7 (RFC 9562), strictly increasing within a process, whatever the clock does.

    The 12 bits after the version are a counter that starts at a random value below 2048 in each millisecond.
    """

    def __init__(self) -> None:
        self._ms = -1
        self._counter = 0
        self._prefix = ""

    def next(self, now_ms: int, random: bytes) -> str:
        """The next id. `random` is RANDOM fresh random bytes."""
        if now_ms > self._ms:
            self._counter = random[0] << 3 | random[1] >> 5
            self._set(now_ms)
        else:
            self._counter += 1
            if self._counter > 0xFFF:
                self._counter = random[0] << 3 | random[1] >> 5
                self._set(self._ms + 1)
        text = random[2:].hex()
        return f"{self._prefix}{self._counter:03x}-{_VARIANT[text[0]]}{text[1:4]}-{text[4:]}"

    def _set(self, ms: int) -> None:
        self._ms = ms
        text = f"{ms:012x}"
        self._prefix = f"{text[:8]}-{text[8:]}-7"
