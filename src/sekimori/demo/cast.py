"""Who takes part in the demo: two clients, three agents, their keys, and what policy says of them.

| agent     | speaks                    | model               | whose key                                   |
|-----------|---------------------------|---------------------|---------------------------------------------|
| acme/x    | Anthropic dialect         | smollm2             | the client's own                            |
|           | Gemini dialect            | google/sandbox-echo | the client's own, later two of them         |
| acme/y    | OpenAI dialect            | smollm2             | the operator's                              |
|           | OpenAI responses, stored  | own-openai/…        | the client's own                            |
| globex/z  | OpenAI dialect            | globex-smol         | the client's own, at an endpoint of its own |
|           | the same, as Azure has it | gpt-5-mini          | the client's own, at its own Azure          |

Behind smollm2 and globex-smol stands the same small model. The sandbox provider plays Azure, Google and OpenAI, and
brings faults: there, a key that says `rate-limited` is answered 429.
"""

from __future__ import annotations

import secrets
from typing import Final

AGENTS: Final = (("acme", "x"), ("acme", "y"), ("globex", "z"))

ACME_CLAUDE: Final = "clients/acme/claude"
ACME_GEMINI: Final = "clients/acme/gemini"
ACME_GEMINI_2: Final = "clients/acme/gemini-2"
ACME_OPENAI: Final = "clients/acme/openai"
ACME_PRACTICE: Final = "clients/acme/practice"
GLOBEX_AZURE: Final = "clients/globex/azure"
GLOBEX_LLM: Final = "clients/globex/llm"
GLOBEX_PRACTICE: Final = "clients/globex/practice"
OPERATOR_OPENAI: Final = "operator/openai"
OPERATOR_PRACTICE: Final = "operator/practice"
AT_SANDBOX: Final = (
    ACME_GEMINI, ACME_GEMINI_2, ACME_OPENAI, ACME_PRACTICE, GLOBEX_AZURE, GLOBEX_PRACTICE, OPERATOR_PRACTICE,
)  # fmt: skip
"""Keys of contracts that the sandbox provider plays, so that its own count can be compared."""

FOREIGN_MODEL: Final = "globex-smol"
"""Only globex has it."""
NO_MODEL: Final = "nobody-smol"
"""No one has it; as long as the other name, so that not even the length of a reply may differ."""
LISTED_NOWHERE: Final = "smollm2-large"
"""The operator's provider serves it, and no agent's document lists it."""
SANDBOX: Final = "sandbox-echo"
AZURE_MODEL: Final = "gpt-5-mini"
"""What globex/z names as the deployment; at globex's own Azure the deployment has another name."""
AZURE_VERSION: Final = "2024-10-21"
GEMINI_MODEL: Final = "google/sandbox-echo"
STORING_MODEL: Final = "own-openai/sandbox-echo"
INPUT_PRICE: Final = "0.10"
OUTPUT_PRICE: Final = "0.40"
"""Of smollm2, in US dollars per million tokens."""
WEIGHT: Final = 3
"""Of acme's first key at Google, where the second weighs 1."""
PER_MINUTE: Final = 8
"""Requests that globex/z may make in any 60 seconds."""


def make_secrets() -> dict[str, str]:
    """The provider keys of the demo, by path: random, and of the shape that real ones have."""
    return {
        ACME_CLAUDE: "sk-ant-demo-" + secrets.token_hex(20),
        ACME_GEMINI: "AIzaSyDemo" + secrets.token_hex(16),
        ACME_GEMINI_2: "AIzaSyDemo" + secrets.token_hex(16),
        ACME_OPENAI: "sk-proj-" + secrets.token_hex(20),
        ACME_PRACTICE: limited(),
        GLOBEX_AZURE: secrets.token_hex(32),
        GLOBEX_LLM: "sk-globex-" + secrets.token_hex(20),
        GLOBEX_PRACTICE: limited(),
        OPERATOR_OPENAI: "sk-proj-" + secrets.token_hex(20),
        OPERATOR_PRACTICE: "sk-demo-" + secrets.token_hex(20),
    }


def limited() -> str:
    """A key to which the sandbox provider answers 429, with `Retry-After: 7`."""
    return "sk-demo-rate-limited-" + secrets.token_hex(20)


