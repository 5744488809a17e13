"""T15: forged log lines and terminal escapes, in the log, in figures and in what the command line prints."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sekimori import cli
from sekimori.control.arguments import Usage
from sekimori.control.owner import Failed
from sekimori.errors import REASONS
from sekimori.meter.usage_report import Line, to_csv
from sekimori.telemetry import CallLine, Log
from tests.attacks.attacker import MESSAGES, VERSION, call_bytes, control, question, wire
from tests.flows.place import Place, chat, place

FORGED = '{"at":"2020-01-01T00:00:00.000Z","event":"serving","level":"info"}'
EVIL = [
    f"x\n{FORGED}",
    f"x\r\n{FORGED}\r\n",
    f"x\u2028{FORGED}\u2029",
    f"x\x85{FORGED}",
    f'x"}}\n{FORGED}',
    f"x\\n{FORGED}",
    f"x\x0b\x0c{FORGED}",
    "\x1b[2J\x1b[H\x1b[31mowned",
    "\x1b]0;owned\x07",
    "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "\x9b31mowned",
    "\u202egnp.exe",
    "\x00\x01\x02",
    "a" * 20_000,
    "[bold red]owned[/]",
    "=cmd|' /C calc'!A0",
]
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


async def misbehave(here: Place) -> None:
    """Everything that a caller writes and that could be repeated somewhere."""
    for evil in EVIL:
        for body in (
            chat(evil),
            chat(f"house/{evil}"),
            chat(**{evil[:60]: 1}),
            chat(tools=[{"type": evil}]),
            chat(text=evil, user=evil),
            {"model": "tiny", "messages": evil},
        ):
            await here.post("acme/x", body)
        await here.post("acme/x", question(evil), MESSAGES, VERSION)
        wire_bytes = evil.encode()[:200]
        for line in (b"POST /%b HTTP/1.1" % wire_bytes, b"%b / HTTP/1.1" % wire_bytes):
            async with wire(here.running.gateway_port) as end:
                end.send(call_bytes(here.keys["acme/x"], line=line))
                await end.until(b"\r\n")
        for field in (b"User-Agent: ", b"X-Request-Id: ", b"X-Forwarded-For: ", b"Authorization: Bearer "):
            async with wire(here.running.gateway_port) as end:
                end.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + field + wire_bytes + b"\r\n\r\n")
                await end.until(b"\r\n")


async def test_no_caller_writes_a_line_of_the_log(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await misbehave(here)
        assert (await here.post("acme/x", chat()))[0] == 200
    log = here.log.getvalue()
    lines = log.decode("utf-8").split("\n")
    assert lines[-1] == ""
    assert len(lines) > 3
    for line in lines[:-1]:
        parsed = json.loads(line)
        assert parsed["event"] in ("serving", "drained", "call", "verb", "verb.failed", "log.dropped"), line[:200]
        assert not OBEYED.search(line), line[:200]
        assert len(line) < 3000
    assert sum(json.loads(line)["event"] == "serving" for line in lines[:-1]) == 1
    assert b"owned" not in log
    assert b"2020-01-01" not in log


async def test_a_name_that_a_pattern_lets_through_is_still_one_line(tmp_path: Path) -> None:
    """The only text of a caller's that the log holds is the model's name, where a document has a pattern for it."""
    wide = (
        "kind: Agent\ntenant: acme\nname: x\nmodels: ['*']\n"
        "---\nkind: Provider\nname: house\ncatalog: compatible\nbaseUrl: http://127.0.0.1:{port}\nmodels: ['*']\n"
    )
    async with place(tmp_path) as here:
        await here.apply(wide.format(port=here.provider_port))
        for evil in EVIL:
            await here.post("acme/x", chat(evil))
            await here.post("acme/x", chat("gpt-" + evil))
        names = {body["model"] for _, _, body in here.provider.seen}
        assert not [name for name in names if OBEYED.search(name) or "\n" in name]
    for line in here.log.getvalue().splitlines():
        json.loads(line)


def test_the_log_itself_keeps_a_line_a_line() -> None:
    out = io.BytesIO()
    log = Log(out=out, now_ms=lambda: 0)
    for evil in EVIL:
        log.info("event", field=evil, more={evil: [evil]})
        log.call(CallLine(0, model=evil, tenant="t", agent="a"))
        log.exception("failed", ValueError(evil))
    log.close()
    lines = out.getvalue().split(b"\n")
    assert len(lines) == 3 * len(EVIL) + 1
    for line in lines[:-1]:
        assert json.loads(line)["at"] == "1970-01-01T00:00:00.000Z"
        assert not OBEYED.search(line.decode())


async def test_what_the_command_line_prints_obeys_nobody(tmp_path: Path) -> None:
    """The record holds what callers wrote; whoever reads it at a terminal must see it, not obey it."""
    async with place(tmp_path) as here:
        await misbehave(here)
        await here.post("acme/x", chat())
        commands = ["ledger show --log acme --last 1000", "ledger show --log operator --last 1000", "usage --by model",
                    "ledger verify", "apikey list", "key list", "doctor", "export"]  # fmt: skip
        printed = {command: await asyncio.to_thread(run, here, command) for command in commands}
        for command, text in printed.items():
            assert text
            for line in text.splitlines():
                assert not OBEYED.search(line), (command, line[:200])
            assert FORGED not in text.splitlines(), command
        # An entry takes two lines: what callers wrote opened no third one.
        shown = printed["ledger show --log acme --last 1000"].splitlines()
        size = len(await here.entries("acme"))
        assert len(shown) == 2 * size, [line for line in shown if not line.startswith(("acme #", "    "))][:5]


def run(here: Place, command: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
        cli.main(["--home", str(here.home), *command.split()])
    return out.getvalue()


async def test_no_caller_makes_a_figure(tmp_path: Path) -> None:
    """A label is a configured name or a registered word: callers can neither forge a line nor make a million series."""
    async with place(tmp_path) as here:
        before = (await control(here, "/metrics"))[1]
        await misbehave(here)
        after = (await control(here, "/metrics"))[1]
        assert not OBEYED.search(after.decode())
        assert b"owned" not in after
        labels = set(re.findall(rb'(\w+)="([^"]*)"', after))
        agents = {value for name, value in labels if name == b"agent"}
        assert agents <= {b"x", b"y", b"z", b"other", b""}, agents
        reasons = {value.decode() for name, value in labels if name == b"reason"}
        assert reasons <= REASONS.keys()
        assert len(after) < 4 * len(before) + 20_000


async def test_a_spreadsheet_that_opens_the_usage_runs_nothing(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.post("acme/x", chat("gpt-4"))
        await here.post("acme/x", chat())
        lines = [Line(**one) for one in await here.verb("usage", Usage(by=("model", "agent")))]
        forged = [
            Line(**{**as_dict(lines[0]), "model": model, "agent": model})
            for model in ("=1+1", "+1", "-1", "@x", "\t=1", 'a"b,c\nd')
        ]
        for row in list(csv.reader(io.StringIO(to_csv(forged))))[1:]:
            for cell in row:
                assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r"), row
        assert len(list(csv.reader(io.StringIO(to_csv(forged))))) == 1 + len(forged)


def as_dict(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__struct_fields__}


async def test_documents_and_notes_cannot_paint_the_operators_screen(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        for evil in EVIL[:13]:
            for document in (
                f"kind: Tenant\nname: {json.dumps(evil)}\nmode: agency\n",
                f"kind: {json.dumps(evil)}\n",
                f"{json.dumps(evil)}: x\n",
                f"kind: Agent\ntenant: acme\nname: q\npurpose: {json.dumps(evil)}\nmodels: [{json.dumps(evil)}]\n",
            ):
                with contextlib.suppress(Failed):
                    await here.apply(document)
            if not evil.isprintable():
                with pytest.raises(Failed):
                    await here.issue("acme", "x", note=evil)
        for command in ("export", "key list", "apikey list", "route explain acme q tiny", "doctor"):
            for line in (await asyncio.to_thread(run, here, command)).splitlines():
                assert not OBEYED.search(line), (command, line[:100])
