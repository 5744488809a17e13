"""Connections to providers: the one place that opens a socket to an address a tenant can influence.

A name is resolved once. Every address it has is classified, one that may not be called refuses the call, and the
address that was classified is the one that is dialled; TLS names and verifies the host that was asked for. So a name
that resolves differently the next moment, or differently for someone else, gains nothing. No proxy is taken from the
process's surroundings, and a redirect is never followed (http/client hands it on as an answer).
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from msgspec import Struct

from sekimori.egress.address import Address, AddressClass, Denied, Host, Network, classify, parse_host
from sekimori.errors import Fault, Refused, Upstream
from sekimori.terms import Origin

Resolve = Callable[[str, int], Sequence[str]]
"""Blocking: host and port to address literals. Raises OSError."""
OpenSocket = Callable[[Address, int], Awaitable[socket.socket]]
"""A connected, non-blocking socket to exactly this address. Raises OSError."""

ADDRESSES_TRIED: Final = 4
"""Of one name, in the resolver's order."""
MOST_ANSWERS: Final = 64
"""A name with more addresses is refused: classifying what a hostile name server made up must not hold the loop."""
_PROXY_HEAD: Final = 16 * 1024
_PROXY_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r\n")


class AddressForbidden(Upstream):
    """The provider's address may not be called. What it is stands in `found`, for record and log: told to the caller
    it would answer questions about the network we stand in."""

    def __init__(self, *found: str) -> None:
        super().__init__(
            "upstream_address_forbidden",
            "The provider's address is not one that may be called.",
            advice="Ask the operator to look at the provider's base URL with `sekimori route explain`.",
        )
        self.found = found


class Proxy(Struct, frozen=True):
    """The operator's forward proxy; spoken to in plain HTTP (CONNECT), through which TLS runs end to end."""

    host: str
    port: int
    authorization: bytes = b""
    """Value of `proxy-authorization`; empty for none."""
    resolves_names: bool = False
    """True hands names to the proxy instead of a classified address: then keeping private networks unreachable is the
    proxy's task. For networks where public names resolve at the proxy alone."""

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


