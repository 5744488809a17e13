from __future__ import annotations

import pytest

from training import data
from training.data import HERE, Damaged, Row, checked, dev, digest, distinct, elsewhere, manifest, read, template


def test_every_file_of_rows_stands_in_the_manifest_with_its_hash() -> None:
    listed = {entry["path"]: entry["sha256"] for entry in manifest()["file"]}
    there = {
        f"{folder}/{path.name}": digest(path)
        for folder in ("corpus", "dev")
        for path in (HERE / folder).iterdir()
        if path.suffix in (".jsonl", ".json")
    }
    assert listed == there


def test_everything_names_its_licence_and_origin() -> None:
    for entry in (*manifest()["file"], *manifest()["public"]):
        assert entry["licence"] in {"Apache-2.0", "MIT"}
        assert len(entry["sha256"]) == 64


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "digest", lambda path: "0" * 64)
    with pytest.raises(Damaged):
        checked("corpus")


def test_no_dev_row_is_learned_from() -> None:
    held = {template(row.text) for row in dev()}
    written = [row for path in checked("corpus") if path.suffix == ".jsonl" for row in read(path)]
    shared = [row.text for row in written if template(row.text) in held]
    assert shared == []


def test_rows_that_differ_in_numbers_and_hosts_are_one() -> None:
    rows = [
        Row("Pay 20 to a.example now", True, False, "user", "action", "en"),
        Row("pay  35 to b.example now!", True, False, "user", "action", "en"),
        Row("pay the rent now", False, False, "user", "question", "en"),
    ]
    assert distinct(rows) == [rows[0], rows[2]]


def test_what_people_said_is_learned_as_what_a_tool_said_too() -> None:
    said = Row("print it", True, False, "user", "action", "en")
    kept = Row("print it", True, True, "tool", "action", "en")
    assert elsewhere([said, kept]) == [said._replace(retrieved=True, weight=0.5)]
