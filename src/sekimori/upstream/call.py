"""One hop: lend the key, call the provider, and bring back an answer that can still be refused.

`open` returns once there is something to decide on: for a plain reply the whole, parsed body; for a stream its first
event. Nothing has been released by then, so the walk may still move on to the next route. What fails comes back as
an `Answer` with a `refusal`, never as an exception, so that the walk reads from top to bottom; only cancellation
passes through.
"""

from __future__ import annotations

from typing import Final

from sekimori.dialects.speech import SPEECH
from sekimori.dialects.stream import EventStream
from sekimori.errors import Fault, Refusal, Upstream
from sekimori.http.client import Deadlines, Pool, Response
from sekimori.terms import Ask, Condition, Grant, Route, Usage
from sekimori.upstream.catalog import ENTRIES, condition, request_headers, target
from sekimori.upstream.route import CONDITION_OF
from sekimori.vault.keys import Keys

REPLY_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a plain reply, which is held whole until its record is durable."""
ERROR_LIMIT: Final = 256 * 1024
"""Bytes of an error body that are read; the rest is cut off with its connection."""
_PIECE: Final = 8
"""Characters of a key that a text may not have in a row."""
LONGEST_RETRY_AFTER: Final = 3600.0
"""Seconds that a provider may ask our caller to wait; more is cut to this."""


class Answer:
    """What came of one hop. `close` it: that gives the connection back, or cuts what is unread."""

    __slots__ = (
        "body",
        "condition",
        "first",
        "key_version",
        "minted",
        "refusal",
        "response",
        "retry_after",
        "sent",
        "status",
        "stream",
        "usage",
    )

    def __init__(self) -> None:
        self.status: int | None = None
        self.body = b""
        """A plain reply, whole."""
        self.first = b""
        """Of a stream: what may be released first."""
        self.stream: EventStream | None = None
        self.usage: Usage | None = None
        """Of a plain reply, by the provider's own figures."""
        self.minted: tuple[str, ...] = ()
        """Of a plain reply, ids of objects that the provider keeps from now on."""
        self.condition: Condition | None = None
        """Why another hop may try, where there is such a reason."""
        self.refusal: Refusal | None = None
        self.retry_after: float | None = None
        """Seconds that the provider itself asked to wait; None where it did not say."""
        self.sent = False
        """Whether any byte of the request may have reached the provider."""
        self.key_version = 0
        """0 until the key was lent."""
        self.response: Response | None = None

    async def piece(self) -> bytes:
        """The stream's next releasable bytes, possibly none.

        Raises Upstream when it breaks off or the provider reports an error in it.
        """
        assert self.response is not None
        assert self.stream is not None
        data = await self.response.read()
        if not data:
            raise Upstream("upstream_truncated", "The provider ended the stream before its last event.")
        released = self.stream.feed(data)
        error = self.stream.error
        if error is not None:
            self.condition = error.condition
            raise error.refusal
        return released

    def close(self) -> None:
        if self.response is not None:
            self.response.abort()


class Providers:
    """Calls providers with lent keys over pooled connections."""

    def __init__(self, keys: Keys, pool: Pool, deadlines: Deadlines) -> None:
        self._keys = keys
        self._pool = pool
        self._deadlines = deadlines

    async def open(self, grant: Grant, route: Route, ask: Ask, answer: Answer) -> None:
        """Make the call of one hop, up to the whole plain reply or the first event of a stream.

        `answer` is filled as things become known, so that a cancelled call still tells how far it went.
        """
        try:
            await self._send(grant, route, ask, answer)
            await self._read(grant, route, ask, answer)
        except (Fault, Upstream) as failure:
            # A Fault is a frozen key or a store that fails: only the policy may send such a call to another key.
            answer.refusal = failure
            answer.condition = CONDITION_OF.get(failure.reason) if answer.condition is None else answer.condition

    async def _send(self, grant: Grant, route: Route, ask: Ask, answer: Answer) -> None:
        provider = route.provider
        path = target(provider, ask.dialect, ask.operation)
        body = SPEECH[ask.dialect, ask.operation].upstream_body(
            ask, route.model, include_usage=ENTRIES[provider.catalog].include_usage, stores=route.stores
        )
        async with self._keys.lend(grant, route) as lent:
            answer.key_version = lent.version
            # Presumed sent until the edge knows better: a cancelled call must not count as one that never left.
            answer.sent = True
            try:
                # Connections belong to one version of one key: neither another tenant nor a rotated key meets them.
                # The head with the key in it is nobody's variable here, and the loan ends when it is sent.
                answer.response = await self._pool.request(
                    provider.origin,
                    (route.key_uid, lent.version),
                    "POST",
                    path,
                    request_headers(provider, ask.dialect, lent.secret.reveal(), ask.headers),
                    body,
                    self._deadlines,
                    lent.give_back,
                )
            except Upstream as failure:
                answer.sent = failure.sent
                raise
            except Fault:
                answer.sent = False
                raise
        answer.status = answer.response.status

    async def _read(self, grant: Grant, route: Route, ask: Ask, answer: Answer) -> None:
        response, speech = answer.response, SPEECH[ask.dialect, ask.operation]
        assert response is not None
        if response.status != 200:
            await self._refuse(grant, route, ask, answer, response)
            return
        events = _is_event_stream(response)
        if events != ask.stream:
            raise Upstream("upstream_malformed", "The provider answered with another kind of reply than was asked for.")
        if not events:
            answer.body = await response.read_all(REPLY_LIMIT)
            facts = speech.read_reply(answer.body, ask.operation)
            answer.usage, answer.minted = facts.usage, facts.minted
            return
        answer.stream = stream = speech.Stream(hide_usage=not ask.wants_usage_event)
        while not (stream.started or stream.complete):
            answer.first += await answer.piece()

    async def _refuse(self, grant: Grant, route: Route, ask: Ask, answer: Answer, response: Response) -> None:
        """The provider's error as a refusal that says no more than the caller may know."""
        try:
            body = await response.read_all(ERROR_LIMIT)
        except Upstream:
            body = b""  # the status says enough
        refusal: Upstream = SPEECH[ask.dialect, ask.operation].read_error(response.status, body)
        if await self._tells(grant, route, refusal.text):
            refusal = SPEECH[ask.dialect, ask.operation].read_error(response.status, b"")
        answer.retry_after = _retry_after(response)
        if refusal.retry_after is not None:
            refusal.retry_after = answer.retry_after or refusal.retry_after
        answer.condition = condition(route.provider, response.status)
        answer.refusal = refusal

    async def _tells(self, grant: Grant, route: Route, text: str) -> bool:
        """Whether a text repeats the key, or a piece of it: of keys in an odd form no pattern would show that."""
        try:
            async with self._keys.lend(grant, route) as lent:
                key = lent.secret.reveal().decode("latin-1")
                return any(key[at : at + _PIECE] in text for at in range(max(1, len(key) - _PIECE + 1)))
        except Fault:
            return True  # frozen meanwhile: nobody can tell any more


def _is_event_stream(response: Response) -> bool:
    kinds = [value for name, value in response.headers if name == b"content-type"]
    return len(kinds) == 1 and kinds[0].split(b";")[0].strip().lower() == b"text/event-stream"


def _retry_after(response: Response) -> float | None:
    """Seconds that the provider asks to wait (RFC 9110 10.2.3, as a number; providers send no dates)."""
    for name, value in response.headers:
        if name == b"retry-after" and len(value) <= 12 and value.replace(b".", b"", 1).isdigit():
            return min(float(value), LONGEST_RETRY_AFTER)
    return None
