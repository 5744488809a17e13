"""How the demo speaks: for each step what was done, as a table, and what was checked, a line each.

A check that fails ends the demo at once with what was expected and what was seen. With `as_json` each step is one JSON
object on standard output instead. Progress goes to standard error, so that the output can be piped.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.rule import Rule
from rich.status import Status
from rich.table import Table
from rich.text import Text

WIDTH: Final = 100
"""Columns; a terminal that is narrower gets its own width."""
PATIENCE: Final = 1.0
"""Seconds after which a wait is explained where there is no terminal to show a spinner on."""


class Surprise(Exception):
    """Something was not as it must be."""

    def __init__(self, what: str, expected: object, seen: object) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.seen = seen


class Step:
    """One step: rows of what was done, and checks of it."""

    def __init__(self, number: int, title: str, point: str) -> None:
        self.number = number
        self.title = title
        self.point = point
        self.columns: tuple[str, ...] = ()
        self.wide = ""
        self.rows: list[tuple[str, ...]] = []
        self.checks: list[str] = []
        self.began = time.monotonic()

    def table(self, *columns: str, wide: str = "") -> None:
        """Name the columns of what `row` adds; `wide` is the one whose cells may take several lines."""
        self.columns = columns
        self.wide = wide or columns[-1]

    def row(self, *cells: object) -> None:
        assert len(cells) == len(self.columns)
        self.rows.append(tuple(printable(cell) for cell in cells))

    def check(self, what: str, seen: object, expected: object) -> None:
        """`what` holds because the two are equal. Raises Surprise."""
        if seen != expected:
            raise Surprise(what, *differing(expected, seen))
        self.checks.append(what)

    def holds(self, what: str, holds: bool, *, expected: str, seen: object) -> None:
        """`what` holds, by a judgement made by the caller. Raises Surprise."""
        if not holds:
            raise Surprise(what, expected, seen)
        self.checks.append(what)


class Show:
    """Where the demo prints."""

    def __init__(self, *, as_json: bool, steps: int) -> None:
        self._json = as_json
        self.steps = steps
        self._out = Console(highlight=False)
        if self._out.width > WIDTH or not self._out.is_terminal:
            self._out = Console(highlight=False, width=WIDTH)
        self._progress = Console(stderr=True, highlight=False)
        self._tick = "ok" if self._out.options.ascii_only else "✓"
        self._cross = "NOT" if self._out.options.ascii_only else "✗"
        self._doing = ""
        self._status: Status | None = None
        self.checks = 0
        self.done = 0

    def text(self, words: str, style: str = "") -> None:
        """A paragraph for people; nothing in JSON."""
        if not self._json:
            self._out.print(Text(words, style=style))

    def raw(self, text: str) -> None:
        """Text to be copied: no line is broken; nothing in JSON."""
        if not self._json:
            self._out.print(Text(text), soft_wrap=True)

    def json(self, **members: object) -> None:
        """One object on a line; nothing for people."""
        if self._json:
            sys.stdout.write(json.dumps(members, ensure_ascii=False) + "\n")
            sys.stdout.flush()

    @contextmanager
    def step(self, title: str, point: str) -> Iterator[Step]:
        """Show a step around what it does. A Surprise passes through, after what was seen until then."""
        step = Step(self.done + 1, title, point)
        if not self._json:
            self._out.print()
            self._out.print(Rule(Text(f"{step.number}/{self.steps}  {title}", style="bold"), align="left"))
            self._out.print(Text(point, style="dim"))
        try:
            yield step
        except Surprise as surprise:
            self._print(step)
            self.surprise(step, surprise)
            raise
        self._print(step)
        self.json(**_members(step), ok=True)
        self.checks += len(step.checks)
        self.done += 1

    def surprise(self, step: Step, surprise: Surprise) -> None:
        expected, seen = printable(surprise.expected), printable(surprise.seen)
        self.json(**_members(step), ok=False, failed=surprise.what, expected=expected, seen=seen)
        if not self._json:
            self._out.print(Text(f" {self._cross} {surprise.what}", style="bold red"))
            self._out.print(Text(f"     expected: {expected}\n     seen:     {seen}"))

    @contextmanager
    def working(self, doing: str) -> Iterator[None]:
        """Say what is waited for: a spinner on a terminal, elsewhere one line once it has taken a second."""
        if not self._progress.is_terminal:
            timer = threading.Timer(PATIENCE, lambda: print(f"  … {doing}", file=sys.stderr, flush=True))
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()
            return
        # A wait within a wait: one spinner, which says the inner one while that lasts.
        before, self._doing = self._doing, doing
        outer = self._status
        status = self._progress.status(self._waiting()) if outer is None else outer
        if outer is None:
            self._status = status
            status.start()
        else:
            status.update(self._waiting())
        try:
            yield
        finally:
            self._doing = before
            self._status = outer
            if outer is None:
                status.stop()
            else:
                status.update(self._waiting())

    def _waiting(self) -> Text:
        return Text(f"{self._doing} …", style="dim")

    def _print(self, step: Step) -> None:
        if self._json:
            return
        if step.rows:
            table = Table(show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1))
            for column in step.columns:
                table.add_column(column, overflow="fold", no_wrap=column != step.wide)
            for row in step.rows:
                table.add_row(*(Text(cell) for cell in row))
            self._out.print(table)
        checks = Table.grid(padding=(0, 1))
        for what in step.checks:
            checks.add_row(Text(f" {self._tick}", style="green"), Text(what))
        self._out.print(checks)


def _members(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "title": step.title,
        "rows": [dict(zip(step.columns, row, strict=True)) for row in step.rows],
        "checks": step.checks,
        "seconds": round(time.monotonic() - step.began, 2),
    }


def differing(expected: object, seen: object) -> tuple[object, object]:
    """Of two mappings what differs, so that a person finds it; anything else as it is."""
    if not isinstance(expected, dict) or not isinstance(seen, dict):
        return expected, seen
    keys = [key for key in {**expected, **seen} if key not in expected or key not in seen or expected[key] != seen[key]]
    return {key: expected.get(key) for key in keys}, {key: seen.get(key) for key in keys}


def printable(value: object) -> str:
    """What a model or a server said, harmless to a terminal: control characters become blanks."""
    return "".join(character if character.isprintable() else " " for character in str(value)).strip()


def excerpt(text: str, length: int = 60) -> str:
    """The beginning of what a model said, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
