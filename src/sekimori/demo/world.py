"""What the steps of the demo share: the deployment, the agents' clients, and a tally of what the SDKs were told."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter, defaultdict
from typing import Any, Final

from anthropic import Anthropic
from google import genai
from msgspec import Struct
from openai import AzureOpenAI, OpenAI

from sekimori.demo.clients import Tape
from sekimori.demo.deployment import Deployment
from sekimori.demo.show import Show, Step

RECORD: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""A UUIDv7 (RFC 9562 section 5.7)."""


class Tokens(Struct, frozen=True):
    """Tokens of one call as the SDK was told; `input` includes what came from a cache."""

    input: int
    output: int

    def __str__(self) -> str:
        return f"{self.input} in, {self.output} out"


class World:
    """One run of the demo."""

    def __init__(self, deployment: Deployment, show: Show, secrets: dict[str, str], model_url: str) -> None:
        self.model_url = model_url
        self.deployment = deployment
        self.show = show
        self.secrets = secrets
        self.tape = Tape()
        self.said: list[str] = []
        """What the product's commands printed, but for the one line that shows a new API key."""
        self.api_keys: dict[str, str] = {}
        """Agent -> its API key."""
        self.former: defaultdict[str, list[str]] = defaultdict(list)
        """Key path -> the secrets that stood there before; the sweep looks for them too."""
        self.other_api_keys: list[str] = []
        """Further API keys that were issued; the sweep looks for them too."""
        self.used: Counter[tuple[str, str, str]] = Counter()
        """(agent, key path, `calls` | `input` | `output`) -> what the SDKs saw of it."""
        self.ended: defaultdict[str, list[float]] = defaultdict(list)
        """Agent -> when its calls ended, by the monotonic clock."""

    # The command line.

    def run(self, *arguments: str, stdin: str = "", expect: int = 0) -> str:
        with self.show.working(f"sekimori {arguments[0]}"):
            said = self.deployment.run(*arguments, stdin=stdin, expect=expect)
        self.said.append(said)
        return said

    def json(self, *arguments: str, expect: int = 0) -> Any:
        with self.show.working(f"sekimori {arguments[0]}"):
            found = self.deployment.json(*arguments, expect=expect)
        self.said.append(str(found))
        return found

    def apply(self, name: str, documents: str) -> None:
        """Change the policy: `sekimori apply -f NAME`."""
        file = self.deployment.folder / name
        file.write_text(documents, encoding="utf-8")
        self.run("apply", "-f", str(file))

    def rotate(self, path: str, secret: str) -> None:
        """`sekimori key rotate PATH`."""
        self.run("key", "rotate", path, stdin=secret + "\n")
        self.former[path].append(self.secrets[path])
        self.secrets[path] = secret

    # The agents.

    def openai(self, agent: str) -> OpenAI:
        return self.tape.openai(self.deployment.url, self.api_keys[agent])

    def anthropic(self, agent: str) -> Anthropic:
        return self.tape.anthropic(self.deployment.url, self.api_keys[agent])

    def azure(self, agent: str) -> AzureOpenAI:
        return self.tape.azure(self.deployment.url, self.api_keys[agent])

    def gemini(self, agent: str) -> genai.Client:
        return self.tape.gemini(self.deployment.url, self.api_keys[agent])

    def made_since(self, agent: str, instant: float) -> int:
        """How many of the agent's calls ended after an instant of the monotonic clock."""
        return sum(1 for made in self.ended[agent] if made > instant)

    def tally(self, agent: str, key: str, tokens: Tokens | None) -> None:
        """Remember what a call cost by the SDK's word; None where it was not told any tokens."""
        self.ended[agent].append(time.monotonic())
        self.used[agent, key, "calls"] += 1
        if tokens is not None:
            self.used[agent, key, "input"] += tokens.input
            self.used[agent, key, "output"] += tokens.output

    def entries_of_call(self, tenant: str, record: str) -> list[dict[str, Any]]:
        """The ledger's entries of the tenant's call to which an entry of just now belongs, oldest first."""
        entries: list[dict[str, Any]] = self.json("ledger", "show", "--log", tenant, "--last", "100")
        calls = {entry["leaf"]["call"] for entry in entries if entry["leaf"]["id"] == record}
        return [entry for entry in entries if entry["leaf"]["call"] in calls]

    # The sandbox provider.

    def sandbox_totals(self) -> dict[str, Counter[str]]:
        """Key path -> what the sandbox provider has seen with its secrets, by its own count: `requests`, `input` …

        What it has seen with keys that are not ours stands under an empty path.
        """
        paths = {
            fingerprint(secret): path
            for path, current in self.secrets.items()
            for secret in (current, *self.former[path])
        }
        totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for key, total in self.tape.get(f"{self.deployment.sandbox_url}/sandbox/totals").json()["keys"].items():
            totals[paths.get(key, "")].update(total)
        return totals

    def sandbox_calls(self, path: str) -> int:
        """How many requests the sandbox provider has seen with the key of this path."""
        return self.sandbox_totals()[path]["requests"]

    def sandbox_last(self, path: str) -> dict[str, Any]:
        """The last request that it has seen with the key of this path: `method`, `target`, `headers` …"""
        name = fingerprint(self.secrets[path])
        last: dict[str, Any] = self.tape.get(f"{self.deployment.sandbox_url}/sandbox/last/{name}").json()
        return last


def fingerprint(secret: str) -> str:
    """How the sandbox names a key without showing it."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def openai_tokens(usage: Any) -> Tokens:
    return Tokens(usage.prompt_tokens, usage.completion_tokens)


def anthropic_tokens(usage: Any) -> Tokens:
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return Tokens(usage.input_tokens + cached, usage.output_tokens)


def gemini_tokens(usage: Any) -> Tokens:
    return Tokens(usage.prompt_token_count, usage.candidates_token_count + (usage.thoughts_token_count or 0))


def responses_tokens(usage: Any) -> Tokens:
    return Tokens(usage.input_tokens, usage.output_tokens)


def recorded(step: Step, what: str, headers: Any) -> str:
    """The id under which a reply says that it was recorded. Raises Surprise where it names none."""
    record = headers.get("x-sekimori-record", "")
    if RECORD.fullmatch(record) is None:
        step.holds(f"{what} names its record", False, expected="a UUIDv7 in x-sekimori-record", seen=repr(record))
    return str(record)
