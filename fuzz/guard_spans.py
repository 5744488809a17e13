"""Detectors of personal data and secrets: any text, at any cut, gives what the whole text gives, and little is"
" held back."""

from __future__ import annotations

from sekimori.guard import names, pii, secrets
from sekimori.guard.spans import REACH, Detector, Growing, find_all, joined, replaced

DETECTORS: tuple[Detector, ...] = (*pii.detectors(pii.TYPES), *secrets.SECRETS, names.by_rules(names.TYPES))

SEEDS: list[bytes] = [
    b"\x05mail a.b@example.co.uk or call +44 (0) 20 7946 0812, card 4111-1111-1111-1111",
    b"\x03IBAN GB29 NWBK 6016 1331 9268 19, SSN 219-47-8830, from 82.41.190.7 and 2a02:c7d::3a",
    b"\x11sk-ant-api03-Qm4Tz8fKp2VbN7xYwLcR1sDgHjE5uA9oI3tMkZ6vXqB0nC postgres://app:s3cr3tPw@db/x",
    b"\x07-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEAx7s9k2abcd\n-----END PRIVATE KEY-----",
    b'\x02password = "Tr0ub4dor&3x" AKIAQ7XV2LMN4PRT6WZ9 ghp_ eyJhbGciOiJIUzI1NiJ9.e30.',
    "\x04Dear Mr Sesay, Ilica 77, 10000 Zagreb, 手机138 0055 0172, ٠٥٠ ٥٥٥ ٠١٤٧".encode(),
]


def target(data: bytes) -> None:
    step, text = 1 + (data[0] if data else 0), data[1:].decode("utf-8", "surrogateescape")
    growing = Growing(DETECTORS)
    told, final = [], []
    for at in range(0, len(text), step):
        told += growing.grow(text[at : at + step])
        final += growing.final
        assert growing.length - growing.settled <= REACH
    told += growing.grow("", True)
    final += growing.final
    whole = find_all(DETECTORS, text)
    assert sorted(told) == sorted(whole)
    assert final == joined(whole)
    for match in whole:
        assert 0 <= match.start < match.end <= len(text)
        assert match.end - match.start <= REACH
    replaced(text, final, [""] * len(final))
