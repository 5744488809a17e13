"""What the span detectors find on the development rows: `python -m training.pii [--misses] [--rules | --names DIR]`.

A span counts as found where a finding of its type covers half of it or more. Rows are in `training/dev`: they choose
thresholds and are reported; nothing is trained on them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sekimori.guard import names, pii
from sekimori.guard.spans import Detector, find_all, joined

DEV = Path(__file__).parent / "dev"


def rows(pattern: str) -> list[dict[str, Any]]:
    """The rows of the files that match."""
    lines = [line for path in sorted(DEV.glob(pattern)) for line in path.read_text(encoding="utf-8").splitlines()]
    return [json.loads(line) for line in lines if line]


def overlap(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def compare(
    row: dict[str, Any], detectors: Sequence[Detector], types: Sequence[str]
) -> tuple[list[Any], list[Any], list[Any]]:
    """(found, missed, false) of one row: (type, start, end) each."""
    told = [(match.type, match.start, match.end) for match in joined(find_all(detectors, row["text"]))]
    wanted = [(span["type"], span["start"], span["end"]) for span in row["spans"] if span["type"] in types]
    found, missed = [], []
    used = set()
    for span in wanted:
        hit = next(
            (
                each
                for each in told
                if each[0] == span[0] and each not in used and 2 * overlap(each[1:], span[1:]) >= span[2] - span[1]
            ),
            None,
        )
        if hit is None:
            missed.append(span)
        else:
            used.add(hit)
            found.append(span)
    return found, missed, [each for each in told if each not in used]


def score(found: int, missed: int, false: int) -> str:
    recall = found / (found + missed) if found + missed else 0.0
    precision = found / (found + false) if found + false else 0.0
    both = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return f"{precision:9.3f} {recall:7.3f} {both:7.3f}   {found} found, {missed} missed, {false} false"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.pii", description=__doc__)
    parser.add_argument("--misses", action="store_true", help="print what was missed and what is false")
    parser.add_argument("--names", type=Path, help="where the model of names and addresses lies")
    parser.add_argument("--rules", action="store_true", help="names and addresses by rules alone")
    options = parser.parse_args()
    types: tuple[str, ...] = pii.TYPES
    detectors: list[Detector] = list(pii.detectors(types))
    if options.names is not None or options.rules:
        loaded = names.by_rules(names.TYPES) if options.rules else names.load(options.names).detector(names.TYPES)
        detectors.append(loaded)
        types = (*types, *names.TYPES)
    counts: Counter[tuple[str, str]] = Counter()
    languages: Counter[tuple[str, str]] = Counter()
    for row in rows("pii-*.jsonl"):
        for name, spans in zip(("found", "missed", "false"), compare(row, detectors, types), strict=True):
            for type, start, end in spans:
                counts[type, name] += 1
                languages[row["lang"], name] += 1
                if options.misses and name != "found":
                    before, said = row["text"][max(0, start - 30) : start], row["text"][start:end]
                    print(f"{name:6} {row['lang']} {type:11} {before!r} >{said!r}< {row['text'][end : end + 12]!r}")
    print(f"{'':14}{'precision':>9} {'recall':>7} {'F1':>7}")
    for type in types:
        print(f"{type:14}" + score(counts[type, "found"], counts[type, "missed"], counts[type, "false"]))
    total = [
        sum(count for (_, name), count in counts.items() if name == wanted) for wanted in ("found", "missed", "false")
    ]
    print(f"{'all':14}" + score(*total))
    for language in sorted({language for language, _ in languages}):
        print(f"{language:14}" + score(*(languages[language, name] for name in ("found", "missed", "false"))))
    alike = rows("lookalike-*.jsonl")
    flagged = 0
    for row in alike:
        told = joined(find_all(detectors, row["text"]))
        flagged += bool(told)
        if told and options.misses:
            print(
                "alike ",
                row["lang"],
                [(match.type, row["text"][match.start : match.end]) for match in told],
                repr(row["text"][:90]),
            )
    print(f"look-alikes flagged: {flagged} of {len(alike)}")
    prose = "The committee met on Tuesday and agreed that the new timetable, with 12 changes, starts in 2026. " * 12
    best = min(_timed(detectors, prose[:1200]) for _ in range(5))
    print(f"1,200 characters of prose: {best * 1e6:.1f} us")
    return 0


def _timed(detectors: Sequence[Detector], text: str) -> float:
    began = time.perf_counter()
    for _ in range(200):
        find_all(detectors, text)
    return (time.perf_counter() - began) / 200


if __name__ == "__main__":
    sys.exit(main())
