"""T03: a tenant's call uses another tenant's key or provider."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from sekimori.control.arguments import Explain, Listing, Nothing, Put
from sekimori.control.owner import Failed
from sekimori.dialects import openai
from sekimori.errors import Fault
from sekimori.ledger import entry
from sekimori.policy.decide import decide
from sekimori.terms import Principal, Route
from tests.attacks.attacker import CHAT, MESSAGES, VERSION, code_of, question
from tests.flows.place import DOCUMENTS, SECRETS, Place, chat, place

REFUSED_DOCUMENTS = {
    "a route with another tenant's key": "kind: Route\ntenant: globex\nprovider: house\nkey: clients/acme/own\n",
    "a fallback to another tenant's key": (
        "kind: Route\ntenant: globex\nprovider: house\nkey: operator/house\n"
        "fallback: {key: clients/acme/own, when: [rate_limited]}\n"
    ),
    "a route to another tenant's provider": (
        "kind: Route\ntenant: globex\nprovider: acme-llm\nkey: clients/globex/own\n"
    ),
    "the operator's key at a tenant's provider": "kind: Key\npath: operator/house\nprovider: acme-llm\n",
    "a route with the operator's key at a tenant's provider": (
        "kind: Route\ntenant: acme\nprovider: acme-llm\nkey: operator/house\n"
    ),
    "a fallback with the operator's key at a tenant's provider": (
        "kind: Route\ntenant: acme\nprovider: acme-llm\nkey: clients/acme/llm\n"
        "fallback: {key: operator/house, when: [rate_limited]}\n"
    ),
    "a key of another tenant at one's own provider": "kind: Key\npath: clients/globex/x\nprovider: acme-llm\n",
    "a path that climbs": "kind: Key\npath: clients/globex/../acme/own\nprovider: house\n",
    "a path that ends in another tenant": "kind: Key\npath: clients/acme/own/clients/globex/own\nprovider: house\n",
    "a key in nobody's name": "kind: Key\npath: clients//own\nprovider: house\n",
    "a tenant called operator": "kind: Tenant\nname: operator\nmode: agency\n",
    "an agent of the operator": "kind: Agent\ntenant: operator\nname: x\nmodels: [tiny]\n",
    "a further key of another tenant": (
        "kind: Route\ntenant: globex\nprovider: house\nkey: operator/house\nalso: [{key: clients/acme/own}]\n"
    ),
    "the operator's key as a further key at a tenant's provider": (
        "kind: Route\ntenant: acme\nprovider: acme-llm\nkey: clients/acme/llm\nalso: [{key: operator/house}]\n"
    ),
    "a further key at another tenant's provider": (
        "kind: Route\ntenant: globex\nprovider: house\nkey: operator/house\n"
        "also: [{key: clients/acme/llm, provider: acme-llm}]\n"
    ),
    "an alias of another tenant's model": (
        "kind: Alias\ntenant: globex\nname: fast\ntargets: [{model: acme-llm/acme-only}]\n"
    ),
    "an alias under the name of a model": (
        "kind: Alias\ntenant: globex\nname: tiny\ntargets: [{model: globex-llm/globex-only}]\n"
    ),
    "an alias that reads like a provider's model": (
        "kind: Alias\ntenant: globex\nname: house/tiny\ntargets: [{model: globex-only}]\n"
    ),
    "a route of the operator": "kind: Route\ntenant: operator\nprovider: house\nkey: operator/house\n",
}


async def test_documents_that_mix_owners_are_refused_whole(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        before = await here.verb("export", Nothing())
        for what, document in REFUSED_DOCUMENTS.items():
            with pytest.raises(Failed) as caught:
                await here.apply(document)
            assert caught.value.problem.reason == "document_invalid", what
            assert all(one["fix"] for one in caught.value.problem.detail), what
        assert await here.verb("export", Nothing()) == before


async def test_no_name_a_caller_can_write_reaches_another_tenants_provider_or_key(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        names = [
            "globex-only", "globex-llm/globex-only", "globex-llm/tiny", "clients/globex/own", "operator/house",
            "globex/globex-only", "globex-llm", "house/globex-only", "acme-llm/globex-only", "../globex/globex-only",
            "globex-llm/../house/tiny", "house/../globex-llm/globex-only", "Globex-LLM/globex-only",
            "globex-llm//globex-only",
            "globex-only ", " globex-only", "GLOBEX-ONLY", "globex-only\x00", "globex-*", "*", "g*", "gl\u043ebex-only",
            "ｇlobex-only", "globex%2Dllm/globex-only", "globex-llm\\globex-only", "globex-llm:globex-only",
        ]  # fmt: skip
        for name in names:
            code, _, body = await here.post("acme/x", chat(name))
            assert code in (400, 403, 404), name
            assert code_of(body) in ("model_not_found", "model_not_allowed", "bad_request"), name
            code, _, _ = await here.post("acme/x", question(name), MESSAGES, VERSION)
            assert code in (400, 403, 404), name
        assert here.provider.seen == []
        assert await here.of_kind("acme", entry.DECIDED) == []
        assert await here.of_kind("globex", entry.DECIDED) == []


async def test_an_alias_reaches_nothing_that_its_agent_may_not_call(tmp_path: Path) -> None:
    """Not what the agent's document leaves out, not another agent's alias, not another tenant's; in no spelling."""
    aliases = (
        "kind: Agent\ntenant: acme\nname: y\nmodels: [tiny, fast, 'f*']\n---\n"
        "kind: Alias\ntenant: acme\nname: fast\ntargets: [{model: house/small}, {model: acme-llm/acme-only}]\n---\n"
        "kind: Alias\ntenant: acme\nagent: x\nname: first\ntargets: [{model: acme-llm/acme-only}]\n---\n"
        "kind: Alias\ntenant: globex\nname: foreign\ntargets: [{model: globex-llm/globex-only}]\n"
    )
    async with place(tmp_path, documents=aliases) as here:
        for name in ("fast", "first", "foreign", "fast/small", "house/fast", "acme-llm/fast", "FAST", "fast\x00", "f*"):
            for path, body in ((CHAT, chat(name)), (MESSAGES, question(name))):
                code, _, reply = await here.post("acme/y", body, path, *([VERSION] if path == MESSAGES else []))
                assert code in (400, 403, 404), name
                assert b"globex" not in reply
        # x lists the targets and not the alias: it is not there for x, which calls them by their own names.
        code, _, body = await here.post("acme/x", chat("fast"))
        assert (code, code_of(body)) == (403, "model_not_allowed")
        assert here.provider.seen == []
        agent = "kind: Agent\ntenant: acme\nname: y\nmodels: [tiny, fast, small]\n"
        await here.apply(agent)
        assert (await here.post("acme/y", chat("fast")))[0] == 200
        assert [body["model"] for _, _, body in here.provider.seen] == ["small"]


