"""The two steps of the walk that judge what goes in and what comes out.

`screen_input` judges an ask and gives what may travel on, a verdict, and the `Screen` of its reply. The walk calls both
on every call, so no guard can be reached around. A text that is short is judged at once; a longer one in the inference
pool, where tenants take turns, so that nobody's long text holds up another's call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct, structs

from sekimori.dialects.gemini_stream import Elements
from sekimori.dialects.texts import Source, Text, Texts, edited, edited_within, texts_of, texts_within
from sekimori.errors import Upstream
from sekimori.guard.examine import Examined, Tools, examine_input, output_checks, output_spans
from sekimori.guard.length import cap_of, shortened
from sekimori.guard.mask import Masks
from sekimori.guard.stream import Blocked, StreamScreen, Tripped
from sekimori.policy.guards import Guarded, Judge
from sekimori.terms import Ask, Check, Grant, Verdict

INLINE: Final = 4096
"""Characters that are judged on the event loop: less than a millisecond, and a hop to a thread costs 50 us."""
VALUES: Final = 200_000
"""Values of a reply that are decoded; each takes some 60 bytes of memory."""
INPUT_CHECKS: Final = ("length", "encoding", "secrets", "pii_detection", "prompt_injection", "toxic_content")
OUTPUT_CHECKS: Final = ("secrets", "pii_detection", "output_injection", "toxic_content")
Result = TypeVar("Result")

_decode: Final = msgspec.json.Decoder().decode
_WORDLESS: Final = frozenset({"embeddings", "count_tokens"})
"""Operations whose replies are numbers."""


class Pool(Protocol):
    """Where long work is done, tenant by tenant in turns. Raises Refused `guard_busy` where too much waits."""

    def run(self, tenant: str, size: int, work: Callable[[], Result]) -> Awaitable[Result]: ...


class Judges(Protocol):
    """Asks a judge about a text."""

    def ask(self, judge: Judge, text: str) -> Awaitable[float | None]:
        """The score that the judge gives it; None where it did not answer."""
        ...


class Guards(Struct, frozen=True, kw_only=True):
    """What screening needs."""

    tools: Tools
    mask_key: Callable[[str, str], bytes]
    """(tenant uid, agent uid) -> the key of its masks."""
    monotonic: Callable[[], float]
    pool: Pool
    judges: Judges


async def screen_input(guards: Guards, policy: Guarded, grant: Grant, ask: Ask) -> tuple[Ask, Verdict, Screen]:
    """The ask that may travel on, what was said of it, and the screen of its reply."""
    principal = grant.principal
    began = guards.monotonic()
    masks = Masks(guards.mask_key(principal.tenant_uid, principal.agent_uid))
    texts = texts_of(ask)
    size = sum(len(text.text) for text in texts.texts)

    def work() -> Examined:
        return examine_input(guards.tools, policy.input, ask.model, texts, masks)

    examined = work() if size <= INLINE else await guards.pool.run(principal.tenant_uid, size, work)
    if examined.unsure and policy.judge is not None and not examined.blocked:
        await _judged(guards.judges, policy, examined)
    if not examined.blocked:
        ask = _travels(guards.tools, policy, ask, examined)
    verdict = _verdict(examined.checks, size, examined.blocked, guards.tools.model)
    verdict = structs.replace(verdict, latency_ms=round((guards.monotonic() - began) * 1000, 3))
    return ask, verdict, Screen(guards, policy, grant, ask, masks)


def screen_text(
    tools: Tools,
    policy: Guarded,
    text: str,
    *,
    direction: Literal["input", "output"],
    source: Source,
    mask_key: bytes,
    monotonic: Callable[[], float],
) -> tuple[str, Verdict]:
    """One text by itself: what it becomes, and what was said of it. A judge is not asked."""
    began = monotonic()
    said = Text(("text",), source, text)
    masks = Masks(mask_key)
    blocked, becomes = "", text
    if direction == "input":
        examined = examine_input(tools, policy.input, "", Texts([said], []), masks)
        checks, blocked = examined.checks, examined.blocked
        becomes = next((new for _, new in examined.edits), text)
    else:
        spans = output_spans(tools, policy.output, masks)
        tripped = ""
        try:
            becomes = spans.screened(said) or text
        except Blocked as found:
            blocked = found.match.check
        except Tripped as failed:
            blocked = tripped = failed.check
        checks = output_checks(policy.output, spans, 0, 0, tripped, listed=True)
    verdict = _verdict(checks, len(text), blocked, tools.model)
    milliseconds = round((monotonic() - began) * 1000, 3)
    return "" if blocked else becomes, structs.replace(verdict, latency_ms=milliseconds)


def told(text: str, verdict: Verdict) -> dict[str, Any]:
    """A verdict as programs are shown it, by the command and by the door; `text` is what the text becomes."""
    line: dict[str, Any] = {"allowed": verdict.allowed, "action": verdict.action, "text": text}
    line["checks"] = [
        {
            "name": check.name,
            "passed": check.passed,
            "confidence": check.confidence,
            "score": check.score,
            "status": check.status,
            "mode": check.mode,
            "findings": [
                {"type": finding.type, "start": finding.start, "end": finding.end, "count": finding.count}
                for finding in check.findings
            ],
            **({"reason": check.reason} if check.reason else {}),
            **({"unread": check.unread} if check.unread else {}),
        }
        for check in verdict.checks
    ]
    line |= {"latency_ms": verdict.latency_ms, "model": verdict.model}
    if not verdict.allowed:
        line |= {"reason": verdict.reason, "confidence": verdict.confidence}
        line["details"] = next((check.reason for check in verdict.checks if verdict.reason.startswith(check.name)), "")
    return line


async def _judged(judges: Judges, policy: Guarded, examined: Examined) -> None:
    """Ask the judge what the classifier was not sure of."""
    judge = policy.judge
    assert judge is not None
    number = next(place for place, check in enumerate(examined.checks) if check.name == "prompt_injection")
    check = examined.checks[number]
    for text, _ in examined.unsure:
        told = await judges.ask(judge, text.text)
        if told is None:
            status: Literal["failed_open", "failed_closed"] = (
                "failed_closed" if judge.on_failure == "closed" else "failed_open"
            )
            check = structs.replace(check, reason="the judge did not answer")
            if status == "failed_closed":
                check = structs.replace(check, status=status, passed=None)
                break
        elif told >= 0.5:
            check = structs.replace(check, passed=False, confidence=told, reason="the judge says so")
            break
    examined.checks[number] = check
    if check.mode == "block" and (check.passed is False or check.status == "failed_closed"):
        examined.blocked = check.name


def _travels(tools: Tools, policy: Guarded, ask: Ask, examined: Examined) -> Ask:
    """The ask as it may travel: masked, shortened, and for no longer a reply than the policy has."""
    members = edited(ask.members, examined.edits) if examined.edits else ask.members
    most, cap = policy.input.length, policy.output.length
    number = next((place for place, check in enumerate(examined.checks) if check.name == "length"), -1)
    if most is not None and most.mode == "mask" and examined.checks[number].passed is False:
        fits = shortened(members, ask.dialect, ask.operation, most.tokens, lambda text: tools.tokens(text, ask.model))
        if fits is None:
            examined.blocked = "length"
            return ask
        members, left_out = fits
        check = examined.checks[number]
        examined.checks[number] = structs.replace(check, reason=f"{check.reason}; {left_out} messages were left out")
    if cap is not None:
        members = {**members, **cap_of(ask.dialect, ask.operation, members, cap.tokens)}
    return ask if members is ask.members else structs.replace(ask, members=members)


class Screen:
    """Judges the reply of one call: `reply` a plain one; or `feed` a stream's events, then `end`."""

    __slots__ = ("_ask", "_bytes", "_elements", "_guards", "_media", "_policy", "_spans", "_stream", "_tenant")

    def __init__(self, guards: Guards, policy: Guarded, grant: Grant, ask: Ask, masks: Masks) -> None:
        self._guards = guards
        self._policy = policy
        self._tenant = grant.principal.tenant_uid
        self._ask = ask
        self._spans = output_spans(guards.tools, policy.output, masks)
        self._stream = StreamScreen(ask.dialect, ask.operation, self._spans, hold=policy.stream == "hold-all")
        self._elements = Elements() if ask.array else None
        self._bytes = 0
        self._media = 0

    async def reply(self, body: bytes) -> tuple[bytes, Verdict]:
        """A plain reply as it may be released."""
        if self._ask.operation in _WORDLESS or not (self._spans.masking or self._spans.watching):
            return body, self._said("")
        self._bytes = len(body)
        if body.count(b",") + body.count(b"{") + body.count(b"[") > VALUES:
            raise Upstream("upstream_malformed", "The provider's reply holds too many values to be screened.")
        if len(body) <= INLINE:
            return self._whole(body)
        return await self._guards.pool.run(self._tenant, len(body), lambda: self._whole(body))

    def _whole(self, body: bytes) -> tuple[bytes, Verdict]:
        texts: Texts = texts_within(_decode(body))
        self._media = sum(size for _, size in texts.unread)
        edits = []
        try:
            for text in texts.texts:
                masked = self._spans.screened(text)
                if masked is not None:
                    edits.append((text, masked))
        except (Blocked, Tripped) as ended:
            return b"", self._ended(ended)
        return edited_within(body, edits) if edits else body, self._said("")

    def feed(self, events: bytes) -> tuple[bytes, Verdict]:
        """What of a stream may be released now."""
        if self._spans.masking or self._spans.watching:
            self._bytes += len(events)
            try:
                events = self._stream.feed(events)
            except (Blocked, Tripped) as ended:
                return b"", self._ended(ended)
        return events if self._elements is None else self._elements.feed(events), _RUNNING

    def end(self, events: bytes) -> tuple[bytes, Verdict]:
        """What is left of a stream, with its last events."""
        if self._spans.masking or self._spans.watching:
            self._bytes += len(events)
            try:
                events = self._stream.end(events)
            except (Blocked, Tripped) as ended:
                return b"", self._ended(ended)
        return events if self._elements is None else self._elements.end(events), self._said("")

    def _ended(self, ended: Blocked | Tripped) -> Verdict:
        return self._said(ended.match.check) if isinstance(ended, Blocked) else self._said(ended.check, ended.check)

    def _said(self, blocked: str, tripped: str = "") -> Verdict:
        """The verdict on what was seen of the reply so far."""
        if self._ask.operation in _WORDLESS:
            return _NUMBERS
        checks = output_checks(self._policy.output, self._spans, self._stream.signed, self._media, tripped)
        return _verdict(checks, self._bytes, blocked, self._guards.tools.model)


_RUNNING: Final = Verdict(allowed=True, checks=())
"""Of a stream that goes on."""
_NUMBERS: Final = Verdict(
    allowed=True, checks=tuple(Check(name, "skipped", reason="no text in this reply") for name in OUTPUT_CHECKS)
)


def _verdict(checks: list[Check], size: int, blocked: str, model: str) -> Verdict:
    if blocked:
        by = next(check for check in checks if check.name == blocked)
        reason = f"{blocked}_detected" if by.status == "ran" else f"{blocked}_{by.status}"
        return Verdict(False, tuple(checks), size, reason, "block", by.confidence, model=model)
    failed = [check for check in checks if check.passed is False]
    action: Literal["allow", "flag", "mask"] = "allow"
    if any(check.mode == "mask" for check in failed):
        action = "mask"
    elif any(check.mode == "flag" for check in failed):
        action = "flag"
    return Verdict(True, tuple(checks), size, action=action, model=model)
