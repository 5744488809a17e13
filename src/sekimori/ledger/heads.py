"""Where each log stands in memory: its next numbers, what waits for integration, which pairs are open.

Numbers are given when an entry is queued and taken back when its commit fails, so that neither the index in the log
nor `n` in the run ever has a gap. All of it is touched in the event loop only.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct

from sekimori.errors import Fault
from sekimori.ledger import entry
from sekimori.ledger.entry import DECIDED, RUN_CLOSED, RUN_OPENED, SETTLED, Leaf, Payload, Row
from sekimori.ledger.journal import item_log
from sekimori.ledger.log import Log
from sekimori.ledger.protocols import Recorded, Signer

Hop = tuple[str, int]
"""(call, hop)."""
_PAIR: Final = frozenset((DECIDED, SETTLED))
CARRIED: Final = 0
"""A segment number below all others: the entry lies in the journal's file of open pairs."""


class Pair(Struct):
    """A `Decided` that has no durable `Settled` yet."""

    decided: Mark
    segment: int | None = None
    """Journal segment that holds it, so that recovery finds it; CARRIED once that segment is gone; None until it is
    durable."""
    settling: bool = False
    lost: bool = False
    """Its `Settled` could not be written: the ledger closes the pair when the disk is back."""


class Mark(Struct, gc=False):
    """An entry between its numbering and its integration. Cycles through its head end when it leaves `pending`."""

    head: Head
    index: int
    leaf: Leaf
    data: bytes
    """The leaf's bytes."""
    ciphertext: bytes
    payload: Payload | None
    """None where it was read back from the journal."""
    size: int
    """Bytes of leaf and ciphertext."""

    def row(self) -> Row:
        leaf = self.leaf
        return Row(self.index, leaf.id, leaf.call, leaf.kind, leaf.class_, leaf.time, leaf.daykey, self.ciphertext)

    def recorded(self) -> Recorded:
        return Recorded(self.head.name, self.index, self.leaf, self.payload)


class Head:
    """One log."""

    def __init__(self, name: str, origin: str, signer: Signer, run: str) -> None:
        self.name = name
        self.origin = origin
        self.signer = signer
        self.log: Log | None = None
        """Loaded while it grows."""
        self.item = item_log(name)
        self.associated = entry.associated(origin, "")
        self.classes: set[int] = set()
        """Classes of the entries of this run: their keys for tomorrow are made before midnight."""
        self.run = run
        self.opened = False
        """`RunOpened` of `run` is queued or durable, `RunClosed` is not."""
        self.next_n = 0
        self.next_index = 0
        self.signed = 0
        self.note: bytes | None = None
        self.pending: deque[Mark] = deque()
        """Durable, not yet integrated."""
        self.pairs: dict[Hop, Pair] = {}
        self.checked = False
        """Its rows were compared with its tree: nothing is written before that."""
        self.fault: Fault | None = None
        """Why nothing can be written to this log."""

    def queued(self, mark: Mark) -> None:
        """An entry takes the next numbers. Where it breaks a pair it changes nothing and raises: ValueError for a
        second `Decided`, Fault for a `Settled` whose `Decided` is not in the ledger (the disk failed in between)."""
        leaf = mark.leaf
        kind = leaf.kind
        if kind in _PAIR:
            if leaf.call is None or leaf.hop is None:
                raise ValueError("Decided and Settled name their call and hop")
            pair = self.pairs.get((leaf.call, leaf.hop))
            if kind == DECIDED:
                if pair is not None:
                    raise ValueError(f"hop {leaf.hop} of call {leaf.call} is decided already")
                self.pairs[leaf.call, leaf.hop] = Pair(mark)
            else:
                if pair is None or pair.settling:
                    raise Fault("ledger_unavailable", "The beginning of the call could not be recorded.")
                pair.settling = True
        elif kind == RUN_OPENED:
            self.opened = True
        elif kind == RUN_CLOSED:
            self.opened = False
        self.next_index += 1
        self.next_n += 1

    def durable(self, mark: Mark, segment: int) -> None:
        leaf = mark.leaf
        if leaf.kind == DECIDED and leaf.call is not None and leaf.hop is not None:
            self.pairs[leaf.call, leaf.hop].segment = segment
        elif leaf.kind == SETTLED and leaf.call is not None and leaf.hop is not None:
            self.pairs.pop((leaf.call, leaf.hop), None)
        self.pending.append(mark)

    def failed(self, mark: Mark) -> None:
        """Take back what `queued` gave; newest first."""
        leaf = mark.leaf
        if leaf.kind == DECIDED and leaf.call is not None and leaf.hop is not None:
            del self.pairs[leaf.call, leaf.hop]
        elif leaf.kind == SETTLED and leaf.call is not None and leaf.hop is not None:
            pair = self.pairs[leaf.call, leaf.hop]
            pair.settling, pair.lost = False, True
        elif leaf.kind == RUN_OPENED:
            self.opened = False
        elif leaf.kind == RUN_CLOSED:
            self.opened = True
        self.next_index, self.next_n = mark.index, leaf.n

    def open_pairs(self) -> list[Pair]:
        """Pairs that nobody is closing."""
        return [pair for pair in self.pairs.values() if not pair.settling]
