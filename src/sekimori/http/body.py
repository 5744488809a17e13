"""The content of one request as it arrives in pieces."""

from __future__ import annotations

from sekimori.errors import Refused
from sekimori.http.framing import Chunks, Malformed
from sekimori.http.limits import Limits


class Body:
    """Takes in what arrives until the stated length, or the last chunk, is reached.

    Content is gathered in one growing buffer, so a body of single bytes costs no more memory than one of large pieces.
    """

    __slots__ = ("_chunks", "_limits", "_missing", "_pieces")

    def __init__(self, limits: Limits, length: int, chunked: bool) -> None:
        self._limits = limits
        self._missing = length
        self._chunks = Chunks() if chunked else None
        self._pieces = bytearray()

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self._pieces)

    def check(self) -> None:
        """Raises Refused('body_too_large') when the stated length is too large already."""
        if self._missing + len(self._pieces) > self._limits.body_bytes:
            raise Refused("body_too_large", "The body is too large.")

    def take(self, data: bytes) -> bytes | None:
        """Take in the next bytes; returns those that follow the body once it is whole, else None. Raises Refused."""
        pieces = self._pieces
        limits = self._limits
        chunks = self._chunks
        if chunks is None:
            self.check()
            missing = self._missing
            pieces += data if len(data) <= missing else data[:missing]
            self._missing = max(missing - len(data), 0)
            return None if self._missing else data[missing:]
        found: list[bytes] = []
        try:
            rest = chunks.feed(data, found)
        except Malformed as malformed:
            raise Refused("bad_request", f"The body is malformed: {malformed.text}.") from malformed
        for piece in found:
            pieces += piece
        if len(pieces) > limits.body_bytes:
            raise Refused("body_too_large", "The body is too large.")
        if chunks.count > 4096 + len(pieces) // 64:  # each costs far more to read than to send
            raise Refused("bad_request", "The body is cut into too many chunks.")
        return rest

    def whole(self) -> bytes:
        """The content; its buffer is given up."""
        content = bytes(self._pieces)
        self._pieces.clear()
        return content
