"""TLS on both sides: who is verified, what the handler sees, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from sekimori.errors import Fault, Upstream
from sekimori.http.limits import Limits
from sekimori.http.server import Reply, Request
from sekimori.http.tls import Certificate, client_context, server_context
from tests.http.authority import Authority
from tests.http.wire import PATIENCE, QUICK, Edge, Served, Wire, happens

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


async def who(request: Request, reply: Reply) -> None:
    certificate = request.peer.certificate
    await reply.send(200, [(b"x-secure", b"%d" % request.secure)], certificate if certificate is not None else b"none")


def browser(authority: Authority, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    return client_context(
        authorities=authority.file, certificate=pair[0] if pair else None, key=pair[1] if pair else None
    )


async def ask(edge: Edge, served: Served, context: ssl.SSLContext) -> tuple[int, dict[bytes, bytes], bytes]:
    wire = await edge.connect(served.port, tls=context, host="gateway.test")
    wire.send(GET)
    return await wire.reply()


async def test_the_handler_sees_the_verified_certificate(edge: Edge, tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    cert, key, _ = ours.issue("gateway", "gateway.test")
    agent = theirs.issue("agent")
    served = await edge.serve(who, tls=server_context(cert, key, client_ca=theirs.file, client="optional"))
    status, fields, body = await ask(edge, served, browser(ours, agent[:2]))
    assert (status, fields[b"x-secure"]) == (200, b"1")
    assert body == agent[2].public_bytes(serialization.Encoding.DER)
    assert (await ask(edge, served, browser(ours)))[2] == b"none"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["nothing", "a stranger's", "an expired one"])
async def test_required_certificates_are_required(
    edge: Edge, tmp_path: Path, version: ssl.TLSVersion, shown: str
) -> None:
    ours, theirs, others = (Authority(tmp_path, name) for name in ("ours", "theirs", "others"))
    cert, key, _ = ours.issue("gateway", "gateway.test")
    served = await edge.serve(who, tls=server_context(cert, key, client_ca=theirs.file, client="required"))
    pair = {
        "nothing": None,
        "a stranger's": others.issue("stranger")[:2],
        "an expired one": theirs.issue("late", expired=True)[:2],
    }[shown]
    context = browser(ours, pair)
    context.maximum_version = context.minimum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await ask(edge, served, context)
    await happens(lambda: served.server.handshakes_failed == 1)
    assert served.server.connections == 0
    assert (await ask(edge, served, browser(ours, theirs.issue("agent")[:2])))[0] == 200


async def test_a_wrong_certificate_is_refused_where_one_is_optional(edge: Edge, tmp_path: Path) -> None:
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    cert, key, _ = ours.issue("gateway", "gateway.test")
    served = await edge.serve(who, tls=server_context(cert, key, client_ca=ours.file, client="optional"))
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await ask(edge, served, browser(ours, others.issue("stranger")[:2]))


async def test_a_new_certificate_is_used_without_a_restart(edge: Edge, tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    cert, key, first = ours.issue("gateway", "gateway.test")
    files = Certificate(cert, key)
    served = await edge.serve(who, tls=files.context)

    def shown(wire: Wire) -> bytes:
        der = wire.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(der, bytes)
        return der

    old = await edge.connect(served.port, tls=browser(ours), host="gateway.test")
    assert shown(old) == first.public_bytes(serialization.Encoding.DER)
    assert not files.changed()
    second = ours.issue("gateway", "gateway.test")[2]
    assert files.changed()
    served.server.tls = files.reload()
    assert not files.changed()
    new = await edge.connect(served.port, tls=browser(ours), host="gateway.test")
    assert shown(new) == second.public_bytes(serialization.Encoding.DER)
    for wire in (old, new):
        wire.send(GET)
        assert (await wire.reply())[0] == 200


def test_files_that_do_not_fit_keep_the_old_context(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    cert, key, _ = ours.issue("gateway", "gateway.test")
    files = Certificate(cert, key)
    before = files.context
    ours.issue("other", "gateway.test")[1].replace(key)
    assert files.changed()
    with pytest.raises(Fault) as refused:
        files.reload()
    assert "gateway.crt" in refused.value.text
    assert refused.value.advice
    assert files.context is before
    assert not files.changed()  # tried once, not every time again
    key.unlink()
    assert files.changed()


def test_contexts_name_the_file_that_is_wrong(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    cert, key, _ = ours.issue("gateway", "gateway.test")
    nothing, rubbish = tmp_path / "nothing", tmp_path / "rubbish"
    rubbish.write_text("rubbish")
    for make in (
        lambda: server_context(nothing, key),
        lambda: server_context(cert, rubbish),
        lambda: server_context(cert, key, client_ca=nothing, client="required"),
        lambda: server_context(cert, key, client_ca=rubbish, client="optional"),
        lambda: server_context(cert, key, client="required"),
        lambda: client_context(authorities=nothing),
        lambda: client_context(authorities=ours.file, certificate=rubbish),
    ):
        with pytest.raises(Fault) as refused:
            make()
        assert refused.value.advice


def test_an_encrypted_key_is_an_error_and_not_a_question(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    cert, key, _ = ours.issue("gateway", "gateway.test")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    with pytest.raises(Fault):
        server_context(cert, key)


def test_old_protocols_and_the_environment_are_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Authority(tmp_path, "ours")
    cert, key, _ = ours.issue("gateway", "gateway.test")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    for context in (server_context(cert, key), client_context(authorities=ours.file)):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.keylog_filename is None
    assert client_context(authorities=ours.file).verify_mode == ssl.CERT_REQUIRED
    assert client_context(authorities=ours.file).check_hostname
    assert not (tmp_path / "keys.log").exists()


async def test_a_handshake_that_does_not_come_is_cut_and_counts_as_a_connection(edge: Edge, tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    cert, key, _ = ours.issue("gateway", "gateway.test")
    served = await edge.serve(
        who, tls=server_context(cert, key), limits=Limits(connections=1, handshake_s=0.2, sweep_s=QUICK)
    )
    silent = await edge.connect(served.port)
    await happens(lambda: served.server.connections == 1)
    extra = await edge.connect(served.port)
    assert await extra.ended() == b""
    assert served.server.turned_away == 1
    assert await silent.ended() == b""
    await happens(lambda: served.server.connections == 0)
    assert served.server.handshakes_failed == 1


async def test_plain_text_on_a_tls_listener_fails_the_handshake(edge: Edge, tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    cert, key, _ = ours.issue("gateway", "gateway.test")
    served = await edge.serve(who, tls=server_context(cert, key))
    wire = await edge.connect(served.port)
    wire.send(GET)
    assert b"HTTP/1.1" not in await wire.ended()
    await happens(lambda: served.server.handshakes_failed == 1)


async def test_streams_aborts_and_drains_work_over_tls(edge: Edge, tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    cert, key, _ = ours.issue("gateway", "gateway.test")

    async def handler(request: Request, reply: Reply) -> None:
        await reply.start(200, [])
        await reply.write(b"x" * 300_000)
        if request.target == "/x":
            await reply.finish(b"end")
        else:
            reply.abort()

    served = await edge.serve(handler, tls=server_context(cert, key))
    assert (await ask(edge, served, browser(ours)))[2] == b"x" * 300_000 + b"end"
    wire = await edge.connect(served.port, tls=browser(ours), host="gateway.test")
    wire.send(GET.replace(b"/x", b"/cut"))
    with contextlib.suppress(ssl.SSLError):  # an end without close_notify: that is what a cut is
        assert not (await wire.ended()).endswith(b"0\r\n\r\n")
    idle = await edge.connect(served.port, tls=browser(ours), host="gateway.test")
    await happens(lambda: served.server.connections >= 1)
    async with asyncio.timeout(PATIENCE):
        await served.server.drain(PATIENCE)
    assert await idle.ended() == b""


# Upstream.


async def answers(wire: Wire) -> None:
    await wire.until(b"\r\n\r\n")
    der = wire.writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b"none"
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(der), der))
    await wire.rest()


async def test_a_client_certificate_is_shown_upstream(edge: Edge, tmp_path: Path) -> None:
    theirs, ours = Authority(tmp_path, "theirs"), Authority(tmp_path, "ours")
    cert, key, _ = theirs.issue("provider", "provider.test")
    mine = ours.issue("gateway")
    origin = await edge.upstream(answers, tls=server_context(cert, key, client_ca=ours.file, client="required"))
    pool = edge.pool(tls=client_context(authorities=theirs.file, certificate=mine[0], key=mine[1]))
    async with asyncio.timeout(PATIENCE):
        response = await pool.request(origin, "k", "GET", "/", [])
        assert await response.read_all(10_000) == mine[2].public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("wrong", ["authority", "name", "expired", "no TLS", "closes"])
async def test_tls_failures_upstream(edge: Edge, tmp_path: Path, wrong: str) -> None:
    theirs, others = Authority(tmp_path, "theirs"), Authority(tmp_path, "others")
    issuer = others if wrong == "authority" else theirs
    cert, key, _ = issuer.issue(
        "provider", "elsewhere.test" if wrong == "name" else "provider.test", expired=wrong == "expired"
    )

    async def closes(wire: Wire) -> None:
        if wrong == "no TLS":
            wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    plain = wrong in ("no TLS", "closes")
    origin = await edge.upstream(closes if plain else answers, tls=None if plain else server_context(cert, key))
    pool = edge.pool(tls=client_context(authorities=theirs.file))
    with pytest.raises(Upstream) as failed:
        async with asyncio.timeout(PATIENCE):
            await pool.request(origin, "k", "GET", "/", [])
    assert (failed.value.reason, failed.value.sent) == ("upstream_unreachable", False)
    await happens(lambda: not pool.open)


async def test_a_stale_tls_connection_is_found_out(edge: Edge, tmp_path: Path) -> None:
    theirs = Authority(tmp_path, "theirs")
    cert, key, _ = theirs.issue("provider", "provider.test")
    accepted = 0

    async def once(wire: Wire) -> None:
        nonlocal accepted
        accepted += 1
        await wire.until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin = await edge.upstream(once, tls=server_context(cert, key))
    pool = edge.pool(tls=client_context(authorities=theirs.file))
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):
            response = await pool.request(origin, "k", "GET", "/", [])
            assert await response.read_all(10) == b"ok"
            await happens(lambda: pool.idle == 0)
    assert accepted == 3
    assert os.environ.get("SSLKEYLOGFILE") is None
