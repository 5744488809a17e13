"""Fuzz the parsers for a bounded time: `python -m fuzz [--seconds N] [TARGET…]`.

Each module of this package is a target: `target(data)` raises when a property does not hold, `SEEDS` start the corpus.
A target runs in a process of its own, under coverage guidance (atheris), with a bound on time and memory; what crashes
or hangs it is written to `.scratch/fuzz/` with the command that repeats it.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
SCRATCH = HERE.parent / ".scratch" / "fuzz"
HANG_SECONDS = 10
MEMORY_MB = 2048


def names() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def fuzz(name: str, seconds: int) -> bool:
    """Run one target in a process of its own; whether it held."""
    found = SCRATCH / name
    found.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "fuzz", "--inside", name, "--seconds", str(seconds)]
    with tempfile.TemporaryFile() as said:
        try:
            code = subprocess.run(
                command, cwd=HERE.parent, stdout=said, stderr=said, timeout=seconds + 60, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
        said.seek(0)
        text = said.read().decode(errors="replace")
    ended = re.findall(r"^Done (\d+) runs|^#(\d+)\s", text, re.MULTILINE)
    count = next(filter(None, ended[-1])) if ended else "?"
    print(
        f"{'ok    ' if code == 0 else 'FAILED'} {name:20} {count:>10} inputs in {time.monotonic() - began:.0f} s",
        flush=True,
    )
    if code != 0:
        log = found / "log.txt"
        log.write_text(text, encoding="utf-8")
        print(f"       {log}; inputs that broke it lie beside it", flush=True)
    return code == 0


def inside(name: str, seconds: int) -> None:
    """The process of one target."""
    import atheris

    with atheris.instrument_imports(include=["sekimori"]):
        module = importlib.import_module(f"fuzz.{name}")
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(module.SEEDS):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
            module.target(seed)
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={HANG_SECONDS}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={SCRATCH / name}/",
        ]
        atheris.Setup([sys.argv[0], *options, corpus], module.target)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(names())}; all unless named")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default 20)")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside, options.seconds)
        return 0
    unknown = sorted(set(options.targets) - set(names()))
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(names())}")
    held = [fuzz(name, options.seconds) for name in options.targets or names()]
    print(f"fuzz: {sum(held)} of {len(held)} targets held")
    return 0 if all(held) and held else 1


if __name__ == "__main__":
    sys.exit(main())
