"""One hop: lend the key, call the provider, and bring back an answer that can still be refused.

`open` returns once there is something to decide on: for a plain reply the whole, parsed body; for a stream its first
event. Nothing has been released by then, so the walk may still move on to the next route. What fails comes back as
an `Answer` with a `refusal`, never as an exception, so that the walk reads from top to bottom; only cancellation
passes through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sekimori.dialects.speech import SPEECH
from sekimori.dialects.stream import EventStream
from sekimori.dialects.words import failure
from sekimori.errors import Fault, Refusal, Upstream
from sekimori.http.client import Deadlines, Pool, Response
from sekimori.terms import Ask, Condition, Grant, Route, Usage
from sekimori.upstream.catalog import ENTRIES, METHODS, condition, target, upstream_model
from sekimori.upstream.eventstream import MEDIA_TYPE, Frames
from sekimori.upstream.route import CONDITION_OF
from sekimori.upstream.shapes import plain_error, shaped
from sekimori.vault.clock import SIGNATURE_S, skew, words
from sekimori.vault.keys import Keys

REPLY_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a plain reply, which is held whole until its record is durable."""
ERROR_LIMIT: Final = 256 * 1024
"""Bytes of an error body that are read; the rest is cut off with its connection."""
LONGEST_RETRY_AFTER: Final = 3600.0
"""Seconds that a provider may ask our caller to wait; more is cut to this."""


