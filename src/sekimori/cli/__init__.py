"""The command line: `sekimori`. The commands are in cli/commands; this is the door to them.

A server lives long and is measured by its memory: the words of `serve` are plain, so they are read here, without the
library that reads those of the other commands. Whatever is not exactly that goes the common way, `--help` included.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from sekimori import config
from sekimori.cli import show
from sekimori.control.owner import Problem, exit_status
from sekimori.errors import Refusal


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 well, 1 the answer is no, 2 wrong use, 3 a fault."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    plain = _serve(words)
    try:
        if plain is None:
            from sekimori.cli import commands

            status = commands.run(words)
        else:
            status = serve(*plain)
    except Refusal as refusal:
        status = _failed(words, Problem(refusal.reason, refusal.text, refusal.advice))
    except KeyboardInterrupt:
        status = 130
    except Exception as error:  # noqa: BLE001 - nobody is above us: said readably, with its place and without values
        from sekimori.telemetry import redact

        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename.rpartition('/sekimori/')[2]}:{place.lineno}"
        text = f"This should not have happened: {type(error).__name__} at {where}: {redact(str(error))}"
        status = _failed(words, Problem("internal", text, "Please report it with what you did."))
    sys.exit(status)


def _failed(words: Sequence[str], problem: Problem) -> int:
    show.error(problem, as_json="--json" in words)
    return exit_status(problem.reason)


def serve(home: Path | None, plane: str) -> int:
    """Serve a home until SIGTERM."""
    settings = config.load(home)
    import uvloop

    from sekimori.serve import run

    return uvloop.run(run(settings, "gateway" if plane == "gateway" else "all"))


def _serve(words: Sequence[str]) -> tuple[Path | None, str] | None:
    """(home, plane) of `[--home DIR] [--json] serve [--plane gateway]`; None for anything else."""
    options: dict[str, str] = {}
    commands = []
    rest = iter(word for word in words if word != "--json")
    for word in rest:
        name, equals, value = word.partition("=")
        if name in ("--home", "--plane"):
            if name in options or not (value := value if equals else next(rest, "")):
                return None
            options[name] = value
        else:
            commands.append(word)
    if commands != ["serve"] or options.get("--plane", "gateway") != "gateway":
        return None
    return Path(options["--home"]) if "--home" in options else None, options.get("--plane", "all")


__all__ = ["main", "serve"]
