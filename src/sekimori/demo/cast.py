"""Who takes part in the demo: two clients, three agents, their keys, and what policy says of them.

| agent     | speaks            | model         | whose key                                     |
|-----------|-------------------|---------------|-----------------------------------------------|
| acme/x    | Anthropic dialect | smollm2       | the client's own                              |
| acme/y    | OpenAI dialect    | smollm2       | the operator's                                |
| globex/z  | both              | globex-smol   | the client's own, at an endpoint of its own   |

Behind all three stands the same small model. Faults come from the sandbox provider, where a key that says
`rate-limited` is answered 429.
"""

from __future__ import annotations

import secrets
from typing import Final

AGENTS: Final = (("acme", "x"), ("acme", "y"), ("globex", "z"))

ACME_CLAUDE: Final = "clients/acme/claude"
ACME_PRACTICE: Final = "clients/acme/practice"
GLOBEX_LLM: Final = "clients/globex/llm"
GLOBEX_PRACTICE: Final = "clients/globex/practice"
OPERATOR_OPENAI: Final = "operator/openai"
OPERATOR_PRACTICE: Final = "operator/practice"

FOREIGN_MODEL: Final = "globex-smol"
"""Only globex has it."""
NO_MODEL: Final = "nobody-smol"
"""No one has it; as long as the other name, so that not even the length of a reply may differ."""
LISTED_NOWHERE: Final = "smollm2-large"
"""The operator's provider serves it, and no agent's document lists it."""
SANDBOX: Final = "sandbox-echo"
INPUT_PRICE: Final = "0.10"
OUTPUT_PRICE: Final = "0.40"
"""Of smollm2, in US dollars per million tokens."""
PER_MINUTE: Final = 6
"""Requests that globex/z may make in any 60 seconds."""


def make_secrets() -> dict[str, str]:
    """The provider keys of the demo, by path: random, and of the shape that real ones have."""
    return {
        ACME_CLAUDE: "sk-ant-demo-" + secrets.token_hex(20),
        ACME_PRACTICE: "sk-demo-rate-limited-" + secrets.token_hex(20),
        GLOBEX_LLM: "sk-globex-" + secrets.token_hex(20),
        GLOBEX_PRACTICE: "sk-demo-rate-limited-" + secrets.token_hex(20),
        OPERATOR_OPENAI: "sk-proj-" + secrets.token_hex(20),
        OPERATOR_PRACTICE: "sk-demo-" + secrets.token_hex(20),
    }


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
models: ["globex-llm/*", "sandbox-*"]
---
kind: Route
tenant: globex
provider: globex-llm
key: {GLOBEX_LLM}
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
