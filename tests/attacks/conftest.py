"""Deployments of these tests are many and small: their journals begin with 1 MiB instead of 16."""

from __future__ import annotations

from typing import Any

import pytest

from sekimori.ledger.ledger import Ledger


@pytest.fixture(autouse=True)
def small_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    opens: Any = Ledger.open
    monkeypatch.setitem(opens.__func__.__kwdefaults__, "segment_bytes", 1 << 20)
