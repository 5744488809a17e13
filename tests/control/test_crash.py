"""A change that is killed at any step, or whose step fails though it was made, is settled: recorded or never was."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest

from sekimori.control.home import Home, open_home
from sekimori.errors import Fault
from sekimori.terms import OPERATOR
from sekimori.vault.secret import Secret
from tests.control.crash import CHANGES, PATH, instrument
from tests.control.world import ACME, SHARED, kinds, made, parsed, said, settings_of, verb

SPARE = "---\nkind: Key\npath: clients/acme/spare\nprovider: sandbox\n"

PLACES = {
    "apply": ["store.begin#1", "ledger.write#1", "store.commit#1", "changes._take#1", "ledger.write#2", "store.end#1"],
    "prune": [
        "store.begin#1", "ledger.write#1", "store.commit#1", "changes._take#1", "keys.destroy#1", "ledger.write#2",
        "store.end#1",
    ],
    "issue": ["store.add_api_key#1", "ledger.write#1", "store.end#1"],
    "revoke": ["store.revoke_api_key#1", "ledger.write#1", "store.end#1"],
    "put": ["store.begin#1", "keys.put#1", "ledger.write#1", "store.end#1"],
    "rotate": ["store.begin#1", "keys.rotate#1", "ledger.write#1", "store.end#1"],
    "freeze": ["store.begin#1", "keys.freeze#1", "ledger.write#1", "store.end#1"],
    "kek": ["store.begin#1", "keys.rotate_kek#1", "ledger.write#1", "store.end#1"],
}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a tenant, a key and an API key; copied for each test."""

    async def prepare(folder: Path) -> None:
        async with open_home(await made(folder)) as home:
            await home.changes.apply(parsed(SHARED, ACME + SPARE), "uid:7")
            await home.changes.key_put(PATH, Secret(b"sk-first"), "uid:7")
            await home.changes.issue("acme", "analyst", "uid:7", expires_ms=None, note="")

    folder = tmp_path_factory.mktemp("prepared") / "home"
    asyncio.run(prepare(folder))
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "home"))


def kek_of(folder: Path) -> str:
    return str(json.loads((folder / "vault" / "vault.json").read_bytes())["kek"])


def die(folder: Path, change: str, step: str, when: str) -> list[str]:
    """The steps that were made."""
    command = [sys.executable, "-m", "tests.control.crash", str(folder), change, step, when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (0 if when == "never" else 9), done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("change", CHANGES)
def test_the_steps_are_the_ones_tested(folder: Path, change: str) -> None:
    assert die(folder, change, "", "never") == PLACES[change]


# Dying before a step is dying after the one before it; before the first, nothing has happened.
DEATHS = [(change, step, "before") for change, steps in PLACES.items() for step in steps[1:]]
DEATHS += [(change, steps[-1], "after") for change, steps in PLACES.items()]


@pytest.mark.parametrize(("change", "step", "when"), DEATHS)
async def test_killed_at_any_step(folder: Path, change: str, step: str, when: str) -> None:
    kek = kek_of(folder)
    die(folder, change, step, when)
    async with open_home(settings_of(folder)) as home:
        await settled(home, change, kek)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("change", "step"), [(change, step) for change, steps in PLACES.items() for step in steps])
async def test_failed_at_any_step_though_perhaps_made(folder: Path, change: str, step: str, when: str) -> None:
    """`after` is the treacherous one: the step failed to us and was made all the same."""

    def fail() -> None:
        raise Fault("store_unavailable", "The disk is full.", advice="Free space.")

    kek = kek_of(folder)
    async with open_home(settings_of(folder)) as home:
        instrument(home, step, when, fail)
        # Forgetting the note is nobody's business but ours, unless a key would be shown that is then revoked.
        harmless = step == "store.end#1" and change != "issue"
        with nullcontext() if harmless else pytest.raises(Fault):
            await CHANGES[change](home)
        stored = (await home.database.deployment.generation()).number
        assert home.snapshot.generation == stored, "what is committed is in force"
        await home.changes.apply(parsed("kind: Tenant\nname: third\nmode: agency\n"), "uid:7")
        assert await home.database.deployment.pending() == []
    async with open_home(settings_of(folder)) as home:
        await settled(home, change, kek)


WAITS = [
    (change, step) for change, steps in PLACES.items() for step in steps if step.split(".")[0] in ("ledger", "keys")
]


@pytest.mark.parametrize(("change", "step"), WAITS)
async def test_cancelled_while_something_is_written(folder: Path, change: str, step: str) -> None:
    """Whoever asked has left: what was begun is ended all the same, and nothing is said twice."""
    kek = kek_of(folder)
    async with open_home(settings_of(folder)) as home:
        tasks: list[asyncio.Future[object]] = []
        instrument(home, step, "after", lambda: tasks[0].cancel() and None)
        tasks.append(asyncio.ensure_future(CHANGES[change](home)))
        async with asyncio.timeout(30):
            await asyncio.wait(tasks)
        assert tasks[0].cancelled()
        assert await home.database.deployment.pending() == []
        await home.changes.apply(parsed("kind: Tenant\nname: third\nmode: agency\n"), "uid:7")
        assert home.snapshot.generation == (await home.database.deployment.generation()).number
        await settled(home, change, kek)


