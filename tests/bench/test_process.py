"""What is started is watched, weighed and stopped."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench.disk import filesystem, probe
from bench.load import Task
from bench.process import Broken, Child, Load, Upstream, cpu_us, resident_mb, threads_us, tree
from bench.traffic import PROVIDER_KEY

SPIN = "import time; end = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
PARENT = (
    "import subprocess, sys, time\n"
    f"subprocess.run([sys.executable, '-c', {SPIN.format(seconds=0.2)!r}])\n"  # ended and waited for
    f"live = subprocess.Popen([sys.executable, '-c', {SPIN.format(seconds=0.2) + 'time.sleep(60)'!r}])\n"
    f"{SPIN.format(seconds=0.2)}"
    "print('ready', flush=True)\n"
    "try: time.sleep(60)\n"
    "finally: live.kill()\n"
)


def python(code: str, folder: Path) -> Child:
    return Child("a program", [sys.executable, "-c", code], folder / "log")


def test_time_of_a_whole_tree_is_counted(tmp_path: Path) -> None:
    with python(PARENT, tmp_path) as parent:
        assert parent.line(30) == b"ready"
        assert len(tree(parent.pid)) == 2
        end = time.monotonic() + 30
        while cpu_us(parent.pid) < 600_000:  # itself, the live child and the ended one: 0.2 s each
            assert time.monotonic() < end, "the tree's time was not counted in full"
            time.sleep(0.05)
        os.kill(tree(parent.pid)[1], 9)
        assert sum(threads_us(parent.pid).values()) >= 200_000
        assert 1 < resident_mb(parent.pid) < 1000


def test_time_agrees_with_what_the_process_sees_itself() -> None:
    before = time.process_time_ns() / 1000
    seen = cpu_us(os.getpid())
    after = time.process_time_ns() / 1000
    children = os.times()
    waited_us = (children.children_user + children.children_system) * 1e6
    live = [pid for pid in tree(os.getpid()) if pid != os.getpid()]
    assert before + waited_us <= seen
    if not live:
        assert seen <= after + waited_us + 20_000


def test_a_process_that_ends_is_noticed_with_its_last_words(tmp_path: Path) -> None:
    with python("import sys; sys.exit('out of cheese')", tmp_path) as child, pytest.raises(Broken, match="cheese"):
        child.line(30)


def test_silence_has_a_time_limit(tmp_path: Path) -> None:
    with python("import time; time.sleep(60)", tmp_path) as child:
        with pytest.raises(Broken, match="said nothing for 1 s"):
            child.line(1)
        pid = child.pid
    assert not Path(f"/proc/{pid}").exists()


def test_processes_talk_and_a_failed_round_is_loud(tmp_path: Path) -> None:
    with Upstream(tmp_path) as upstream, Load(tmp_path) as load:
        task = Task("burst", upstream.port, PROVIDER_KEY, 4, 20, 4, 0, 20.0)
        assert load.run(task, watching=upstream.check).requests == 24
        wrong = Task("burst", upstream.port, "not-the-key", 4, 20, 4, 0, 20.0)
        with pytest.raises(Broken, match="401"):
            load.run(wrong, watching=upstream.check)


def test_disk_probe_names_its_file_system(tmp_path: Path) -> None:
    found = probe(tmp_path, times=20)
    assert found.filesystem == filesystem(tmp_path) != "unknown"
    assert 0 < found.p50_us <= found.p99_us