def parse_proxy(url: str, *, resolves_names: bool = False) -> Proxy | None:
    """The proxy of a setting `http://[USER:PASSWORD@]HOST:PORT`; None for an empty one. Raises Refused `wrong_use`."""
    if not url:
        return None
    wrong = Refused(
        "wrong_use",
        "The forward proxy is not a URL of one.",
        advice="Write `http://HOST:PORT` or `http://USER:PASSWORD@HOST:PORT`.",
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme != "http" or not parts.hostname or port is None or parts.path.strip("/") or parts.query:
        raise wrong
    host = parse_host(parts.hostname)
    if isinstance(host, Denied):
        raise wrong
    authorization = b""
    if parts.username is not None:
        pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
        authorization = b"Basic " + base64.b64encode(pair)
    return Proxy(host.name, port, authorization, resolves_names)


def system_resolve(host: str, port: int) -> list[str]:
    """Every address of a name by the system's resolver, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def open_socket(address: Address, port: int) -> socket.socket:
    """A connected, non-blocking socket to exactly this address. Raises OSError."""
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock


class Resolver:
    """Resolves in a few threads of its own, within a deadline.

    A look-up cannot be cancelled, so a name whose server never answers holds a thread: one per name, however many
    wait for it, and never the event loop's own threads.
    """

    def __init__(self, resolve: Resolve = system_resolve, *, threads: int = 16, waiting: int = 256) -> None:
        self._resolve = resolve
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")
        self._waiting = waiting
        self._flights: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}

    async def __call__(self, host: str, port: int, seconds: float) -> Sequence[str]:
        """Raises OSError where there is no answer, TimeoutError."""
        flight = self._flights.get((host, port))
        if flight is None:
            if len(self._flights) >= self._waiting:
                raise OSError("too many names are being resolved")
            flight = asyncio.get_running_loop().run_in_executor(self._threads, self._resolve, host, port)
            self._flights[host, port] = flight
            flight.add_done_callback(lambda done: self._landed((host, port), done))
        # Shielded: who gives up does not take the answer from the others.
        async with asyncio.timeout(seconds):
            return await asyncio.shield(flight)

    def _landed(self, name: tuple[str, int], flight: asyncio.Future[Sequence[str]]) -> None:
        self._flights.pop(name, None)
        if not flight.cancelled():
            flight.exception()  # seen, though everyone who waited may have left

    def close(self) -> None:
        """Start no more look-ups; does not wait for those under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Dialer:
    """Connects to providers; `connect` is http/client's `Connect`."""

    def __init__(
        self,
        context: Callable[[Origin], ssl.SSLContext],
        *,
        allows: frozenset[tuple[str, int]] = frozenset(),
        forbidden: tuple[Network, ...] = (),
        proxy: Proxy | None = None,
        resolver: Resolver | None = None,
        open_socket: OpenSocket = open_socket,
        resolve_seconds: float = 5.0,
        connect_seconds: float = 10.0,
    ) -> None:
        """`context` gives the TLS client context of an origin (made once and kept by its giver).

        `forbidden` are networks of this site that no table knows, such as its own NAT64 prefix.
        """
        self.allows = allows
        """(canonical host, port) that the operator's configuration allows whatever their address; replaceable."""
        self._context = context
        self._forbidden = forbidden
        self._proxy = proxy
        self._resolver = resolver or Resolver()
        self._open_socket = open_socket
        self._resolve_seconds = resolve_seconds
        self._connect_seconds = connect_seconds

    def close(self) -> None:
        """Give the resolver's threads back."""
        self._resolver.close()

    async def connect(
        self, origin: Origin, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """A connection to the origin, its TLS handshake done. No byte of a request has been sent.

        Raises AddressForbidden, Upstream `upstream_unreachable` or `upstream_timeout`.
        """
        try:
            async with asyncio.timeout(self._connect_seconds):
                return await self._connect(origin, factory)
        except TimeoutError:
            raise Upstream("upstream_timeout", "The provider did not accept a connection in time.") from None

    async def _connect(
        self, origin: Origin, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        exact = (origin.host, origin.port) in self.allows
        host = parse_host(origin.host)
        # Only the canonical form was checked when the document was: another spelling is another host.
        if isinstance(host, Denied) or host.name != origin.host:
            raise AddressForbidden("not_canonical")
        context = self._tls(origin)
        if context is None and not exact:
            raise AddressForbidden("plaintext")
        proxy = None if exact else self._proxy  # what the operator lists by host and port stands in our own network
        if proxy is not None and proxy.resolves_names and host.address is None:
            sock = await self._through(proxy, origin.host, origin.port)
        else:
            addresses = await self._addresses(host, origin.port, exact)
            sock = await self._dial(addresses, origin.port, exact, proxy)
        loop = asyncio.get_running_loop()
        try:
            # Server name and certificate are the host's, not the address's. An address as host has no server name.
            return await loop.create_connection(
                factory,
                sock=sock,
                ssl=context,
                server_hostname=None if context is None else origin.host,
                ssl_handshake_timeout=None if context is None else self._connect_seconds,
            )
        except ssl.SSLCertVerificationError as error:
            raise Upstream(
                "upstream_unreachable",
                f"The provider's TLS certificate is not accepted: {error.verify_message}.",
                advice="If it is a private certificate, the operator sets `upstream.ca_bundle`.",
            ) from error
        except OSError as error:  # ssl.SSLError is one
            raise Upstream("upstream_unreachable", "The TLS handshake with the provider failed.") from error

    def _tls(self, origin: Origin) -> ssl.SSLContext | None:
        if origin.scheme == "http":
            return None
        context = self._context(origin)
        if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
            # Pinning without verification would hand the key to whoever answers there.
            raise Fault("internal", "The TLS context for providers does not verify.", advice="Restore its defaults.")
        return context

    async def _addresses(self, host: Host, port: int, exact: bool) -> list[Address]:
        """Every address of the host, all of them allowed. One bad answer among good ones is an attack or a mistake."""
        if host.address is not None:
            answers: Sequence[str] = [host.name]
        else:
            answers = await self._resolve(host.name, port)
        if len(answers) > MOST_ANSWERS:
            raise AddressForbidden("too_many_answers")
        found = [(answer, classify(answer, self._forbidden)) for answer in answers]
        bad = [kind.reason for _, kind in found if not _may(kind, exact)]
        if bad:
            raise AddressForbidden(*sorted(set(bad)))
        parsed = [parse_host(answer) for answer in answers]
        return [each.address for each in parsed if isinstance(each, Host) and each.address is not None]

    async def _resolve(self, name: str, port: int) -> Sequence[str]:
        try:
            answers = await self._resolver(name, port, self._resolve_seconds)
        except TimeoutError:
            raise Upstream("upstream_timeout", "The provider's host name was not resolved in time.") from None
        except (OSError, UnicodeError) as error:
            raise Upstream("upstream_unreachable", "The provider's host name has no address.") from error
        if not answers:
            raise Upstream("upstream_unreachable", "The provider's host name has no address.")
        return answers

    async def _dial(self, addresses: Sequence[Address], port: int, exact: bool, proxy: Proxy | None) -> socket.socket:
        last: Exception | None = None
        tried = addresses[:ADDRESSES_TRIED]
        for number, address in enumerate(tried):
            # A dead address must not use up the time of the live ones after it; the last may take what is left.
            share = self._connect_seconds / len(tried) if number + 1 < len(tried) else None
            try:
                async with asyncio.timeout(share):
                    if proxy is not None:
                        return await self._through(proxy, str(address), port)
                    return await self._open(address, port, exact)
            except (OSError, Upstream) as error:  # TimeoutError is an OSError
                if isinstance(error, AddressForbidden):
                    raise
                last = error
        if isinstance(last, Upstream):
            raise last
        raise Upstream("upstream_unreachable", "The provider does not accept connections.") from last

    async def _open(self, address: Address, port: int, exact: bool) -> socket.socket:
        sock = await self._open_socket(address, port)
        try:
            # A public address of this very machine: the kernel then uses it as our own address too. Behind it stand
            # our listeners and whatever else trusts this host.
            if not exact and sock.getsockname()[0] == sock.getpeername()[0]:
                raise AddressForbidden("own_address")
        except BaseException:
            sock.close()
            raise
        return sock

    async def _through(self, proxy: Proxy, host: str, port: int) -> socket.socket:
        """A tunnel through the proxy. The proxy's own address is the operator's setting and is not classified."""
        parsed = parse_host(proxy.host)
        assert isinstance(parsed, Host)
        answers = [proxy.host] if parsed.address is not None else await self._resolve(proxy.host, proxy.port)
        target = parse_host(answers[0])
        if not isinstance(target, Host) or target.address is None:
            raise Upstream("upstream_unreachable", "The forward proxy has no address.")
        sock = await self._open_socket(target.address, proxy.port)
        try:
            await self._tunnel(sock, proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except BaseException:
            sock.close()
            raise
        return sock

    async def _tunnel(self, sock: socket.socket, proxy: Proxy, target: str) -> None:
        loop = asyncio.get_running_loop()
        lines = [f"CONNECT {target} HTTP/1.1".encode(), f"host: {target}".encode()]
        if proxy.authorization:
            lines.append(b"proxy-authorization: " + proxy.authorization)
        await loop.sock_sendall(sock, b"\r\n".join(lines) + b"\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await loop.sock_recv(sock, 4096)
            head += piece
            if not piece or len(head) > _PROXY_HEAD:
                raise Upstream("upstream_unreachable", "The forward proxy did not answer in HTTP.")
        status = _PROXY_STATUS.match(head)
        if status is None or not status[1].startswith(b"2"):
            told = "" if status is None else f" (status {status[1].decode()})"
            raise Upstream("upstream_unreachable", f"The forward proxy refused the connection{told}.")
        # In TLS the client speaks first; in plain HTTP too. Bytes already here are not the provider's.
        if not head.endswith(b"\r\n\r\n") or head.count(b"\r\n\r\n") != 1:
            raise Upstream("upstream_unreachable", "The forward proxy sent more than its answer.")


def _may(kind: AddressClass, exact: bool) -> bool:
    return kind.allowed or (exact and kind.allowable)
