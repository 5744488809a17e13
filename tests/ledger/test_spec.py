"""The tables of docs/spec/journal.md are the structures of the code."""

from __future__ import annotations

import re
from pathlib import Path

from sekimori.ledger import journal
from sekimori.ledger.disk import SECTOR

SPEC = (Path(__file__).parents[2] / "docs" / "spec" / "journal.md").read_text()


def offsets(section: str) -> list[tuple[int, int]]:
    text = SPEC.split(f"## {section}\n")[1].split("\n## ")[0]
    return [(int(offset), int(size)) for offset, size in re.findall(r"^\| (\d+) \| (\d+) \|", text, re.MULTILINE)]


def test_fields_follow_each_other() -> None:
    for section, size in (("Segment", SECTOR), ("Frame", journal.FRAME_HEAD)):
        end = 0
        for offset, length in offsets(section):
            assert offset == end
            end += length
        assert end == size
    assert "512 bytes" in SPEC
    assert f"{journal.SEGMENT >> 20} MiB" in SPEC
