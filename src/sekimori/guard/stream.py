"""Screening a reply that streams: whole events wait until all that they say has settled, then go on as they came.

An event without a finding is released byte for byte as the provider sent it; of one with a finding only the strings
that hold it are rewritten. Events never overtake each other. So whatever the provider's pieces, an agent that puts
them together holds what screening the whole text at once would have given it, and no character of a match was ever
sent. Pieces of one text are followed from event to event; every other string is screened as a whole, as the repetition
of a text at its end is.

`bytes.splitlines` and the SSE rules differ in nothing here: both end lines at CR, LF and CRLF alone.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence, Set
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from sekimori.dialects.deltas import Channel, Piece, Pieces, pieces_of
from sekimori.dialects.found import Path
from sekimori.dialects.sse import Cutter, beside_data, only_data, with_data
from sekimori.dialects.sse import fields as event_fields
from sekimori.dialects.texts import Text, edited_within, texts_within
from sekimori.errors import Upstream
from sekimori.guard.spans import Detector, Growing, Match, find_all, joined, replaced
from sekimori.guard.unescape import Unescaped, unescaped
from sekimori.terms import Dialect, Operation

HELD: Final = 8 * 1024 * 1024
"""Bytes of events that may wait for what they say to settle."""
MOST_CHANNELS: Final = 4096

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_NAMED: Final = re.compile(rb"event: ?[a-z_.]{1,64}\Z")
_FAILURES: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class Blocked(Exception):
    """What was found may not pass, and nothing that belongs to it was released."""

    def __init__(self, match: Match) -> None:
        super().__init__(match.check)
        self.match = match


class Tripped(Exception):
    """A detector failed, and its check's policy is that nothing passes then."""

    def __init__(self, check: str, error: Exception) -> None:
        super().__init__(f"{type(error).__name__} in the check")
        self.check = check


class Tolerant:
    """A detector that may fail: where the policy lets a text pass then, that is noted and the text is settled."""

    __slots__ = ("_detector", "_failures", "_name", "_open")

    def __init__(self, detector: Detector, name: str, failures: dict[str, str], *, open: bool) -> None:
        self._detector = detector
        self._name = name
        self._failures = failures
        self._open = open

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        """Raises Tripped."""
        try:
            return self._detector.find(text, at, ended)
        except Exception as error:  # whatever it trips over, nobody learns it as a finding
            self._failures[self._name] = f"{type(error).__name__} in the check"
            if not self._open:
                raise Tripped(self._name, error) from error
            return (), len(text)


class Spans:
    """The span checks of one direction of one call: what they look for, and what is done about what they find."""

    __slots__ = ("blocks", "failures", "found", "mask", "masking", "signed", "watching")

    def __init__(
        self,
        masking: Sequence[Detector],
        watching: Sequence[Detector],
        *,
        blocks: Set[str] = frozenset(),
        mask: str = "[REDACTED]",
        signed: Literal["pass", "block"] = "pass",
        failures: dict[str, str] | None = None,
    ) -> None:
        self.failures = {} if failures is None else failures
        """Checks that failed -> how."""
        self.masking = tuple(masking)
        """What they find does not pass: it is masked, or blocks."""
        self.watching = tuple(watching)
        """What they find is noted alone."""
        self.blocks = blocks
        """Names of checks of which a finding blocks."""
        self.mask = mask
        self.signed = signed
        """What becomes of a finding in what its writer signed."""
        self.found: list[Match] = []
        """Everything that was found. Positions are those of its own text."""

    def note(self, matches: Sequence[Match]) -> None:
        """Note what was told. Raises Blocked."""
        self.found += matches
        if self.blocks:
            for match in matches:
                if match.check in self.blocks:
                    raise Blocked(match)

    def said(self, match: Match, json: bool) -> str:
        """What stands in the place of a match; within the source of a JSON value, as it is written there."""
        mask = self.mask if match.instead is None else match.instead
        return _encode(mask).decode()[1:-1] if json else mask

    def screened(self, text: Text) -> str | None:
        """What a whole text becomes; None where it stays as it is. Raises Blocked."""
        said, way = unescaped(text.text) if text.json else (text.text, None)
        if self.watching:
            self.note(find_all(self.watching, said))
        told = find_all(self.masking, said)
        if not told:
            return None
        self.note(told)
        if text.fixed == "key" or (text.fixed == "signed" and self.signed == "block"):
            raise Blocked(told[0])
        if text.fixed == "signed":
            return None
        matches = joined(told)
        masks = [self.said(match, text.json) for match in matches]
        if way is not None:
            source = way.source_of
            matches = [match._replace(start=source(match.start), end=source(match.end)) for match in matches]
        return replaced(text.text, matches, masks)


