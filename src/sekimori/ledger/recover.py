"""After a kill at any point: the heads of all logs again, from what the disk holds.

The logs say how much of each is integrated; the journal repeats the newest of that and has everything after it. Index
and `n` stand in every journalled entry, so the two are fitted together exactly, and what does not fit is damage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sekimori.ledger import entry, read
from sekimori.ledger.entry import DECIDED, RUN_CLOSED, RUN_OPENED, SETTLED, Leaf
from sekimori.ledger.heads import CARRIED, Head, Mark, Pair
from sekimori.ledger.integrate import Integrator
from sekimori.ledger.journal import Damaged, Item, Journal, parse_item
from sekimori.ledger.read import Run


async def replay(
    journal: Journal,
    integrator: Integrator,
    heads: dict[str, Head],
    new_head: Callable[[str], Awaitable[Head]],
    run: Run,
) -> None:
    """Fill `heads` (which hold the logs found on disk) with what the journal knows: what waits for integration, the
    run each log is in, the pairs that are open. A log that does not fit the journal gets its `fault`, alone.

    Raises Damaged where the journal itself is, OSError."""
    found: list[tuple[int, Item]] = []

    def visit(segment: int, first: int, entries: list[bytes]) -> None:
        found.extend((segment, parse_item(each)) for each in entries)

    await run(journal.open, visit)
    if not journal.current and heads:
        raise Damaged("the journal is missing")
    found = [(CARRIED, parse_item(each)) for each in await run(journal.carried)] + found
    newest: dict[str, int] = {}
    for segment, one in found:
        if one.log not in heads:
            heads[one.log] = await new_head(one.log)
        head = heads[one.log]
        places = integrator.seen(segment) if segment != CARRIED else {}
        places[one.log] = one.index
        if segment != CARRIED:
            newest[one.log] = one.index
        if head.fault is None:
            try:
                _replay(integrator, head, one, segment, places)
            except (Damaged, entry.Malformed) as error:
                head.fault = read.damaged(one.log, error)
    for name, index in newest.items():
        log, head = heads[name].log, heads[name]
        if log is not None and index + 1 < log.size and head.fault is None:
            head.fault = read.damaged(name, Damaged(f"the journal ends at entry {index}, the tree has {log.size}"))


def _replay(integrator: Integrator, head: Head, one: Item, segment: int, places: dict[str, int]) -> None:
    leaf = entry.parse_leaf(one.leaf)
    mark = Mark(head, one.index, leaf, one.leaf, one.ciphertext, None, len(one.leaf) + len(one.ciphertext))
    if leaf.tenant != head.name:
        raise Damaged(f"entry {mark.index} is of {leaf.tenant}")
    if leaf.kind in (DECIDED, SETTLED) and (leaf.call is None or leaf.hop is None):
        raise Damaged(f"entry {mark.index} of {head.name} is half a pair without a call")
    hop = (leaf.call or "", leaf.hop or 0)
    if mark.index < head.next_index:
        # In the log already: only what it says of pairs is news.
        if leaf.kind == DECIDED:
            head.pairs[hop] = Pair(mark, segment)
        elif leaf.kind == SETTLED:
            head.pairs.pop(hop, None)
        elif leaf.kind == RUN_CLOSED:
            head.pairs.clear()
        return
    if mark.index > head.next_index:
        raise Damaged(f"{head.name} has {head.next_index} entries, and the journal goes on with entry {mark.index}")
    _check_run(head, leaf)
    head.opened = leaf.kind != RUN_CLOSED
    head.run, head.next_n, head.next_index = leaf.run, leaf.n + 1, mark.index + 1
    if leaf.kind == DECIDED:
        head.pairs[hop] = Pair(mark)
    elif leaf.kind == RUN_CLOSED and head.pairs:
        raise Damaged(f"entry {mark.index} of {head.name} closes a run with open pairs")
    # A Settled may stand here without its pair: the Decided is under a checkpoint, its segment gone, and the file of
    # open pairs written anew since.
    integrator.waiting(mark, segment, places)


def _check_run(head: Head, leaf: Leaf) -> None:
    begins = not head.opened and leaf.kind == RUN_OPENED and leaf.n == 0 and leaf.run != head.run
    goes_on = head.opened and leaf.kind != RUN_OPENED and leaf.n == head.next_n and leaf.run == head.run
    if not begins and not goes_on:
        raise Damaged(f"entry {leaf.n} of run {leaf.run} is out of order in {head.name}")
