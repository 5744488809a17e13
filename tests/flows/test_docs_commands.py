"""Every command of the pages below is run, top to bottom, as a newcomer would, in a scratch home.

A page is made of fenced blocks. `sh` blocks are run, each with the variables and the folder that the one before left;
`yaml` and `python` blocks are saved under the name in their first line; a `text` block is what the `sh` block before it
says, line by line and in order, where … stands for anything. No other blocks are allowed, so that nothing on a page
stays unproven.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sekimori.demo.deployment import environment
from sekimori.demo.model import free_port

ROOT = Path(__file__).parent.parent.parent
PAGES = ["README.md", "docs/getting-started.md", "docs/from-litellm.md"]
LIMIT = 120.0
"""Seconds for one block."""

MAKE = {
    "make setup": "-r requirements/develop.txt",
    "make demo": "sekimori demo",  # run by test_demo.py
    "make test": 'pytest -m "not host"',  # what runs this test
    "make run": "sekimori demo --serve",  # run by test_demo.py
}
"""Commands that set up, or that are run elsewhere: here it is shown that they exist and come to what is run there."""
SERVERS = {
    "sekimori serve": "http://127.0.0.1:8080/healthz",
    "python -m sekimori.sandbox --port 8089": "http://127.0.0.1:8089/sandbox/scenarios",
}
"""Commands that stay, each in a terminal of its own, and what answers 200 once they are up."""


class Block(NamedTuple):
    line: int
    language: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page. Fails on one that is not closed."""
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        if opened is None and line.startswith("```"):
            opened, lines = (number, line.removeprefix("```")), []
        elif opened is not None and line == "```":
            yield Block(opened[0], opened[1], "\n".join(lines))
            opened = None
        elif opened is not None:
            lines.append(line)
    assert opened is None, f"{page}:{opened}: a block is not closed"


def commands(text: str) -> list[str]:
    """The commands of a `sh` block, without comments; a line that ends in a backslash goes on."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line for raw in joined.splitlines() if (line := re.sub(r"\s+#.*$", "", raw).strip())]


def missing(wanted: str, said: str) -> str | None:
    """The first line of a `text` block that is not found, in order, in what a command said; None where all are.

    Other lines may stand between: what is compared is that what a page shows is said.
    """
    rest = iter(said.splitlines())
    for line in wanted.splitlines():
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        if line != "…" and not any(pattern.fullmatch(given.rstrip()) for given in rest):
            return line
    return None


class Newcomer:
    """Someone who types what a page says. `with` it: leaving stops what was left running."""

    def __init__(self, scratch: Path) -> None:
        self.folder = ROOT
        self._scratch = scratch
        self._ports = {name: str(free_port()) for name in ("8080", "8081", "8089")}
        self.variables = {
            **environment(),
            "HOME": str(scratch),
            # The page's ports may be taken here; the settings are the documented way to have others.
            "SEKIMORI_GATEWAY_PORT": self._ports["8080"],
            "SEKIMORI_CONTROL_PORT": self._ports["8081"],
        }
        self._servers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Newcomer:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.terminate()
        for server in self._servers:
            try:
                server.wait(40)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def _here(self, text: str) -> str:
        """The page's text with the ports and the virtual environment of this test."""
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text.replace(". .venv/bin/activate", f". {shlex.quote(sys.prefix)}/bin/activate")

    def save(self, text: str) -> None:
        named = re.match(r"# ([a-z_]+\.(?:yaml|py))\n", text)
        assert named is not None, "a block to be saved begins with a comment that says under which name"
        (self.folder / named[1]).write_text(self._here(text), encoding="utf-8")

    def type(self, text: str) -> str:
        """Run a block; returns what it said. Fails on the first command that does."""
        typed = commands(text)
        if typed and typed[0] in SERVERS:
            assert len(typed) == 1, "a command that stays stands alone"
            self._start(typed[0])
            return ""
        made = [command for command in typed if command in MAKE]
        for command in made:
            text = text.replace(command, "true", 1)
            self._make(command)
        left = self._scratch / "left-behind"
        # What the next block finds: variables and the folder.
        script = f"{self._here(text)}\nenv -0 > {shlex.quote(str(left))}"
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"exit status {done.returncode} of:\n{text}\nwhich said:\n{said}"
        self.variables = dict(
            entry.split("=", 1) for entry in left.read_text(encoding="utf-8").split("\0") if "=" in entry
        )
        self.folder = Path(self.variables["PWD"])
        return said

    def _make(self, command: str) -> None:
        arguments = [*command.split(), "--dry-run", "--always-make"]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 0, done.stderr
        assert MAKE[command] in done.stdout, f"{command} comes to {done.stdout}"

    def _start(self, command: str) -> None:
        log = self._scratch / f"server-{len(self._servers)}.log"
        with log.open("wb") as sink:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {self._here(command)}"],
                cwd=self.folder, env=self.variables, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._servers.append(server)
        until = time.monotonic() + LIMIT
        while not answers(self._here(SERVERS[command])):
            assert server.poll() is None, f"{command} ended: {log.read_text(encoding='utf-8')}"
            assert time.monotonic() < until, f"{command} does not answer: {log.read_text(encoding='utf-8')}"
            time.sleep(0.05)


def answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(page: str, tmp_path: Path) -> None:
    said: str | None = None
    with Newcomer(tmp_path) as newcomer:
        for block in blocks(page):
            where = f"{page}:{block.line}"
            if block.language == "sh":
                said = newcomer.type(block.text)
            elif block.language in ("yaml", "python"):
                newcomer.save(block.text)
            elif block.language == "text":
                assert said is not None, f"{where}: shows what no command said"
                lost = missing(newcomer._here(block.text), said)
                assert lost is None, f"{where}: the line {lost!r} is not in what was said:\n{said}"
                said = None
            else:
                pytest.fail(f"{where}: a block in {block.language!r} is neither run nor compared")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_the_page_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("https://")]
    assert links
    for link in links:
        path, _, section = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if section:
            assert section in sections(target), f"{page}: {link}: there are {sections(target)}"


def sections(page: Path) -> list[str]:
    """The anchors of a page's headings, as the usual hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_readme_fits_one_screen() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 130


def test_what_a_page_shows_is_compared() -> None:
    """The comparison itself can fail."""
    assert missing("a…c\n…\ne", "abc\nx\ny\ne") is None
    assert missing("a…c", "ab") == "a…c"
    assert missing("one\ntwo", "two\none") == "two"
    assert missing("1.5", "125") == "1.5"