class _Channel:
    """One text that comes in pieces. Positions are those of its source."""

    __slots__ = ("_masked", "_watched", "_way", "came", "cuts", "ended", "settled")

    def __init__(self, spans: Spans, json: bool) -> None:
        self._masked = Growing(spans.masking)
        self._watched = Growing(spans.watching) if spans.watching else None
        self._way = Unescaped() if json else None
        self.came = 0
        self.settled = 0
        self.cuts: deque[tuple[int, int, str]] = deque()
        """(start, end, what stands there instead), in order."""
        self.ended = False

    def take(self, piece: str, spans: Spans, *, ended: bool = False) -> None:
        way, json = self._way, self._way is not None
        self.came += len(piece)
        self.ended = self.ended or ended
        said = piece if way is None else way.read(piece, ended)
        if self._watched is not None:
            spans.note(self._watched.grow(said, ended))
        masked = self._masked
        spans.note(masked.grow(said, ended))
        for match in masked.final:
            start, end = match.start, match.end
            if way is not None:
                start, end = way.source_of(start), way.source_of(end)
            self.cuts.append((start, end, spans.said(match, json)))
        self.settled = self.came if ended else masked.settled if way is None else way.source_of(masked.settled)

    def part(self, start: int, text: str) -> str:
        """What is released of the piece `text` that begins at `start`. Parts are asked for in order, each once."""
        cuts, end = self.cuts, start + len(text)
        while cuts and cuts[0][1] <= start:
            cuts.popleft()
        if not cuts or cuts[0][0] >= end:
            return text
        pieces: list[str] = []
        at = start
        for first, last, mask in cuts:
            if first >= end:
                break
            pieces.append(text[at - start : max(first, at) - start])
            if first >= start:
                pieces.append(mask)
            at = min(last, end)
        pieces.append(text[at - start :])
        return "".join(pieces)


class _Part(Struct, gc=False):
    channel: _Channel
    piece: Piece
    start: int
    end: int


class _Held(Struct, gc=False):
    """An event that waits."""

    event: bytes
    data: bytes | None
    parts: list[_Part]
    edits: list[tuple[Text, str]]
    beside: list[Path]


