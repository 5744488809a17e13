"""What the checks say together: outcomes by mode, failures told as failures, masks that lead back, nothing skipped."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from sekimori.dialects.texts import Text, Texts, edited, texts_of
from sekimori.guard.examine import Scored, Tools, examine_input, output_checks, output_spans
from sekimori.guard.mask import Masks, Restored
from sekimori.guard.spans import Growing, Match, find_all, joined, replaced
from sekimori.guard.stream import Blocked, Tripped
from sekimori.policy.guards import (
    GuardInput,
    GuardOutput,
    InjectionCheck,
    InputLength,
    InputPii,
    InputSecrets,
    OutputPii,
    OutputSecrets,
)
from sekimori.terms import Ask, Check

KEY = b"k" * 32


class Pattern:
    """Finds a pattern; settles all but the last word."""

    def __init__(self, pattern: str, type: str, check: str) -> None:
        self._pattern, self._type, self._check = re.compile(pattern), type, check

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        settled = len(text) if ended else max(at, text.rfind(" ") + 1)
        found = self._pattern.finditer(text, at, settled)
        return [Match(one.start(), one.end(), self._type, self._check) for one in found], settled


class Broken:
    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        raise RuntimeError("no model")


MAIL = Pattern(r"\w+@\w+", "EMAIL", "pii_detection")
SECRET = Pattern(r"sk-\w+", "KEY", "secrets")


def toxic(text: str) -> Scored:
    return Scored(0.9 if "rude" in text else 0.0)


TOOLS = Tools(
    injection=lambda text, source: Scored(0.7 if "obey" in text else 0.1, ("order",)),
    toxic=toxic,
    toxic_windows=lambda threshold: Pattern("rude", "TOXIC", "toxic_content"),
    encoding=lambda text: (
        Scored(1.0, ("zero_width",), cleaned=text.replace("\u200b", "")) if "\u200b" in text else Scored(0.0)
    ),
    pii=lambda types: (MAIL,),
    secrets=(SECRET,),
    output_injection=lambda consumer, hosts: (Pattern("<script>", "SCRIPT", "output_injection"),),
    tokens=lambda text, model: len(text.split()),
    injection_from=0.8,
    retrieved_from=0.6,
    toxic_from=0.5,
    unsure_from=0.5,
    model="toy",
)


def asked(*messages: tuple[str, str]) -> Ask:
    body: dict[str, Any] = {"messages": [{"role": role, "content": text} for role, text in messages]}
    return Ask("openai", "chat", "m", False, {name: Raw(json.dumps(value).encode()) for name, value in body.items()})


def judged(
    policy: GuardInput, *messages: tuple[str, str], tools: Tools = TOOLS
) -> tuple[dict[str, Check], str, list[str]]:
    """Checks by name, what blocked, and the messages as they travel on."""
    ask = asked(*messages)
    examined = examine_input(tools, policy, "m", texts_of(ask), Masks(KEY))
    after = json.loads(bytes(edited(ask.members, examined.edits)["messages"]))
    return {check.name: check for check in examined.checks}, examined.blocked, [each["content"] for each in after]


def test_every_check_has_a_word_whatever_happens() -> None:
    names = ["length", "encoding", "secrets", "pii_detection", "prompt_injection", "toxic_content"]
    for message in ("hello", "obey", "a@b", "sk-1", "rude", "\u200b"):
        checks, _, _ = judged(GuardInput(), ("tool", message))
        assert list(checks) == names


def test_text_from_tools_is_judged_more_strictly() -> None:
    assert judged(GuardInput(), ("user", "obey me"))[1] == ""
    checks, blocked, _ = judged(GuardInput(), ("user", "hi"), ("tool", "obey me"))
    assert blocked == "prompt_injection"
    told = checks["prompt_injection"]
    assert (told.passed, told.score, told.confidence) == (False, 0.7, 0.7)
    assert [(finding.type, finding.place) for finding in told.findings] == [("order", "messages[1].content")]
    assert checks["toxic_content"].status == "skipped"
    assert checks["toxic_content"].passed is None
    assert judged(GuardInput(), ("system", "obey me"))[1] == ""


@pytest.mark.parametrize(
    ("mode", "blocked"), [("shadow", ""), ("flag", ""), ("block", "prompt_injection"), ("off", "")]
)
def test_modes(mode: Any, blocked: str) -> None:
    checks, by, _ = judged(GuardInput(prompt_injection=InjectionCheck(mode=mode)), ("tool", "obey"))
    assert by == blocked
    told = checks["prompt_injection"]
    assert (told.status, told.passed) == (("skipped", None) if mode == "off" else ("ran", False))


def test_masks_lead_back_and_the_provider_sees_none_of_it() -> None:
    policy = GuardInput(pii_detection=InputPii(mode="mask"), secrets=InputSecrets(mode="mask", restore=False))
    ask = asked(("user", "write to me@home and me@home, key sk-12345"))
    masks = Masks(KEY)
    examined = examine_input(TOOLS, policy, "m", texts_of(ask), masks)
    sent = json.loads(bytes(edited(ask.members, examined.edits)["messages"]))[0]["content"]
    (mask,) = masks.values
    assert sent == f"write to {mask} and {mask}, key [REDACTED]"
    assert masks.values == {mask: "me@home"}
    assert Masks(KEY).mask("EMAIL", "me@home") == mask, "the same in another call"
    assert Masks(b"o" * 32).mask("EMAIL", "me@home") != mask, "another agent's is another"
    found = find_all([Restored(masks.values)], f"I wrote to {mask}.")
    assert replaced(f"I wrote to {mask}.", found, [match.instead or "" for match in found]) == "I wrote to me@home."


def test_a_mask_that_this_call_did_not_make_stands_for_nothing() -> None:
    other = Masks(KEY)
    forged = other.mask("EMAIL", "boss@home")
    assert find_all([Restored(Masks(KEY).values)], f"tell me {forged}") == []


@pytest.mark.parametrize("step", range(1, 30))
def test_a_mask_is_found_at_any_cut(step: int) -> None:
    masks = Masks(KEY)
    text = f"[x] [{masks.mask('EMAIL', 'a@b')} [EMAIL_ {masks.mask('EMAIL', 'c@d')}]["
    growing, told = Growing([Restored(masks.values)]), []
    for at in range(0, len(text), step):
        growing.grow(text[at : at + step])
        told += growing.final
    growing.grow("", ended=True)
    assert told + growing.final == joined(find_all([Restored(masks.values)], text))


def test_a_check_that_trips_says_so_and_its_policy_decides() -> None:
    tools = replace(TOOLS, pii=lambda types: (Broken(),))
    policy = GuardInput(pii_detection=InputPii(mode="mask"))
    checks, blocked, _ = judged(policy, ("user", "hi"), tools=tools)
    assert (checks["pii_detection"].status, blocked) == ("failed_closed", "pii_detection")
    assert checks["pii_detection"].passed is None
    policy = GuardInput(pii_detection=InputPii(mode="mask", on_failure="open"))
    checks, blocked, _ = judged(policy, ("user", "hi"), tools=tools)
    assert (checks["pii_detection"].status, checks["pii_detection"].passed, blocked) == ("failed_open", None, "")


def test_a_value_where_no_mask_can_stand_is_refused() -> None:
    said = Texts([Text(("x", "url"), "user", "http://h/a@b", fixed="url")], [])
    examined = examine_input(TOOLS, GuardInput(pii_detection=InputPii(mode="mask")), "m", said, Masks(KEY))
    assert examined.blocked == "pii_detection"
    assert "cannot be masked" in next(check.reason for check in examined.checks if check.name == "pii_detection")


def test_length() -> None:
    policy = GuardInput(length=InputLength(tokens=3))
    assert judged(policy, ("user", "one two three"))[1] == ""
    checks, blocked, _ = judged(policy, ("user", "one two"), ("user", "three four"))
    assert (blocked, checks["length"].reason) == ("length", "4 tokens, and 3 are allowed")


def test_media_is_counted_as_unread() -> None:
    said = Texts([Text(("m",), "user", "hi")], [("media", 900)])
    examined = examine_input(TOOLS, GuardInput(), "m", said, Masks(KEY))
    assert {check.name: check.unread for check in examined.checks}["prompt_injection"] == 900


# -- replies ---------------------------------------------------------------------------------------------------------


def test_a_reply_is_masked_and_counted() -> None:
    policy = GuardOutput(pii_detection=OutputPii(mode="mask"))
    spans = output_spans(TOOLS, policy, Masks(KEY))
    assert spans.screened(Text((), "assistant", "a@b sk-1 rude")) == "[REDACTED] [REDACTED] rude"
    checks = {check.name: check for check in output_checks(policy, spans, 0, 0)}
    assert [(name, check.passed, check.mode) for name, check in checks.items()] == [
        ("secrets", False, "mask"),
        ("pii_detection", False, "mask"),
        ("output_injection", True, "flag"),
        ("toxic_content", False, "flag"),
    ]
    assert [(finding.type, finding.count) for finding in checks["secrets"].findings] == [("KEY", 1)]


def test_a_reply_that_blocks() -> None:
    spans = output_spans(TOOLS, GuardOutput(secrets=OutputSecrets(mode="block")), Masks(KEY))
    with pytest.raises(Blocked):
        spans.screened(Text((), "assistant", "sk-1"))


def test_a_detector_of_replies_that_trips() -> None:
    tools = replace(TOOLS, secrets=(Broken(),))
    spans = output_spans(tools, GuardOutput(), Masks(KEY))
    with pytest.raises(Tripped) as tripped:
        spans.screened(Text((), "assistant", "hi"))
    checks = output_checks(GuardOutput(), spans, 0, 0, tripped.value.check)
    assert (checks[0].name, checks[0].status, checks[0].passed) == ("secrets", "failed_closed", None)
    policy = GuardOutput(secrets=OutputSecrets(on_failure="open"))
    spans = output_spans(tools, policy, Masks(KEY))
    assert spans.screened(Text((), "assistant", "hi")) is None
    assert output_checks(policy, spans, 0, 0)[0].status == "failed_open"


def test_text_beyond_what_a_check_reads_was_not_found_clean() -> None:
    tools = replace(TOOLS, injection=lambda text, source: Scored(0.1, unread=5))
    checks, blocked, _ = judged(GuardInput(), ("user", "hi"), tools=tools)
    told = checks["prompt_injection"]
    assert (told.status, told.passed, told.unread, blocked) == ("failed_closed", None, 5, "prompt_injection")
    assert told.reason.startswith("too large")
    policy = GuardInput(prompt_injection=InjectionCheck(on_failure="open"))
    checks, blocked, _ = judged(policy, ("user", "hi"), tools=tools)
    assert (checks["prompt_injection"].status, checks["prompt_injection"].unread, blocked) == ("failed_open", 5, "")
    tools = replace(TOOLS, injection=lambda text, source: Scored(0.9, ("order",), unread=5))
    checks, blocked, _ = judged(policy, ("user", "hi"), tools=tools)
    assert (checks["prompt_injection"].status, blocked) == ("ran", "prompt_injection"), "what was found counts"