@pytest.mark.parametrize("change", ["revoke", "freeze", "apply"])
async def test_a_log_that_is_damaged_keeps_a_change_open_and_nobody_from_being_served(
    folder: Path, change: str
) -> None:
    """What cannot be looked up is not written a second time; once the log is mended it is found and forgotten."""
    kek = kek_of(folder)
    die(folder, change, PLACES[change][-1], "before")
    log = (
        "operator"
        if change == "apply"
        else next(path.name for path in (folder / "ledger").iterdir() if len(path.name) == 26)
    )
    checkpoint = folder / "ledger" / log / "checkpoint"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole.replace(whole[-20:-10], b"A" * 10))
    async with open_home(settings_of(folder)) as home:
        assert log in home.ledger.troubles
        assert len(await home.database.deployment.pending()) == 1
        assert home.snapshot.generation == (await home.database.deployment.generation()).number
        with pytest.raises(Fault):
            await home.changes.apply(parsed("kind: Tenant\nname: third\nmode: agency\n"), "uid:7")
        # What takes rights away bites all the same.
        [key, *_] = await home.database.deployment.api_keys()
        if key.revoked_ms is None:
            with pytest.raises(Fault, match="refuses the key from now on"):
                await home.changes.revoke(key.id, "uid:7")
        known = home.index.get(key.id)
        assert known is not None
        assert known.revoked
    checkpoint.write_bytes(whole)
    async with open_home(settings_of(folder)) as home:
        assert await home.database.deployment.pending() == []
        if change != "apply":
            await settled(home, change, kek)


async def settled(home: Home, change: str, kek: str) -> None:
    """The invariants of every outcome: what took effect is recorded once, what did not is not said to have."""
    store = home.database.deployment
    assert await store.pending() == []
    first: dict[str, str] = {}
    for one in await store.identities():
        first.setdefault(one.name, one.uid)
    acme = first["tenant/acme"]
    operator = [one for one in await said(home, OPERATOR) if one.leaf.actor == "uid:9"]
    counted = Counter(kinds(operator))
    assert max(counted.values(), default=0) <= 1, "nothing is said twice, but by two keys"
    payloads = {type(one.payload).__name__: one.payload for one in operator}
    actors = [(await store.generation(number)).actor for number in range(home.current.generation.number + 1)]
    [key, *issued] = await store.api_keys()

    match change:
        case "apply" | "prune":
            committed = "uid:9" in actors
            assert ("Proposed" in payloads) == ("Applied" in payloads)
            if "Applied" in payloads:
                assert payloads["Applied"].outcome == ("applied" if committed else "abandoned")
            assert "Applied" in payloads or not committed
            assert ("tenant/globex" in home.current.live) == (committed and change == "apply")
            if change == "prune":
                assert ("tenant/acme" in home.current.live) != committed
                assert (key.revoked_ms is not None) == committed == (counted["ApiKeyRevoked"] == 1)
                assert (await home.keys.metadata(acme, PATH) is None) == committed == (counted["KeyChanged"] == 1)
        case "issue":
            # Whose text was not shown is good for nothing, and the record says both or neither.
            shown = [one for one in issued if one.revoked_ms is None]
            assert counted["ApiKeyIssued"] - counted["ApiKeyRevoked"] == len(shown)
        case "revoke":
            assert (key.revoked_ms is not None) == (counted["ApiKeyRevoked"] == 1)
            known = home.index.get(key.id)
            assert known is not None
            assert known.revoked == (key.revoked_ms is not None)
        case "put" | "rotate" | "freeze":
            info = await home.keys.metadata(acme, "clients/acme/spare" if change == "put" else PATH)
            took = {
                "put": info is not None,
                "rotate": info is not None and info.version == 2,
                "freeze": info is not None and info.frozen,
            }[change]
            assert took == (counted["KeyChanged"] == 1)
        case "kek":
            assert (home.keys.kek_id != kek) == (counted["KekRotated"] == 1)
            if "KekRotated" in payloads:
                assert (payloads["KekRotated"].old, payloads["KekRotated"].new) == (kek, home.keys.kek_id)

    # The tenant's own log says of it what the operator's says.
    tenants = Counter(kinds([one for one in await said(home, acme) if one.leaf.actor == "uid:9"]))
    of_acme = {"apply": set(), "kek": set()}.get(change, set(counted))
    assert tenants == Counter({name: counted[name] for name in of_acme})
    verified = await verb(home, "ledger verify")
    assert all(one["ok"] for one in verified), verified  # type: ignore[attr-defined]
    # And the home works on.
    await home.changes.apply(parsed(SHARED, ACME, "kind: Tenant\nname: fourth\nmode: vpc\n"), "uid:7")
