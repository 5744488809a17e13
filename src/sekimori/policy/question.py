"""What is asked of a decision, and how it was reached: the words that policy/decide and policy/explain share."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sekimori.errors import Refused
from sekimori.policy.kinds import Route as RouteDocument
from sekimori.terms import Dialect, Operation, Scope


class Query(Struct, frozen=True):
    """What a decision depends on, besides the snapshot and the agent."""

    dialect: Dialect
    operation: Operation
    model: str
    needs: frozenset[str]
    scopes: frozenset[Scope]
    places: tuple[tuple[str, str], ...] = ()
    """Where in the body each need stands. Only words of a refusal depend on it, never the decision."""
    named: bool = False
    """Whether it names objects kept at the provider: which of the keys made them is then asked (`narrowed`)."""
    batch: bool = False
    """Several embeddings in one call: not every provider that embeds one takes them."""

    @property
    def what(self) -> str:
        """The operation as a sentence names it."""
        return f"{self.operation} of several texts in one call" if self.batch else self.operation


class Place(Struct, frozen=True):
    """Where a name leads: a model at the provider of a route."""

    provider: str
    model: str
    route: RouteDocument
    weight: int = 1

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


class Step(Struct, frozen=True):
    """One check, as `explain` shows it."""

    check: str
    passed: bool
    text: str


class Trace:
    """How a decision was reached."""

    __slots__ = ("left_out", "passed_over", "steps")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.passed_over: dict[str, str] = {}
        """Provider or key that was considered and not used -> why."""
        self.left_out: dict[str, str] = {}
        """Target of an alias that was considered and not used -> why."""

    def passed(self, check: str, text: str) -> None:
        self.steps.append(Step(check, True, text))

    def refused(self, check: str, reason: str, text: str, advice: str = "") -> Refused:
        self.steps.append(Step(check, False, text))
        return Refused(reason, text, advice=advice)


def listed(names: Iterable[str]) -> str:
    """Names as they stand in a sentence."""
    return ", ".join(f"`{name}`" for name in names)
