"""The ledger of a home: one journal for durability, one Merkle log per tenant and one for the operator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import Struct

from sekimori.ledger.entry import Payload
from sekimori.ledger.protocols import DayKeys, Follower, Recorded, Rows, Signer


class Draft(Struct):
    """An entry that is to be written."""

    kind: int
    """Number of entry.KINDS; must be the payload's own."""
    class_: int
    """Number of entry.CLASSES."""
    log: str
    """`operator` or the tenant's uid."""
    agent: str | None
    """The agent's uid."""
    actor: str
    """Who did it: an entry.Token such as `agent:<uid>`, `uid:0`, `stranger`, `sekimori`."""
    call: str | None
    """UUIDv7 of the call; see `Ledger.new_id`."""
    hop: int | None
    payload: Payload
    generation: int
    id: str | None = None
    """UUIDv7; made where None."""


class Ledger:
    """Interface as it will stand; the engine follows in the next commits."""

    @classmethod
    async def open(
        cls,
        home: Path,
        deployment: str,
        *,
        keys: DayKeys,
        signer: Callable[[str], Signer | Awaitable[Signer]],
        rows: Rows,
        clock: Callable[[], int],
        checkpoint_seconds: float = 5.0,
        integrate_entries: int = 1024,
    ) -> Ledger:
        """`clock` gives milliseconds since 1970. Recovery happens here."""
        raise NotImplementedError

    def new_id(self) -> str:
        """A UUIDv7, strictly increasing: for a call, or for an entry whose id must be known before it is written."""
        raise NotImplementedError

    async def write(self, *drafts: Draft) -> list[str]:
        """Ids, once all are durable, in one commit: all or none. Raises Fault `ledger_unavailable`."""
        raise NotImplementedError

    async def integrate(self) -> None:
        """Bring every log and its checkpoint up to what is durable now."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close open pairs as interrupted, close the run in each log it wrote to, integrate, sign."""
        raise NotImplementedError

    def register(self, follower: Follower) -> None:
        """Feed a follower from its cursor on, from now on."""
        raise NotImplementedError

    def logs(self) -> list[str]:
        """Names of all logs."""
        raise NotImplementedError

    def size(self, log: str) -> int:
        """Integrated and signed entries of a log."""
        raise NotImplementedError

    async def entries(self, log: str, start: int, end: int) -> Sequence[Recorded]:
        """Integrated entries with start <= index < end."""
        raise NotImplementedError

    async def find(self, log: str, id: str) -> int | None:
        """Index of an integrated entry."""
        raise NotImplementedError

    async def proof(self, log: str, id: str) -> str | None:
        """The C2SP tlog-proof of an entry under the current checkpoint; None where the log has no such entry."""
        raise NotImplementedError

    async def checkpoint(self, log: str) -> bytes | None:
        """The current signed checkpoint."""
        raise NotImplementedError
