"""With the product's own vault, database and usage report around it, through a crash."""

from __future__ import annotations

import os
from pathlib import Path

from sekimori.db import Database, Rows
from sekimori.ledger import entry
from sekimori.ledger.ledger import Ledger
from sekimori.meter.usage_report import UsageFollower
from sekimori.vault import kek
from sekimori.vault.keys import Keys
from tests.ledger.world import call, decided

TENANT = "0123456789abcdefghjkmnpqrs"
DEPLOYMENT = "gw.example"


async def test_a_home_from_its_first_entry_to_a_purge(tmp_path: Path) -> None:
    source = kek.KekFile(tmp_path / "kek")
    source.create(os.urandom)
    keys = Keys.create(tmp_path / "vault", DEPLOYMENT, source)
    database = Database(tmp_path)
    await database.tenant(TENANT).create()

    async def opened() -> Ledger:
        return await Ledger.open(tmp_path, DEPLOYMENT, keys=keys, signer=keys.signer, rows=Rows(database))

    ledger = await opened()
    ledger.register(UsageFollower(database))
    ids = [id for _ in range(100) for id in await call(ledger, TENANT)]
    await ledger.write(decided(TENANT, ledger.new_id()))
    await ledger.integrate()
    assert ledger.troubles == {}
    await ledger._release()

    ledger = await opened()
    ledger.register(UsageFollower(database))
    await ledger.integrate()
    report = await ledger.verify(TENANT)
    assert (report.problems, report.running, report.payloads) == ([], False, {"present": 305})
    [usage] = await database.tenant(TENANT).usage(["key"], "2000-01-01", "2999-12-31")
    assert usage.uses == 101
    index = await ledger.find(TENANT, ids[-1])
    assert index == 300
    assert await ledger.proof(TENANT, ids[-1]) is not None
    [recorded] = await ledger.entries(TENANT, index, index + 1)
    assert isinstance(recorded.payload, entry.KeyUsed)

    await keys.days.destroy_day_key(TENANT, recorded.leaf.daykey)
    purged = await ledger.verify(TENANT)
    assert purged.problems == []
    assert purged.payloads["purged"] >= 1
    await ledger.close()
    await keys.close()
    await database.close()
