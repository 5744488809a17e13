"""Reading a log: entries with their payloads, places, proofs. Only what is integrated and signed is there to read."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from sekimori.errors import Fault
from sekimori.ledger import entry, tiles
from sekimori.ledger.entry import Aead, Leaf
from sekimori.ledger.log import fetch
from sekimori.ledger.protocols import DayKeys, Recorded, Rows
from sekimori.ledger.tiles import ENTRIES, WIDTH, Damaged, Reader

SLICE: Final = WIDTH
"""Entries read at once."""

V = TypeVar("V")
Run = Callable[..., Awaitable[Any]]
"""Runs a blocking function on the ledger's thread."""


def damaged(log: str, error: Exception) -> Fault:
    """The fault of a log whose files contradict each other."""
    fault = Fault(
        "ledger_unavailable",
        "The ledger of this tenant is damaged; nothing is recorded in it.",
        advice=f"The operator must restore the log {log} from a backup; `sekimori ledger verify` says what is wrong.",
    )
    fault.__cause__ = error
    return fault


def unreadable(log: str, error: Exception) -> Fault:
    """The fault of a log whose last run could not be closed, for want of its keys or rows."""
    fault = Fault(
        "ledger_unavailable",
        "The ledger of this tenant cannot be continued; nothing is recorded in it.",
        advice=f"The operator must make the keys and rows of {log} available (`sekimori doctor`) and restart.",
    )
    fault.__cause__ = error
    return fault


async def recorded(
    name: str, origin: str, start: int, leaves: Sequence[tuple[Leaf, bytes | None]], keys: DayKeys
) -> list[Recorded]:
    """Entries as people read them, from leaves and ciphertexts."""
    aeads: dict[str, Aead | None] = {}
    found = []
    for index, (leaf, ciphertext) in enumerate(leaves, start):
        if leaf.daykey not in aeads:
            aeads[leaf.daykey] = await keys.open_day_key(name, leaf.daykey)
        state, payload = entry.disclose(origin, leaf, ciphertext, aeads[leaf.daykey])
        found.append(Recorded(name, index, leaf, payload, state))
    return found


async def entries(
    directory: Path, name: str, origin: str, start: int, end: int, *, rows: Rows, keys: DayKeys, run: Run
) -> list[Recorded]:
    """Entries [start, end) of a log that has them. Raises Fault where its files are damaged."""
    found: list[Recorded] = []
    for first in range(start, end, SLICE):
        last = min(first + SLICE, end)
        try:
            leaves: list[Leaf] = await run(_leaves, directory, first, last, end)
        except (Damaged, entry.Malformed) as error:
            raise damaged(name, error) from error
        kept = {row.index: row.ciphertext for row in await rows.get(name, first, last)}
        pairs = [(leaf, kept.get(index)) for index, leaf in enumerate(leaves, first)]
        found += await recorded(name, origin, first, pairs, keys)
    return found


def proof(directory: Path, index: int, size: int, note: bytes) -> str:
    """The C2SP tlog-proof of an entry under this checkpoint of that size: all that is needed to check it offline."""
    hashes = Reader(fetch(directory), size).inclusion_proof(index)
    lines = ["c2sp.org/tlog-proof@v1", f"index {index}", *(base64.b64encode(each).decode() for each in hashes)]
    return "\n".join(lines) + "\n\n" + note.decode()


def _leaves(directory: Path, start: int, end: int, size: int) -> list[Leaf]:
    """`size` may be below the log's: partial bundles of that size are then read from the wider ones."""
    read = fetch(directory)
    found: list[bytes] = []
    for number in range(start // WIDTH, (end - 1) // WIDTH + 1):
        found += _bundle(directory, read, number, min(size - number * WIDTH, WIDTH))
    skip = start - start // WIDTH * WIDTH
    return [entry.parse_leaf(each) for each in found[skip : skip + end - start]]


def _bundle(directory: Path, read: tiles.Fetch, number: int, width: int) -> list[bytes]:
    """The first `width` entries of a bundle, from the narrowest file that has them."""
    partial = directory / (tiles.path(ENTRIES, number) + ".p")
    widths = sorted(int(path.name) for path in partial.iterdir() if path.name.isdecimal()) if partial.is_dir() else []
    for wide in (*(each for each in widths if each >= width), WIDTH):
        data = read(tiles.path(ENTRIES, number, wide))
        if data is not None:
            return tiles.parse_bundle(data, wide)[:width]
    raise Damaged(f"{tiles.path(ENTRIES, number, width)} is missing")
