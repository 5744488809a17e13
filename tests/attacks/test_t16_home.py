"""T16: another local account or a second process reads or serves the home."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sekimori.config import load
from sekimori.control import client, owner
from sekimori.control.arguments import Listing, Nothing, Put
from sekimori.control.home import open_home
from sekimori.control.owner import Failed
from sekimori.errors import Fault, Refusal
from sekimori.ledger import entry
from sekimori.serve import running
from sekimori.telemetry import Log
from tests.attacks.attacker import back_up, control
from tests.flows.place import Place, chat, place, serving


async def test_a_second_server_on_the_home_is_refused_and_names_the_first(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        for attempt in (running(here.settings, log=Log(level="error")), open_home(here.settings, role="apply")):
            with pytest.raises(Fault) as caught:
                async with attempt:  # type: ignore[attr-defined]
                    pytest.fail("two processes hold one home")
            assert caught.value.reason == "home_in_use"
            assert str(os.getpid()) in caught.value.text
            assert caught.value.advice
        assert (await here.post("acme/x", chat()))[0] == 200, "the attempt disturbed who serves"
        other = subprocess.run(
            [sys.executable, "-m", "sekimori.cli", "--home", str(here.home), "serve"],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert other.returncode == 3
        assert str(os.getpid()).encode() in other.stderr
        assert b"Traceback" not in other.stderr


async def test_nothing_in_a_home_is_readable_by_another_account(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with place(tmp_path) as here:
            assert (await here.post("acme/x", chat()))[0] == 200
            await here.running.home.ledger.integrate()
            await here.verb("kek rotate", Nothing())
            seen = 0
            for path in [here.home, *here.home.rglob("*")]:
                mode = path.lstat().st_mode
                if path.name == "settings.toml":
                    assert not mode & 0o022  # the test wrote it; what counts is that nobody else may change it
                    continue
                assert not mode & 0o077, f"{path.relative_to(here.home)} has mode {stat.filemode(mode)}"
                seen += 1
            assert seen > 20
    finally:
        os.umask(before)


async def test_a_home_that_others_can_enter_or_change_is_not_served(tmp_path: Path) -> None:
    async with place(tmp_path, check=False) as here:
        assert (await here.post("acme/x", chat()))[0] == 200
    wider = {
        here.home: 0o755,
        here.home / "kek": 0o644,
        here.home / "vault": 0o750,
        here.home / "vault" / "vault.json": 0o644,
        here.home / "deployment.sqlite": 0o664,
    }
    for path, mode in wider.items():
        narrow = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode)
        with pytest.raises(Refusal) as caught:
            async with serving(here):
                pytest.fail(f"served although {path.name} is open to others")
        assert "chmod" in caught.value.advice or "chmod" in caught.value.text, path
        path.chmod(narrow)
    (here.home / "settings.toml").chmod(0o666)
    with pytest.raises(Refusal, match="wrong_use"):
        load(here.home, {})  # `vault.key_encryption_key = "command:…"` would be theirs to run
    (here.home / "settings.toml").chmod(0o600)
    async with back_up(here), serving(here):
        assert (await here.post("acme/x", chat()))[0] == 200


async def test_links_in_the_home_lead_nowhere(tmp_path: Path) -> None:
    async with place(tmp_path, check=False) as here:
        assert (await here.post("acme/x", chat()))[0] == 200
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "precious").write_text("untouched")
    for name in ("owner.lock", "kek", "vault/vault.json", "deployment.sqlite"):
        path = here.home / name
        kept = path.with_name(path.name + ".kept")
        path.rename(kept)
        path.symlink_to(elsewhere / "precious")
        with pytest.raises(Refusal):
            async with serving(here):
                pytest.fail(f"{name} was followed out of the home")
        path.unlink()
        kept.rename(path)
    assert (elsewhere / "precious").read_text() == "untouched"
    async with back_up(here), serving(here):
        assert (await here.post("acme/x", chat()))[0] == 200
        await here.check_invariants()


async def frames(here: Place, data: bytes, *, end: bool = True) -> bytes:
    """What the owner's socket answers to raw bytes."""
    reader, writer = await asyncio.open_unix_connection(str(here.home / "owner.sock"))
    try:
        writer.write(data)
        if end:
            with contextlib.suppress(OSError):
                writer.write_eof()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def frame(value: Any) -> bytes:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return len(data).to_bytes(4, "big") + data


