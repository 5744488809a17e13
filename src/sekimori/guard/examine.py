"""What the checks say of a text: pure, and as slow as the text is long, so it runs where it holds nobody up.

Each check is a signal of its own, with a score and findings, and an outcome that the policy gives it. One that fails
itself (a bug, a text beyond its bound) is reported as what it is: `failed_open` where the policy lets such pass,
`failed_closed` where it does not; never as passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct, structs

from sekimori.dialects.found import spell
from sekimori.dialects.texts import Source, Text, Texts
from sekimori.guard.mask import Masks, Restored
from sekimori.guard.spans import Detector, Match, find_all, joined, replaced
from sekimori.guard.stream import Spans, Tolerant
from sekimori.guard.unescape import unescaped
from sekimori.policy.guards import GuardInput, GuardOutput, Mode, OnFailure, ToxicCheck
from sekimori.terms import Check, Finding

MOST_FINDINGS: Final = 32
"""Findings that a verdict lists; of more it tells the number."""
REDACTED: Final = "[REDACTED]"
_RETRIEVED: Final = frozenset({"tool_result", "document"})


class Scored(NamedTuple):
    """What a scoring check says of one text."""

    score: float
    reasons: tuple[str, ...] = ()
    """What spoke most for it: names of rules, or of views."""
    unread: int = 0
    """Characters beyond what it reads."""
    cleaned: str | None = None
    """Of the encoding check: the text without what is not seen."""


class Tools(Struct, frozen=True):
    """What the checks are made of."""

    injection: Callable[[str, Source], Scored]
    toxic: Callable[[str], Scored]
    toxic_windows: Callable[[float], Detector]
    """Finds the sentences of a reply whose score reaches a threshold."""
    encoding: Callable[[str], Scored]
    pii: Callable[[Collection[str]], Sequence[Detector]]
    secrets: Sequence[Detector]
    output_injection: Callable[[str, Collection[str]], Sequence[Detector]]
    tokens: Callable[[str, str], int]
    """(text, model) -> tokens, by the vocabulary that is nearest to the model's."""
    injection_from: float
    """The score from which a text of the conversation fails."""
    retrieved_from: float
    """The same for what tools and documents said."""
    toxic_from: float
    unsure_from: float
    """From this score up to the threshold a judge is asked, where there is one."""
    model: str = ""
    """Name and version of the weights."""


class Examined(Struct):
    """What was said of one direction."""

    checks: list[Check]
    edits: list[tuple[Text, str]]
    blocked: str = ""
    """The check that blocks; empty where none does."""
    unsure: list[tuple[Text, float]] = []
    """Texts of which the injection check is not sure, and their scores."""
    masked: bool = False
    flagged: bool = False


def examine_input(tools: Tools, policy: GuardInput, model: str, texts: Texts, masks: Masks) -> Examined:
    """Judge what is asked, cheapest first; a check that blocks ends it, and the others say that they did not run."""
    examined = Examined([], [])
    unread = sum(size for _, size in texts.unread)
    said = list(texts.texts)
    steps: tuple[tuple[str, Callable[[], Check]], ...] = (
        ("length", lambda: _length(tools, policy, model, said)),
        ("encoding", lambda: _encoding(tools, policy, said, examined)),
        ("secrets", lambda: _secrets(tools, policy, said, examined, masks, unread)),
        ("pii_detection", lambda: _pii(tools, policy, said, examined, masks, unread)),
        # These read the texts as they came: a mask in the place of an address would change what a sentence wants.
        ("prompt_injection", lambda: _injection(tools, policy, texts.texts, examined, unread)),
        ("toxic_content", lambda: _toxic(tools, policy.toxic_content, texts.texts)),
    )
    for name, step in steps:
        part = getattr(policy, name)
        mode: Mode = "off" if part is None else part.mode
        if mode == "off" or examined.blocked:
            reason = "off" if mode == "off" else f"{examined.blocked} blocked"
            examined.checks.append(Check(name, "skipped", reason=reason, mode=mode))
            continue
        conclude(examined, mode, getattr(part, "on_failure", "closed"), ran(name, mode, step))
    return examined


