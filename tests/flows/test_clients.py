"""Agent frameworks, unmodified, through the gateway to the practice provider: a base URL and a key, nothing else.

Each speaks plainly, in a stream, with a tool there and back, and is refused in ways that must become exceptions of its
own; the figures that its user sees are those of the record. The programs of docs/clients.md are run beside them.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from sekimori.ledger import entry
from sekimori.sandbox.app import serve_sandbox
from sekimori.sandbox.replies import NOTICE
from tests.flows.clients import PROMPT, Ask, Door, Report, Reports
from tests.flows.place import Place, place
from tests.flows.test_docs_commands import blocks
from tests.flows.test_sdks import offer

LIMIT = 120.0
"""Seconds for one framework, its import on a busy machine included."""
ROOT = Path(__file__).parent.parent.parent
REQUIREMENTS = ROOT / "requirements"
PAGE = "docs/clients.md"
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else its import fetches a table from elsewhere
}


class Framework(NamedTuple):
    module: str
    """Below tests/flows/clients."""
    needs: tuple[str, ...]
    """What must be installed."""
    snippets: tuple[str, ...]
    """Programs of docs/clients.md."""
    own: dict[str, tuple[str, ...]]
    """Refusal -> the classes one of which it raises."""


OPENAI = {
    "rate limited": ("openai.RateLimitError", "anthropic.RateLimitError"),
    "forbidden": ("openai.PermissionDeniedError", "anthropic.PermissionDeniedError"),
    "unknown key": ("openai.AuthenticationError", "anthropic.AuthenticationError"),
}
FRAMEWORKS = [
    Framework(
        "langchain",
        ("langchain_openai", "langchain_anthropic"),
        ("with_langchain_openai.py", "with_langchain_anthropic.py"),
        OPENAI,
    ),
    Framework(
        "litellm",
        ("litellm",),
        ("with_litellm.py",),
        {
            "rate limited": ("litellm.exceptions.RateLimitError",),
            # It has no class of its own for 403: one of its general ones, with our words in it.
            "forbidden": ("litellm.exceptions.APIError", "litellm.exceptions.APIConnectionError"),
            "unknown key": ("litellm.exceptions.AuthenticationError",),
        },
    ),
    Framework("openai_agents", ("agents",), ("with_openai_agents.py",), OPENAI),
    Framework(
        "pydantic_ai",
        ("pydantic_ai",),
        ("with_pydantic_ai.py",),
        {
            "rate limited": ("pydantic_ai.exceptions.ModelHTTPError",),
            "forbidden": ("pydantic_ai.exceptions.ModelHTTPError",),
            "unknown key": ("pydantic_ai.exceptions.ModelHTTPError",),
        },
    ),
]
WORDS = {
    "rate limited": "The provider limits the rate of this key.",
    "forbidden": "This agent may not call the model `small`.",
    "unknown key": "The API key",
}


def programs() -> dict[str, str]:
    """The programs of the page, by the name in their first line."""
    found = {}
    for block in blocks(PAGE):
        if block.language == "python":
            named = re.fullmatch(r"# (\w+\.py)", block.text.splitlines()[0])
            assert named, f"{PAGE}:{block.line}: a program begins with its name"
            found[named[1]] = block.text
    return found


async def let_call(here: Place, framework: Framework) -> Reports:
    """Run a framework's process. What it wrote is kept for the sweep of what must not be in it."""
    url = f"http://127.0.0.1:{here.running.gateway_port}"
    mine = Door(url, here.keys["acme/x"], "sandbox-echo")
    ask = Ask(
        mine,
        {
            "rate limited": Door(url, mine.key, "sandbox-rate-limited"),
            "forbidden": Door(url, here.keys["acme/y"], "small"),
            "unknown key": Door(url, "sk-sek_" + "a" * 36, "sandbox-echo"),
        },
        [programs()[name].replace("http://127.0.0.1:8080", url) for name in framework.snippets],
    )
    known = ("OPENAI_", "ANTHROPIC_", "LANG", "LITELLM_", "PYDANTIC_", "LOGFIRE_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(known)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.flows.clients", framework.module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ | QUIET,
        cwd=ROOT,
    )
    try:
        async with asyncio.timeout(LIMIT):
            out, errors = await process.communicate(msgspec.json.encode(ask))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode(errors="replace")[-4000:]
    here.replies += [("acme/x", out), ("acme/x", errors)]
    return msgspec.json.decode(out, type=Reports)


def check(report: Report, framework: Framework) -> None:
    for told in (report.plain, report.streamed):
        assert NOTICE in told.text
        assert told.text.endswith(PROMPT)
    assert report.streamed.pieces > 10, "a stream that came in one piece is none"
    assert report.used.arguments == {"city": "sandbox"}
    assert NOTICE in report.used.answer
    for name, classes in framework.own.items():
        raised = report.raised[name]
        assert set(raised.kinds) & set(classes), (name, raised)
        assert WORDS[name] in raised.text


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda one: one.module)
async def test_a_framework_through_the_gateway(framework: Framework, tmp_path: Path) -> None:
    missing = [name for name in framework.needs if find_spec(name) is None]
    if missing:
        pytest.skip(f"NOT RUN: {', '.join(missing)} not installed; `make test` installs requirements/clients.txt")
    sandbox, port = await serve_sandbox()
    try:
        async with place(tmp_path) as here:
            await offer(here, f"http://127.0.0.1:{port}", "sandbox", "sandbox*")
            reports = await let_call(here, framework)
            for report in reports.ways.values():
                check(report, framework)
            assert all(NOTICE in printed for printed in reports.printed)
            assert reports.strangers == []
            await here.settled()
            settled = await here.of_kind("acme", entry.SETTLED)
            answered = [(one.usage.input, one.usage.output) for one in settled if one.usage is not None]
            # Two calls without a tool, two with one; then the programs.
            for number, report in enumerate(reports.ways.values()):
                seen = [(told.input, told.output) for told in (report.plain, report.streamed)]
                assert answered[4 * number : 4 * number + 2] == seen
            assert len(answered) == 4 * len(reports.ways) + len(reports.printed)
            refused = await here.of_kind("acme", entry.REFUSED)
            assert {one.text for one in refused} == {WORDS["forbidden"]}
    finally:
        await sandbox.drain(0.0)


def test_every_program_of_the_page_is_run() -> None:
    assert set(programs()) == {name for framework in FRAMEWORKS for name in framework.snippets}


def pinned(name: str) -> dict[str, str]:
    """Distribution -> version of a lock."""
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_the_frameworks_leave_what_else_is_tested_as_it_is() -> None:
    """Installing them later must not exchange an SDK, or a library of the gateway's own, for another version."""
    clients, develop = pinned("clients"), pinned("develop")
    both = clients.keys() & develop.keys()
    assert {"openai", "anthropic", "cryptography"} <= both
    assert {name: clients[name] for name in both} == {name: develop[name] for name in both}


def test_the_page_names_the_versions_that_are_tested() -> None:
    text, clients = (ROOT / PAGE).read_text(encoding="utf-8"), pinned("clients")
    shown = re.findall(r"([a-z-]+) (\d+\.\d+\.\d+)", text)
    assert len(shown) >= len(FRAMEWORKS) + 2
    assert {name: clients[name] for name, _ in shown} == dict(shown)
