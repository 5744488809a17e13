"""Other gateways to compare with: installed from locks beside this file into .scratch/peers, started, asked, stopped.

Each forwards the same request to the same upstream on its shortest documented path. They do less than ours there:
neither records a call durably, and Portkey checks no key of the caller's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar, Final

from bench import traffic
from bench.process import ROOT, Child, accepts, free_ports, wait_for
from bench.targets import NotRun, Target

INSTALLED: Final = ROOT / ".scratch" / "peers"
LOCKS: Final = Path(__file__).parent
INSTALL_S: Final = 1200.0
READY_S: Final = 180.0
"""LiteLLM imports for half a minute on a busy machine."""
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class Peer(Target):
    """A gateway in a process of its own with one worker."""

    locks: ClassVar[tuple[str, ...]]
    """Files beside this one that pin what is installed."""

    def __init__(self, scratch: Path, upstream_port: int) -> None:
        """Start it. Raises `Broken` where it does not come up."""
        scratch = scratch / self.name
        scratch.mkdir()
        [self._port] = free_ports(1)
        command, environ = self.command(scratch, upstream_port)
        kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
        self.child = Child(self.name, command, scratch / "log", environ={**kept, **environ})
        try:
            wait_for(lambda: accepts(self._port), self.name, READY_S, watching=self.check)
        except BaseException:
            self.child.stop()
            raise

    def port(self, kind: traffic.Kind) -> int:
        return self._port

    def command(self, scratch: Path, upstream_port: int) -> tuple[list[str], dict[str, str]]:
        """What to run, and its environment."""
        raise NotImplementedError

    @classmethod
    def folder(cls) -> Path:
        return INSTALLED / cls.name

    @classmethod
    def _stamp(cls) -> str:
        return hashlib.sha256(b"".join((LOCKS / name).read_bytes() for name in cls.locks)).hexdigest()

    @classmethod
    def installed(cls) -> bool:
        """Whether what the locks pin is there."""
        ready = cls.folder() / "ready"
        return ready.is_file() and ready.read_text() == cls._stamp()

    @classmethod
    def install(cls) -> None:
        """Install it unless it is there. Raises `NotRun` where that cannot be done."""
        if cls.installed():
            return
        shutil.rmtree(cls.folder(), ignore_errors=True)
        cls.folder().mkdir(parents=True)
        print(f"installing {cls.name} into {cls.folder().relative_to(ROOT)}", file=sys.stderr)
        for command in cls.installation():
            if shutil.which(command[0]) is None:
                raise NotRun(f"there is no {command[0]}")
            try:
                subprocess.run(command, cwd=cls.folder(), check=True, capture_output=True, text=True, timeout=INSTALL_S)
            except (subprocess.SubprocessError, OSError) as error:
                words = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1:]
                raise NotRun(f"it could not be installed: {''.join(words)[:300]}") from error
        (cls.folder() / "ready").write_text(cls._stamp())

    @classmethod
    def installation(cls) -> list[list[str]]:
        """The commands, to be run in its folder."""
        raise NotImplementedError


class Portkey(Peer):
    """Portkey's gateway on Node.js: the provider and its address come as header fields of each request."""

    name = "portkey"
    locks = ("package.json", "package-lock.json")
    authorization = traffic.PROVIDER_KEY

    def command(self, scratch: Path, upstream_port: int) -> tuple[list[str], dict[str, str]]:
        self.more = [
            ("x-portkey-provider", "openai"),
            ("x-portkey-custom-host", f"http://127.0.0.1:{upstream_port}/v1"),
        ]
        server = self.folder() / "node_modules/@portkey-ai/gateway/build/start-server.js"
        environ = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}
        return ["node", str(server), "--headless", f"--port={self._port}"], environ

    @classmethod
    def installation(cls) -> list[list[str]]:
        for name in cls.locks:
            shutil.copy(LOCKS / name, cls.folder() / name)
        return [["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["node", "--version"]]


class LiteLLM(Peer):
    """LiteLLM's proxy with its master key: what it does without a database. It writes each reply anew."""

    name = "litellm"
    locks = ("litellm.txt",)
    authorization = "sk-master-0123456789abcdefghijklmnopqrst"
    exact = False

    def command(self, scratch: Path, upstream_port: int) -> tuple[list[str], dict[str, str]]:
        lines = ["model_list:"]
        for kind in traffic.KINDS:
            name, base = traffic.model(kind), f"http://127.0.0.1:{upstream_port}/v1"
            lines += [f"  - model_name: {name}", "    litellm_params:", f"      model: openai/{name}"]
            lines += [f"      api_base: {base}", f"      api_key: {traffic.PROVIDER_KEY}"]
        lines += [f"general_settings: {{master_key: {self.authorization}}}"]
        lines += ["litellm_settings: {telemetry: false, num_retries: 0}", ""]
        configuration = scratch / "config.yaml"
        configuration.write_text("\n".join(lines))
        environ = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches a table when it starts
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "DISABLE_ADMIN_UI": "True",
            "NO_DOCS": "True",
        }
        program = str(self.folder() / "venv/bin/litellm")
        where = ["--host", "127.0.0.1", "--port", str(self._port), "--num_workers", "1"]
        return [program, "--config", str(configuration), *where, "--telemetry", "False"], environ

    @classmethod
    def installation(cls) -> list[list[str]]:
        # The machine's own pip, as the Makefile does it: a virtual environment of Debian's has none.
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        base = shutil.which(python, path=os.defpath + ":/usr/local/bin") or shutil.which("python3") or python
        pip = [base, "-m", "pip", "--python", "venv/bin/python", "--disable-pip-version-check", "install", "-qqq"]
        lock = str(LOCKS / "litellm.txt")
        return [
            [base, "-m", "venv", "--without-pip", "venv"],
            [*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock],
        ]


PEERS: Final[dict[str, type[Peer]]] = {peer.name: peer for peer in (Portkey, LiteLLM)}
