"""The composition root: opens a home, puts the gateway on its listener and the control endpoints on theirs.

Everything is wired here by hand, once, and nowhere else; what is not passed to a part, the part does not have.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final, Literal

from msgspec import Struct

from sekimori.config import Control as ControlSettings
from sekimori.config import Gateway as GatewaySettings
from sekimori.config import Settings
from sekimori.control.home import Home, open_home
from sekimori.control.owner import listen
from sekimori.control.verbs import answer
from sekimori.egress.dial import Dialer, parse_proxy
from sekimori.errors import Fault, Refusal
from sekimori.gateway.listen import Listener
from sekimori.gateway.record import Books, Clock
from sekimori.gateway.refusals import Refusals
from sekimori.gateway.walk import Gateway
from sekimori.guard.judge import LocalJudges
from sekimori.guard.load import load_tools
from sekimori.guard.pool import InferencePool
from sekimori.guard.screen import Guards
from sekimori.http.client import Deadlines, Pool
from sekimori.http.limits import Limits
from sekimori.http.server import Server
from sekimori.http.tls import Certificate, client_context
from sekimori.ledger.entry import DECIDED, SETTLED, Decided, Settled
from sekimori.meter.budget import WINDOW, Budget, History
from sekimori.meter.history import history
from sekimori.meter.prices import built_in
from sekimori.policy.snapshot import Snapshot, key_scope, tag_scope
from sekimori.telemetry import Log, Metrics
from sekimori.terms import OPERATOR
from sekimori.upstream.call import Providers
from sekimori.upstream.hedges import Hedges
from sekimori.vault.leases import Leases
from sekimori.vault.subjects import Subjects

Plane = Literal["all", "gateway"]

CERTIFICATE_POLL: Final = 5.0
"""Seconds between looks at the listeners' certificate files."""


class Running(Struct):
    """A deployment that answers."""

    home: Home
    gateway: Server
    gateway_port: int
    control_port: int | None
    listener: Listener
    pool: Pool
    budget: Budget

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and every reservation has been given back."""
        return not self.gateway.requests_in_flight and not list(self.budget.running())


@asynccontextmanager
async def running(settings: Settings, *, plane: Plane = "all", log: Log | None = None) -> AsyncIterator[Running]:
    """Serve the home until the block is left; then take no more calls, let those under way end, close the books."""
    async with AsyncExitStack() as stack:
        if log is None:
            log = Log(level=settings.log.level, calls=settings.log.calls)
        stack.callback(log.close)
        asyncio.get_running_loop().set_exception_handler(partial(_unexpected, log))
        home = await stack.enter_async_context(open_home(settings, role="serve", log=log))
        clock = Clock(now_ms=home.now_ms, monotonic=time.monotonic)
        refusals = Refusals(home.ledger, clock.now_ms)
        stack.push_async_callback(refusals.close)
        budget = Budget(clock.monotonic, clock.now_ms, partial(_history, home))
        await recall(home, budget)
        built_in()  # read now: no caller is to wait for a file of prices
        dialer = _dialer(home, settings, stack)
        pool, providers = _providers(home, settings, dialer, stack)
        hedges = Hedges()
        metrics = _metrics(home)
        metrics.counter("hedges", "Hops that were made beside one that was slow.", lambda: hedges.made)
        books = Books(home.ledger, refusals, lambda: home.snapshot, metrics, log, clock, home.objects)
        guards = _guards(home, dialer, clock, stack)
        listener = Listener(Gateway(home.index, budget, providers, books, home.health, hedges, guards))
        gateway, gateway_port = await _listen(
            settings.gateway,
            partial(Server, listener, refuse=listener.refuse, limits=_limits(settings.gateway)),
            settings,
            log,
            stack,
        )
        control_port = await _control(home, settings, listener, metrics, log, stack) if plane == "all" else None
        metrics.gauge("gateway_connections", "Open connections of the gateway.", lambda: gateway.connections)
        metrics.gauge("gateway_requests", "Calls under way.", lambda: gateway.requests_in_flight)
        await stack.enter_async_context(listen(home.settings.home, partial(answer, home)))
        log.info("serving", deployment=home.name, gateway_port=gateway_port, control_port=control_port)
        yield Running(home, gateway, gateway_port, control_port, listener, pool, budget)
        listener.draining = True
        whole = await gateway.drain(settings.gateway.drain_seconds)
        log.info("drained", whole=whole)


async def run(settings: Settings, plane: Plane = "all", ready: Callable[[Running], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status; raises Refusal where the home cannot be served."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running(settings, plane=plane) as deployment:
        settle()
        if ready is not None:
            ready(deployment)
        await ended.wait()
    return 0


def settle() -> None:
    """Let the cycle collector leave alone what is here to stay, and look seldom at the rest.

    A call makes no cycles: what it leaves is freed when it ends. Looked for after every 700 objects, cycles that are
    not there cost a tenth of a call, and a look at all modules stalls everyone.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def recall(home: Home, budget: Budget) -> None:
    """Count the admissions of the last minute that a former run made: a restart must not open the window anew."""
    for name in home.ledger.logs():
        if name != OPERATOR:
            try:
                await _recall(home, budget, name)
            except Fault as fault:
                # One tenant's damaged file must not keep the others from being served; only its own minute is lost.
                home.log.warning("limits.unknown", tenant=name, text=fault.text, advice=fault.advice)