async def test_nothing_in_a_request_says_whose_key_to_use(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        fields = [
            (b"x-tenant", b"globex"),
            (b"x-sekimori-key", b"clients/globex/own"),
            (b"x-sekimori-tenant", b"globex"),
            (b"openai-organization", b"globex"),
            (b"x-provider-key", b"operator/house"),
            (b"x-forwarded-user", b"globex/z"),
            (b"x-portkey-config", b"{}"),
        ]
        assert (await here.post("acme/x", chat(), CHAT, *fields))[0] == 200
        assert here.provider.keys() == [SECRETS["clients/acme/own"]]
        sent = {name for name, _ in here.provider.seen[0][1]}
        assert not sent & {name for name, _ in fields}
        for member in ("api_key", "tenant", "key", "base_url", "provider", "user_config", "extra_headers"):
            code, _, body = await here.post("acme/x", chat(**{member: "clients/globex/own"}))
            assert (code, code_of(body)) == (400, "unknown_field"), member
        assert len(here.provider.seen) == 1


async def test_the_lend_asks_again_even_if_the_policy_was_fooled(tmp_path: Path) -> None:
    """Two locks: forged grants and routes get no key out of the vault."""
    async with place(tmp_path) as here:
        home = here.running.home
        snapshot = home.snapshot

        def principal(tenant: str, agent: str) -> Principal:
            uids = snapshot.uid(f"tenant/{tenant}"), snapshot.uid(f"agent/{tenant}/{agent}")
            assert uids[0] is not None
            assert uids[1] is not None
            return Principal(tenant, uids[0], agent, uids[1], "forged", frozenset({"read", "write"}))

        ask = openai.read_ask("chat", b'{"model":"tiny","messages":[]}', [])
        mine = decide(snapshot, principal("acme", "x"), ask)
        theirs = decide(snapshot, principal("globex", "z"), ask)
        foreign = await home.keys.metadata(theirs.principal.tenant_uid, "clients/globex/own")
        assert foreign is not None
        first: Route = mine.routes[0]
        stolen = replace(first, key="clients/globex/own", key_uid=foreign.uid, key_owner_uid=foreign.owner_uid)
        renamed = replace(first, key_uid=foreign.uid)
        cross = replace(first, provider=replace(first.provider, owner_uid=theirs.principal.tenant_uid, owner="globex"))
        theirs_own = replace(mine.routes[1], provider=replace(first.provider, owner_uid=mine.principal.tenant_uid))
        forged = {
            "another tenant's key": (replace(mine, routes=(stolen,)), stolen),
            "another tenant's key under our owner": (replace(mine, routes=(renamed,)), renamed),
            "our key at another tenant's server": (replace(mine, routes=(cross,)), cross),
            "the operator's key at our own server": (replace(mine, routes=(theirs_own,)), theirs_own),
            "a route that the grant does not have": (mine, stolen),
            "another tenant's grant": (replace(mine, principal=theirs.principal), first),
        }
        for what, (grant, route) in forged.items():
            with pytest.raises(Fault, match="key_unavailable"):
                async with home.keys.lend(grant, route):
                    pytest.fail(f"{what} was lent")
        async with home.keys.lend(mine, first) as lent:
            assert lent.secret.reveal().decode() == SECRETS["clients/acme/own"]


async def test_a_tenant_that_is_made_again_does_not_inherit(tmp_path: Path) -> None:
    """Same slug, another company: keys, secrets and records of the first stay out of its reach."""
    async with place(tmp_path) as here:
        assert (await here.post("acme/x", chat()))[0] == 200
        text = (await here.verb("export", Nothing()))["text"]
        kept = [one for one in text.split("---\n") if "acme" not in one]
        await here.apply("---\n".join(kept), prune=True)
        await here.apply(DOCUMENTS.format(port=here.provider_port))
        code, _, body = await here.post("acme/x", chat())
        assert (code, code_of(body)) == (401, "credential_unknown"), "an old tenant's agent key opens the new one"
        await here.issue("acme", "x")
        views = {one["path"]: one["state"] for one in await here.verb("key list", Listing(tenant="acme"))}
        assert set(views.values()) == {"missing"}
        code, _, body = await here.post("acme/x", chat())
        assert (code, code_of(body)) == (503, "key_unavailable")
        assert len(here.provider.seen) == 1, "a secret of the former tenant was used for the new one"
        await here.verb("key put", Put(path="clients/acme/own", secret=SECRETS["clients/acme/own"].encode()))
        assert (await here.post("acme/x", chat()))[0] == 200
        assert len(await here.of_kind("acme", entry.DECIDED)) == 2, "the new tenant's log begins with the old one's"


async def test_tenants_that_call_at_once_are_each_served_by_their_own(tmp_path: Path) -> None:
    async def burst(here: Place, agent: str, model: str, expected: str) -> None:
        for _ in range(12):
            code, headers, _ = await here.post(agent, chat(model, text=agent))
            assert code == 200
            assert headers["x-sekimori-key"] == expected

    async with place(tmp_path) as here:
        await asyncio.gather(
            burst(here, "acme/x", "tiny", "clients/acme/own"),
            burst(here, "acme/x", "acme-only", "clients/acme/llm"),
            burst(here, "globex/z", "globex-only", "clients/globex/own"),
            burst(here, "globex/z", "tiny", "operator"),
        )
        for (path, _, body), key in zip(here.provider.seen, here.provider.keys(), strict=True):
            who = body["messages"][0]["content"]
            expected = {
                ("acme/x", "/v1/chat/completions"): "clients/acme/own",
                ("acme/x", "/acme/chat/completions"): "clients/acme/own",  # one text under two paths
                ("globex/z", "/globex/chat/completions"): "clients/globex/own",
                ("globex/z", "/v1/chat/completions"): "operator/house",
            }[who, path]
            assert key == SECRETS[expected]
        for log, foreign in (("acme", "globex"), ("globex", "acme")):
            assert all(foreign not in repr(one.payload) for one in await here.entries(log))


async def test_explaining_for_an_agent_shows_nothing_of_other_tenants(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        for verb in ("route explain", "policy explain"):
            for model in ("globex-only", "globex-llm/globex-only", "tiny", "nobody-has-it"):
                said = str(await here.verb(verb, Explain(tenant="acme", agent="x", model=model)))
                assert "globex" not in said.replace(model, ""), verb
