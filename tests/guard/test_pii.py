"""Structured personal data: what is one of each kind, what only looks like it, and the same at any cut of the text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from sekimori.guard import phone, pii
from sekimori.guard.spans import find_all, joined
from tests.guard.contract import cuts_of, hold, texts_of

ALL = pii.detectors(pii.TYPES)


def found(text: str) -> list[tuple[str, str]]:
    return [(match.type, text[match.start : match.end]) for match in joined(find_all(ALL, text))]


VALID = {
    "EMAIL": [
        "a@b.com", "mira.o'dell+news@mail.quarry.co.uk", "x_1-2@sub.domain.museum", "müller@bücher.de",
        "ivan@пример.рф", "info@xn--bcher-kva.de",
    ],
    "PHONE": [
        "+44 7911 883 204", "+1 (646) 555-0121", "(313) 555-0148", "604.555.0181", "1-800-555-0199", "07700 900417",
        "(01632) 960 588", "020 7946 0812", "+49 (0) 221 5550 144", "0171 5550123", "0351/5550199", "079 555 01 38",
        "06 39 98 41 27", "07.55.50.12.88", "070-555 01 48", "(11) 95555-0172", "090-5550-1284", "8 (843) 555-01-17",
        "138 0055 0172", "0033 6 55 50 13 77", "+353857550112", "(+44) 20 7946 0812", "(555) 555-5555",
        "۰۹۱۲ ۵۵۵ ۰۱۸۸", "555.555.5555x123", "(02) 5550 4321",
    ],
    "CREDIT_CARD": [
        "4929 1180 7733 0413", "5412-7755-9021-3383", "378282246310005", "3782 822463 10005", "3056 930902 5904",
        "6011000990139424", "2221 0043 9981 2206", "6759 6498 2643 8453", "3530 1113 3330 0000", "4111111111111111",
        "6221 2600 1188 7730 123",
    ],
    "IBAN": [
        "GB29NWBK60161331926819", "GB29 NWBK 6016 1331 9268 19", "de89370400440532013000", "NO93 8601 1117 947",
        "MT84MALT011000012345MTLCAST001S", "FR14 2004 1010 0505 0001 3M02 606", "KZ86 125K ZT50 0410 0100",
    ],
    "SSN": ["219-47-8830", "899-01-0001", "SSN 226 71 5590", "ssn: 226715590"],
    "IP": [
        "82.41.190.7", "192.168.1.20", "2a02:c7d:8e41:1f00::3a", "2001:8a0:e3b7:6400:51c:9f02:77aa:4d10",
        "::ffff:192.0.2.1", "fe80::1", "ping 8.8.8.8", "10.0.0.1:8080",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("type", "value"), [(type, value) for type, values in VALID.items() for value in values])
@pytest.mark.parametrize("around", ["{}", "It is {}, I think.", "x={}\n", '{{"v": "{}"}}', "({})", "电话{}，", "<{}>"])
def test_a_value_is_found_with_its_type_whatever_stands_around_it(type: str, value: str, around: str) -> None:
    value, said = value, value.split(": ")[-1].removeprefix("SSN ").removeprefix("ping ").removesuffix(":8080")
    assert found(around.format(value)) == [(type, said)]


@pytest.mark.parametrize(
    "text",
    [
        "a@b", "@channel", "x@y.png", "git@github.com:acme/tools", "npm i @babel/core@7.26.0", "A@B.T", "a@.com",
        "w = q@self.weight(x)", "https://app:pass@db.internal.example/x", "12 @ 3.50",
        "4111 1111 1111 1112", "1234 5678 9012 3456", "6011 0000 0000 0000", "41111111111111110", "a4111111111111111",
        "4000-0000-0000", "DE89370400440532013001", "GB99 XXXX 0000 0000 0000 00", "ZZ29NWBK60161331926819",
        "xGB29NWBK60161331926819", "GB29NWBK60161331926819x", "GB29NWBK6016133192681",
        "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "123-45-67890", "1123-45-6789",
        "Highway sections 101-22-9174", "226 71 5590",
        "v82.41.190.7", "version 192.168.1.20", "1.2.3.4", "256.1.1.100", "82.041.190.7", "82.41.190.7.1",
        "127.0.0.1", "255.255.255.0", "0.0.0.0", "1.20.110.11-1+deb12u1", "1.3.6.1.2.1.1.5",
        "12:30:45", "00:1B:44:11:3A:B7", "std::vector<int>", "abc::def", "::1", "1::2::3", "12:30",
        "2026-11-25 14:02:12", "25.11.2026 10:30", "20261125T140212Z", "1794822012", "1,299.00", "12,345,679",
        "order 07700 900417", "Ref. 0171 5550123", "Kundennummer 0351/5550199", "ISBN 978-3-16-148410-0",
        "4006381333931", "7f0c9a2e-51bd-4a3c-9e77-0b6d2f1c8a44", "9fceb02d0ae598e95dc970b74767f19372d61af8",
        "56.79685, -5.003508", "0171-555-88", "04 11 19 27 33 41, extra 08", "ID_07700900417", "#0770 0900417",
        "$0770 0900417", "07700 900417%", "The bar code reads 07700 90041 7", "CEP 30140-071", "94105-1234",
        "+999 555 0142 000",
        "+1", "19001-2016", "0000 0000 0000",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_value_is_none(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("my phone is ", 1), ("Tel.: ", 1), ("手机", 1), ("T: ", 1), ("GB/T ", 0), ("order no. ", -1),
        ("Telefonnummer ", 1),
        ("Bestellnummer ", -1), ("call me about order ", -1), ("order by phone ", 1), ("", 0), ("หมายเลข รหัส", -1),
    ],
)  # fmt: skip
def test_the_nearest_word_says_what_a_number_is(before: str, told: int) -> None:
    assert phone.cue(before) == told


def test_a_number_with_no_shape_of_its_own_needs_a_word() -> None:
    assert found("total 655501233") == []
    assert found("llame al 655501233") == [("PHONE", "655501233")]


def test_a_place_is_one_thing_whatever_is_asked_for() -> None:
    """Who asks for telephone numbers alone is not told of cards."""
    assert find_all(pii.detectors(["PHONE"]), "card 4929 1180 7733 0413, IBAN GB29 NWBK 6016 1331 9268 19") == []
    assert pii.detectors(["NAME", "ADDRESS"]) == ()
    for type, values in VALID.items():
        for value in values:
            assert {match.type for match in find_all(pii.detectors([type]), value)} == {type}


def test_several_values_in_one_line_are_each_found() -> None:
    line = "1,Bo,(313) 555-0148,bo@b.org,4929118077330413,82.41.190.7,219-47-8830,2026-11-25 07700 900417"
    assert [type for type, _ in found(line)] == ["PHONE", "EMAIL", "CREDIT_CARD", "IP", "SSN", "PHONE"]


PLANTED = [value for values in VALID.values() for value in values] + [
    "tel", "order", "version 1.2.3.4", "2026-11-25", "+", "(", "GB29", "GB29 NWBK ", "a@", "::", "fe80:", "7", "12.",
    "v",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(texts_of(PLANTED, "@:.+-() 0123456789aGBx\n\u00a0é电٣"), cuts_of)
def test_the_same_is_found_at_any_cut(text: str, cuts: list[int]) -> None:
    hold(ALL, text, cuts)


@pytest.mark.parametrize(
    "unit", ["a", "7", "@", "a@", "1 ", "12 ", "+", "(", "GB29", ":", "a:", "1.", "1-", "0 7", "é", "٣"]
)
def test_hostile_texts_end_and_leave_little_unsettled(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    assert joined(find_all(ALL, text)) == []
    for detector in ALL:
        _, settled = detector.find(text, 0, False)
        assert len(text) - settled <= 400