async def _recall(home: Home, budget: Budget, name: str) -> None:
    now = home.now_ms()
    horizon = now - round(WINDOW * 1000)
    end, unsent, admitted = home.ledger.size(name), set[tuple[str, int]](), list[tuple[str, int, list[str], int]]()
    while end > 0:
        start = max(0, end - 256)
        entries = await home.ledger.entries(name, start, end)
        for entry in reversed(entries):
            leaf, said = entry.leaf, entry.payload
            if leaf.call is None or leaf.hop is None:
                continue
            if leaf.kind == SETTLED:
                if isinstance(said, Settled) and said.outcome == "not_sent":
                    unsent.add((leaf.call, leaf.hop))
            elif leaf.kind == DECIDED and leaf.time > horizon:
                # The call counts once, with its first hop; each hop counts for its key.
                scopes = [f"agent:{leaf.agent or ''}", f"tenant:{name}"] if leaf.hop == 0 else []
                if isinstance(said, Decided):
                    scopes.append(key_scope(name, said.key_uid))
                    if leaf.hop == 0 and said.tags is not None:
                        scopes += [tag_scope(name, tag) for tag in said.tags.tags]
                admitted.append((leaf.call, leaf.hop, scopes, leaf.time))
        end = start if entries and entries[0].leaf.time > horizon else 0
    for call, hop, scopes, at in reversed(admitted):
        if (call, hop) not in unsent:
            for scope in scopes:
                budget.recall(scope, max(now - at, 0) / 1000)


async def _history(home: Home, tenant: str) -> History:
    """What a tenant has used by its record. Raises Fault, after telling the operator."""
    uids = home.current.uids
    keys = {name.removeprefix("key/"): uid for name, uid in uids.items() if name.startswith("key/")}
    try:
        return await history(home.database, home.ledger, tenant, keys, home.now_ms())
    except Fault as fault:
        home.log.warning("budgets.unknown", tenant=tenant, text=fault.text, advice=fault.advice)
        raise


def _guards(home: Home, dialer: Dialer, clock: Clock, stack: AsyncExitStack) -> Guards:
    inference = InferencePool()
    stack.callback(inference.close)
    judges = LocalJudges(dialer.connect, lambda: home.snapshot.operator.allow_private)
    stack.push_async_callback(judges.aclose)
    return Guards(
        tools=load_tools(),
        mask_key=partial(home.index.derived, "mask"),
        monotonic=clock.monotonic,
        pool=inference,
        judges=judges,
    )


def _dialer(home: Home, settings: Settings, stack: AsyncExitStack) -> Dialer:
    upstream = settings.upstream
    context = client_context(
        authorities=settings.path(upstream.ca_bundle),
        certificate=settings.path(upstream.client_certificate),
        key=settings.path(upstream.client_key),
    )
    dialer = Dialer(
        lambda origin: context,
        proxy=parse_proxy(upstream.forward_proxy),
        connect_seconds=upstream.connect_seconds,
    )
    stack.callback(dialer.close)

    def allow(snapshot: Snapshot) -> None:
        dialer.allows = frozenset((one.host, one.port) for one in snapshot.operator.allow_private)

    home.subscribe(allow)
    return dialer


