"""A stream of the Gemini dialect: chunks of the answer, ended by the end of the body alone.

No event says that it is the last. So the newest is always held back: the next one releases it, and what is held when
the body ends waits for the record. The answer is whole where a reason to finish was told and the body was not cut:
some models tell one in every chunk, so neither shows it alone.

A caller who did not ask for server-sent events is given the same chunks as elements of one JSON array (`Elements`),
each by its own bytes; what stands around them in the events (names, comments, line ends) is not handed on.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sekimori.dialects.glance import ABSENT, FAILURES, SMALL, empty, glance, small
from sekimori.dialects.sse import Cutter
from sekimori.dialects.sse import fields as event_fields
from sekimori.dialects.stream import ERROR, HELD_LIMIT, HIDE, RELEASE, EventStream, truncated
from sekimori.dialects.words import ErrorEvent, failure
from sekimori.errors import Upstream
from sekimori.meter.usage import of_gemini
from sekimori.terms import Condition

OPEN: Final = b"["
BETWEEN: Final = b"\n,\n"
CLOSE: Final = b"\n]"


class _Chunk(Struct, rename={"usage": "usageMetadata", "feedback": "promptFeedback"}):
    candidates: Raw = ABSENT
    usage: Raw = ABSENT
    feedback: Raw = ABSENT
    error: Raw = ABSENT


class _Candidate(Struct, rename={"finish": "finishReason"}):
    finish: Raw = ABSENT


_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_candidates: Final = msgspec.json.Decoder(list[_Candidate]).decode
_MOST_OBJECTS: Final = 1000
"""Objects in the candidates of one chunk that is too large to be decoded as a whole."""
_FINISH: Final = b"finishReason"


class Stream(EventStream):
    """Feeds on server-sent events; see the module. `hide_usage` changes nothing: every chunk tells its usage."""

    __slots__ = ("_aside", "_finished", "_held")

    def __init__(self, hide_usage: bool = False) -> None:
        super().__init__(hide_usage)
        self._finished = False
        self._held = b""  # the newest chunk as it will be handed on, comments behind it included
        self._aside = 0  # bytes of comments since the last chunk

    def feed(self, data: bytes) -> bytes:
        """What may be released now, of all that has come. Raises Upstream as EventStream's does."""
        if self.complete or self.error is not None:
            return b""
        events = self._cutter.cut(data)
        if self._cutter.rest:
            self._keep(b"\n")
        released: list[bytes] = []
        for event in events:
            if self._take(event, released) == ERROR:
                break
        return b"".join(released)

    def end(self, delimited: bool) -> None:
        """The body has ended. Sets `error` where its rest is an error; raises Upstream `upstream_truncated`."""
        if self.error is not None:
            return
        rest = bytes(self._cutter.tail)
        self._cutter.tail.clear()
        released: list[bytes] = []
        # An event that only lacks its blank line is one, for the SDK reads it.
        if rest:
            if not self._is_chunk(rest):
                raise truncated()
            if self._take(rest, released) == ERROR:
                return
        if not (delimited and self._finished and self.started):
            raise truncated()
        self.complete = True
        self.final = b"".join(released) + self._held

    def _is_chunk(self, rest: bytes) -> bool:
        _, data = event_fields(rest)
        if data is None:
            return _plain_error(rest) is not None or rest[:1] == b":"
        return glance(_CHUNK, data) is not None

    def _take(self, event: bytes, released: list[bytes]) -> int:
        """One event: what it says is noted, and the one before it is released."""
        done = self._judge(event)
        if done == HIDE:
            self._keep(event)
        elif done == RELEASE:
            self._aside = 0
            released.append(self._held)
            self._held = self._before + event
            self._before = b""
        return done

    def _keep(self, data: bytes) -> None:
        """What is no chunk goes with the one before it; before the first it waits."""
        self._aside += len(data)
        if self._aside > HELD_LIMIT:
            raise Upstream("upstream_malformed", "The provider's stream does not come to its next event.")
        if self.started:
            self._held += data
        else:
            self._before += data

    def _judge(self, event: bytes) -> int:
        _, data = event_fields(event)
        if data is None:
            said = _plain_error(event)
            if said is not None:
                self.error = said
                return ERROR
            return HIDE
        chunk = glance(_CHUNK, data)
        if chunk is None:
            return self._strange()
        if not empty(chunk.error):
            self.error = _error_of(small(chunk.error))
            return ERROR
        self.started = True
        if chunk.usage is not ABSENT:
            self.usage = of_gemini(small(chunk.usage))  # figures grow: the last ones count
        if not self._finished:
            self._finished = _finishes(chunk, data)
        return RELEASE


class Elements:
    """The events of a stream as elements of one JSON array."""

    __slots__ = ("_between", "_cutter")

    def __init__(self) -> None:
        self._cutter = Cutter()
        self._between = OPEN

    def feed(self, events: bytes) -> bytes:
        """Whole events as elements. Raises Upstream `upstream_malformed` where one is no JSON object."""
        return b"".join(self._element(event) for event in self._cutter.cut(events))

    def end(self, events: bytes) -> bytes:
        """The last events, and the end of the array."""
        elements = self.feed(events)
        if self._cutter.tail:  # an event that only lacks its blank line
            elements += self._element(bytes(self._cutter.tail))
        return elements + CLOSE

    def _element(self, event: bytes) -> bytes:
        _, data = event_fields(event)
        if data is None:
            return b""
        if glance(_CHUNK, data) is None:  # it would break the array
            raise Upstream("upstream_malformed", "The provider's stream has an event that is no JSON object.")
        between, self._between = self._between, BETWEEN
        return between + data


def _finishes(chunk: _Chunk, data: bytes) -> bool:
    """Whether a chunk tells why the answer ends: of one candidate, or of a prompt that is not answered."""
    if not empty(chunk.feedback):
        feedback = small(chunk.feedback)
        if type(feedback) is dict and feedback.get("blockReason"):
            return True
    if _FINISH not in data:
        return False
    candidates = bytes(chunk.candidates)
    # Images make chunks large, objects make them costly: of large ones only those with few objects are looked into.
    if len(candidates) > SMALL and candidates.count(b"{") > _MOST_OBJECTS:
        return False
    try:
        return any(not empty(candidate.finish) for candidate in _candidates(candidates))
    except FAILURES:
        return False


def _plain_error(event: bytes) -> ErrorEvent | None:
    """An error that was written into the stream as bare JSON, as Google's servers do at times."""
    chunk = glance(_CHUNK, event) if event.lstrip()[:1] == b"{" else None
    return None if chunk is None or empty(chunk.error) else _error_of(small(chunk.error))


def _error_of(error: Any) -> ErrorEvent:
    said = error if type(error) is dict else {}
    code = said.get("code")
    told = code if type(code) is int else said.get("status")
    condition: Condition = "server_error"
    if told in (429, "RESOURCE_EXHAUSTED"):
        condition = "rate_limited"
    elif told in (503, 529, "UNAVAILABLE"):
        condition = "overloaded"
    return ErrorEvent(condition, failure(condition))
