"""How answers look: tables and lines for people, one JSON document for programs.

What is shown came from documents, records and callers: it is printed as text, never as markup, and control characters
are made visible, so that nothing in a record can play with the terminal of whoever reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from sekimori.control.owner import Problem
from sekimori.upstream.hedges import EVERY

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def clean(text: object) -> str:
    """Text without characters that a terminal obeys."""
    return _UNPRINTABLE.sub("\ufffd", str(text))


def plain(answer: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")


def raw(text: str) -> None:
    """Text for a file or a pipe, as it is."""
    sys.stdout.write(text)


def json_line(answer: Any) -> None:
    """One JSON object on a line of its own, in ASCII: what callers wrote cannot play with a terminal."""
    sys.stdout.write(json.dumps(answer) + "\n")


def line(text: str) -> None:
    sys.stdout.write(clean(text) + "\n")


def error(problem: Problem, *, as_json: bool) -> None:
    """What went wrong and what to do, on standard error."""
    if as_json:
        sys.stderr.write(msgspec.json.encode({"error": problem}).decode() + "\n")
        return
    for one in problem.detail:
        sys.stderr.write(f"{clean(_problem(one))}\n")
    sys.stderr.write(f"sekimori: {clean(problem.text)}\n")
    if problem.advice:
        sys.stderr.write(f"  {clean(problem.advice)}\n")


def _problem(one: dict[str, Any]) -> str:
    place = f"{one.get('file') or 'in force'}:{one['line']}" if one.get("line") else one.get("file") or "in force"
    warning = "warning" if one.get("level") == "warning" else ""
    said = ": ".join(part for part in (place, warning, one.get("subject"), one.get("field"), one.get("text")) if part)
    return f"{said} {one.get('fix') or ''}".rstrip()


class Waiting:
    """`async with`: says on standard error what is waited for, once it takes over a second.

    `silent` says nothing: with `--json` an error is one JSON document there, and a line of words would spoil it."""

    def __init__(self, verb: str, *, silent: bool = False) -> None:
        self._text = verb
        self._silent = silent
        self._task: asyncio.Task[None] | None = None

    def say(self, text: str) -> None:
        self._text = text

    async def __aenter__(self) -> Waiting:
        if not self._silent:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        began = time.monotonic()
        live = sys.stderr.isatty()
        try:
            while True:
                await asyncio.sleep(1.0)
                text = f"… {clean(self._text)} ({time.monotonic() - began:.0f} s)"
                sys.stderr.write(f"\r\x1b[K{text}" if live else f"{text}\n")
                sys.stderr.flush()
                if not live:
                    await asyncio.sleep(9.0)  # a log file wants no line a second
        finally:
            if live:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()


def _console(file: TextIO) -> Console:
    from rich.console import Console

    wide = None if file.isatty() else 200  # cut nothing off in a file or a pipe
    return Console(markup=False, highlight=False, emoji=False, width=wide, file=file)


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    figures: int = 0,
    file: TextIO | None = None,
) -> None:
    """A table whose last `figures` columns are right-aligned, on standard output unless `file` says otherwise."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made: Table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for number, name in enumerate(columns):
        right = number >= len(columns) - figures
        made.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        made.add_row(*(Text(clean(cell)) for cell in row))
    _console(file or sys.stdout).print(made)


def when(time_ms: int | None) -> str:
    """A moment, UTC; empty for none."""
    return "" if time_ms is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_ms / 1000))


# -- answers ---------------------------------------------------------------------------------------------------------


def made(answer: dict[str, str]) -> None:
    line(f"Made the home {answer['home']} of {answer['deployment']}.")
    source = answer["key_encryption_key"]
    if source.startswith("file:"):
        line(
            f"  Keep a copy of {source.removeprefix('file:')} (in the home) elsewhere: without it no key can be opened."
        )
    line(
        "  Next: `sekimori apply -f FILE`, `sekimori key put PATH`, `sekimori apikey issue TENANT AGENT`, "
        "`sekimori serve`."
    )


