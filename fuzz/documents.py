"""Documents: any bytes are read or refused with a place and a fix; what is read survives export; no key is repeated."""

from __future__ import annotations

import re

from sekimori.errors import Fault, Refused
from sekimori.policy.checks import check
from sekimori.policy.decide import decide
from sekimori.policy.documents import Documents, decode, diff, encode, export, parse
from sekimori.policy.kinds import Agent, Tenant
from sekimori.policy.problems import Invalid, Problem
from sekimori.policy.snapshot import compile, uid_names
from sekimori.terms import Ask, Principal

SEEDS: list[bytes] = [
    b"kind: Tenant\nname: acme\nmode: agency\n",
    b"kind: Operator\nallowPrivate: [{host: 10.0.0.7, port: 8000}]\nprices:\n- {catalog: openai, model: m, input: '1',"
    b" output: 2.50, cached: 0.1, cacheWrite: '1', source: s, date: 2026-11-01}\n",
    b"{kind: Provider, name: p, tenant: acme, catalog: compatible, baseUrl: https://h.example/v1, models: ['*']}\n",
    b"kind: Provider\nname: openai\ncatalog: openai\nmodels: [gpt-*]\ndialects: [openai]\n---\n"
    b"{kind: Key, path: operator/openai, provider: openai, note: n}\n",
    b"kind: Agent\ntenant: acme\nname: x\npurpose: >\n  reads\n  mail\nmodels: [p/*, gpt-4o]\n"
    b"capabilities:\n- web_search\nscopes: [read]\nsuspended: true\n",
    b"kind: Route\ntenant: acme\nagent: x\nprovider: openai\nkey: clients/acme/k\nfallback:\n  key: operator/openai\n"
    b"  provider: openai\n  when: [rate_limited, key_unavailable]\n",
    b"kind: Limit\ntenant: acme\nrequestsPerMinute: 100\nconcurrency: 4\n",
    b"kind: Tenant\nname: &a acme\nmode: *a\n",
    b"kind: !!python/name:os.system x\n",
    b"kind: Key\npath: operator/k\nprovider: p\nnote: sk-ant-api03-AAAAAAAAAAAAAAAAAAAA\n",
    b"? [a]\n: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}\n",
]

_KEY = re.compile(rb"\bsk-[A-Za-z0-9_-]{12,}")


def target(data: bytes) -> None:
    """Raises where a property does not hold."""
    problems: tuple[Problem, ...] = ()
    try:
        documents = Documents(parse(data, "fuzz.yaml"))
    except Invalid as invalid:
        problems = invalid.problems
        documents = Documents()
    for problem in [*problems, *check(documents)]:
        assert problem.text
        assert problem.fix
        assert "\n" not in str(problem)
        assert not any(key.decode() in str(problem) for key in _KEY.findall(data)), "a key is repeated"
    text = export(documents)
    again = Documents(parse(text.encode(), "export.yaml"))
    assert again == documents
    assert diff(documents, again) == []
    assert all(decode(encode(document)) == document for document in documents)
    _decided(documents)


def _decided(documents: Documents) -> None:
    """Whatever the documents, a decision is a grant of the tenant's own or the operator's keys, or a refusal."""
    uids = {name: f"uid of {name}" for name in uid_names(documents)}
    try:
        at = compile(documents, uids, 1)
    except Fault:
        return
    tenants = {document.name for document in documents if isinstance(document, Tenant)}
    for agent in documents:
        if isinstance(agent, Agent) and agent.tenant in tenants:
            who = Principal(
                agent.tenant,
                uids[f"tenant/{agent.tenant}"],
                agent.name,
                uids[f"agent/{agent.tenant}/{agent.name}"],
                "c",
                frozenset({"write"}),
            )
            for model in (*agent.models, "gpt-4o"):
                try:
                    grant = decide(at, who, Ask("openai", "chat", model, False, {}))
                except Refused:
                    continue
                for route in grant.routes:
                    assert route.key.startswith(("operator/", f"clients/{agent.tenant}/"))
