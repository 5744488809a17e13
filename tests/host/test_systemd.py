"""The units of deploy/systemd: as systemd itself judges them, and what they forbid tried on a real server.

`systemd-analyze` reads units without a running systemd. What the unit forbids and could break the program (system
calls, executable memory, address families) is compared with what a server did from its start to its end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sekimori.demo.deployment import Deployment, Process, answers

pytestmark = pytest.mark.host
ROOT = Path(__file__).parents[2]
UNITS = ("sekimori.service", "sekimori-init@.service")
EXPOSURE = {"sekimori.service": "15", "sekimori-init@.service": "10"}
"""Tenths that systemd's own score of exposure may reach, of 100."""
SECONDS = 120

with_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="NOT RUN: needs systemd-analyze")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that is here in the place of the one they name."""
    for name in UNITS:
        text = (ROOT / "deploy" / "systemd" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/opt/sekimori/bin/sekimori", sys.executable), encoding="utf-8")
    return tmp_path


@with_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong(units: Path, name: str) -> None:
    instance = units / name.replace("@.", "@gateway.example.com.")
    if instance.name != name:
        shutil.copy(units / name, instance)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(instance)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@with_systemd
@pytest.mark.parametrize("name", UNITS)
def test_little_is_exposed(units: Path, name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE[name]}", str(units / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def allowed_calls() -> set[str]:
    """The names that `@system-service` less `@privileged` and `@resources` stands for, and `mbind`."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter"], capture_output=True, text=True, timeout=SECONDS, check=True
    ).stdout
    groups: dict[str, list[str]] = {}
    group = ""
    for line in re.sub(r"\x1b\[[0-9;]*m", "", listed).splitlines():
        if line.startswith("@"):
            groups[group := line.strip()] = []
        elif group and line.strip() and not line.strip().startswith("#"):
            groups[group].append(line.strip())

    def members(name: str) -> set[str]:
        return {one for word in groups[name] for one in (members(word) if word.startswith("@") else {word})}

    return (members("@system-service") - members("@privileged") - members("@resources")) | {"mbind"}


DOCUMENTS = """
kind: Operator
allowPrivate: [{host: 127.0.0.1, port: %d}]
---
{kind: Provider, name: practice, catalog: sandbox, baseUrl: "http://127.0.0.1:%d", models: ["sandbox-*"]}
---
{kind: Key, path: operator/practice, provider: practice}
---
{kind: Tenant, name: acme, mode: agency}
---
{kind: Agent, tenant: acme, name: helper, models: ["sandbox-*"]}
---
{kind: Route, tenant: acme, provider: practice, key: operator/practice}
"""


def call(deployment: Deployment, key: str) -> int:
    body = {"model": "sandbox-echo", "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(
        f"{deployment.url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as reply:
        return int(reply.status)


@with_systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="NOT RUN: needs strace")
def test_a_server_needs_nothing_that_the_unit_forbids(tmp_path: Path) -> None:
    """A whole life under strace: served, given a policy and a key, called, read from, verified, and drained."""
    log = tmp_path / "calls"
    with Deployment(tmp_path / "place") as deployment:
        deployment.init()
        deployment.serve_sandbox()
        strace = ["strace", "-f", "-qq", "-e", "signal=none", "-s", "0", "-o", str(log)]
        serve = [sys.executable, "-m", "sekimori.cli", "--home", str(deployment.home), "serve"]
        server = Process([*strace, *serve], f"{deployment.url}/healthz", tmp_path / "serve.log")
        try:
            port = urlsplit(deployment.sandbox_url).port
            deployment.apply(DOCUMENTS % (port, port))
            deployment.put_key("operator/practice", "sk-practice-any-key-will-do")
            _, key = deployment.issue("acme", "helper")
            assert call(deployment, key) == 200
            deployment.run("ledger", "verify")
            deployment.run("kek", "rotate")
            assert answers(f"{deployment.control_url}/metrics")
            os.kill(child_of(server.pid), signal.SIGTERM)  # strace passes none on, and ends as its child does
            until = time.monotonic() + SECONDS
            while server.alive:
                assert time.monotonic() < until
                time.sleep(0.05)
            assert server.stop() == 0
        finally:
            server.kill()
    made = log.read_text(encoding="utf-8", errors="replace")
    called = set(re.findall(r"^[0-9]+ +(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)", made, re.MULTILINE))
    assert {"openat", "fdatasync", "accept4", "execve"} & called, "strace saw the server"
    # SQLite gives a new file to the database's owner where it runs as root, as this test does and the unit does not.
    assert called - allowed_calls() - {"fchown"} == set(), "SystemCallFilter="
    assert not re.search(r"mprotect\(.*PROT_EXEC|mmap\(.*PROT_WRITE\|PROT_EXEC", made), "MemoryDenyWriteExecute="
    families = set(re.findall(r"socket\((AF_[A-Z0-9]+)", made))
    assert families <= {"AF_INET", "AF_INET6", "AF_UNIX"}, "RestrictAddressFamilies="


def child_of(pid: int) -> int:
    """The first child of a process: strace passes no signal on."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])
