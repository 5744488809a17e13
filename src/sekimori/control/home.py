"""An opened home: everything of one deployment on this machine, put together in one place.

    async with open_home(settings, role="serve") as home:
        home.snapshot          the policy of now; never keep it across an await
        home.index             API keys by hash, for identity.authenticate
        home.keys              provider keys, to lend
        home.ledger            the record
        home.objects           what providers keep for whom
        home.changes           the verbs that change something
        home.subscribe(f)      f(snapshot) at once and after every change

Both the server and, where nobody serves, a command open a home this way, and only while they hold its lock. Opening
recovers what a crash left: the ledger closes its open pairs, changes under way are settled.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from sekimori.config import FILE, Settings
from sekimori.control.changes import Changes, credential_of
from sekimori.control.current import Current, restored
from sekimori.control.owner import Lock, check_private, take_lock
from sekimori.db import Database, Rows
from sekimori.errors import Fault, Refused
from sekimori.identity.authenticate import KeyIndex
from sekimori.ledger.ledger import Ledger
from sekimori.meter.usage_report import UsageFollower
from sekimori.policy import documents
from sekimori.policy.documents import Documents
from sekimori.policy.snapshot import Snapshot
from sekimori.telemetry import Log
from sekimori.terms import OPERATOR
from sekimori.upstream.health import Health
from sekimori.upstream.objects import Objects
from sekimori.vault import kek
from sekimori.vault.keys import Keys

_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")

SETTINGS: Final = """\
# Settings of this process; docs/settings.md lists them all. Tenants, agents and routes are documents, not settings.

[gateway]
host = "127.0.0.1"
port = 8080

[control]
host = "127.0.0.1"
port = 8081
"""


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Home:
    """An open home. Made by `open_home`."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        database: Database,
        keys: Keys,
        ledger: Ledger,
        objects: Objects,
        index: KeyIndex,
        now_ms: Callable[[], int],
        log: Log,
        served: bool,
    ) -> None:
        self.settings = settings
        self.name = name
        """The deployment's name: origin of its logs, bound into every ciphertext."""
        self.database = database
        self.keys = keys
        self.ledger = ledger
        self.objects = objects
        self.index = index
        self.now_ms = now_ms
        self.log = log
        self.served = served
        """Whether it was opened to be served, and not for one command."""
        self.health = Health()
        """What the gateway's calls met lately; empty where nobody serves."""
        self._subscribers: list[Callable[[Snapshot], None]] = []
        self.changes: Changes
        """Set by `open_home` before anyone else sees the home."""

    @property
    def current(self) -> Current:
        """The committed generation."""
        return self.changes.current

    @property
    def snapshot(self) -> Snapshot:
        """What the gateway decides on. Swapped whole: read it anew for every decision."""
        return self.changes.current.snapshot

    def subscribe(self, publish: Callable[[Snapshot], None]) -> None:
        """Call `publish` with the snapshot, now and after every change, before the change's verb returns."""
        self._subscribers.append(publish)
        publish(self.snapshot)

    async def tenants(self) -> dict[str, str]:
        """Uid of every tenant there ever was -> its slug; of one that is gone, marked so."""
        return await self._names("tenant/")

    async def agent_names(self) -> dict[str, str]:
        """Uid of every agent there ever was -> its slug, without its tenant's."""
        return {uid: name.rpartition("/")[2] for uid, name in (await self._names("agent/")).items()}

    async def _names(self, prefix: str) -> dict[str, str]:
        return {
            one.uid: one.name.removeprefix(prefix) + ("" if one.retired_ms is None else " (deleted)")
            for one in await self.database.deployment.identities()
            if one.name.startswith(prefix)
        }

    def troubles(self) -> list[str]:
        """What keeps the record from being written well; empty when all is well. Uids and advice, no content."""
        return [f"{what}: {fault.text} {fault.advice}".rstrip() for what, fault in self.ledger.troubles.items()]

    def _publish(self, current: Current) -> None:
        """One that fails keeps no other from the new policy; the change is then reported as failed after its commit."""
        failed: Exception | None = None
        for publish in self._subscribers:
            try:
                publish(current.snapshot)
            except Exception as error:  # noqa: BLE001 - raised below, after the others were told
                failed = error
        if failed is not None:
            raise failed


@asynccontextmanager
async def open_home(
    settings: Settings,
    *,
    role: str = "serve",
    log: Log | None = None,
    clock: Callable[[], int] = now_ms,
    random: Callable[[int], bytes] = os.urandom,
) -> AsyncIterator[Home]:
    """Open a home under its lock; `role` is `serve` or the verb at work.

    Raises Refused `not_found` where there is none; Fault `home_in_use` naming the process, `home_damaged` naming the
    file, and whatever vault and ledger say when they cannot be opened.
    """
    check_private(settings.home)
    check_own(settings.home)
    async with AsyncExitStack() as stack:
        lock = await take_lock(settings.home, role)
        stack.callback(lock.release)
        if log is None:
            # A command says what went wrong by itself; of the rest it is silent.
            log = Log(level="warning", now_ms=clock)
            stack.callback(log.close)
        yield await _open(settings, role == "serve", log, stack, clock, random)


