"""Another account of the machine gets nothing from a home: no file, no verb, and it cannot serve it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sekimori.demo.deployment import Deployment, environment

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: needs root, to become another account"),
]
NOBODY = 65534
SYSTEM_PYTHON = "/usr/bin/python3"
"""Ours may lie where only root reads."""


@pytest.fixture
def served() -> Iterator[Deployment]:
    # Not below pytest's own folder, which is 0700 and would keep the other account out by itself.
    with tempfile.TemporaryDirectory(prefix="sekimori-host-") as folder:
        Path(folder).chmod(0o755)
        with Deployment(Path(folder) / "place") as deployment:
            deployment.init()
            deployment.serve()
            yield deployment


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SYSTEM_PYTHON, *command],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment(), "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        cwd="/",
    )


def test_no_file_of_a_home_can_be_read(served: Deployment) -> None:
    for path in [served.home, *served.home.rglob("*")]:
        mode = path.lstat().st_mode
        assert mode & 0o077 == 0, f"{path} is open to others: {mode:o}"


def test_the_socket_answers_its_owner_alone(served: Deployment) -> None:
    """Even where the folder was opened by mistake, the kernel says who connects."""
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.settimeout(5)\n"
        f"s.connect({str(served.home / 'owner.sock')!r})\n"
        'body = b\'{"verb":"export","args":{}}\'\n'
        "s.sendall(len(body).to_bytes(4, 'big') + body)\n"
        "sys.stdout.write(repr(s.recv(65536)))\n"
    )
    assert as_nobody("-c", script).returncode != 0, "the folder let another account in"
    served.home.chmod(0o711)
    (served.home / "owner.sock").chmod(0o666)
    ours = subprocess.run([SYSTEM_PYTHON, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert '"ok"' in ours.stdout, f"the owner is answered: {ours}"
    done = as_nobody("-c", script)
    assert '"ok"' not in done.stdout, "another account was answered"
    served.home.chmod(0o700)
