"""What stands between the load generator and the upstream: nginx, and Sekimori in a scratch home."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

from bench import traffic
from bench.process import Broken, Child, accepts, free_ports, wait_for

NGINX: Final = "/usr/sbin/nginx"
SEKIMORI: Final = [sys.executable, "-m", "sekimori.cli"]
READY_S: Final = 30.0


class NotRun(Exception):
    """The benchmark cannot run here; the text says what is missing."""


class Target:
    """A running proxy; as a context manager it is gone at the end."""

    name: str
    child: Child
    authorization: str
    """The bearer that a caller sends."""
    more: list[tuple[str, str]] = []
    """Further header fields that a caller sends."""
    exact: bool = True
    """Whether replies pass through byte for byte; see `load.Task`."""

    def port(self, kind: traffic.Kind) -> int:
        raise NotImplementedError

    def check(self) -> None:
        self.child.check()

    def metrics(self) -> str | None:
        """The Prometheus text of now; None where the target has none."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()


def find_nginx() -> str:
    """nginx's version. As root without nginx, Debian's is installed; else raises `NotRun`."""
    if not Path(NGINX).exists():
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise NotRun("nginx is not installed: run `apt-get install nginx-light`, or `make bench` as root")
        print("installing nginx-light (Debian)", file=sys.stderr)
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "nginx-light"]):
                subprocess.run(["apt-get", *arguments], env=environ, check=True, capture_output=True, timeout=300)
        except (subprocess.SubprocessError, OSError) as error:
            raise NotRun(f"nginx could not be installed: {error}") from error
    return subprocess.run([NGINX, "-v"], capture_output=True, text=True, timeout=10).stderr.strip().rpartition("/")[2]


_CONFIGURATION: Final = """\
daemon off; {user} worker_processes 1; pid {scratch}/nginx.pid; error_log {scratch}/nginx-error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_timeout 600s; keepalive_requests 1000000000;
    client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy; fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
    upstream fixed {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Authorization "Bearer {key}";
    server {{ listen 127.0.0.1:{plain}; location / {{ proxy_pass http://fixed; }} }}
    server {{ listen 127.0.0.1:{stream}; location / {{ proxy_pass http://fixed; proxy_buffering off; }} }}
}}
"""


class Nginx(Target):
    """`proxy_pass` with one worker, connections kept to the upstream, no access log, streams unbuffered."""

    authorization = "nobody-checks-this-0123456789abcdefghijklm"

    def __init__(self, scratch: Path, upstream_port: int, name: str = "nginx") -> None:
        self.name = name
        scratch = scratch / name
        scratch.mkdir()
        self.plain_port, self.stream_port = free_ports(2)
        configuration = scratch / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                user="user root;" if os.geteuid() == 0 else "",  # the scratch folder is ours alone
                scratch=scratch,
                upstream=upstream_port,
                key=traffic.PROVIDER_KEY,
                plain=self.plain_port,
                stream=self.stream_port,
            )
        )
        self.child = Child(name, [NGINX, "-p", str(scratch), "-c", str(configuration)], scratch / "nginx.log")
        try:
            wait_for(lambda: accepts(self.stream_port), name, READY_S, watching=self.check)
        except BaseException:
            self.child.stop()
            raise

    def port(self, kind: traffic.Kind) -> int:
        return self.plain_port if kind == "plain" else self.stream_port


_DOCUMENTS: Final = """\
kind: Operator
allowPrivate:
  - host: 127.0.0.1
    port: {upstream}
---
kind: Tenant
name: bench
mode: agency
---
kind: Provider
name: fixed
catalog: compatible
baseUrl: http://127.0.0.1:{upstream}/v1
models: [bench-plain, bench-burst, bench-paced]
---
kind: Key
path: operator/bench
provider: fixed
---
kind: Agent
tenant: bench
name: caller
models: [bench-plain, bench-burst, bench-paced]
---
kind: Route
tenant: bench
provider: fixed
key: operator/bench
"""


_UNGUARDED: Final = """\
---
kind: Guard
tenant: bench
input:
  promptInjection: {mode: off}
  piiDetection: {mode: off}
  secrets: {mode: off}
  toxicContent: {mode: off}
  encoding: {mode: off}
output:
  piiDetection: {mode: off}
  secrets: {mode: off}
  toxicContent: {mode: off}
  outputInjection: {mode: off}
"""


class Home:
    """A scratch home made with the CLI alone, as a newcomer would: init, apply, key put, apikey issue."""

    def __init__(self, path: Path, upstream_port: int, *, guards: bool = False) -> None:
        """`guards`: with those that are on without a document; else with none."""
        self.path = path
        self.gateway_port, self.control_port = free_ports(2)
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SEKIMORI_")},
            "SEKIMORI_GATEWAY_PORT": str(self.gateway_port),
            "SEKIMORI_CONTROL_PORT": str(self.control_port),
        }
        documents = path.parent / "documents.yaml"
        documents.write_text(_DOCUMENTS.format(upstream=upstream_port) + ("" if guards else _UNGUARDED))
        self.cli("init", "--name", "bench.example")
        self.cli("apply", "-f", str(documents))
        self.cli("key", "put", "operator/bench", stdin=traffic.PROVIDER_KEY)
        self.api_key = str(json.loads(self.cli("--json", "apikey", "issue", "bench", "caller"))["key"])

    def command(self, *arguments: str) -> list[str]:
        return [*SEKIMORI, "--home", str(self.path), *arguments]

    def cli(self, *arguments: str, stdin: str = "") -> str:
        """What a verb prints. Raises `Broken` when it fails."""
        done = subprocess.run(
            self.command(*arguments), input=stdin, env=self.environ, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            shown = (done.stdout + done.stderr).replace(traffic.PROVIDER_KEY, "[secret]")[-2000:].strip()
            raise Broken(f"`sekimori {' '.join(arguments)}` ended with status {done.returncode}:\n{shown}")
        return done.stdout


class Sekimori(Target):
    """`sekimori serve` as it comes: one process, default settings, every entry durable."""

    def __init__(self, home: Home, *, plane: str | None = None, wrapper: list[str] | None = None) -> None:
        """`wrapper`: a command that takes the serving command's own arguments, as `bench.sampler` does."""
        self.name = "sekimori"
        self.home = home
        self.authorization = home.api_key
        command = home.command("serve", *(["--plane", plane] if plane else []))
        if wrapper:
            command = [*wrapper, *command[len(SEKIMORI) :]]
        log = home.path.parent / "serve.log"
        self.child = Child(self.name, command, log, environ=home.environ, stop_s=45)
        try:
            wait_for(self.ready, "sekimori serve", READY_S, watching=self.check)
        except BaseException:
            self.child.stop()
            raise

    def ready(self) -> bool | None:
        return None if self.get(self.home.gateway_port, "/readyz") is None else True

    def get(self, port: int, path: str) -> str | None:
        """The body that a listener answers with status 200; None otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            body = reply.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return body if reply.status == 200 else None

    def port(self, kind: traffic.Kind) -> int:
        return self.home.gateway_port

    def metrics(self) -> str | None:
        return self.get(self.home.control_port, "/metrics")
