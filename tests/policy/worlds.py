"""Sets of documents for the tests: one that is right, and arbitrary ones that mostly are not."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from sekimori.policy.documents import Documents, parse
from sekimori.policy.kinds import (
    Agent,
    Alias,
    Also,
    Document,
    Fallback,
    Hedge,
    HostPort,
    Key,
    Limit,
    Operator,
    Provider,
    Route,
    Target,
    Tenant,
    identity,
)
from sekimori.policy.snapshot import Snapshot, compile, uid_names
from sekimori.terms import Ask, Dialect, Operation, Principal, Scope

RIGHT = b"""
kind: Operator
allowPrivate:
  - {host: 127.0.0.1, port: 9001}
---
{kind: Tenant, name: acme, mode: agency, vertical: retail}
---
{kind: Tenant, name: globex, mode: vpc}
---
kind: Provider
name: openai
catalog: openai
models: [gpt-4o, gpt-5-*]
---
kind: Provider
name: anthropic
catalog: anthropic
models: ["claude-*"]
---
kind: Provider
name: house
catalog: compatible
baseUrl: http://127.0.0.1:9001
models: [llama, gpt-4o]
dialects: [openai, anthropic]
---
kind: Provider
name: globex-own
tenant: globex
catalog: compatible
baseUrl: https://models.globex.example/v1
models: [secret-model]
---
{kind: Key, path: operator/openai, provider: openai}
---
{kind: Key, path: operator/house, provider: house}
---
{kind: Key, path: clients/acme/anthropic, provider: anthropic}
---
{kind: Key, path: clients/acme/openai, provider: openai}
---
{kind: Key, path: clients/globex/own, provider: globex-own}
---
kind: Agent
tenant: acme
name: x
models: ["claude-*", gpt-4o, "gpt-5-*"]
capabilities: []
---
kind: Agent
tenant: acme
name: y
models: [gpt-4o, house/llama]
---
kind: Agent
tenant: globex
name: z
models: ["*"]
---
{kind: Route, tenant: acme, provider: anthropic, key: clients/acme/anthropic}
---
kind: Route
tenant: acme
provider: openai
key: clients/acme/openai
fallback:
  key: operator/openai
---
{kind: Route, tenant: acme, agent: y, provider: openai, key: operator/openai}
---
{kind: Route, tenant: acme, agent: y, provider: house, key: operator/house}
---
{kind: Route, tenant: globex, provider: globex-own, key: clients/globex/own}
---
{kind: Limit, tenant: acme, requestsPerMinute: 600}
---
{kind: Limit, tenant: acme, agent: x, requestsPerMinute: 60, concurrency: 4}
"""


def right() -> Documents:
    """The set above."""
    return Documents(parse(RIGHT, "right.yaml"))


def uids(documents: Documents) -> dict[str, str]:
    """A uid for each name, the same for the same name in every set."""
    return {name: hashlib.sha256(name.encode()).hexdigest()[:26] for name in uid_names(documents)}


def snapshot(documents: Documents, generation: int = 1) -> Snapshot:
    """Compiled with the uids above."""
    return compile(documents, uids(documents), generation)


def principal(tenant: str, agent: str, *scopes: Scope) -> Principal:
    """An agent's credential; `write` unless told."""
    names = [f"tenant/{tenant}", f"agent/{tenant}/{agent}"]
    of = [hashlib.sha256(name.encode()).hexdigest()[:26] for name in names]
    return Principal(tenant, of[0], agent, of[1], "cred", frozenset(scopes or ("write",)))


def ask(
    model: str, dialect: Dialect = "openai", operation: Operation = "chat", needs: frozenset[str] = frozenset()
) -> Ask:
    """A call as a door reads it."""
    return Ask(dialect=dialect, operation=operation, model=model, stream=False, members={}, needs=needs)


TENANTS = ["alpha", "beta"]
AGENTS = ["x", "y"]
PROVIDERS = ["p", "q"]
MODELS = ["m1", "m2", "m*", "*", "p/m1", "q/*", "a1"]
ASKED = ["m1", "m2", "m3", "p/m1", "q/m2", "p/p/m1", "zz", "", "p/", "/m1", "a1", "a2"]
ALIASES = ["a1", "a2", "m1"]
TARGETS = ["m1", "m2", "p/m1", "q/m1", "q/m2", "a1", "a2", "nowhere/m1"]
KEYS = ["operator/k", "operator/l", "clients/alpha/k", "clients/beta/k"]
NEEDS = ["web_search", "stored_state"]

