"""How good the detector is on the dev rows: `python -m training.report` prints it and writes docs/guards-quality.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BUDGET = 0.01
"""The part of harmless texts that may be stopped."""


def threshold(harmless: NDArray[np.float64], budget: float) -> float:
    """The lowest score from which at most that part of the harmless texts fails."""
    allowed = int(budget * len(harmless))
    ranked = np.sort(harmless)[::-1]
    # A score equal to the threshold fails, so it lies just above the first text that must pass.
    return float(np.nextafter(ranked[allowed], 2.0))