def documents(model_url: str, sandbox_url: str) -> str:
    """The whole policy of the demo. The two origins are on loopback, which policy must allow by host and port."""
    model_port, sandbox_port = model_url.rpartition(":")[2], sandbox_url.rpartition(":")[2]
    return f"""\
# The operator: what is allowed on private addresses, and the contracts that clients may share.
kind: Operator
allowPrivate:
  - {{host: 127.0.0.1, port: {model_port}}}
  - {{host: 127.0.0.1, port: {sandbox_port}}}
prices:  # US dollars per million tokens, as agreed with the provider
  - {{catalog: compatible, model: smollm2, input: "{INPUT_PRICE}", output: "{OUTPUT_PRICE}",
     source: "https://provider.example/contract", date: 2026-01-01}}
---
kind: Provider
name: openai-local
catalog: compatible
baseUrl: {model_url}/v1
models: [smollm2, {LISTED_NOWHERE}]
dialects: [openai]
---
kind: Provider
name: practice
catalog: sandbox
baseUrl: {sandbox_url}
models: ["sandbox-*"]
---
kind: Key
path: {OPERATOR_OPENAI}
provider: openai-local
---
kind: Key
path: {OPERATOR_PRACTICE}
provider: practice
---
# First client: agency mode, so that keys of the operator may serve it where a Route says so.
kind: Tenant
name: acme
mode: agency
vertical: retail
---
kind: Provider
tenant: acme
name: claude-local
catalog: compatible
baseUrl: {model_url}
models: [smollm2]
dialects: [anthropic]
---
kind: Key
path: {ACME_CLAUDE}
provider: claude-local
---
kind: Key
path: {ACME_PRACTICE}
provider: practice
note: over its limit at the provider
---
kind: Provider
tenant: acme
name: google
catalog: gemini
baseUrl: {sandbox_url}
models: [{SANDBOX}]
---
kind: Provider
tenant: acme
name: own-openai
catalog: openai
baseUrl: {sandbox_url}/v1
models: [{SANDBOX}]
---
kind: Key
path: {ACME_GEMINI}
provider: google
---
kind: Key
path: {ACME_GEMINI_2}
provider: google
note: no route names it yet
---
kind: Key
path: {ACME_OPENAI}
provider: own-openai
---
kind: Agent
tenant: acme
name: x
purpose: answers customers, on the client's own key
models: [smollm2, "sandbox-*"]
---
kind: Agent
tenant: acme
name: y
purpose: sorts mail, on a key of the operator
models: [smollm2, "sandbox-*"]
capabilities: [stored_state]
---
kind: Route
tenant: acme
agent: x
provider: claude-local
key: {ACME_CLAUDE}
---
kind: Route
tenant: acme
agent: x
provider: practice
key: {ACME_PRACTICE}
fallback: {{key: {OPERATOR_PRACTICE}, when: [rate_limited, overloaded]}}
---
kind: Route
tenant: acme
agent: x
provider: google
key: {ACME_GEMINI}
---
kind: Route
tenant: acme
provider: own-openai
key: {ACME_OPENAI}
---
kind: Route
tenant: acme
agent: y
provider: openai-local
key: {OPERATOR_OPENAI}
---
kind: Route
tenant: acme
agent: y
provider: practice
key: {OPERATOR_PRACTICE}
---
# Second client: VPC mode, so that no key of the operator ever serves it.
kind: Tenant
name: globex
mode: vpc
vertical: health
---
kind: Provider
tenant: globex
name: globex-llm
catalog: compatible
baseUrl: {model_url}/v1
models: [{FOREIGN_MODEL}]
dialects: [openai, anthropic]
---
kind: Provider
tenant: globex
name: globex-azure
catalog: azure
baseUrl: {sandbox_url}
apiVersion: {AZURE_VERSION}
models: [{AZURE_MODEL}]
deployments: [{{model: {AZURE_MODEL}, deployment: {SANDBOX}}}]
---
kind: Key
path: {GLOBEX_AZURE}
provider: globex-azure
---
kind: Key
path: {GLOBEX_LLM}
provider: globex-llm
---
kind: Key
path: {GLOBEX_PRACTICE}
provider: practice
note: over its limit at the provider
---
kind: Agent
tenant: globex
name: z
purpose: summarises notes, at the client's own endpoint
models: ["globex-llm/*", {AZURE_MODEL}, "sandbox-*"]
capabilities: [stored_state]
---
kind: Route
tenant: globex
provider: globex-llm
key: {GLOBEX_LLM}
---
kind: Route
tenant: globex
provider: globex-azure
key: {GLOBEX_AZURE}
---
kind: Route
tenant: globex
provider: practice
key: {GLOBEX_PRACTICE}
---
kind: Limit
tenant: globex
agent: z
requestsPerMinute: {PER_MINUTE}
"""


FORBIDDEN: Final = f"""\
kind: Route
tenant: globex
provider: practice
key: {GLOBEX_PRACTICE}
fallback: {{key: {OPERATOR_PRACTICE}}}
"""
"""What policy does not allow to be written: a fallback to the operator's key for a client in VPC mode."""


PAIR: Final = f"""\
kind: Route
tenant: acme
agent: x
provider: google
key: {ACME_GEMINI}
weight: {WEIGHT}
also:
  - {{key: {ACME_GEMINI_2}, weight: 1}}
"""
"""A second key at Google, for one call in four."""


def budgets(per_day: int, per_minute: int) -> str:
    """Tokens that acme/y may use a day, and tokens that acme's key for Claude may serve in any minute."""
    return f"""\
kind: Limit
tenant: acme
agent: y
tokensPerDay: {per_day}
---
kind: Limit
tenant: acme
key: {ACME_CLAUDE}
tokensPerMinute: {per_minute}
"""
