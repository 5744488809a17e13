"""Refusals in the record: one entry for the first, one with a count for the repeats.

An agent in a loop must neither fill the ledger nor go unseen. The first refusal of an (agent, reason) is durable
before its reply; repeats within ten seconds carry that entry's id and are counted, and when the window closes a
second entry says how many there were. Strangers (no principal) are counted the same way, in the operator's log, so
that a flood of bad keys costs one entry per reason and window, not one per request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from sekimori.errors import Fault, Refusal
from sekimori.ledger.entry import AGENT_EXECUTION, LOGIN, REFUSED, Refused
from sekimori.ledger.ledger import Draft, Ledger
from sekimori.terms import OPERATOR, Principal, Verdict

WINDOW_MS: Final = 10_000


class Asked(Struct, frozen=True):
    """What is known of the refused call."""

    call: str
    dialect: str
    operation: str
    model: str = ""
    generation: int = 0
    verdict: Verdict | None = None
    """Of the screening, where that refused it."""


class _Window(Struct):
    log: str
    agent: str | None
    actor: str
    first: Refused
    generation: int
    id: asyncio.Future[str]
    opened_ms: int
    repeats: int = 0
    last_ms: int = 0


class Refusals:
    """Writes `Refused` entries; one instance a process. `close` writes the counts still open."""

    def __init__(self, ledger: Ledger, now_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._now_ms = now_ms
        self._windows: dict[tuple[str, str | None, str], _Window] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def record(self, refusal: Refusal, asked: Asked, principal: Principal | None) -> str:
        """Record one refusal; returns the id of the entry that stands for it.

        Raises Fault `ledger_unavailable` when the first of a window cannot be written: then the caller must be told
        so, and not the reason, for nothing is answered unrecorded.
        """
        log = OPERATOR if principal is None else principal.tenant_uid
        agent = None if principal is None else principal.agent_uid
        # What different checks refused is not one refusal repeated.
        why = refusal.reason if asked.verdict is None else f"{refusal.reason} {asked.verdict.reason}"
        key = (log, agent, why)
        now = self._now_ms()
        window = self._windows.get(key)
        if window is not None and 0 <= now - window.opened_ms < WINDOW_MS:
            entry = await asyncio.shield(window.id)
            window.repeats += 1
            window.last_ms = now
            return entry
        loop = asyncio.get_running_loop()
        payload = Refused(
            reason=refusal.number,
            text=refusal.text,
            status=refusal.status,
            dialect=asked.dialect,
            operation=asked.operation,
            model=asked.model,
            count=1,
            first_ms=now,
            last_ms=now,
            credential=None if principal is None else principal.credential,
            verdict=asked.verdict,
        )
        actor = "stranger" if principal is None else f"agent:{principal.agent_uid}"
        fresh = _Window(log, agent, actor, payload, asked.generation, loop.create_future(), now)
        self._windows[key] = fresh
        loop.call_later(WINDOW_MS / 1000, self._close_window, key, fresh)
        task = loop.create_task(self._write_first(key, fresh, asked.call))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        # Shielded: that the first one leaves must not tell the others that nothing was recorded.
        return await asyncio.shield(fresh.id)

    async def _write_first(self, key: tuple[str, str | None, str], window: _Window, call: str) -> None:
        try:
            [entry] = await self._ledger.write(self._draft(window, window.first, call))
        except BaseException as error:
            # Those who wait on this window must not be told an id that was never durable.
            self._windows.pop(key, None)
            fault = error if isinstance(error, Fault) else Fault("ledger_unavailable", "The refusal was not recorded.")
            window.id.set_exception(fault)
            window.id.exception()  # mark as seen: nobody may be waiting
            if error is not fault:
                raise
        else:
            window.id.set_result(entry)

    async def close(self) -> None:
        """Write every open count. Call before the ledger closes."""
        for key, window in list(self._windows.items()):
            self._close_window(key, window)
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _draft(self, window: _Window, payload: Refused, call: str | None) -> Draft:
        return Draft(
            kind=REFUSED,
            class_=LOGIN if window.agent is None else AGENT_EXECUTION,
            log=window.log,
            agent=window.agent,
            actor=window.actor,
            call=call,
            hop=None,
            payload=payload,
            generation=window.generation,
        )

    def _close_window(self, key: tuple[str, str | None, str], window: _Window) -> None:
        if self._windows.get(key) is not window:
            return
        del self._windows[key]
        if window.repeats:
            task = asyncio.get_running_loop().create_task(self._write_count(window))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _write_count(self, window: _Window) -> None:
        first = window.first
        payload = Refused(
            reason=first.reason,
            text=first.text,
            status=first.status,
            dialect=first.dialect,
            operation=first.operation,
            model=first.model,
            count=window.repeats,
            first_ms=first.first_ms,
            last_ms=window.last_ms,
            credential=first.credential,
            repeats=window.id.result(),
        )
        try:
            await self._ledger.write(self._draft(window, payload, None))
        except Fault:
            # The first refusal is durable; only the count of its repeats is lost, and the ledger itself reports
            # that it cannot write: every call answers 503 from here on.
            return