def _providers(home: Home, settings: Settings, dialer: Dialer, stack: AsyncExitStack) -> tuple[Pool, Providers]:
    upstream = settings.upstream
    pool = Pool(dialer.connect)
    stack.push_async_callback(pool.aclose)

    def off(ahead: int) -> None:
        home.log.warning("clock.wrong", ahead_seconds=ahead, advice="Set this machine's clock, and keep it set by NTP.")

    home.keys.leases = Leases(
        pool,
        entra_authority=upstream.entra_authority,
        google_token_url=upstream.google_token_url,
        google_sts_url=upstream.google_sts_url,
        google_iam_url=upstream.google_iam_url,
        subjects=Subjects(pool, folder=settings.path(upstream.subject_tokens), urls=upstream.subject_token_urls),
        off=off,
    )
    deadlines = Deadlines(
        connect=upstream.connect_seconds,
        first_byte=upstream.first_byte_seconds,
        idle=upstream.idle_seconds,
        total=upstream.total_seconds,
    )
    return pool, Providers(home.keys, pool, deadlines, off)


def _metrics(home: Home) -> Metrics:
    metrics = Metrics()
    home.subscribe(lambda snapshot: metrics.configure((uid, *names) for uid, names in home.current.agents.items()))
    metrics.gauge("generation", "The committed generation.", lambda: home.snapshot.generation)
    metrics.histogram("commit_seconds", "Journal commits, until durable.", lambda: home.ledger.commit_times)
    health = home.health
    metrics.gauge("resting", "Deployments that rest after a failure.", lambda: health.resting(time.monotonic()))
    metrics.counter("rests", "Times that a deployment began to rest.", lambda: health.begun)
    metrics.gauge("ledger_troubles", "What is wrong with the ledger; 0 is well.", lambda: len(home.ledger.troubles))
    return metrics


def _limits(settings: GatewaySettings) -> Limits:
    return Limits(connections=settings.max_connections, body_bytes=settings.max_body_bytes)


async def _control(
    home: Home, settings: Settings, listener: Listener, metrics: Metrics, log: Log, stack: AsyncExitStack
) -> int:
    from sekimori.control.api import control_app
    from sekimori.http.asgi import handler

    def troubles() -> list[str]:
        return [*home.ledger.troubles, *(["draining"] if listener.draining else [])]

    app = control_app(metrics, troubles)
    _, port = await _listen(
        settings.control, partial(Server, handler(app), refuse=_plain, limits=Limits()), settings, log, stack
    )
    return port


async def _listen(
    where: GatewaySettings | ControlSettings,
    make: Callable[..., Server],
    settings: Settings,
    log: Log,
    stack: AsyncExitStack,
) -> tuple[Server, int]:
    """Open a listener; TLS where the settings name a certificate, which is read anew when its files change."""
    certificate = None
    path, key = settings.path(where.tls_certificate), settings.path(where.tls_key)
    if path is not None and key is not None:
        certificate = Certificate(path, key, client_ca=settings.path(where.client_ca), client=where.client_certificates)
    server = make(tls=None if certificate is None else certificate.context)
    try:
        port = await server.start(where.host, where.port)
    except OSError as error:
        raise Fault(
            "internal",
            f"{where.host}:{where.port} cannot be listened on: {error.strerror}.",
            advice="Stop what listens there, or set another port in settings.toml.",
        ) from error
    stack.push_async_callback(server.drain, 0.0)
    if certificate is not None:
        watch = asyncio.create_task(_renew(server, certificate, log))
        stack.callback(watch.cancel)
    return server, port


async def _renew(server: Server, certificate: Certificate, log: Log) -> None:
    while True:
        await asyncio.sleep(CERTIFICATE_POLL)
        if certificate.changed():
            try:
                server.tls = certificate.reload()
                log.info("certificate renewed")
            except Fault as fault:
                log.error("certificate not renewed", text=str(fault))


def _plain(refusal: Refusal, target: str | None) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    return refusal.status, [(b"content-type", b"text/plain; charset=utf-8")], f"{refusal}\n".encode()


def _unexpected(log: Log, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    if isinstance(error, BaseException):
        log.exception(str(context.get("message", "unexpected")), error)
    else:
        log.error(str(context.get("message", "unexpected")))


if sys.platform != "linux":  # the ledger's writes and the socket's peer credentials are Linux's
    raise ImportError("sekimori serves on Linux")
