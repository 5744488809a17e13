"""T04: a provider key shows in a reply, log, metric, error, record or file."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import io
import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sekimori import cli
from sekimori.control.arguments import Explain, File, Files, Listing, Logs, Nothing, Put, Show, Usage
from sekimori.control.arguments import Path as KeyPath
from sekimori.control.owner import Failed
from sekimori.doctor import examine
from sekimori.errors import Upstream
from sekimori.http.server import Reply, Request
from sekimori.sandbox.app import serve_sandbox
from sekimori.sandbox.scenarios import SCENARIOS
from sekimori.vault.secret import Secret
from tests.attacks.attacker import CHAT, MESSAGES, VERSION, code_of, control, lead_house_to, question
from tests.flows.place import JSON, SECRETS, Answer, Place, chat, place, serving, spellings

AGENT = b"kind: Agent\ntenant: acme\nname: y\nmodels: [tiny, small]\n"
ODD = "correcthorsebattery"
"""A key that looks like none: compatible servers take whatever their owner chose."""


def needles(here: Place, *more: str) -> list[bytes]:
    kek = (here.home / "kek").read_bytes().split()
    secrets = [*SECRETS.values(), *here.keys.values(), *more]
    secrets += [word.decode() for word in kek if len(word) >= 32]
    return [needle for secret in secrets for needle in spellings(secret)]


def clean(found: list[bytes], *texts: bytes | str) -> None:
    for text in texts:
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        for needle in found:
            assert needle not in data, f"key bytes in {data[:300]!r}…"


async def everything_said(here: Place) -> dict[str, str]:
    """Every question that can be asked of a deployment, and its answer."""
    said: dict[str, str] = {}
    questions: list[tuple[str, Any]] = [
        ("export", Nothing()),
        ("key list", Listing()),
        ("apikey list", Listing()),
        ("usage", Usage(by=("day", "agent", "key", "provider", "model"))),
        ("ledger verify", Logs()),
        ("doctor", Nothing()),
        ("check", Files(files=(File("d.yaml", AGENT),))),
        ("diff", Files(files=(File("d.yaml", AGENT),))),
        *((verb, Explain(tenant="acme", agent="x", model="tiny")) for verb in ("route explain", "policy explain")),
        *(("ledger show", Show(log=log, last=1000)) for log in ("operator", "acme", "globex")),
    ]
    for verb, arguments in questions:
        said[f"{verb} {arguments!r}"] = json.dumps(await here.verb(verb, arguments))
    for log in ("operator", "acme"):
        last = (await here.verb("ledger show", Show(log=log, last=1)))[0]["leaf"]["id"]
        said[f"proof {log}"] = json.dumps(await here.verb("ledger proof", Show(record=last)))
    said["doctor in whole"] = repr(await examine(here.settings))
    for path in ("/metrics", "/healthz", "/readyz", "/", "/debug", "/metrics?x=1"):
        said[path] = (await control(here, path))[1].decode()
    return said


async def test_no_scenario_of_the_sandbox_makes_a_key_show(tmp_path: Path) -> None:
    """Every fault of the practice provider, both dialects, plain and streamed; then everything that can be asked."""
    sandbox, port = await serve_sandbox()
    try:
        async with place(tmp_path) as here:
            await lead_house_to(here, port, models='"sandbox-*"')
            await here.apply('kind: Agent\ntenant: acme\nname: x\nmodels: ["sandbox-*"]\n')
            for name in SCENARIOS:
                model = f"sandbox-{name}-1ms" if name.startswith("slow") else f"sandbox-{name}"
                for stream in (False, True):
                    if name == "huge" and not stream:
                        continue  # 80 MiB of blanks; the bound is attacked elsewhere
                    with contextlib.suppress(Upstream):  # cut in mid-stream, as it must be
                        await here.post("acme/x", chat(model, stream=stream))
                    with contextlib.suppress(Upstream):
                        await here.post("acme/x", question(model, stream=stream), MESSAGES, VERSION)
            found = needles(here)
            owners = [b"org-sandbox-owner", b"sandbox-owner", b"admin@sandbox.example", b"elsewhere.invalid", b"__cf="]
            for _, reply in here.replies:
                clean([*found, *owners], reply)
            clean([*found, *owners], here.log.getvalue())
            for what, said in (await everything_said(here)).items():
                clean(found, said), what
            await here.running.home.ledger.integrate()
            for log in ("acme", "globex", "operator"):
                clean(found, *(repr(one) for one in await here.entries(log)))
    finally:
        await sandbox.drain(0.0)


def repeats(status: int) -> Answer:
    """A provider's error that says the key, in words, in its other members and in its headers."""

    async def answer(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        key = next(value for name, value in request.headers if name == b"authorization").removeprefix(b"Bearer ")
        spelled = key.decode()
        said = f"bad key {spelled}, that is {spelled[:-4]}… in {base64.b64encode(key).decode()} (key={spelled})"
        error = {"error": {"message": said, "type": spelled, "code": spelled, "param": spelled}}
        await reply.send(status, [JSON, (b"x-key", key), (b"www-authenticate", key)], json.dumps(error).encode())

    return answer


async def test_a_provider_that_repeats_the_key_in_its_error_is_not_repeated(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        found = needles(here, ODD)
        for secret in (SECRETS["clients/acme/own"], ODD):
            if secret == ODD:
                await here.verb("key rotate", Put(path="clients/acme/own", secret=ODD.encode()))
            for status in (400, 404, 413, 422, 401, 403, 418, 429, 500, 502, 503, 529):
                here.provider.script = [repeats(status)] * 2
                for path, body, more in ((CHAT, chat(), ()), (MESSAGES, question(), (VERSION,))):
                    code, headers, reply = await here.post("acme/y", body, path, *more)
                    assert code >= 400
                    clean(found, reply, json.dumps(headers))
            assert here.provider.keys()[-1] == secret
        clean(found, here.log.getvalue(), *(repr(one) for one in await here.entries("acme")))


async def test_the_command_line_shows_no_key(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        code, headers, _ = await here.post("acme/x", chat())
        assert code == 200
        await here.post("acme/x", chat("sk-acmeown-7be1d04c5f2a4e8f93b7d6"))  # a key pasted where a model belongs
        record = headers["x-sekimori-record"]
        paste = SECRETS["operator/house"]
        file = tmp_path / "pasted.yaml"
        file.write_text(f"kind: Key\npath: operator/house\nprovider: house\nnote: {paste}\n---\nkind: {paste}\n")
        commands = [
            "export", "key list", "apikey list", "usage --by key --by agent", "usage --csv", "ledger verify",
            "ledger show --log acme", "ledger show", f"ledger show {record}", f"ledger proof {record}", "doctor",
            "route explain acme x tiny", "policy explain acme x tiny", f"check -f {file}", f"diff -f {file}",
            f"apply -f {file}", f"apikey revoke {here.keys['acme/x']}", f"key put operator/house {paste}",
            f"key put {paste}", f"key freeze {paste}", f"ledger show {paste}",
        ]  # fmt: skip
        out = io.StringIO()

        def run(command: str) -> None:
            with contextlib.suppress(SystemExit):
                cli.main(["--home", str(here.home), *command.split()])

        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            for command in commands:
                for words in (command, f"--json {command}"):
                    if "put" in words and words.endswith(f"put {paste}"):
                        continue  # would read standard input
                    await asyncio.to_thread(run, words)
        whole = out.getvalue()
        assert "operator/house" in whole
        assert "verified" in whole
        clean(needles(here), whole)


async def test_wrong_use_of_the_owners_socket_repeats_no_secret(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        secret = b"sk-never-to-be-seen-0123456789abcdef"
        name = secret.decode()
        wrong: list[tuple[str, Any]] = [
            ("key put", Put(path="operator/none", secret=secret)),
            ("key put", Put(path="operator/house", secret=secret)),  # there is one already
            ("key put", Put(path="../x", secret=secret)),
            ("key rotate", Put(path="operator/house", secret=secret + b"\n" + secret)),
            ("key rotate", Put(path="operator/house", secret=secret + b" \xff")),
            ("key rotate", Put(path="operator/house", secret=b"")),
            ("key rotate", Put(path="clients/nobody/x", secret=secret)),
            ("key freeze", KeyPath(path=secret.decode())),
            ("key freeze", Put(path="operator/house", secret=secret)),  # arguments of another verb
            ("apply", Files(files=(File("d.yaml", f"kind: Tenant\nname: {name}\nmode: agency\n".encode()),))),
            ("apply", Files(files=(File("d.yaml", f"kind: Key\npath: operator/{name}\nprovider: house\n".encode()),))),
            ("apply", Files(files=(File("d.yaml", f"{name}: x\n".encode()),))),
            ("no such verb", Put(path="x", secret=secret)),
        ]
        found = spellings(secret.decode())
        for verb, arguments in wrong:
            clean(found, repr(arguments) if isinstance(arguments, Put) else "")
            with pytest.raises(Failed) as caught:
                await here.verb(verb, arguments)
            problem = caught.value.problem
            clean(found, repr(problem), str(caught.value), *traceback.format_exception(caught.value))
        clean(found, here.log.getvalue(), *(repr(one) for one in await here.entries("operator")))


async def test_nothing_that_a_deployment_holds_shows_a_key_when_it_is_printed(tmp_path: Path) -> None:
    """Every object of ours that is reachable from an open home, as a debugger, a log line or a crash would print it."""
    async with place(tmp_path) as here:
        assert (await here.post("acme/x", chat()))[0] == 200
        found = needles(here)
        seen: set[int] = set()
        queue: list[Any] = [here.running]
        ours = secrets = 0
        while queue:
            one = queue.pop()
            if id(one) in seen or isinstance(one, type) or (callable(one) and not hasattr(one, "__self__")):
                continue
            seen.add(id(one))
            module = type(one).__module__
            if module.startswith("sekimori"):
                ours += 1
                clean(found, repr(one), str(one), f"{one}")
                if isinstance(one, Secret):
                    secrets += 1
                    for way in (pickle.dumps, msgspec.json.encode, msgspec.msgpack.encode, json.dumps, dict, bytes):
                        with pytest.raises(TypeError):
                            way(one)  # type: ignore[operator]
                    continue
            if module.startswith(("sekimori", "builtins", "collections")):
                queue += [each for each in gc.get_referents(one) if not isinstance(each, str | bytes | int | float)]
        assert ours > 100, "the walk over the objects found nothing"
        assert secrets, "no secret was reached, though one was just lent"


async def test_failures_at_every_step_tell_no_key_in_their_tracebacks(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        running = here.running
        pool, told = running.pool, []

        async def breaks(*arguments: Any, **named: Any) -> Any:
            try:
                raise RuntimeError("the pool broke")
            except RuntimeError as error:
                told.append("".join(traceback.format_exception(error)))
                raise

        def odd_headers(*arguments: Any, **named: Any) -> Any:
            raise ValueError("a request header holds a line break or NUL")

        async def refused(*arguments: Any) -> Any:
            raise OSError(111, "refused")

        found = needles(here)
        for name, broken in (("request", breaks), ("_head", odd_headers), ("connect", refused)):
            kept = getattr(pool, name)
            setattr(pool, name, broken)
            await pool_is_empty(here)
            code, _, body = await here.post("acme/y", chat())
            setattr(pool, name, kept)
            assert code in (500, 502)
            clean(found, body, *told)
        await written(here, b"call failed")
        clean(found, here.log.getvalue())


async def pool_is_empty(here: Place) -> None:
    """No idle connection is left, so that the next call dials."""
    for connection in list(here.running.pool.open):
        connection.close()
    async with asyncio.timeout(10):
        while here.running.pool.open:
            await asyncio.sleep(0.005)


async def written(here: Place, line: bytes) -> None:
    """The log's thread has come to a line."""
    async with asyncio.timeout(10):
        while line not in here.log.getvalue():
            await asyncio.sleep(0.01)


async def test_a_key_that_an_agent_pastes_into_its_call_is_not_kept(tmp_path: Path) -> None:
    """An agent's own key, or a provider's, where a model, a member's name or a text belongs."""
    async with place(tmp_path) as here:
        pasted = here.keys["acme/x"]
        bodies: list[dict[str, Any]] = [
            chat(pasted),
            chat(f"house/{pasted}"),
            chat(**{pasted: 1}),
            chat(tools=[{"type": pasted}]),
            chat(messages=[{"role": "user", "content": [{"type": pasted}]}]),
            chat(messages=[{"role": "user", "content": "x", pasted: 1}]),
        ]
        for body in bodies:
            code, _, _ = await here.post("acme/x", body)
            assert code >= 400
            await here.post("acme/x", {"max_tokens": 3, **body}, MESSAGES, VERSION)
        await here.post("acme/x", json.dumps(chat()).replace('"model"', f'"{pasted}":1,"{pasted}"').encode())
        await here.send(
            "POST",
            CHAT,
            [(b"authorization", b"Bearer " + pasted.encode()), (b"anthropic-beta", pasted.encode())],
            b"{}",
        )
        clean(spellings(pasted), *(repr(one) for one in await here.entries("acme")), here.log.getvalue())
        clean(spellings(pasted), (await control(here, "/metrics"))[1])


async def test_secrets_leave_the_home_encrypted_through_their_whole_life(tmp_path: Path) -> None:
    """Put, used, rotated, frozen, destroyed, over restarts and a new key-encryption key: never in a file."""
    async with place(tmp_path) as here:
        for version in range(3):
            secret = f"sk-life-{version}-{'0123456789abcdef' * 2}"
            await here.verb("key rotate", Put(path="clients/acme/own", secret=secret.encode()))
            assert (await here.post("acme/x", chat()))[0] == 200
            assert here.provider.keys()[-1] == secret
        await here.verb("key freeze", KeyPath(path="clients/acme/own"))
        assert code_of((await here.post("acme/y", chat()))[2]) == "key_unavailable"
        await here.verb("kek rotate", Nothing())
    found = [needle for version in range(3) for needle in spellings(f"sk-life-{version}-{'0123456789abcdef' * 2}")]
    async with serving(here):
        assert code_of((await here.post("acme/y", chat()))[2]) == "key_unavailable", "a restart thawed a frozen key"
        for path in here.home.rglob("*"):
            if path.is_file():
                clean(found, path.read_bytes())
        secrets = [path for path in (here.home / "vault").rglob("secret/*") if path.is_file()]
        assert len(secrets) == len(SECRETS) + 1, "an old version was left behind"
