"""kill -9, for real: the home is reopened and verified whole after each of 40 kills of one and the same home."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.ledger.victim import world
from tests.ledger.world import ACME, GLOBEX, sound

ROOT = Path(__file__).parents[2]
DEEDS = (0, 1, 2, 3, 4, 5, 7, 9, 12, 15, 19, 24)
BY_ITSELF = [(at, fault) for at in DEEDS for fault in ("kill", "kill_torn", "kill_persisted")]
BY_ITS_PARENT = (1, 40, 150, 400)
"""Killed after so many acknowledged entries."""


async def test_kill_9_at_many_points(tmp_path: Path) -> None:
    acknowledged: dict[str, list[str]] = {ACME: [], GLOBEX: []}
    for at, fault in [*BY_ITSELF, *((-lines, "") for lines in BY_ITS_PARENT)]:
        command = [sys.executable, "-m", "tests.ledger.victim", str(tmp_path), str(at), fault]
        victim = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert victim.stdout is not None
        assert victim.stderr is not None
        try:
            for seen, line in enumerate(victim.stdout, 1):
                log, id = line.decode().split()
                acknowledged[log].append(id)
                if seen == -at:
                    victim.kill()
            assert victim.wait(60) == -signal.SIGKILL, victim.stderr.read().decode()
        finally:
            victim.kill()
            victim.stdout.close()
            victim.stderr.close()
        after = world(tmp_path)
        await sound(after, acknowledged)
    assert sum(map(len, acknowledged.values())) > 600
