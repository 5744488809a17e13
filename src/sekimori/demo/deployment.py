"""A whole deployment on loopback for the demo and the tests: the product's own command line, its own processes.

Nothing here reaches into a home: what a person would type is typed, so what the demo shows is what a person gets.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from sekimori.demo.model import free_port
from sekimori.demo.tied import tied

STARTUP_LIMIT: Final = 30.0
COMMAND_LIMIT: Final = 60.0


class CommandFailed(RuntimeError):
    """A command of the product ended otherwise than expected; the text is what it said."""

    def __init__(self, arguments: tuple[str, ...], code: int, said: str) -> None:
        super().__init__(f"sekimori {' '.join(arguments)} exited with {code}: {said.strip()}")
        self.code = code
        self.said = said


def environment() -> dict[str, str]:
    """Ours, less every setting of another deployment and every proxy: the demo talks to loopback alone."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SEKIMORI_") and not name.lower().endswith("_proxy")
    }


class Process:
    """A process of ours that answers HTTP on loopback once it is up. It does not outlive the thread that starts it."""

    def __init__(self, command: list[str], health: str, log: Path) -> None:
        self.log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                tied(command), stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=environment()
            )
        until = time.monotonic() + STARTUP_LIMIT
        while not answers(health):
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{command[2:5]} did not come up; its log ends:\n{tail}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> int:
        """Ask it to end, as an init system would; returns its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def answers(url: str) -> bool:
    """Whether the URL answers 200 now."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Deployment:
    """A home in `folder` and the ports it serves on. `with` it: leaving stops what runs."""

    def __init__(self, folder: Path, name: str = "demo.example") -> None:
        self.folder = folder
        self.home = folder / "home"
        self.name = name
        self.gateway_port = free_port()
        self.control_port = free_port()
        self._server: Process | None = None
        self._sandbox: Process | None = None
        self.sandbox_url = ""

    # The command line.

    def run(self, *arguments: str, stdin: str = "", expect: int = 0) -> str:
        """Run `sekimori --home HOME …`; returns what it printed. Raises CommandFailed on another exit status."""
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "sekimori.cli", "--home", str(self.home), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT,
            env=environment(),
            check=False,
        )
        if done.returncode != expect:
            raise CommandFailed(arguments, done.returncode, done.stderr or done.stdout)
        return done.stdout if expect == 0 else done.stderr or done.stdout

    def json(self, *arguments: str, stdin: str = "", expect: int = 0) -> Any:
        """The same with `--json`, read."""
        return json.loads(self.run("--json", *arguments, stdin=stdin, expect=expect))

    def init(self) -> None:
        self.run("init", "--name", self.name)
        settings = self.home / "settings.toml"
        settings.write_text(
            f"[gateway]\nport = {self.gateway_port}\n\n[control]\nport = {self.control_port}\n", encoding="utf-8"
        )
        settings.chmod(0o600)

    def apply(self, documents: str) -> None:
        file = self.folder / "documents.yaml"
        file.write_text(documents, encoding="utf-8")
        self.run("apply", "-f", str(file))

    def put_key(self, path: str, secret: str) -> None:
        self.run("key", "put", path, stdin=secret)

    def issue(self, tenant: str, agent: str, *flags: str) -> tuple[str, str]:
        """An API key for the agent: (its public id, the key)."""
        issued = self.json("apikey", "issue", tenant, agent, *flags)
        return issued["id"], issued["key"]

    # The processes.

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    def serve(self, *flags: str) -> Process:
        """Start the server, and wait until it answers."""
        command = [sys.executable, "-m", "sekimori.cli", "--home", str(self.home), "serve", *flags]
        self._server = Process(command, f"{self.url}/healthz", self.log)
        return self._server

    def serve_sandbox(self) -> str:
        """Start the sandbox provider; returns its origin."""
        port = free_port()
        command = [sys.executable, "-m", "sekimori.sandbox", "--port", str(port)]
        self.sandbox_url = f"http://127.0.0.1:{port}"
        self._sandbox = Process(command, f"{self.sandbox_url}/sandbox/totals", self.folder / "sandbox.log")
        return self.sandbox_url

    @property
    def server(self) -> Process:
        assert self._server is not None
        return self._server

    def __enter__(self) -> Deployment:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self._server, self._sandbox):
            if process is not None:
                process.kill()