async def _open(
    settings: Settings,
    served: bool,
    log: Log,
    stack: AsyncExitStack,
    clock: Callable[[], int],
    random: Callable[[int], bytes],
) -> Home:
    database = Database(settings.home)
    stack.push_async_callback(database.close)
    name = await database.deployment.deployment()
    source = kek.source(settings.vault.key_encryption_key, settings.home, settings.secrets)
    keys = await asyncio.to_thread(Keys.open, settings.home / "vault", name, source, random=random, now_ms=clock)
    stack.push_async_callback(keys.close)
    ledger = await Ledger.open(
        settings.home,
        name,
        keys=keys,
        signer=keys.signer,
        rows=Rows(database),
        clock=clock,
        checkpoint_seconds=settings.ledger.checkpoint_seconds,
        integrate_entries=settings.ledger.integrate_entries,
    )
    begun = {log: ledger.size(log) for log in ledger.logs()}
    objects = Objects(database, clock, begun=begun, catch_up=ledger.integrate)
    stack.push_async_callback(objects.flush)  # left after the ledger's close, which feeds its followers once more
    stack.push_async_callback(ledger.close)
    ledger.register(UsageFollower(database))
    ledger.register(objects)

    index = KeyIndex(keys.peppers)
    home = Home(settings, name, database, keys, ledger, objects, index, clock, log, served)
    store = database.deployment
    current = restored(await store.generation(), await store.identities(), str(store.path))
    home.changes = Changes(database, keys, ledger, index, current, publish=home._publish, now_ms=clock, random=random)
    # What cannot be settled yet (one tenant's log is damaged, the disk is full) must not keep the others from being
    # served: it stays noted, and every later change tries again before it begins.
    try:
        await home.changes.recover()
    except Fault as fault:
        log.warning("changes.unsettled", reason=fault.reason, text=fault.text, advice=fault.advice)
    current = home.current  # which recovery may have moved on
    home._publish(current)
    agents = current.agents
    for row in await store.api_keys():
        # Of an agent that is gone every key is revoked; its names are kept in the row's uid alone.
        tenant, agent = agents.get(row.agent_uid, ("", ""))
        index.put(credential_of(row, tenant, agent))
    return home


async def init_home(
    settings: Settings,
    name: str,
    actor: str,
    *,
    clock: Callable[[], int] = now_ms,
    random: Callable[[int], bytes] = os.urandom,
) -> None:
    """Make a home: folder (0700), settings, key-encryption key (0600), vault with pepper, database, first entries.

    The deployment's file is made last, so a home that was made in part is taken up by the next `init`. Raises
    Refused `conflict` on a home that exists, `wrong_use` for a name that is no DNS name.
    """
    if _NAME.match(name) is None:
        raise Refused(
            "wrong_use",
            f"`{name[:80]}` is not a DNS name.",
            advice="Name the deployment like `gateway.example.com`: lower-case letters, digits, hyphens and dots.",
        )
    home = settings.home
    _make_folder(home)
    lock = await take_lock(home, "init")
    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        database = Database(home)
        stack.push_async_callback(database.close)
        exists = Refused(
            "conflict", f"There is a home at {home} already.", advice="Use it, or name another folder with `--home`."
        )
        if database.deployment.made:
            raise exists
        if not (home / FILE).exists():
            _write_private(home / FILE, SETTINGS.encode())
        source = kek.source(settings.vault.key_encryption_key, home, settings.secrets)
        if isinstance(source, kek.KekFile):
            await asyncio.to_thread(source.create, random)
        await _make_vault(home, name, source, clock, random)
        await database.tenant(OPERATOR).create()
        empty = Documents()
        if not await database.deployment.create(name, b"", documents.digest(empty), actor, clock()):
            raise exists


async def _make_vault(
    home: Path, name: str, source: kek.Source, clock: Callable[[], int], random: Callable[[int], bytes]
) -> None:
    folder = home / "vault"
    try:
        keys = await asyncio.to_thread(Keys.create, folder, name, source, random=random, now_ms=clock)
    except Refused as refused:
        if refused.reason != "conflict":
            raise
        # Of an `init` that was cut off: it must open, under the same name.
        keys = await asyncio.to_thread(Keys.open, folder, name, source, random=random, now_ms=clock)
    await keys.close()


def _make_folder(home: Path) -> None:
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700)
        home.chmod(0o700)
    except FileExistsError:
        check_private(home)
        check_own(home)
        # Neither empty, nor a home, nor one that was begun or prepared (settings, certificates): not ours to fill.
        foreign = sorted(path.name for path in home.iterdir())
        if foreign and not {"owner.lock", "deployment.sqlite", FILE} & set(foreign):
            raise Refused(
                "conflict",
                f"{home} holds other things ({', '.join(foreign[:3])}).",
                advice="Name an empty or new folder with `--home`.",
            ) from None
    except OSError as error:
        raise Fault(
            "store_unavailable", f"{home} cannot be made: {error.strerror}.", advice="Name another with `--home`."
        ) from error


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def check_own(home: Path) -> None:
    """Files we make must belong to the home's owner: root uses the socket, or becomes that user. Raises Refused."""
    owner = home.stat().st_uid
    if owner != os.geteuid():
        raise Refused(
            "wrong_use",
            f"{home} belongs to user {owner}, and nobody serves it.",
            advice=f"Run as that user: `sudo -u '#{owner}' sekimori …`.",
        )


__all__ = ["Home", "Lock", "init_home", "now_ms", "open_home"]
