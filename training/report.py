"""How good the detector is on the dev rows: `python -m training.report` prints it and writes docs/guards-quality.md.

Dev rows chose the thresholds and the calibration, so what is told of them is a little too kind. They were written to be
hard: half of the harmless ones talk of instructions, passwords and prompts.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sekimori.guard.injection import Injection, parts_of
from sekimori.guard.linear import windows_of
from sekimori.guard.rules import Reader
from sekimori.guard.sanitise import sanitise
from sekimori.guard.views import views_of
from training.data import Row, dev
from training.encoders import ENCODERS

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "src" / "sekimori" / "guard" / "weights" / "injection.npz"
PAGE = ROOT / "docs" / "guards-quality.md"
BEGIN, END = "<!-- injection: generated -->", "<!-- injection: end -->"
BUDGET = 0.01
"""The part of harmless texts that may be stopped."""
BUDGETS = (BUDGET, 0.05)
DRAWS = 1000
"""Samples of the dev rows for an interval."""
RUNS = 7
LENGTH = 1200
"""Characters of a text whose cost is measured."""


def threshold(harmless: NDArray[np.float64], budget: float) -> float:
    """The lowest score from which at most that part of the harmless texts fails."""
    allowed = int(budget * len(harmless))
    ranked = np.sort(harmless)[::-1]
    # A score equal to the threshold fails, so it lies just above the first text that must pass.
    return float(np.nextafter(ranked[allowed], 2.0))


class Told:
    """Rows and their scores."""

    def __init__(self, rows: Sequence[Row], scores: NDArray[np.float64]) -> None:
        self.rows = rows
        self.scores = scores
        self.attack = np.array([row.attack for row in rows])
        self.retrieved = np.array([row.retrieved for row in rows])

    def where(self, test: Callable[[Row], bool]) -> NDArray[np.bool_]:
        return np.array([test(row) for row in self.rows])

    def failed(self, budget: float, of: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """What fails, with a threshold for each head that keeps the budget; of a sample, where one is given."""
        number = np.arange(len(self.rows)) if of is None else of
        scores, attack, retrieved = self.scores[number], self.attack[number], self.retrieved[number]
        failed = np.zeros(len(number), np.bool_)
        for head in (False, True):
            own = retrieved == head
            failed[own] = scores[own] >= threshold(scores[own & ~attack], budget)
        return failed

    def interval(self, budget: float, wanted: NDArray[np.bool_]) -> tuple[float, float]:
        """Of the part of the wanted attacks that fails: what 95 of 100 samples of the rows tell."""
        dice = np.random.default_rng(0)
        parts = []
        for _ in range(DRAWS):
            number = dice.integers(0, len(self.rows), len(self.rows))
            failed = self.failed(budget, number)[wanted[number]]
            parts.append(failed.mean() if failed.size else 0.0)
        low, high = np.quantile(parts, (0.025, 0.975))
        return float(low), float(high)


def scored(injection: Injection, rows: Sequence[Row]) -> NDArray[np.float64]:
    return np.array([injection.score(row.text, "document" if row.retrieved else "user").score for row in rows])


def report(injection: Injection, cost: bool = True) -> str:
    """The tables, in Markdown."""
    rows = dev()
    told = Told(rows, scored(injection, rows))
    lines = [
        f"Weights `{injection.model}`; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}. {int(told.attack.sum())} attacks and "
        f"{int((~told.attack).sum())} harmless texts, none of them learned from; they chose the thresholds.",
        "",
        f"Thresholds as shipped: conversation {injection.injection_from:.3f}, retrieved "
        f"{injection.retrieved_from:.3f}, unsure from {injection.unsure_from:.3f}.",
        "",
        "| attacks found | rows | at 1 % false alarms (95 % interval) | at 5 % |",
        "|---|---|---|---|",
    ]
    groups: list[tuple[str, Callable[[Row], bool]]] = [
        ("all", lambda row: True),
        ("the text alone shows the attack", lambda row: row.shows),
        ("said by people", lambda row: not row.retrieved),
        ("in what tools and documents said", lambda row: row.retrieved),
        ("English", lambda row: row.language == "en"),
        ("other languages", lambda row: row.language != "en"),
    ]
    kinds = sorted({row.kind for row in rows if row.attack})
    groups += [(f"kind: {kind}", lambda row, kind=kind: row.kind == kind) for kind in kinds]  # type: ignore[misc]
    languages = sorted({row.language for row in rows if row.attack and row.language != "en"})
    groups += [(f"language: {name}", lambda row, name=name: row.language == name) for name in languages]  # type: ignore[misc]
    failed = {budget: told.failed(budget) for budget in BUDGETS}
    for name, test in groups:
        wanted = told.where(test) & told.attack
        if (count := int(wanted.sum())) < 4:
            continue
        low, high = told.interval(BUDGET, wanted) if count >= 20 else (0.0, 0.0)
        between = f" ({low:.2f}-{high:.2f})" if count >= 20 else ""
        lines.append(
            f"| {name} | {count} | {failed[BUDGET][wanted].mean():.2f}{between} | {failed[0.05][wanted].mean():.2f} |"
        )
    lines += ["", "| harmless texts stopped, thresholds as shipped | rows | stopped |", "|---|---|---|"]
    shipped = told.scores >= np.where(told.retrieved, injection.retrieved_from, injection.injection_from)
    harmless: list[tuple[str, Callable[[Row], bool]]] = [
        ("all", lambda row: True),
        ("that talk of attacks or hold their words", lambda row: row.kind.startswith("hard")),
        ("ordinary", lambda row: not row.kind.startswith("hard")),
        ("said by people", lambda row: not row.retrieved),
        ("of tools and documents", lambda row: row.retrieved),
        ("other languages", lambda row: row.language != "en"),
    ]
    for name, test in harmless:
        wanted = told.where(test) & ~told.attack
        lines.append(f"| {name} | {int(wanted.sum())} | {shipped[wanted].mean():.3f} |")
    lines += ["", *_disguised(injection, told)]
    if cost:
        lines += ["", *_cost(injection, rows)]
    return "\n".join(lines)


def _disguised(injection: Injection, told: Told) -> list[str]:
    """Attacks that are found as they stand, encoded: how many are found still; and harmless texts encoded alike."""
    lines = [
        "Each attack that the shipped thresholds find as it stands (English, said by people), encoded inside a",
        "harmless sentence; and harmless texts encoded the same way.",
        "",
        "| encoding | attacks still found | harmless stopped |",
        "|---|---|---|",
    ]
    short = [
        (row, score)
        for row, score in zip(told.rows, told.scores, strict=True)
        if not row.retrieved and row.language == "en" and len(row.text) < 400
    ]
    found = [row.text for row, score in short if row.attack and score >= injection.injection_from][:60]
    harmless = [row.text for row, score in short if not row.attack and score < injection.unsure_from][:60]
    for name, encode in ENCODERS.items():

        def stopped(texts: Sequence[str], encode: Callable[[str], str] = encode) -> float:
            scores = [injection.score(f"Here it is: {encode(text)} Thanks!", "user").score for text in texts]
            return float(np.mean(np.array(scores) >= injection.injection_from))

        lines.append(f"| {name} | {stopped(found):.2f} | {stopped(harmless):.2f} |")
    return lines


def _cost(injection: Injection, rows: Sequence[Row]) -> list[str]:
    """Microseconds of each stage, over texts of 1.2 KB on one thread."""
    whole = "\n".join(row.text for row in rows)
    texts = [whole[at : at + LENGTH] for at in range(0, len(whole) - LENGTH, LENGTH)][:150]
    reader = Reader()
    cuts = {text: windows_of(text).cuts for text in texts}
    parts = {text: parts_of(reader, text)[0][0] for text in texts}
    stages: list[tuple[str, Callable[[str], object]]] = [
        ("sanitise", sanitise),
        ("views", views_of),
        ("windows", windows_of),
        ("rules", lambda text: reader.bits(text, cuts[text])),
        ("linear", lambda text: injection.weigh(parts[text], 0)),
        ("all", lambda text: injection.score(text, "user")),
    ]
    lines = [
        f"Cost on one thread over {len(texts)} texts of 1.2 KB in many languages, of each text the best of {RUNS}: "
        "what other processes took of the machine is left out.",
        "",
        "| stage | p50 us | p99 us |",
        "|---|---|---|",
    ]
    for name, stage in stages:
        spent = []
        for text in texts:
            runs = []
            for _ in range(RUNS):
                began = time.perf_counter()
                stage(text)
                runs.append((time.perf_counter() - began) * 1e6)
            spent.append(min(runs))
        middle, most = np.percentile(spent, (50, 99))
        lines.append(f"| {name} | {middle:.0f} | {most:.0f} |")
    return lines


def main() -> None:
    told = report(Injection(WEIGHTS.read_bytes()))
    print(told)
    if "--no-page" not in sys.argv:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{told}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
