"""`POST /v1/screen`: the guards' word on one text, by the policy of the agent that asks.

    {"text": "…", "direction": "input" | "output", "source": "user" | "tool_result" | …}

Nothing is called or kept; `read` suffices. The work is done in the inference pool whatever the text's length, where
tenants take turns, so that asking often takes nobody's time but one's own.
"""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec

from sekimori.dialects.strict import read_object
from sekimori.dialects.texts import Source
from sekimori.errors import Refused
from sekimori.gateway.walk import Gateway
from sekimori.guard.screen import screen_text, told
from sekimori.policy.decide import may_screen
from sekimori.terms import Principal

PATH: Final = "/v1/screen"
_SOURCES: Final = get_args(Source)
_DIRECTIONS: Final = ("input", "output")
_MEMBERS: Final = frozenset({"text", "direction", "source"})
_encode: Final = msgspec.json.Encoder().encode
_EXAMPLE: Final = 'Send {"text": "…"}, and `direction` (input, output) and `source` where they matter.'


async def screened(at: Gateway, principal: Principal, body: bytes) -> bytes:
    """The verdict on the text in a body, as JSON. Raises Refused naming the member."""
    value, _ = read_object(body)
    unknown = sorted(value.keys() - _MEMBERS)
    if unknown:
        raise Refused("unknown_field", f"`{unknown[0][:80]}` is not a member of this.", advice=_EXAMPLE)
    text: Any = value.get("text")
    direction, source = value.get("direction", "input"), value.get("source", "user")
    if type(text) is not str:
        raise Refused("bad_request", "`text` must be a string.", advice=_EXAMPLE)
    if direction not in _DIRECTIONS:
        raise Refused("bad_request", "`direction` must be input or output.", advice=_EXAMPLE)
    if source not in _SOURCES:
        raise Refused("bad_request", f"`source` must be one of {', '.join(_SOURCES)}.", advice=_EXAMPLE)
    guards, policy = at.guards, may_screen(at.books.snapshot(), principal)
    key = guards.mask_key(principal.tenant_uid, principal.agent_uid)

    def work() -> bytes:
        becomes, verdict = screen_text(
            guards.tools,
            policy,
            text,
            direction=direction,
            source=source,
            mask_key=key,
            monotonic=guards.monotonic,
        )
        return _encode(told(becomes, verdict))

    return await guards.pool.run(principal.tenant_uid, len(text), work)
