"""What the gateway's listener answers: calls go on the walk, the rest is read here.

Everything that is not a door of the table is refused in the dialect its path suggests, with the doors named.
"""

from __future__ import annotations

from typing import Final

from sekimori.dialects.speech import VOICE
from sekimori.errors import Fault, Refusal, Refused
from sekimori.gateway import azure
from sekimori.gateway import gemini as google
from sekimori.gateway.doors import MODELS, dialect_of, door_of, no_door, refuse
from sekimori.gateway.refusals import Asked
from sekimori.gateway.screening import PATH as SCREEN
from sekimori.gateway.screening import screened
from sekimori.gateway.walk import Gateway, walk
from sekimori.http.server import Reply, Request
from sekimori.identity.authenticate import NOT_VALID, SHOWN_ONCE, authenticate
from sekimori.policy.decide import known_model, offered
from sekimori.terms import Dialect, Headers, Principal

JSON: Final = (b"content-type", b"application/json")
HEALTH: Final = frozenset({"/healthz", "/readyz"})


class Listener:
    """The gateway's handler."""

    def __init__(self, at: Gateway) -> None:
        self._at = at
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether new calls can be served."""
        return not self.draining and "journal" not in self._at.books.ledger.troubles

    async def __call__(self, request: Request, reply: Reply) -> None:
        door = door_of(request.path, request.query, request.method)
        if door is None:
            await self._aside(request, reply)
        elif request.method not in door.methods:
            wrong = _wrong_method(" or ".join(door.methods))
            await reply.send(*refuse(door.dialect, wrong, [(b"allow", ", ".join(door.methods).encode())]))
        else:
            try:
                await walk(self._at, door, request, reply)
            except Refusal as refusal:
                await self._stranger(door.dialect, door.operation, refusal, reply)

    def refuse(self, refusal: Refusal, target: str | None) -> tuple[int, Headers, bytes]:
        """What the edge itself refuses (framing, limits), in the dialect that the target suggests."""
        self._at.books.metrics.stranger(refusal.reason)
        return refuse(dialect_of(target), refusal, [])

    async def _aside(self, request: Request, reply: Reply) -> None:
        path = request.path
        if path.startswith(azure.ROOT):
            path, _ = azure.translated(path, request.query)
        dialect = dialect_of(path)
        if path.startswith(MODELS) and dialect == "openai":
            # One path for three dialects: the header that each SDK sends tells which.
            if request.all(b"anthropic-version"):
                dialect = "anthropic"
            elif request.all(b"x-goog-api-key"):
                dialect = "gemini"
        if path in HEALTH:
            well = path == "/healthz" or self.ready
            await reply.send(200 if well else 503, [JSON], b'{"status":"ok"}' if well else b'{"status":"unavailable"}')
        elif path == SCREEN:
            await self._screen(request, reply)
        elif path in (MODELS, google.MODELS):
            await self._models(dialect, request, reply, "")
        elif path.startswith(MODELS + "/"):
            await self._models(dialect, request, reply, path.removeprefix(MODELS + "/"))
        elif request.method in ("GET", "HEAD") and (model := google.model_of(path)):
            await self._models(dialect, request, reply, model)
        else:
            await reply.send(*refuse(dialect, no_door(path), []))

    async def _models(self, dialect: Dialect, request: Request, reply: Reply, model: str) -> None:
        """The models that this agent may use; one that another tenant has is answered like one that nobody has."""
        if request.method not in ("GET", "HEAD"):
            await reply.send(*refuse(dialect, _wrong_method("GET"), [(b"allow", b"GET, HEAD")]))
            return
        principal: Principal | None = None
        try:
            principal = authenticate(request.headers, request.query, self._at.index, self._at.books.clock.now_ms())
            snapshot = self._at.books.snapshot()
            if model:
                known_model(snapshot, principal, dialect, model)
                body = VOICE[dialect].model_page(model)
            else:
                body = VOICE[dialect].models_page(offered(snapshot, principal, dialect))
        except Refusal as refusal:
            await self._stranger(dialect, "models", refusal, reply, principal)
            return
        await reply.send(200, [JSON], body)

    async def _screen(self, request: Request, reply: Reply) -> None:
        """A verdict on a text, for agents that would know it before they call."""
        if request.method != "POST":
            await reply.send(*refuse("openai", _wrong_method("POST"), [(b"allow", b"POST")]))
            return
        principal: Principal | None = None
        try:
            principal = authenticate(request.headers, request.query, self._at.index, self._at.books.clock.now_ms())
            body = await screened(self._at, principal, await request.body())
        except Refusal as refusal:
            await self._stranger("openai", "screen", refusal, reply, principal)
            return
        await reply.send(200, [JSON], body)

    async def _stranger(
        self, dialect: Dialect, operation: str, refusal: Refusal, reply: Reply, principal: Principal | None = None
    ) -> None:
        """Refuse on the record: who is not known is counted and sampled in the operator's log."""
        books = self._at.books
        if principal is None:
            books.metrics.stranger(refusal.reason)
        else:
            books.metrics.agent(principal.agent_uid).refuse(refusal.reason)
        call = books.ledger.new_id()
        headers: Headers = [(b"x-request-id", call.encode())]
        try:
            asked = Asked(call=call, dialect=dialect, operation=operation, generation=books.snapshot().generation)
            headers.append((b"x-sekimori-record", (await books.refusals.record(refusal, asked, principal)).encode()))
        except Fault as fault:
            refusal = fault
        if refusal.reason == "credential_revoked":
            # The record is exact; the reply must not tell a thief that what he holds was once a key.
            refusal = Refused("credential_unknown", NOT_VALID, advice=SHOWN_ONCE)
        await reply.send(*refuse(dialect, refusal, headers))


def _wrong_method(method: str) -> Refused:
    return Refused("method_not_allowed", "This door takes another method.", advice=f"Use {method}.")
