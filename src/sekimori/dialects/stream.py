"""A provider's stream on its way through: what may be released, what is held, what was used.

Everything that came is released as it came, but for three things: an event that has not ended, the last event with
all that follows it (it waits for the record), and events that only we asked for. An error event ends the stream: it
and what follows are never released, for its words are the provider's.

Most events are released unread. An event is read when it may matter: the first, and those that hold one of the
dialect's marks. Marks are looked for in raw bytes, so a text that quotes them is read in vain but never believed:
what an event says is decided on its parsed JSON alone.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sekimori.dialects.sse import EVENT_LIMIT, Cutter
from sekimori.dialects.words import ErrorEvent
from sekimori.errors import Upstream
from sekimori.terms import Usage

HELD_LIMIT: Final = 64 * 1024
"""Bytes of comments before the first event, and of what may follow the last."""

MOST_MINTED: Final = 64
"""Objects that one reply may leave at the provider and that are remembered."""
_ID: Final = re.compile(r"[!-~]{1,256}")

RELEASE: Final = 0
HIDE: Final = 1
FINAL: Final = 2
ERROR: Final = 3


def kept_id(id: Any) -> bool:
    """Whether what a provider sent can be an object's id: nothing else is remembered, for it comes from a stranger."""
    return type(id) is str and _ID.fullmatch(id) is not None


def truncated() -> Upstream:
    """The refusal of a stream that ended before its answer did."""
    return Upstream("upstream_truncated", "The provider ended the stream before its last event.")


class EventStream:
    """What the dialects' streams share. `feed` what arrives, release what it returns, then `final`."""

    __slots__ = (
        "_before",
        "_bound",
        "_cutter",
        "_last",
        "complete",
        "error",
        "final",
        "hide_usage",
        "minted",
        "started",
        "usage",
    )

    def __init__(self, hide_usage: bool = False) -> None:
        self.hide_usage = hide_usage
        self.started = False
        """An event of the answer has come; comments and pings are none."""
        self.complete = False
        """The dialect's last event has come."""
        self.final = b""
        """The last event and what followed it."""
        self.usage: Usage | None = None
        """By the provider's own figures; None while they are not known in full."""
        self.error: ErrorEvent | None = None
        """The provider ended the stream by an error event."""
        self.minted: tuple[str, ...] = ()
        """Ids of the objects that the provider keeps from now on."""
        self._cutter = Cutter()
        self._before = b""  # comments and pings, held until there is an answer to release them with
        self._bound = HELD_LIMIT  # bytes of `final`: of the last event itself only the cutter's limit bounds the size
        self._last = RELEASE  # what was done with the event before: half a CRLF goes the same way

    def mint(self, *ids: Any) -> None:
        """Note ids of objects that the provider keeps from now on; what is no id, and what is one too many, is not."""
        fresh = [id for id in ids if kept_id(id) and id not in self.minted]
        if fresh:
            self.minted = (*self.minted, *fresh)[:MOST_MINTED]

    def feed(self, data: bytes) -> bytes:
        """What may be released now, of all that has come.

        Raises Upstream `upstream_malformed` where the first event is none of the dialect's, or too much follows the
        last; `upstream_too_large` where an event exceeds its bound.
        """
        if self.complete or self.error is not None:
            return self._after(data)
        # With line feeds alone, and no event under way, a blank line is an end wherever it stands.
        if not self._cutter.clean or b"\r" in data or len(data) > EVENT_LIMIT:
            return self._read(data)
        if self.started:
            return self._pass(data)
        end = data.find(b"\n\n") + 2
        if end < 2 or end == len(data):
            return self._read(data)
        return self._read(data[:end]) + self._follow(data[end:])

    def end(self, delimited: bool) -> None:
        """The body has ended; `delimited` where its framing shows that it was not cut.

        Raises Upstream `upstream_truncated` where the answer is not whole, as here, where the last event tells the end.
        """
        raise truncated()

    def _follow(self, data: bytes) -> bytes:
        """What comes in the same piece behind the first event."""
        if self.complete or self.error is not None:
            return self._after(data)
        return self._pass(data) if self.started and self._cutter.clean else self._read(data)

    def _pass(self, data: bytes) -> bytes:
        """Hand on the events before the first marked one unread, and read the rest: the way of nearly every piece."""
        mark = self._mark(data)
        if mark < 0:
            if data.endswith(b"\n\n"):
                return data
            mark = len(data)
        end = data.rfind(b"\n\n", 0, mark) + 2
        if end < 2:
            return self._read(data)
        self._last = RELEASE
        return data[:end] + self._read(data[end:])

    def _read(self, data: bytes) -> bytes:
        """Event by event."""
        events = self._cutter.cut(data)
        released = [b"\n"] if self._cutter.rest and self._last == RELEASE else []
        for number, event in enumerate(events):
            done = RELEASE if self.started and self._mark(event) < 0 else self._judge(event)
            self._last = done
            if done == RELEASE:
                released.append(event)
            elif done == FINAL:
                self._bound += len(event)
                self._end(b"".join(events[number:]) + bytes(self._cutter.tail))
                break
            elif done == ERROR:
                break
        else:
            tail = self._cutter.tail
            if tail and self._ends(tail):
                self._end(bytes(tail))
        if not (self.started or self.complete):
            return self._hold(released)
        if self._before:
            released.insert(0, self._before)
            self._before = b""
        return b"".join(released)

    def _mark(self, data: bytes) -> int:
        """Where the first event among `data` that may be more than a piece of the answer is marked; -1 where none is.

        Cheap; errs towards yes.
        """
        raise NotImplementedError

    def _judge(self, event: bytes) -> int:
        """What to do with an event that is first or marked; notes what it says."""
        raise NotImplementedError

    def _ends(self, tail: bytearray) -> bool:
        """Whether an event that has not ended is surely the last, so that a missing blank line does not matter."""
        return False

    def _end(self, final: bytes) -> None:
        self.complete = self.started = True
        self._cutter.tail.clear()
        self._after(final)

    def _after(self, data: bytes) -> bytes:
        if self.error is None:
            self.final += data
            if len(self.final) > self._bound:
                raise Upstream("upstream_malformed", "The provider sent more after the last event of the stream.")
        return b""

    def _hold(self, released: list[bytes]) -> bytes:
        self._before += b"".join(released)
        if len(self._before) > HELD_LIMIT:
            raise Upstream("upstream_malformed", "The provider's stream does not come to its first event.")
        return b""

    def _strange(self) -> int:
        """An event that is none of the dialect's: the stream is something else if it is the first, else pass it on."""
        if not self.started:
            raise Upstream("upstream_malformed", "The provider's stream does not begin with an event of the dialect.")
        return RELEASE