def ran(name: str, mode: Mode, step: Callable[[], Check]) -> Check:
    """What a check says, or that it could not."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001  whatever a detector trips over, the call learns that it did not run
        return Check(name, "failed_closed", reason=f"{type(error).__name__} in the check", mode=mode)


def conclude(examined: Examined, mode: Mode, on_failure: OnFailure, check: Check) -> None:
    """Give a check its outcome."""
    if check.status == "failed_closed":
        if on_failure == "open":
            check = structs.replace(check, status="failed_open")
        elif mode in ("mask", "block"):
            examined.blocked = check.name
    elif check.passed is False:
        if mode == "block":
            examined.blocked = check.name
        elif mode == "mask":
            examined.masked = True
        elif mode == "flag":
            examined.flagged = True
    examined.checks.append(check)


def _length(tools: Tools, policy: GuardInput, model: str, texts: list[Text]) -> Check:
    part = policy.length
    assert part is not None
    count = sum(tools.tokens(text.text, model) for text in texts)
    passed = count <= part.tokens
    reason = "" if passed else f"{count} tokens, and {part.tokens} are allowed"
    return Check("length", "ran", passed, 1.0, reason, mode=part.mode)


def _encoding(tools: Tools, policy: GuardInput, texts: list[Text], examined: Examined) -> Check:
    mode = policy.encoding.mode
    findings, score, unread = [], 0.0, 0
    for number, text in enumerate(texts):
        told = tools.encoding(text.text)
        score, unread = max(score, told.score), unread + told.unread
        if told.reasons:
            findings += [Finding(reason, place=spell(text.path)) for reason in told.reasons]
            if mode == "mask" and told.cleaned is not None and not text.fixed:
                edit(examined, text, told.cleaned)
                texts[number] = text._replace(text=told.cleaned)
    return _check("encoding", mode, not findings, score, findings, 0, unread)


def _secrets(
    tools: Tools, policy: GuardInput, texts: list[Text], examined: Examined, masks: Masks, unread: int
) -> Check:
    part = policy.secrets
    mask = masks.mask if part.restore else _redacted
    return _spans("secrets", part.mode, tools.secrets, texts, examined, mask, unread)


def _pii(tools: Tools, policy: GuardInput, texts: list[Text], examined: Examined, masks: Masks, unread: int) -> Check:
    part = policy.pii_detection
    mask = masks.mask if part.restore else _redacted
    return _spans("pii_detection", part.mode, tools.pii(part.types), texts, examined, mask, unread)


def _redacted(type: str, value: str) -> str:
    return REDACTED


def _spans(
    name: str,
    mode: Mode,
    detectors: Sequence[Detector],
    texts: list[Text],
    examined: Examined,
    mask: Callable[[str, str], str],
    unread: int,
) -> Check:
    findings: list[Finding] = []
    passed = True
    for number, text in enumerate(texts):
        said, way = unescaped(text.text) if text.json else (text.text, None)
        told = find_all(detectors, said)
        if not told:
            continue
        matches = joined(told)
        place = spell(text.path)
        findings += [Finding(match.type, match.start, match.end, place) for match in matches]
        if text.fixed == "signed":
            unread += len(text.text)  # its writer signed it, so it travels as it is
            continue
        passed = False
        if mode != "mask":
            continue
        if text.fixed:
            return Check(name, "failed_closed", reason=f"a {text.fixed} cannot be masked: {place}", mode=mode)
        made = [mask(match.type, said[match.start : match.end]) for match in matches]
        if way is not None:
            source = way.source_of
            matches = [match._replace(start=source(match.start), end=source(match.end)) for match in matches]
        new = replaced(text.text, matches, made)
        edit(examined, text, new)
        texts[number] = text._replace(text=new)
    return _check(name, mode, passed, 0.0 if passed else 1.0, findings, unread)


def edit(examined: Examined, text: Text, new: str) -> None:
    """Note what a text becomes; a later check may edit what an earlier one made of it."""
    examined.edits = [(other, said) for other, said in examined.edits if other.path != text.path]
    examined.edits.append((text, new))


def _injection(tools: Tools, policy: GuardInput, texts: list[Text], examined: Examined, unread: int) -> Check:
    part = policy.prompt_injection
    usual = tools.injection_from if part.threshold is None else part.threshold
    strict = tools.retrieved_from if part.retrieved is None else part.retrieved
    findings: list[Finding] = []
    most, beyond = 0.0, 0
    for text in texts:
        if text.source in ("system", "assistant", "definition") or (text.fixed and text.fixed != "signed"):
            continue  # the owner's own words, the model's, and what is no prose
        said = unescaped(text.text)[0] if text.json else text.text
        told = tools.injection(said, text.source)
        beyond += told.unread
        most = max(most, told.score)
        threshold = strict if text.source in _RETRIEVED else usual
        if told.score >= threshold:
            findings += [Finding(reason, place=spell(text.path)) for reason in told.reasons or ("classifier",)]
        elif told.score >= tools.unsure_from:
            examined.unsure.append((text, told.score))
    return _check("prompt_injection", part.mode, not findings, most, findings, unread, beyond)


def _toxic(tools: Tools, part: ToxicCheck, texts: list[Text]) -> Check:
    threshold = tools.toxic_from if part.threshold is None else part.threshold
    findings: list[Finding] = []
    most, unread = 0.0, 0
    for text in texts:
        if text.source in ("user", "assistant") and not text.fixed:
            told = tools.toxic(text.text)
            most, unread = max(most, told.score), unread + told.unread
            if told.score >= threshold:
                findings.append(Finding("toxic", place=spell(text.path)))
    return _check("toxic_content", part.mode, not findings, most, findings, 0, unread)


def _check(
    name: str, mode: Mode, passed: bool, score: float, findings: list[Finding], unread: int, beyond: int = 0
) -> Check:
    """`unread` is what no check of text reads (media, signed text); `beyond` is text that exceeds this one's bound:
    where nothing was found in the rest, the check has not run, for what was not read was not found clean.
    """
    if passed and beyond:
        reason = f"too large: {beyond} characters beyond what it reads"
        return Check(name, "failed_closed", reason=reason, mode=mode, unread=unread + beyond)
    unread += beyond
    listed = tuple(findings[:MOST_FINDINGS])
    if len(findings) > MOST_FINDINGS:
        listed = (*listed, Finding("more", count=len(findings) - MOST_FINDINGS))
    confidence = round(1.0 - score if passed else score, 4)
    return Check(name, "ran", passed, confidence, score=round(score, 4), findings=listed, mode=mode, unread=unread)


OUTPUT: Final = ("secrets", "pii_detection", "output_injection", "toxic_content")
"""Checks of a reply, in their order. All find spans: so all work on streams."""


def output_spans(tools: Tools, policy: GuardOutput, masks: Masks) -> Spans:
    """What is looked for in a reply, and what becomes of it."""
    pii, injection, toxic = policy.pii_detection, policy.output_injection, policy.toxic_content
    threshold = tools.toxic_from if toxic.threshold is None else toxic.threshold
    made: dict[str, Callable[[], Sequence[Detector]]] = {
        "secrets": lambda: tools.secrets,
        "pii_detection": lambda: tools.pii(pii.types),
        "output_injection": lambda: tools.output_injection(injection.consumer, injection.hosts),
        "toxic_content": lambda: (tools.toxic_windows(threshold),),
    }
    masking: list[Detector] = [Restored(masks.values)] if masks.values else []
    watching: list[Detector] = []
    blocks = set()
    failures: dict[str, str] = {}
    for name in OUTPUT:
        mode = getattr(policy, name).mode
        if mode == "off":
            continue
        given = (
            (watching, True) if mode in ("shadow", "flag") else (masking, getattr(policy, name).on_failure == "open")
        )
        given[0].extend(Tolerant(detector, name, failures, open=given[1]) for detector in made[name]())
        if mode == "block":
            blocks.add(name)
    return Spans(masking, watching, blocks=frozenset(blocks), mask=REDACTED, failures=failures)


Status = Literal["ran", "skipped", "failed_open", "failed_closed"]


def output_checks(
    policy: GuardOutput, spans: Spans, signed: int, media: int, tripped: str = "", *, listed: bool = False
) -> list[Check]:
    """What each check of a reply says, by what was found. `signed` and `media` are characters that it could not read;
    `tripped` is the check that failed, and ended the reply. `listed` lists findings with their places, as only one text
    was screened; else they are counted by type.
    """
    by_check: dict[str, list[Match]] = {}
    for match in spans.found:
        by_check.setdefault(match.check, []).append(match)
    checks = []
    for name in OUTPUT:
        mode = getattr(policy, name).mode
        if mode == "off":
            checks.append(Check(name, "skipped", reason="off", mode=mode))
            continue
        if name in spans.failures:
            status: Status = "failed_closed" if name == tripped else "failed_open"
            checks.append(Check(name, status, reason=spans.failures[name], mode=mode))
            continue
        told = by_check.get(name, [])
        if listed:
            findings = tuple(Finding(match.type, match.start, match.end) for match in told[:MOST_FINDINGS])
        else:
            counted = Counter(match.type for match in told).most_common(MOST_FINDINGS)
            findings = tuple(Finding(type, count=count) for type, count in counted)
        score = 1.0 if told else 0.0
        unread = signed + media
        checks.append(Check(name, "ran", not told, 1.0, score=score, findings=findings, mode=mode, unread=unread))
    return checks
