"""Begins one change on a home and dies, like kill -9, before or after one of its steps.

    python -m tests.control.crash HOME CHANGE STEP WHEN

STEP is `owner.method#n`, the n-th call of it; WHEN is `before` or `after`. Prints the steps as it makes them; with WHEN
`never` it makes the change whole, so the steps can be listed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sekimori.control.home import Home, open_home
from sekimori.vault.secret import Secret
from tests.control.world import CANARY, GLOBEX, parsed, settings_of

PATH = "clients/acme/own"


async def issue(home: Home) -> None:
    await home.changes.issue("acme", "analyst", "uid:9", expires_ms=None, note="")


async def revoke(home: Home) -> None:
    [key, *_] = await home.database.deployment.api_keys()
    await home.changes.revoke(key.id, "uid:9")


CHANGES: dict[str, Callable[[Home], Awaitable[object]]] = {
    "apply": lambda home: home.changes.apply(parsed(GLOBEX), "uid:9"),
    "prune": lambda home: home.changes.apply(parsed("kind: Operator\n"), "uid:9", prune=True),
    "issue": issue,
    "revoke": revoke,
    "put": lambda home: home.changes.key_put("clients/acme/spare", Secret(CANARY.encode()), "uid:9"),
    "rotate": lambda home: home.changes.key_rotate(PATH, Secret(CANARY.encode()), "uid:9"),
    "freeze": lambda home: home.changes.key_freeze(PATH, "uid:9"),
    "kek": lambda home: home.changes.kek_rotate("uid:9"),
}
STEPS = {
    "store": ("begin", "commit", "add_api_key", "revoke_api_key", "end"),
    "ledger": ("write",),
    "keys": ("put", "rotate", "freeze", "destroy", "rotate_kek"),
    "changes": ("_take",),
}


def instrument(home: Home, step: str, when: str, fail: Callable[[], None]) -> None:
    """Make `fail` happen at that step. The steps are the real ones; nothing is put in their place."""
    owners: dict[str, Any] = {
        "store": home.database.deployment,
        "ledger": home.ledger,
        "keys": home.keys,
        "changes": home.changes,
    }
    seen: Counter[str] = Counter()

    def reached(name: str) -> str:
        seen[name] += 1
        return f"{name}#{seen[name]}"

    def wrap(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        async def work(*arguments: Any, **named: Any) -> Any:
            place = reached(name)
            print(place, flush=True)
            if place == step and when == "before":
                fail()
            answer = await plain(*arguments, **named)
            if place == step and when == "after":
                fail()
            return answer

        def at_once(*arguments: Any, **named: Any) -> Any:
            place = reached(name)
            print(place, flush=True)
            if place == step and when == "before":
                fail()
            answer = plain(*arguments, **named)
            if place == step and when == "after":
                fail()
            return answer

        return work if asyncio.iscoroutinefunction(plain) else at_once

    for owner, names in STEPS.items():
        for name in names:
            setattr(owners[owner], name, wrap(f"{owner}.{name}", getattr(owners[owner], name)))


async def main(folder: str, change: str, step: str, when: str) -> None:
    async with open_home(settings_of(Path(folder))) as home:
        instrument(home, step, when, lambda: os._exit(9))
        await CHANGES[change](home)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