async def test_the_sockets_protocol_survives_anything(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        export = {"verb": "export", "args": {}}
        hostile: list[Any] = [
            b"", b"\0", b"\0\0\0\0", b"\xff" * 4, b"\xff" * 4000, b"GET / HTTP/1.1\r\n\r\n", frame(b""), frame(b"{"),
            frame(b"[" * 100_000), frame([]), frame("export"), frame({"verb": "export"}),
            frame({"verb": 1, "args": {}}), frame({**export, "uid": 0}), frame({"verb": "no", "args": {}}),
            frame({"verb": "__class__", "args": {}}), frame({"verb": "export", "args": {"x": 1}}),
            frame({"verb": "export", "args": []}), frame({"verb": "ledger show", "args": {"last": -1}}),
            frame({"verb": "ledger show", "args": {"last": 10**30}}),
            frame({"verb": "ledger show", "args": {"log": "../../etc"}}),
            frame({"verb": "usage", "args": {"by": ["x; DROP"]}}),
            frame({"verb": "usage", "args": {"since": "' OR 1=1 --"}}),
            frame({"verb": "usage", "args": {"tenant": "../acme"}}),
            frame({"verb": "apikey issue", "args": {"tenant": "acme", "agent": "x", "scopes": ["root"]}}),
            frame({"verb": "apikey issue", "args": {"tenant": "acme", "agent": "x", "expires_in": "9" * 5000 + "d"}}),
            frame({"verb": "apply", "args": {"files": [{"name": "a", "data": "!!"}]}}),
            frame({"verb": "key put", "args": {"path": "../../x", "secret": "YQ=="}}), frame(export)[:-1],
            frame(export) + frame(export), (2**26 + 1).to_bytes(4, "big") + b"x",
        ]  # fmt: skip
        before = await here.verb("export", Nothing())
        for data in hostile:
            answer = await frames(here, data)
            assert b"Traceback" not in answer
            assert str(here.home).encode() not in answer
        assert await here.verb("export", Nothing()) == before
        assert (await here.post("acme/x", chat()))[0] == 200
        failed = [json.loads(line) for line in here.log.getvalue().splitlines() if b"verb.failed" in line]
        assert not failed, failed


async def test_many_who_connect_and_say_nothing_keep_nobody_out_for_long(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        ends = [await asyncio.open_unix_connection(str(here.home / "owner.sock")) for _ in range(40)]
        with contextlib.suppress(Failed):  # told so at once, or served: never left hanging
            await asyncio.wait_for(here.verb("key list", Listing()), 15)
        for _, writer in ends:
            writer.close()
        async with asyncio.timeout(20):
            while True:
                try:
                    await here.verb("key list", Listing())
                    break
                except Failed as failed:
                    assert failed.problem.reason == "overloaded"
                    await asyncio.sleep(0.05)


async def test_who_connects_is_known_by_the_kernel_and_not_by_what_he_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path) as here:
        with monkeypatch.context() as patched:
            patched.setattr(owner, "_peer", lambda connection: 65534)
            answer = await frames(
                here,
                frame(
                    {
                        "verb": "export",
                        "args": {},
                    }
                ),
            )
            assert b"forbidden" in answer
            assert b"kind: Tenant" not in answer
            # And the other way round: who would answer is looked at before a secret is sent to him.
            if os.geteuid() != 0:
                with pytest.raises(Failed, match="forbidden"):
                    await here.verb("key put", Put(path="operator/house", secret=b"sk-" + b"x" * 20))
        await here.issue("acme", "x")
        issued = [one for one in await here.entries("operator") if one.leaf.kind == entry.API_KEY_ISSUED]
        assert {one.leaf.actor for one in issued} == {f"uid:{os.geteuid()}"}


async def test_a_socket_that_somebody_else_put_there_gets_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, check=False) as here:
        pass
    heard: list[bytes] = []
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(here.home / "owner.sock"))
    sock.listen()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_unix_server(impostor, sock=sock)
    monkeypatch.setattr(owner, "_peer", lambda connection: 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(owner, "check_private", lambda home: None)
    monkeypatch.setattr(client, "check_private", lambda home: None)
    with pytest.raises(Failed, match="forbidden"):
        await here.verb("key put", Put(path="operator/house", secret=b"sk-" + b"x" * 20))
    server.close()
    assert heard in ([], [b""])


@pytest.mark.host
async def test_another_account_gets_nothing_at_all(tmp_path: Path) -> None:
    """A real process of user 65534, first at the home as it is, then with its folders thrown open."""
    script = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "home = sys.argv[1]\n"
        "for name in ('kek', 'deployment.sqlite', 'vault/vault.json', 'owner.lock', 'settings.toml'):\n"
        "    try:\n"
        "        print('READ', name, len(open(os.path.join(home, name), 'rb').read()))\n"
        "    except OSError as error:\n"
        "        print('no', name, error.errno)\n"
        "try:\n"
        "    s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(os.path.join(home, 'owner.sock'))\n"
        '    request = b\'{"verb":"export","args":{}}\'\n'
        "    s.sendall(len(request).to_bytes(4, 'big') + request)\n"
        "    print('ANSWER', s.recv(65536))\n"
        "except OSError as error:\n"
        "    print('no socket', error.errno)\n"
    )
    for folder in (tmp_path, *tmp_path.parents):
        with contextlib.suppress(OSError):
            if folder != Path("/") and folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
                folder.chmod(folder.stat().st_mode | 0o111)

    async def stranger(home: Path) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(home), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return out.decode()

    async with place(tmp_path) as here:
        said = await stranger(here.home)
        assert "READ" not in said
        assert "ANSWER" not in said
        here.home.chmod(0o711)
        (here.home / "owner.sock").chmod(0o666)
        said = await stranger(here.home)
        assert "READ" not in said
        assert "forbidden" in said
        assert "kind: Tenant" not in said
        here.home.chmod(0o700)


async def test_the_listeners_are_two_and_the_gateway_has_no_verb(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        for path in (
            "/api/v1/keys",
            "/verbs/export",
            "/admin",
            "/config",
            "/key/generate",
            "/user/new",
            "/sso/settings",
        ):
            for method in ("GET", "POST", "PUT"):
                code, _, body = await here.send(method, path, [(b"authorization", b"Bearer x")], b"{}")
                assert code == 404, path
                assert b"kind" not in body
            assert (await control(here, path))[0] == 404