_models = st.lists(st.sampled_from(MODELS), min_size=1, max_size=3, unique=True).map(tuple)
_dialects = st.sampled_from([None, ("openai",), ("anthropic",), ("openai", "anthropic")])
_conditions = st.lists(
    st.sampled_from(["rate_limited", "overloaded", "server_error", "key_unavailable"]), max_size=3, unique=True
).map(tuple)
_providers = st.builds(
    Provider,
    name=st.sampled_from(PROVIDERS),
    tenant=st.sampled_from([None, None, *TENANTS]),
    catalog=st.sampled_from(["compatible", "openai", "anthropic", "sandbox"]),
    base_url=st.sampled_from(
        ["https://models.example.com/v1", "http://127.0.0.1:9001", "http://127.0.0.1:9002", "https://10.0.0.1", None]
    ),
    models=_models,
    dialects=_dialects,
)
_fallbacks = st.builds(
    Fallback, key=st.sampled_from(KEYS), provider=st.sampled_from([None, *PROVIDERS]), when=_conditions
)
_also = st.lists(
    st.builds(
        Also, key=st.sampled_from(KEYS), provider=st.sampled_from([None, *PROVIDERS]), weight=st.sampled_from([1, 3])
    ),
    max_size=2,
    unique=True,
).map(tuple)
_targets = st.lists(
    st.builds(Target, model=st.sampled_from(TARGETS), weight=st.sampled_from([1, 2, 7])),
    min_size=1,
    max_size=3,
    unique=True,
).map(tuple)
_sticky = st.sampled_from([None, "conversation"])
_hedge = st.sampled_from([None, Hedge(after=50), Hedge(after=900, most=2)])
_documents: st.SearchStrategy[Document] = st.one_of(
    st.builds(
        Tenant,
        name=st.sampled_from(TENANTS),
        mode=st.sampled_from(["agency", "agency", "vpc"]),
        suspended=st.sampled_from([False, False, False, True]),
    ),
    _providers,
    st.builds(Key, path=st.sampled_from(KEYS), provider=st.sampled_from(PROVIDERS)),
    st.builds(
        Agent,
        tenant=st.sampled_from(TENANTS),
        name=st.sampled_from(AGENTS),
        models=_models,
        capabilities=st.lists(st.sampled_from(NEEDS), max_size=2, unique=True).map(tuple),
        scopes=st.sampled_from([("read", "write"), ("read",), ("admin",)]),
        suspended=st.sampled_from([False, False, False, True]),
    ),
    st.builds(
        Route,
        tenant=st.sampled_from(TENANTS),
        agent=st.sampled_from([None, *AGENTS]),
        provider=st.sampled_from(PROVIDERS),
        key=st.sampled_from(KEYS),
        fallback=st.one_of(st.none(), _fallbacks),
        weight=st.sampled_from([1, 2]),
        also=_also,
        when=_conditions,
        sticky=_sticky,
        hedge=_hedge,
    ),
    st.builds(
        Alias,
        tenant=st.sampled_from(TENANTS),
        agent=st.sampled_from([None, *AGENTS]),
        name=st.sampled_from(ALIASES),
        targets=_targets,
        when=_conditions,
        sticky=_sticky,
        hedge=_hedge,
    ),
    st.builds(
        Limit,
        tenant=st.sampled_from(TENANTS),
        agent=st.sampled_from([None, *AGENTS]),
        requests_per_minute=st.sampled_from([None, 1, 60]),
        concurrency=st.sampled_from([None, 3]),
    ),
)


def _set(found: list[Document]) -> Documents:
    return Documents({identity(document): document for document in found}.values())


def _filled(extra: list[Document]) -> Documents:
    """A working core under the arbitrary documents, so that grants are not rare."""
    core: list[Document] = [
        Operator(allow_private=(HostPort(host="127.0.0.1", port=9001),)),
        *(Tenant(name=name, mode="agency") for name in TENANTS),
        *(Agent(tenant=tenant, name=name, models=("*",)) for tenant in TENANTS for name in AGENTS),
        Provider(name="p", catalog="compatible", base_url="http://127.0.0.1:9001", models=("m1", "m2")),
        *(Key(path=path, provider="p") for path in KEYS),
        *(Route(tenant=tenant, provider="p", key=f"clients/{tenant}/k") for tenant in TENANTS),
        *(Alias(tenant=tenant, name="a2", targets=(Target(model="p/m1"), Target(model="m2"))) for tenant in TENANTS),
    ]
    return _set([*core, *extra])


worlds = st.one_of(
    st.lists(_documents, max_size=24).map(_filled),
    st.lists(_documents, max_size=30).map(_set),
)
"""Arbitrary sets: references that lead nowhere, names used twice, keys of the wrong provider, everything."""