def difference(answer: dict[str, Any]) -> None:
    for one in answer["warnings"]:
        sys.stderr.write(f"{clean(_problem(one))}\n")
    for change in answer["changes"]:
        for text in str(change["text"]).splitlines():
            line(text)
    if not answer["changes"]:
        line("No change.")


def checked(answer: dict[str, Any]) -> None:
    for one in answer["warnings"]:
        sys.stderr.write(f"{clean(_problem(one))}\n")
    line(f"The documents are good; applying them would make {_count(len(answer['changes']), 'change')}.")


def applied(answer: dict[str, Any]) -> None:
    difference(answer)
    if answer["changes"]:
        line(f"Generation {answer['generation']} is in force, {_count(len(answer['changes']), 'change')}.")
    if answer["revoked"]:
        line(f"Revoked {_count(len(answer['revoked']), 'API key')} of agents that are gone.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def key_changed(done: str) -> Callable[[dict[str, Any]], None]:
    return lambda answer: line(f"{answer['path']} is {done}, version {answer['version']}.")


def keys(answer: list[dict[str, Any]]) -> None:
    rows = [
        (k["path"], k["provider"], k["state"], k["version"] or "", when(k["changed_ms"]), k["note"]) for k in answer
    ]
    table("", ("path", "provider", "state", "version", "changed", "note"), rows)


def issued(answer: dict[str, Any]) -> None:
    line(answer["key"])
    ends = f", until {when(answer['expires_ms'])} UTC" if answer["expires_ms"] else ""
    scopes = ", ".join(answer["scopes"])
    said = f"API key {answer['id']} of {answer['tenant']}/{answer['agent']} ({scopes}){ends}. It is not shown again."
    sys.stderr.write(clean(said) + "\n")


def api_keys(answer: list[dict[str, Any]]) -> None:
    rows = [
        (k["id"], f"{k['tenant']}/{k['agent']}", ",".join(k["scopes"]), k["state"], when(k["created_ms"]), k["note"])
        for k in answer
    ]
    table("", ("id", "agent", "scopes", "state", "issued", "note"), rows)


def revoked(answer: dict[str, Any]) -> None:
    line(f"{answer['id']} is revoked." if answer["revoked"] else f"{answer['id']} was revoked before.")


def route(answer: dict[str, Any]) -> None:
    _granted(answer)
    resting = {(one["key"], one["provider"], one["model"]): one for one in answer["resting"]}
    shares = _shares(answer["routes"])
    rows = [
        (
            hop["position"],
            share,
            hop["key"],
            hop["provider"]["name"],
            hop["model"],
            ", ".join(sorted(hop["moves"])),
            ", ".join(sorted(hop["yields"])),
            _rest(resting.get((hop["key"], hop["provider"]["name"], hop["model"]))),
        )
        for hop, share in zip(answer["routes"], shares, strict=True)
    ]
    columns = ("", "share", "key", "provider", "model there", "to an equal when", "to a fallback when", "now")
    used = [number for number in range(len(columns)) if number in _ALWAYS or any(row[number] for row in rows)]
    if rows:
        table("", [columns[number] for number in used], [[row[number] for number in used] for row in rows])
    if answer["sticky"]:
        line("The same conversation comes to the same one of the equals while that is well.")
    after, most = max((hop["hedges"] for hop in answer["routes"]), default=(0, 0))
    if most:
        more = "an equal is" if most == 1 else f"up to {most} equals are"
        line(f"Where one brings nothing for {after} ms, {more} asked beside it, for at most one call in {EVERY}.")
    candidates = (*answer["targets"], *answer["keys"], *answer["providers"])
    left_out = [(one["name"], one["why"]) for one in candidates if not one["chosen"]]
    if left_out:
        table("Not used", ("name", "why"), left_out)


_ALWAYS: Final = frozenset({0, 2, 3, 4})
"""Columns of `route explain` that stand there even where nothing does in them."""


def _shares(routes: Sequence[dict[str, Any]]) -> list[str]:
    """The part of the calls that each of several equals gets first; empty for a hop that has no equal."""
    shares = []
    for hop in routes:
        weights = [other["weight"] for other in routes if other["position"] == hop["position"]]
        shares.append(f"{100 * hop['weight'] / sum(weights):.4g} %" if len(weights) > 1 else "")
    return shares


def _rest(one: dict[str, Any] | None) -> str:
    if one is None:
        return ""
    left = f"rests for {one['seconds']:g} s" if one["seconds"] else "to be tried by one call"
    return f"{left} ({one['because']}, {_count(one['failures'], 'time')} in a row)"


def policy(answer: dict[str, Any]) -> None:
    _granted(answer)
    rows = [("yes" if step["passed"] else "NO", step["check"], step["text"]) for step in answer["steps"]]
    table("", ("", "check", "what was found"), rows)


def _granted(answer: dict[str, Any]) -> None:
    who = f"{answer['tenant']}/{answer['agent']}"
    what = f"{answer['operation']} with {answer['model']} in the {answer['dialect']} dialect"
    verdict = "granted" if answer["granted"] else f"refused ({answer['reason']})"
    line(f"{who}: {what}: {verdict}, by generation {answer['generation']}.")
    if not answer["granted"]:
        line(f"  {answer['text']} {answer['advice']}".rstrip())


def usage(lines: list[dict[str, Any]], by: Sequence[str]) -> None:
    names = ["tenant", *by]
    figures = ["uses", "input", "cached", "output", "cost", "currency"]
    columns = [{"tag": "tags", "user": "end_user"}.get(name, name) for name in names]
    rows = [
        [*(one[name] for name in columns), *(one[name] for name in figures[:4]), cost(one), one["currency"]]
        for one in lines
    ]
    table("", (*names, *figures), rows, figures=len(figures))
    if any("," in one["tags"] for one in lines):
        line("A call with several tags stands in the line of all of them together; `--tag` adds up those of one tag.")
    if any(one["estimated"] for one in lines):
        line(f"{_count(sum(one['estimated'] for one in lines), 'use')} estimated: the provider's figures never came.")
    if any(one["unpriced"] for one in lines):
        line(f"{_count(sum(one['unpriced'] for one in lines), 'use')} without a known price, not in the cost.")


def cost(one: dict[str, Any]) -> str:
    """Exact decimal of the nano-units."""
    return f"{one['cost_nano'] // 10**9}.{one['cost_nano'] % 10**9:09d}"


def usage_csv(lines: list[dict[str, Any]]) -> None:
    from sekimori.meter.usage_report import Line, to_csv

    raw(to_csv([msgspec.convert(one, Line) for one in lines]))


def verified(answer: list[dict[str, Any]]) -> None:
    rows = []
    for one in answer:
        payloads = ", ".join(f"{count} {state}" for state, count in one["payloads"].items())
        rows.append((one["log"], "ok" if one["ok"] else "BAD", one["size"], one["runs"], payloads))
    table("", ("log", "", "entries", "runs", "payloads"), rows)
    for one in answer:
        for problem in one["problems"]:
            line(f"{one['log']}: {problem}")
    bad = sum(not one["ok"] for one in answer)
    line(f"{_count(bad, 'log')} of {len(answer)} do not hold." if bad else f"{_count(len(answer), 'log')} verified.")


def entries(answer: list[dict[str, Any]]) -> None:
    for one in answer:
        leaf = one["leaf"]
        head = f"{one['log']} #{one['index']} {when(leaf['time'])} {one['kind']} by {leaf['actor']}"
        line(f"{head}  {leaf['id']}" + (f"  call {leaf['call']} hop {leaf['hop']}" if leaf["hop"] is not None else ""))
        payload = one["payload"]
        if payload is None:
            line(f"    (payload {one['state']})")
        else:
            line("    " + ", ".join(f"{name}={_short(value)}" for name, value in payload.items() if value is not None))


def _short(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def kek_rotated(answer: dict[str, Any]) -> None:
    line(f"The key-encryption key is {answer['current']} now (was {answer['previous']}).")
    line(f"  {_count(answer['owners'], 'tenant key')} wrapped anew. Replace the copy you keep elsewhere.")


def findings(answer: list[dict[str, Any]]) -> None:
    rows = [(one["state"], one["what"], one["text"] + (f"\n{one['fix']}" if one["fix"] else "")) for one in answer]
    table("", ("", "what", "found"), rows)
