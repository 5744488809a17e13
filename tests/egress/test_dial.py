"""The dialer against real sockets and TLS: what was classified is what is dialled, and nothing else ever is.

Only the last step, opening the socket, is bent towards loopback where a test plays a public address.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from sekimori.egress.address import Address
from sekimori.egress.dial import AddressForbidden, Dialer, Proxy, Resolver, open_socket, parse_proxy, system_resolve
from sekimori.errors import Fault, Refused, Upstream
from sekimori.terms import Origin
from tests.egress.certificates import Authority
from tests.egress.test_address import FORBIDDEN

DEADLINE = 10.0
HOST = "api.provider.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class Server:
    """Echoes one line; remembers which server name was asked for."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self.port = 0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError):
            writer.write(b"echo " + await reader.readline())
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def server(context: ssl.SSLContext | None) -> AsyncIterator[Server]:
    held = Server()
    if context is not None:

        def asked(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
            held.names.append(name)

        context.sni_callback = asked
    listening = await asyncio.start_server(held.serve, "127.0.0.1", 0, ssl=context)
    held.port = listening.sockets[0].getsockname()[1]
    try:
        yield held
    finally:
        listening.close()


class Names:
    """A resolver whose answers the test decides, look-up by look-up; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Internet:
    """Opens sockets to a local port whatever the address, and remembers which address was meant."""

    def __init__(self, port: int, source: str = "127.0.0.2") -> None:
        self.dialled: list[str] = []
        self.dead: set[str] = set()
        self._port = port
        self._source = source

    async def __call__(self, address: Address, port: int) -> socket.socket:
        self.dialled.append(str(address))
        if str(address) in self.dead:
            raise ConnectionRefusedError
        sock = socket.socket()
        sock.bind((self._source, 0))
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        return sock


@pytest.fixture
def dialer(authority: Authority) -> Iterator[Callable[..., Dialer]]:
    made: list[Dialer] = []
    trusted = authority.client()

    def make(names: Callable[[str, int], list[str]] | None = None, **more: object) -> Dialer:
        more.setdefault("context", lambda _: trusted)
        more.setdefault("resolver", Resolver(names or Names(["127.0.0.1"])))
        made.append(Dialer(**more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


class Caller(asyncio.Protocol):
    def __init__(self) -> None:
        self.heard = asyncio.get_running_loop().create_future()
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, error: Exception | None) -> None:
        self.heard.set_result(self.data)


async def talk(dialer: Dialer, origin: Origin) -> bytes:
    async with asyncio.timeout(DEADLINE):
        transport, protocol = await dialer.connect(origin, Caller)
        assert isinstance(protocol, Caller)
        transport.write(b"hello\n")
        heard = await protocol.heard
        assert isinstance(heard, bytes)
        transport.close()
        return heard


async def refused(dialer: Dialer, origin: Origin) -> Upstream:
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Upstream) as caught:
            await dialer.connect(origin, Caller)
    return caught.value


async def test_the_host_is_named_and_verified_though_the_address_is_dialled(
    authority: Authority, dialer: Callable[..., Dialer]
) -> None:
    async with server(authority.server(HOST)) as there:
        internet = Internet(there.port)
        names = Names(["1.1.1.1", "2606:4700::1111"])
        assert await talk(dialer(names, open_socket=internet), Origin("https", HOST, 443)) == b"echo hello\n"
        assert there.names == [HOST]
        assert names.asked == [(HOST, 443)]
        assert internet.dialled == ["1.1.1.1"]


async def test_what_the_operator_allows_is_really_dialled(authority: Authority, dialer: Callable[..., Dialer]) -> None:
    async with server(authority.server("models.internal")) as there:
        origin = Origin("https", "models.internal", there.port)
        allowed = dialer(allows=frozenset({("models.internal", there.port)}))
        assert await talk(allowed, origin) == b"echo hello\n"
        allowed.allows = frozenset({("models.internal", there.port + 1)})
        error = await refused(allowed, origin)
        assert isinstance(error, AddressForbidden)
        assert error.found == ("loopback",)
        assert there.connections == 1


async def test_an_address_as_host_is_verified_as_such(authority: Authority, dialer: Callable[..., Dialer]) -> None:
    async with server(authority.server("127.0.0.1")) as there, server(authority.server(HOST)) as other:
        allows = frozenset({("127.0.0.1", there.port), ("127.0.0.1", other.port)})
        names = Names(["1.1.1.1"])
        one = dialer(names, allows=allows)
        assert await talk(one, Origin("https", "127.0.0.1", there.port)) == b"echo hello\n"
        assert there.names == [None]
        assert "certificate" in (await refused(one, Origin("https", "127.0.0.1", other.port))).text
        assert names.asked == []


async def test_plain_http_where_the_operator_allows_it_only(dialer: Callable[..., Dialer]) -> None:
    async with server(None) as there:
        origin = Origin("http", "models.internal", there.port)
        assert await talk(dialer(allows=frozenset({("models.internal", there.port)})), origin) == b"echo hello\n"
        internet = Internet(there.port)
        error = await refused(dialer(Names(["1.1.1.1"]), open_socket=internet), origin)
        assert isinstance(error, AddressForbidden)
        assert internet.dialled == []


async def test_a_name_that_changes_its_mind_gains_nothing(authority: Authority, dialer: Callable[..., Dialer]) -> None:
    """Rebinding: public at one look, private at the next. Each connection looks once and dials what it saw."""
    async with server(authority.server(HOST)) as there:
        internet = Internet(there.port)
        names = Names(["1.1.1.1"], ["169.254.169.254"], ["127.0.0.1"], ["1.0.0.1"], ["1.1.1.1", "10.0.0.1"])
        one = dialer(names, open_socket=internet)
        origin = Origin("https", HOST, 443)
        assert await talk(one, origin) == b"echo hello\n"
        for found in (("cloud_metadata",), ("loopback",)):
            error = await refused(one, origin)
            assert isinstance(error, AddressForbidden)
            assert error.found == found
        assert await talk(one, origin) == b"echo hello\n"
        assert isinstance(await refused(one, origin), AddressForbidden)
        assert internet.dialled == ["1.1.1.1", "1.0.0.1"]
        assert len(names.asked) == 5


@pytest.mark.parametrize("also", [[], ["1.1.1.1"]], ids=["alone", "after a good one"])
async def test_no_bad_answer_is_ever_dialled(dialer: Callable[..., Dialer], also: list[str]) -> None:
    internet = Internet(9)
    names = Names([])
    one = dialer(names, open_socket=internet)
    for address, reason in FORBIDDEN:
        names.answers = [[*also, address]]
        error = await refused(one, Origin("https", HOST, 443))
        assert isinstance(error, AddressForbidden), address
        assert error.found == (reason,)
        assert address not in error.text + error.advice or not address
        assert reason not in error.text + error.advice
    assert internet.dialled == []


async def test_what_the_operator_cannot_allow(dialer: Callable[..., Dialer]) -> None:
    internet = Internet(9)
    names = Names([])
    one = dialer(names, open_socket=internet, allows=frozenset({(HOST, 443)}))
    for address in ("169.254.169.254", "fd00:ec2::254", "0.0.0.0", "::ffff:127.0.0.1", "224.0.0.1", "fe80::1%lo"):
        names.answers = [["10.0.0.1", address]]
        assert isinstance(await refused(one, Origin("https", HOST, 443)), AddressForbidden)
    assert internet.dialled == []


@pytest.mark.parametrize(
    "host",
    ["0x7f.1", "127.1", "2130706433", "0177.0.0.1", "API.provider.example", "api.provider.example.", "[::1]", "",
     "a b", "１.1.1.1", "api.provider.example\x00", "fe80::1%lo"],
)  # fmt: skip
async def test_a_host_in_another_form_is_not_even_resolved(dialer: Callable[..., Dialer], host: str) -> None:
    names = Names(["1.1.1.1"])
    error = await refused(dialer(names, open_socket=Internet(9)), Origin("https", host, 443))
    assert isinstance(error, AddressForbidden)
    assert names.asked == []


async def test_a_public_address_of_this_machine_is_not_called(
    authority: Authority, dialer: Callable[..., Dialer]
) -> None:
    async with server(authority.server(HOST)) as there:
        internet = Internet(there.port, source="127.0.0.1")  # as the kernel does it for an address of its own
        error = await refused(dialer(Names(["1.1.1.1"]), open_socket=internet), Origin("https", HOST, 443))
        assert isinstance(error, AddressForbidden)
        assert error.found == ("own_address",)
        assert there.names == []


async def test_a_certificate_of_another_name(authority: Authority, dialer: Callable[..., Dialer]) -> None:
    async with server(authority.server("other.example")) as there:
        one = dialer(Names(["1.1.1.1"]), open_socket=Internet(there.port))
        error = await refused(one, Origin("https", HOST, 443))
        assert error.reason == "upstream_unreachable"
        assert "certificate" in error.text


async def test_a_certificate_that_expired(authority: Authority, dialer: Callable[..., Dialer]) -> None:
    async with server(authority.server(HOST, days=-1)) as there:
        one = dialer(Names(["1.1.1.1"]), open_socket=Internet(there.port))
        assert "expired" in (await refused(one, Origin("https", HOST, 443))).text


async def test_a_certificate_of_another_authority(tmp_path: Path, dialer: Callable[..., Dialer]) -> None:
    async with server(Authority(tmp_path).server(HOST)) as there:
        one = dialer(Names(["1.1.1.1"]), open_socket=Internet(there.port))
        error = await refused(one, Origin("https", HOST, 443))
        assert "certificate" in error.text
        assert "ca_bundle" in error.advice


async def test_a_server_that_speaks_no_tls(dialer: Callable[..., Dialer]) -> None:
    async with server(None) as there:
        one = dialer(Names(["1.1.1.1"]), open_socket=Internet(there.port), connect_seconds=2.0)
        error = await refused(one, Origin("https", HOST, 443))
        assert error.reason in ("upstream_unreachable", "upstream_timeout")


async def test_a_context_that_does_not_verify_is_our_fault(dialer: Callable[..., Dialer]) -> None:
    careless = ssl.create_default_context()
    careless.check_hostname = False
    internet = Internet(9)
    one = dialer(Names(["1.1.1.1"]), open_socket=internet, context=lambda _: careless)
    with pytest.raises(Fault):
        await one.connect(Origin("https", HOST, 443), Caller)
    assert internet.dialled == []


async def test_a_dead_address_gives_way_to_the_next(authority: Authority, dialer: Callable[..., Dialer]) -> None:
    async with server(authority.server(HOST)) as there:
        internet = Internet(there.port)
        internet.dead = {"1.1.1.1"}
        one = dialer(Names(["1.1.1.1", "1.0.0.1"]), open_socket=internet)
        assert await talk(one, Origin("https", HOST, 443)) == b"echo hello\n"
        assert internet.dialled == ["1.1.1.1", "1.0.0.1"]


async def test_an_address_that_never_answers_leaves_time_for_the_next(
    authority: Authority, dialer: Callable[..., Dialer]
) -> None:
    async with server(authority.server(HOST)) as there:
        internet = Internet(there.port)

        async def first_hangs(address: Address, port: int) -> socket.socket:
            if str(address) == "1.1.1.1":
                await asyncio.Event().wait()
            return await internet(address, port)

        one = dialer(Names(["1.1.1.1", "1.0.0.1"]), open_socket=first_hangs, connect_seconds=4.0)
        assert await talk(one, Origin("https", HOST, 443)) == b"echo hello\n"


async def test_few_of_many_addresses_are_tried(dialer: Callable[..., Dialer]) -> None:
    many = [f"1.1.1.{number}" for number in range(1, 65)]
    internet = Internet(9)
    internet.dead = set(many)
    error = await refused(dialer(Names(many), open_socket=internet), Origin("https", HOST, 443))
    assert error.reason == "upstream_unreachable"
    assert len(internet.dialled) == 4
    error = await refused(dialer(Names([*many, "1.1.1.65"]), open_socket=internet), Origin("https", HOST, 443))
    assert isinstance(error, AddressForbidden)
    assert len(internet.dialled) == 4


async def test_nobody_listens(dialer: Callable[..., Dialer]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        one = dialer(allows=frozenset({("models.internal", port)}), open_socket=open_socket)
        error = await refused(one, Origin("https", "models.internal", port))
        assert error.reason == "upstream_unreachable"


async def test_a_handshake_that_never_comes_ends_in_time_and_leaves_nothing_open(dialer: Callable[..., Dialer]) -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.close()
        ended.set()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    one = dialer(Names(["1.1.1.1"]), open_socket=Internet(port), connect_seconds=0.3)
    assert (await refused(one, Origin("https", HOST, 443))).reason == "upstream_timeout"
    async with asyncio.timeout(DEADLINE):
        await ended.wait()
    listening.close()


# -- resolver ----------------------------------------------------------------------------------------------------------


async def test_a_name_without_an_address(dialer: Callable[..., Dialer]) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for names in (unknown, Names([])):
        error = await refused(dialer(names, open_socket=Internet(9)), Origin("https", HOST, 443))
        assert error.reason == "upstream_unreachable"


async def test_a_resolver_that_never_answers_holds_one_thread_and_nobody_else(
    authority: Authority, dialer: Callable[..., Dialer]
) -> None:
    release = threading.Event()
    asked: list[str] = []

    def stuck(host: str, port: int) -> list[str]:
        asked.append(host)
        if host == "stuck.example":
            release.wait(DEADLINE)
        return ["1.1.1.1"]

    try:
        async with server(authority.server(HOST)) as there:
            resolver = Resolver(stuck, threads=2)
            one = dialer(resolver=resolver, open_socket=Internet(there.port), resolve_seconds=0.1)
            errors = await asyncio.gather(*(refused(one, Origin("https", "stuck.example", 443)) for _ in range(20)))
            assert {error.reason for error in errors} == {"upstream_timeout"}
            assert asked == ["stuck.example"]
            one = dialer(resolver=resolver, open_socket=Internet(there.port))
            assert await talk(one, Origin("https", HOST, 443)) == b"echo hello\n"
    finally:
        release.set()


async def test_too_many_names_at_once_are_refused() -> None:
    release = threading.Event()

    def stuck(host: str, port: int) -> list[str]:
        release.wait(DEADLINE)
        return ["1.1.1.1"]

    resolver = Resolver(stuck, threads=1, waiting=3)
    try:
        waiting = [asyncio.create_task(resolver(f"{number}.example", 443, DEADLINE)) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="too many"):
            await resolver("one-more.example", 443, DEADLINE)
        release.set()
        async with asyncio.timeout(DEADLINE):
            assert await asyncio.gather(*waiting) == [["1.1.1.1"]] * 3
            assert await resolver("one-more.example", 443, DEADLINE) == ["1.1.1.1"]
    finally:
        release.set()
        resolver.close()


async def test_a_look_up_survives_who_asked_first() -> None:
    release = threading.Event()

    def slow(host: str, port: int) -> list[str]:
        release.wait(DEADLINE)
        return ["1.1.1.1"]

    resolver = Resolver(slow)
    try:
        first = asyncio.create_task(resolver(HOST, 443, DEADLINE))
        second = asyncio.create_task(resolver(HOST, 443, DEADLINE))
        await asyncio.sleep(0)
        first.cancel()
        release.set()
        async with asyncio.timeout(DEADLINE):
            assert await second == ["1.1.1.1"]
        with pytest.raises(asyncio.CancelledError):
            await first
    finally:
        release.set()
        resolver.close()


def test_the_system_resolver_gives_literals() -> None:
    assert system_resolve("127.0.0.1", 443) == ["127.0.0.1"]
    assert set(system_resolve("localhost", 443)) <= {"127.0.0.1", "::1"}


# -- forward proxy -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def proxy(port: int, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> AsyncIterator[tuple[int, list[bytes]]]:
    """A forward proxy that tunnels every CONNECT to a local port."""
    heads: list[bytes] = []
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        upstream = await asyncio.open_connection("127.0.0.1", port)
        for task in (pump(reader, upstream[1]), pump(upstream[0], writer)):
            pumps.add(asyncio.create_task(task))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], heads
    finally:
        listening.close()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def test_through_a_proxy_to_the_address_that_was_classified(
    authority: Authority, dialer: Callable[..., Dialer]
) -> None:
    async with server(authority.server(HOST)) as there, proxy(there.port) as (port, heads):
        names = Names(["1.1.1.1"])
        one = dialer(names, proxy=parse_proxy(f"http://user:p%40ss@127.0.0.1:{port}"))
        assert await talk(one, Origin("https", HOST, 443)) == b"echo hello\n"
        assert heads == [
            b"CONNECT 1.1.1.1:443 HTTP/1.1\r\nhost: 1.1.1.1:443\r\nproxy-authorization: Basic dXNlcjpwQHNz\r\n\r\n"
        ]
        assert there.names == [HOST]
        names.answers = [["2606:4700::1111"]]
        assert await talk(one, Origin("https", HOST, 443)) == b"echo hello\n"
        assert heads[1].startswith(b"CONNECT [2606:4700::1111]:443 HTTP/1.1\r\n")
        names.answers = [["10.0.0.1"]]
        assert isinstance(await refused(one, Origin("https", HOST, 443)), AddressForbidden)
        assert len(heads) == 2


async def test_what_the_operator_allows_by_host_and_port_does_not_go_through_the_proxy(
    authority: Authority, dialer: Callable[..., Dialer]
) -> None:
    async with server(authority.server("models.internal")) as there, proxy(there.port) as (port, heads):
        allows = frozenset({("models.internal", there.port)})
        one = dialer(allows=allows, proxy=Proxy("127.0.0.1", port))
        assert await talk(one, Origin("https", "models.internal", there.port)) == b"echo hello\n"
        assert heads == []


async def test_a_proxy_that_resolves_names_gets_the_name(authority: Authority, dialer: Callable[..., Dialer]) -> None:
    async with server(authority.server(HOST)) as there, proxy(there.port) as (port, heads):
        names = Names(["1.1.1.1"])
        one = dialer(names, proxy=Proxy("127.0.0.1", port, resolves_names=True))
        assert await talk(one, Origin("https", HOST, 443)) == b"echo hello\n"
        assert heads[0].startswith(b"CONNECT api.provider.example:443 HTTP/1.1\r\n")
        assert names.asked == []
        assert isinstance(await refused(one, Origin("https", "127.0.0.1", 443)), AddressForbidden)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5000,
    ],
)
async def test_a_proxy_that_does_not_tunnel(dialer: Callable[..., Dialer], answer: bytes) -> None:
    async with server(None) as there, proxy(there.port, answer) as (port, _):
        one = dialer(Names(["1.1.1.1"]), proxy=Proxy("127.0.0.1", port))
        error = await refused(one, Origin("https", HOST, 443))
        assert error.reason == "upstream_unreachable"
        assert "proxy" in error.text


def test_the_proxy_setting() -> None:
    assert parse_proxy("") is None
    assert parse_proxy("http://proxy.corp:3128") == Proxy("proxy.corp", 3128)
    shown = parse_proxy("http://user:canary@proxy.corp:3128/")
    assert "canary" not in repr(shown)
    for wrong in ("proxy:3128", "https://proxy:3128", "http://proxy", "http://:80", "http://proxy:0x1", "socks5://p:1",
                  "http://p:1/x", "http://0x7f.1:80", "http://p:99999"):  # fmt: skip
        with pytest.raises(Refused):
            parse_proxy(wrong)


async def test_the_process_environment_names_no_proxy(
    authority: Authority, dialer: Callable[..., Dialer], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with server(authority.server(HOST)) as there:
        one = dialer(Names(["1.1.1.1"]), open_socket=Internet(there.port))
        assert await talk(one, Origin("https", HOST, 443)) == b"echo hello\n"
