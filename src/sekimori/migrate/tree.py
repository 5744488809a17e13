"""A file's nodes, read without minding what they are: what is not of the sort that is wanted is nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from sekimori.policy.problems import shown
from sekimori.policy.reading import Node

_NUMBER: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?|\.[0-9]{1,18}")


def fields_of(node: Node | None) -> dict[str, Node]:
    """The fields of a group; none of anything else."""
    return node.value if node is not None and isinstance(node.value, dict) else {}


def items_of(node: Node | None) -> tuple[Node, ...]:
    """The items of a list; a lone text is a list of one; none of anything else."""
    if node is None:
        return ()
    return node.value if isinstance(node.value, tuple) else (node,) if isinstance(node.value, str) else ()


def text_of(node: Node | None) -> str:
    """A text or number as text, without white space around it; the empty string for anything else."""
    if node is None or isinstance(node.value, bool | dict | tuple) or node.value is None:
        return ""
    return str(node.value).strip()


def number_of(node: Node | None) -> Decimal | None:
    """A number above zero; None for anything else."""
    text = text_of(node)
    number = Decimal(text) if _NUMBER.fullmatch(text) else Decimal(0)
    return number if number > 0 else None


def leaves_of(sections: dict[str, Node]) -> Iterator[tuple[str, str, Node]]:
    """(place, field name, scalar) of the whole file, in its order. The reader has bounded how many there are."""
    pending = [(shown(name), name, node) for name, node in reversed(sections.items())]
    while pending:
        place, name, node = pending.pop()
        value: Any = node.value
        if isinstance(value, dict):
            pending += [(f"{place}.{shown(key)}", key, one) for key, one in reversed(value.items())]
        elif isinstance(value, tuple):
            pending += [(f"{place}[{n}]", name, one) for n, one in reversed(list(enumerate(value)))]
        else:
            yield place, name, node
