"""What the ledger needs from others, and what others may hang on it. The promises stand in the docstrings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from sekimori.ledger.entry import Aead, Leaf, Payload, Row, State
from sekimori.ledger.note import Signer as Signer


class DayKeys(Protocol):
    """The keys that payloads are encrypted with: one per owner, class of entry and UTC day."""

    def cached(self, owner_uid: str, class_: int, day: str) -> tuple[str, Aead] | None:
        """(day key's id, key) where it is durable and at hand, else None. On the hot path: no I/O, no waiting.

        `day` is `YYYY-MM-DD`. The id is an entry.Token and never reused."""
        ...

    async def day_key(self, owner_uid: str, class_: int, day: str) -> tuple[str, Aead]:
        """The same, made if there is none. Durable before it returns: an entry under a lost key is a lost entry."""
        ...

    async def open_day_key(self, owner_uid: str, daykey_id: str) -> Aead | None:
        """The key of that id; None where it was destroyed. Raises Fault where it cannot be told."""
        ...


class Rows(Protocol):
    """Where payloads live after integration: the owner's own rows, one store per log. All calls name the log."""

    async def put(self, log: str, rows: Sequence[Row]) -> None:
        """Store in one transaction, durable on return. Repeated after a crash with the same rows: put again is fine.

        Where an index is present already, it stays as it is (it may have been purged meanwhile)."""
        ...

    async def get(self, log: str, start: int, end: int) -> list[Row]:
        """Rows with start <= index < end, by index."""
        ...

    async def find(self, log: str, id: str) -> int | None:
        """Index of the entry of this id; None where the log has none."""
        ...


class Recorded(Struct, frozen=True, gc=False):
    """An entry as people read it."""

    log: str
    index: int
    leaf: Leaf
    payload: Payload | None
    """None unless `state` is `present`."""
    state: State = "present"


class Follower(Protocol):
    """Sees every integrated entry of every log exactly once and in order, across restarts.

    It keeps its own cursor, in the same transaction as what it makes of the entries."""

    name: str

    async def cursor(self, log: str) -> int:
        """Index of the first entry of this log that it has not taken yet."""
        ...

    async def take(self, log: str, entries: Sequence[Recorded]) -> None:
        """Consecutive entries from its cursor on. On return their effect and the cursor behind them are durable.

        If it raises, the same entries are given again later."""
        ...
