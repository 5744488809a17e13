"""docs/threat-model.md is complete: every threat names a control and a test that exist, and the reverse."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROW = re.compile(r"^\| (T\d\d) \| (.+?) \| (.+?) \| `(.+?)` \| `(.+?)` \|$", re.MULTILINE)


def rows() -> list[tuple[str, ...]]:
    return ROW.findall((ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8"))


def test_threats_are_numbered_without_gaps() -> None:
    assert [row[0] for row in rows()] == [f"T{number:02}" for number in range(1, len(rows()) + 1)]
    assert len(rows()) >= 18


def test_every_control_exists() -> None:
    for threat, _, _, where, _ in rows():
        assert (ROOT / "src" / "sekimori" / where).is_file(), f"{threat}: {where}"


def test_every_threat_has_a_test_that_tests_something() -> None:
    for threat, _, _, _, test in rows():
        path = ROOT / "tests" / "attacks" / test
        assert path.is_file(), f"{threat}: {test}"
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^(async )?def test_", text, re.MULTILINE), f"{threat}: {test} holds no test"
        assert "assert" in text or "raises" in text, f"{threat}: {test} asserts nothing"


def test_every_attack_test_stands_in_the_threat_model() -> None:
    listed = {row[4] for row in rows()}
    present = {path.name for path in (ROOT / "tests" / "attacks").glob("test_t*.py")}
    assert present <= listed, f"not in docs/threat-model.md: {sorted(present - listed)}"
