"""`python -m training`: learn, calibrate, choose thresholds, and write the weights."""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import numpy as np

from sekimori.guard.injection import Injection, foreign
from sekimori.guard.rules import Reader
from training.data import dev, distinct, learned, template
from training.fit import Learned, calibrated, examples, first, heaviest, learn, packed
from training.public import public
from training.report import BUDGET, WEIGHTS, threshold

NAME = "sekimori-injection-1"
UNSURE = 0.05
"""From the score that this part of harmless texts reaches, a judge is asked."""


def main(to: Path = WEIGHTS) -> None:
    began = time.monotonic()
    reader = Reader()
    written = learned()
    seen_before = {template(row.text) for row in (*written, *dev())}
    rows = written + [row for row in distinct(public()) if template(row.text) not in seen_before]
    seen = examples(reader, rows)
    print(f"{len(rows)} rows, {len(seen.owner)} windows ({time.monotonic() - began:.0f} s)")
    # What others published was said by people, so the head of what tools say learns from the written rows alone.
    told, found = learn(seen), learn(first(seen, len(written)))
    made = Learned(*(np.stack([one[0], other[1]]) for one, other in zip(told, found, strict=True)))
    flat = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    raw = Injection(packed(made, flat, np.array([0.5, 0.5, 0.5]), NAME), reader)
    kept = dev()
    heavy = heaviest(raw, reader, kept)
    attack = np.array([row.attack for row in kept])
    retrieved = np.array([row.retrieved for row in kept])
    abroad = np.array([foreign(row.text) for row in kept])
    calibration, thresholds = [], []
    for head in (False, True):
        own = retrieved == head
        slope, shift, other = calibrated(heavy[own], abroad[own], attack[own])
        calibration.append((slope, shift, other))
        scores = 1 / (1 + np.exp(-(slope * heavy[own] + shift + other * abroad[own])))
        thresholds.append(threshold(scores[~attack[own]], BUDGET))
        thresholds.append(threshold(scores[~attack[own]], UNSURE))
    chosen = np.array([thresholds[0], thresholds[2], min(thresholds[1], thresholds[3])])
    data = packed(made, np.array(calibration), chosen, NAME)
    to.write_bytes(data)
    print(f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()} ({time.monotonic() - began:.0f} s)")
    print("thresholds: conversation {:.4f}, retrieved {:.4f}, unsure {:.4f}".format(*chosen))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS)
