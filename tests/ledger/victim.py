"""A process that writes to a ledger until it is killed: by its parent, or by itself in the middle of deed `at`.

    python -m tests.ledger.victim HOME AT FAULT

It prints a line for each entry once that entry is acknowledged, and only then goes on.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sekimori.ledger.entry import Row
from sekimori.ledger.ledger import Ledger
from tests.ledger.world import ACME, GLOBEX, Crash, FaultyDisk, Rows, World, decided, key_used, settled


class FileRows(Rows):
    """Rows that outlive the process; each put is one file that appears whole."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(directory.glob("*.rows")):
            log, rows = pickle.loads(path.read_bytes())
            for row in rows:
                self.logs.setdefault(log, {}).setdefault(row.index, row)

    async def put(self, log: str, rows: Sequence[Row]) -> None:
        path = self._directory / f"{log}.{rows[0].index}.{rows[-1].index}.rows"
        path.with_suffix(".new").write_bytes(pickle.dumps((log, list(rows))))
        path.with_suffix(".new").rename(path)
        await super().put(log, rows)


class Deadly(FaultyDisk):
    """Kills the process for real, before, in the middle of, or after the deed."""

    def _deed(self, half, whole):  # type: ignore[no-untyped-def]
        try:
            super()._deed(half, whole)
        except Crash:
            os.kill(os.getpid(), signal.SIGKILL)


def world(home: Path) -> World:
    made = World(home)
    made.rows = FileRows(home / "rows")
    return made


async def write(ledger: Ledger, log: str) -> None:
    while True:
        id = ledger.new_id()
        for drafts in ([decided(log, id)], [settled(log, id), key_used(log, id)]):
            ids = await ledger.write(*drafts)
            os.write(1, "".join(f"{log} {id}\n" for id in ids).encode())


async def main(home: Path, at: int, fault: str) -> None:
    disk = Deadly(at, fault)
    ledger = await world(home).open(disk=disk, checkpoint_seconds=0.02, segment_bytes=16384, ahead=True)
    await asyncio.gather(*(write(ledger, log) for log in (ACME, GLOBEX) for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