class Answer:
    """What came of one hop. `close` it: that gives the connection back, or cuts what is unread."""

    __slots__ = (
        "body",
        "condition",
        "finish",
        "first",
        "frames",
        "key_version",
        "lease",
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
        self.finish = ""
        """Of a plain reply, how it ended by its own word."""
        self.condition: Condition | None = None
        """Why another hop may try, where there is such a reason."""
        self.refusal: Refusal | None = None
        self.retry_after: float | None = None
        """Seconds that the provider itself asked to wait; None where it did not say."""
        self.sent = False
        """Whether any byte of the request may have reached the provider."""
        self.key_version = 0
        """0 until the key was lent."""
        self.lease = 0
        """Number of the held token that the request was sent with; 0 where it was none."""
        self.frames: Frames | None = None
        """What takes the stream out of a cloud's own framing."""
        self.response: Response | None = None

    async def piece(self) -> bytes:
        """The stream's next releasable bytes, possibly none.

        Raises Upstream when it breaks off or the provider reports an error in it.
        """
        assert self.response is not None
        assert self.stream is not None
        data = await self.response.read()
        if data:
            released = self.stream.feed(data if self.frames is None else self.frames.feed(data))
        else:
            released = b""
            self.stream.end(self.response.delimited)
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

    def __init__(
        self, keys: Keys, pool: Pool, deadlines: Deadlines, off: Callable[[int], None] = lambda ahead: None
    ) -> None:
        """`off` is told by how many seconds our clock is ahead where that spoils a signature: for the operator."""
        self._keys = keys
        self._off = off
        self._pool = pool
        self._deadlines = deadlines

    async def open(self, grant: Grant, route: Route, ask: Ask, answer: Answer) -> None:
        """Make the call of one hop, up to the whole plain reply or the first event of a stream.

        `answer` is filled as things become known, so that a cancelled call still tells how far it went.
        """
        try:
            await self._send(grant, route, ask, answer)
            if answer.status == 401 and answer.lease:
                # A token may end before its time. A 401 is an answer to nothing done, and nothing was released: once
                # more with a new one, which is not held and so never comes here again.
                self._keys.token_refused(route, answer.lease)
                answer.close()
                await self._send(grant, route, ask, answer)
            await self._read(grant, route, ask, answer)
        except (Fault, Upstream) as failure:
            # A Fault is a frozen key or a store that fails: only the policy may send such a call to another key.
            answer.refusal = failure
            answer.condition = CONDITION_OF.get(failure.reason) if answer.condition is None else answer.condition

    async def _send(self, grant: Grant, route: Route, ask: Ask, answer: Answer) -> None:
        provider = route.provider
        model = upstream_model(provider, route.model)
        method = METHODS.get(ask.operation, "POST")
        path = target(
            provider,
            ask.dialect,
            ask.operation,
            route.model,
            ask.stream,
            batch=ask.batch,
            object=ask.object,
            query=ask.query,
        )
        entry = ENTRIES[provider.catalog]
        body = SPEECH[ask.dialect, ask.operation].upstream_body(
            ask, model, include_usage=entry.include_usage, stores=route.stores
        )
        shape = entry.shapes.get(ask.dialect)
        if shape is not None:
            body = shaped(shape, ask, body)
        before = answer.sent, answer.status
        async with self._keys.lend(grant, route) as lent:
            answer.key_version, answer.lease = lent.version, lent.lease
            # Presumed sent until the edge knows better: a cancelled call must not count as one that never left.
            # Nor does the answer to a try before say what this one may be billed for.
            answer.sent, answer.status = True, None
            try:
                # Connections belong to one version of one key: neither another tenant nor a rotated key meets them.
                # The head with the key in it is nobody's variable here, and the loan ends when it is sent.
                answer.response = await self._pool.request(
                    provider.origin,
                    (route.key_uid, lent.version),
                    method,
                    path,
                    lent.headers(ask.dialect, method, path, ask.headers, body),
                    body,
                    self._deadlines,
                    lent.give_back,
                )
            except Upstream as failure:
                if not failure.sent:
                    answer.sent, answer.status = before
                raise
            except Fault:
                answer.sent, answer.status = before
                raise
        answer.status = answer.response.status

    async def _read(self, grant: Grant, route: Route, ask: Ask, answer: Answer) -> None:
        response, speech = answer.response, SPEECH[ask.dialect, ask.operation]
        assert response is not None
        if response.status != 200:
            await self._refuse(grant, route, ask, answer, response)
            return
        events = _is_event_stream(response, ENTRIES[route.provider.catalog].shapes.get(ask.dialect) == "invoke")
        if events != ask.stream:
            raise Upstream("upstream_malformed", "The provider answered with another kind of reply than was asked for.")
        if not events:
            answer.body = await response.read_all(REPLY_LIMIT)
            facts = speech.read_reply(answer.body, ask.operation)
            answer.usage, answer.minted, answer.finish = facts.usage, facts.minted, facts.finish
            return
        answer.frames = Frames() if _media_type(response) == MEDIA_TYPE else None
        answer.stream = stream = speech.Stream(hide_usage=not ask.wants_usage_event)
        while not (stream.started or stream.complete):
            answer.first += await answer.piece()

    async def _refuse(self, grant: Grant, route: Route, ask: Ask, answer: Answer, response: Response) -> None:
        """The provider's error as a refusal that says no more than the caller may know."""
        try:
            body = await response.read_all(ERROR_LIMIT)
        except Upstream:
            body = b""  # the status says enough
        if ENTRIES[route.provider.catalog].plain_errors:
            body = plain_error(body)
        refusal: Upstream = SPEECH[ask.dialect, ask.operation].read_error(response.status, body)
        if await self._tells(grant, route, refusal.text):
            refusal = SPEECH[ask.dialect, ask.operation].read_error(response.status, b"")
        answer.condition = condition(route.provider, response.status)
        if refusal.reason == "upstream_refused" and answer.condition is not None:
            refusal = failure(answer.condition)  # a status that means something else at this provider
        answer.retry_after = _retry_after(response)
        if refusal.retry_after is not None:
            refusal.retry_after = answer.retry_after or refusal.retry_after
        if response.status == 403 and route.credential == "aws":
            self._tell_of_the_clock(refusal, response)
        answer.refusal = refusal

    def _tell_of_the_clock(self, refusal: Upstream, response: Response) -> None:
        """A signature holds the time: where the provider's differs, that is what is wrong."""
        ahead = skew(response.headers, self._keys.now_ms(), SIGNATURE_S)
        if ahead:
            refusal.advice = words(ahead, "a signature")
            self._off(ahead)

    async def _tells(self, grant: Grant, route: Route, text: str) -> bool:
        """Whether a text repeats the key, or a piece of it."""
        try:
            async with self._keys.lend(grant, route, sends=False) as lent:
                return lent.told_in(text)
        except Fault:
            return True  # frozen meanwhile: nobody can tell any more


def _media_type(response: Response) -> bytes:
    """The content type without its parameters; empty where there is none, or more than one."""
    kinds = [value for name, value in response.headers if name == b"content-type"]
    return kinds[0].split(b";")[0].strip().lower() if len(kinds) == 1 else b""


def _is_event_stream(response: Response, framed: bool) -> bool:
    """Whether a stream comes, in the framing that this provider's streams have."""
    return _media_type(response) == (MEDIA_TYPE if framed else b"text/event-stream")


def _retry_after(response: Response) -> float | None:
    """Seconds that the provider asks to wait (RFC 9110 10.2.3, as a number; providers send no dates)."""
    for name, value in response.headers:
        if name == b"retry-after" and len(value) <= 12 and value.replace(b".", b"", 1).isdigit():
            return min(float(value), LONGEST_RETRY_AFTER)
    return None