class StreamScreen:
    """See the module. `feed` whole events, release what it returns, then `end` with what was held of the stream."""

    __slots__ = ("_channels", "_cutter", "_dialect", "_held", "_hold", "_operation", "_queue", "_spans", "signed")

    def __init__(self, dialect: Dialect, operation: Operation, spans: Spans, *, hold: bool = False) -> None:
        """`hold`: release nothing before the end."""
        self._dialect: Dialect = dialect
        self._operation: Operation = operation
        self._spans = spans
        self._cutter = Cutter()
        self._queue: deque[_Held] = deque()
        self._held = 0
        self._hold = hold
        self._channels: dict[Channel, _Channel] = {}
        self.signed = 0
        """Characters that were read and could not be edited."""

    def feed(self, data: bytes) -> bytes:
        """What may be released. Raises Blocked; Upstream where the provider's events cannot be followed."""
        events = self._cutter.cut(data)
        released = []
        if self._cutter.rest:  # the second half of a CRLF goes where the first went
            if self._queue:
                self._queue[-1].event += b"\n"
            else:
                released.append(b"\n")
        for event in events:
            self._take(event)
        return b"".join(released) + self._released()

    def end(self, data: bytes) -> bytes:
        """What is left, with the last bytes of the stream. Raises as `feed` does."""
        released = self.feed(data)
        if self._cutter.tail:
            self._take(bytes(self._cutter.tail))
            self._cutter.tail.clear()
        for channel in self._channels.values():
            if not channel.ended:
                channel.take("", self._spans, ended=True)
        self._hold = False
        return released + self._released()

    def _take(self, event: bytes) -> None:
        beside = beside_data(event)
        if beside and not _NAMED.match(beside):
            event = self._aside(event, beside)
        _, data = event_fields(event)
        held = _Held(event, data, [], [], [])
        if data is not None and data.strip() != b"[DONE]":
            self._read(held, data)
        self._queue.append(held)
        self._held += len(event)

    def _aside(self, event: bytes, beside: bytes) -> bytes:
        """Comments and unknown fields are read by nobody who should; with a finding in them they go."""
        text = Text((), "assistant", beside.decode("utf-8", "replace"))
        return event if self._spans.screened(text) is None else only_data(event)

    def _read(self, held: _Held, data: bytes) -> None:
        try:
            value = _decode(data)
        except _FAILURES:
            text = data.decode("utf-8", "replace")
            masked = self._spans.screened(Text((), "assistant", text))
            if masked is not None:
                held.event = with_data(held.event, masked.replace("\n", " ").replace("\r", " ").encode())
            return
        told = pieces_of(self._dialect, self._operation, value)
        self._follow(held, told)
        taken = {piece.path for piece in told.pieces}
        for other in texts_within(value).texts:
            if other.path not in taken and not any(other.path[: len(path)] == path for path in told.beside):
                masked = self._spans.screened(other)
                if masked is not None:
                    held.edits.append((other, masked))
        held.beside = told.beside

    def _follow(self, held: _Held, told: Pieces) -> None:
        for piece in told.pieces:
            if piece.signed:
                self.signed += len(piece.text)
            channel = self._channels.get(piece.channel)
            if channel is None:
                if len(self._channels) >= MOST_CHANNELS:
                    raise Upstream("upstream_malformed", "The provider's stream holds too many texts at once.")
                channel = self._channels[piece.channel] = _Channel(self._spans, piece.json)
            elif channel.ended and piece.text:
                raise Upstream("upstream_malformed", "The provider's stream goes on with a text that it had ended.")
            start = channel.came
            channel.take(piece.text, self._spans)
            held.parts.append(_Part(channel, piece, start, channel.came))
        for prefix in told.ended:
            for key, channel in self._channels.items():
                if key[: len(prefix)] == prefix and not channel.ended:
                    channel.take("", self._spans, ended=True)

    def _released(self) -> bytes:
        queue = self._queue
        released: list[bytes] = []
        while queue and not self._hold and all(part.channel.settled >= part.end for part in queue[0].parts):
            held = queue.popleft()
            self._held -= len(held.event)
            released.append(self._written(held))
        if self._held > HELD:
            raise Upstream("upstream_too_large", "The provider's stream says too much that cannot be told apart.")
        return b"".join(released)

    def _written(self, held: _Held) -> bytes:
        edits = held.edits
        for part in held.parts:
            piece = part.piece
            said = part.channel.part(part.start, piece.text)
            if said != piece.text:
                if piece.signed:
                    if self._spans.signed == "block":
                        raise Blocked(Match(part.start, part.end, "SIGNED", "secrets"))
                    continue
                edits.append((Text(piece.path, "assistant", piece.text), said))
                edits += [(Text(path, "assistant", "", bare=True), "null") for path in held.beside]
        if not edits:
            return held.event
        assert held.data is not None
        return with_data(held.event, edited_within(held.data, edits))


def screen_reply(body: bytes, value: Any, spans: Spans) -> bytes:
    """A plain reply with what is to be masked masked. Raises Blocked."""
    edits = []
    for text in texts_within(value).texts:
        masked = spans.screened(text)
        if masked is not None:
            edits.append((text, masked))
    return edited_within(body, edits) if edits else body
