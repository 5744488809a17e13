"""`sekimori import`: reads a file of another gateway, writes documents, shows the report. Nothing is applied."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from sekimori.cli import show as shown
from sekimori.control.owner import Failed, Problem
from sekimori.errors import Refused
from sekimori.migrate.litellm import import_litellm
from sekimori.policy.problems import Invalid
from sekimori.policy.reading import FILE_LIMIT

_VERDICTS = {"secret": "SECRET", "left_out": "left out", "changed": "changed", "note": "note"}
_STDIN = "/dev/stdin"


def litellm(file: Path, out: Path | None, *, tenant: str, agent: str, mode: Literal["agency", "vpc"]) -> dict[str, Any]:
    """The import of a config.yaml, its documents written to `out` if one is named. Raises Refused and Failed."""
    if out is not None and out.exists():
        raise Refused("wrong_use", f"{out} is there already.", advice="Name a new file, or remove that one.")
    try:
        made = import_litellm(
            _read(file),
            str(file),
            today=time.strftime("%Y-%m-%d", time.gmtime()),
            tenant=tenant,
            agent=agent,
            mode=mode,
        )
    except ValueError as error:
        if not isinstance(error, Invalid):
            raise Refused("wrong_use", str(error), advice="Choose `--tenant` and `--agent` so.") from error
        detail = [msgspec.to_builtins(problem) for problem in error.problems]
        what = f"{file} cannot be imported."
        raise Failed(
            Problem("document_invalid", what, "Mend the file as said; nothing was written.", detail)
        ) from error
    if out is not None and made.documents:
        try:
            with out.open("x", encoding="utf-8") as sink:
                sink.write(made.text)
        except OSError as error:
            raise Refused(
                "wrong_use", f"{out} cannot be written: {error.strerror}.", advice="Name another file with `--out`."
            ) from error
    return {
        "documents": made.text,
        "out": None if out is None or not made.documents else str(out),
        "keys": msgspec.to_builtins(made.keys),
        "notes": msgspec.to_builtins(made.notes),
        "secrets": made.secrets,
        "agent": f"{tenant} {agent}",
    }


def _read(file: Path) -> bytes:
    try:
        if str(file) == _STDIN:
            return sys.stdin.buffer.read(FILE_LIMIT + 1)
        with file.open("rb") as source:
            return source.read(FILE_LIMIT + 1)
    except OSError as error:
        raise Refused(
            "wrong_use", f"{file} cannot be read: {error.strerror}.", advice="Name LiteLLM's config.yaml."
        ) from error


def show(answer: dict[str, Any]) -> None:
    """Documents on standard output, unless a file has them; what is said of them where they are not."""
    report = sys.stderr
    if answer["out"] is not None:
        report = sys.stdout
    elif answer["documents"]:
        shown.raw(answer["documents"])
        sys.stdout.flush()

    def say(text: str) -> None:
        report.write(shown.clean(text) + "\n")

    rows = [
        (note["line"] or "", _VERDICTS[note["verdict"]], note["place"], f"{note['text']} {note['advice']}".rstrip())
        for note in answer["notes"]
    ]
    if rows:
        shown.table("What is not as it was", ("line", "", "where", "what, and what to do"), rows, file=report)
    if answer["secrets"]:
        number = answer["secrets"]
        say(f"{number} {'secret stands' if number == 1 else 'secrets stand'} in the file. None was carried.")
        say("  Replace each where it was issued: what stood in a file has been copied.")
    if not answer["documents"]:
        say("Nothing was written.")
        return
    written = answer["out"]
    say(f"Wrote {written}. Next:" if written else "Next, with the documents in a file:")
    name = written or "FILE"
    say(f"  sekimori check -f {name}")
    say(f"  sekimori apply -f {name}")
    for step in answer["keys"]:
        say(f"  {step['command']}    # from {step['where']}" if step["source"] != "none" else f"  {step['command']}")
    say(f"  sekimori apikey issue {answer['agent']}")
