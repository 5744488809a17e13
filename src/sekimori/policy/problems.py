"""What is wrong with documents, said so that the reader can mend it: file, line, field, what, and the fix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct


class Problem(Struct, frozen=True):
    """One thing that is wrong, or (level `warning`) that works but is likely not meant."""

    file: str
    """As the caller named it; empty for a document that comes from the store."""
    line: int
    """From 1; 0 where unknown."""
    subject: str
    """Which document, e.g. `Agent acme/analyst`; empty where none could be read."""
    field: str
    """e.g. `fallback.key` or `models[2]`; empty for the document as a whole."""
    text: str
    fix: str
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file or 'stored'}:{self.line}" if self.line else self.file or "stored"
        parts = [place, "warning" if self.level == "warning" else "", self.subject, self.field, self.text]
        said = ": ".join(part for part in parts if part)
        return f"{said} {self.fix}".rstrip()


class Invalid(ValueError):
    """Documents that cannot be used. `problems` holds every error found, in file order; never empty."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


_SECRET: Final = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{12,}|AIza[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{12,}|(?:gsk|hf|xai|pk|ghp)[_-][A-Za-z0-9]{16,})"
)


def looks_secret(value: str) -> bool:
    """Whether a text holds what looks like a provider's key. Documents are exported and shown; keys never are."""
    return _SECRET.search(value) is not None


def unkeyed(text: str) -> str:
    """A text with whatever looks like a provider's key taken out of it."""
    return _SECRET.sub("[looks like a key]", text)


def shown(value: str, limit: int = 60) -> str:
    """A foreign string as it may stand in a message: one line, printable, bounded, and never a key."""
    if looks_secret(value):
        return "[looks like a key]"
    cut = value if len(value) <= limit else value[:limit] + "…"
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in cut)
