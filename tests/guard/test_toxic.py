"""A screen for insults and profanity: what it tells, what it leaves alone, and that it settles as detectors do."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.guard.spans import REACH, Growing, find_all
from sekimori.guard.toxic import BOUND, LEXICON, PARTS, TOXIC_FROM, score, windows

DEV = Path(__file__).parents[2] / "training" / "dev"


@pytest.mark.parametrize(
    "text",
    [
        "You are an idiot.",
        "you stupid bitch",
        "Go kill yourself",
        "What a motherfucker.",
        "you f*cking m0ron",
        "y o u  are an a s s h o l e",
        "Shut your mouth, you worthless liar",
        "Du bist ein Vollidiot.",
        "Halt die Fresse!",
        "T'es un vrai connard",
        "Ferme ta gueule",
        "Eres un gilipollas",
        "Você é um otário",
        "Sei un coglione",
        "Je bent een klootzak",
        "Du är en jävel",
        "Du er en idiot",
        "Olet idiootti",
        "Jesteś skurwysynem",
        "Ty jsi zmrd",
        "Ты мудак",
        "Ти довбень і мудак",
        "Ти си идиот",
        "Ti si kreten",
        "Ești un dobitoc și un idiot",
        "Te egy faszfej vagy",
        "Είσαι μαλάκας",
        "Sen bir orospusun, aptal",
        "أنت غبي",
        "خفه شو احمق",
        "אתה מטומטם",
        "तू चूतिया है",
        "তুই একটা গাধা",
        "kamu goblok",
        "mày ngu",
        "putangina mo",
        "你这个白痴",
        "お前はバカだ、死ね",
        "야 이 병신 새끼야",
        "ไอ้โง่",
    ],
)
def test_insults_are_told(text: str) -> None:
    assert score(text).score >= TOXIC_FROM


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How do I kill the process that holds port 8080?",
        "The classic assassin passes the Essex grass.",
        "Scunthorpe, Penistone and Lightwater are towns.",
        "Her dog is a bitch of three years, our cock crows.",
        "The patient reports pain in the breast and rectum.",
        "I'm such an idiot, I forgot the key.",
        "She wrote that he 'is a moron' in the review.",
        "What does the word asshole mean?",
        "That was damn good.",
        "Der Esel steht im Stall.",
        "La vache est dans le pré.",
        "Сука породы хаски ищет хозяев.",
        "Con chó nhà tôi rất ngoan.",
        "这只狗很乖。",
        "a b c d e f g",
        "v1.0.3 $100 @home 50% off!",
    ],
)
def test_words_that_only_look_like_it_pass(text: str) -> None:
    assert score(text).score < TOXIC_FROM


def test_who_is_spoken_to_makes_an_insult_of_a_word_and_a_quote_unmakes_it() -> None:
    assert score("the donkey eats").score < score("you donkey").score
    assert score("he said 'you are a moron'").score < score("you are a moron").score
    assert score("I am a moron").score < score("you are a moron").score


def test_the_threshold_keeps_its_budget_of_false_alarms() -> None:
    rows = [json.loads(line) for path in sorted(DEV.glob("toxic-*.jsonl")) for line in path.read_text().splitlines()]
    told = Counter((row["label"], score(row["text"]).score >= TOXIC_FROM) for row in rows)
    assert told["clean", True] / (told["clean", True] + told["clean", False]) <= 0.02
    assert told["toxic", True] / (told["toxic", True] + told["toxic", False]) >= 0.7


def test_the_lexicon_speaks_many_languages() -> None:
    languages = {line.split()[0] for part in (LEXICON, PARTS) for line in part.strip().split("\n")}
    assert len(languages) >= 25


def test_what_is_not_read_is_told() -> None:
    assert score("a" * (BOUND + 7)).unread == 7
    assert score("short").unread == 0


def test_a_match_is_the_sentence() -> None:
    text = "All is well.  You are an idiot! Good bye."
    (match,) = find_all((windows(TOXIC_FROM),), text)
    assert text[match.start : match.end] == "You are an idiot!"
    assert match.check == "toxic_content"


TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["you ", "idiot", "fuck", " off", ".", "! ", "\n", "。", "'", "死ね", "ты ", "мудак", "f*ck", "x" * 700]
        ),
        st.text("ab .!?\nİ", max_size=5),
    ),
    max_size=16,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=10))
def test_sentences_are_the_same_at_any_cut(text: str, places: Sequence[int]) -> None:
    growing = Growing((windows(TOXIC_FROM),))
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    found = []
    for start, end in itertools.pairwise(edges):
        growing.grow(text[start:end])
        found += growing.final
        assert growing.length - growing.settled <= REACH
    growing.grow("", True)
    assert [*found, *growing.final] == find_all((windows(TOXIC_FROM),), text)
