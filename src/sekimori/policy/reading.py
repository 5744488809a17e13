"""YAML, strictly: text in, a tree of plain values with line numbers out.

Only what documents need is read: mappings with distinct text keys, sequences, and scalars. Anchors, aliases, tags and
merge keys are refused, so no document is larger than it looks (no expansion of aliases) and none names a Python type.
Scalars follow the YAML 1.2 core schema, not 1.1: `no`, `on` and `12:30` are text and not a boolean or a number, `true`
and `false` are the only booleans, and a number with a decimal point stays text, exact to the digit.

A file of another program (`foreign`) may use anchors, aliases and merge keys: they are written out, within a bound.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from msgspec import Struct
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from sekimori.policy.problems import Invalid, Problem, shown

FILE_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of one file."""
DEPTH_LIMIT: Final = 8
"""Levels of nesting; the documents need three."""
FOREIGN_DEPTH: Final = 32
"""Levels of nesting in a file of another program."""
FOREIGN_NODES: Final = 200_000
"""Values in a file of another program once its aliases are written out: nine lines of aliases can stand for 10⁹."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Line breaks to YAML but not to most editors, and characters that reorder what is shown: either makes a reviewer read
# another document than the one that is applied.
_HIDING: Final = re.compile("[\x85\u2028\u2029\u202a-\u202e\u2066-\u2069]|\r(?!\n)")
_INTEGER: Final = re.compile(r"(?:0|-?[1-9][0-9]{0,17})\Z")

Scalar = str | int | bool | None


class Node(Struct, frozen=True):
    """A value and the line on which it begins (from 1)."""

    line: int
    value: Scalar | tuple[Node, ...] | dict[str, Node]

    @property
    def sort(self) -> str:
        """What it is, in words."""
        match self.value:
            case None:
                return "nothing"
            case bool():
                return f"the word {str(self.value).lower()}"
            case int():
                return "a number"
            case str():
                return "text"
            case tuple():
                return "a list"
            case _:
                return "a group of fields"


def read(data: bytes, file: str, *, foreign: bool = False) -> list[Node]:
    """The documents of one file. `file` is only for messages. `foreign`: it was written for another program, so
    anchors, aliases and merge keys are allowed and written out. Raises `Invalid`."""
    if len(data) > FILE_LIMIT:
        raise _invalid(file, 0, f"is larger than {FILE_LIMIT} bytes.", "Split it into several files.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _invalid(file, line, "is not UTF-8 text.", "Save the file as UTF-8.") from error
    hiding = _HIDING.search(text)
    if hiding:
        line = text.count("\n", 0, hiding.start()) + 1
        code = f"U+{ord(hiding[0]):04X}"
        raise _invalid(file, line, f"holds a character ({code}) that shows otherwise than it reads.", "Remove it.")
    try:
        return list((_Foreign if foreign else _Reader)(file, yaml.parse(text, Loader=_LOADER)).documents())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise _invalid(
            file, line, f"is not YAML: {error.problem or error.context}.", "Mind the indentation."
        ) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        fix = "Remove the control character."
        raise _invalid(file, line, "contains a character that YAML does not allow.", fix) from error


class _Reader:
    """Events to nodes; recursion is bounded by the depth."""

    depth = DEPTH_LIMIT

    def __init__(self, file: str, events: Iterator[Event]) -> None:
        self._file = file
        self._events = events

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                node = self._node(next(self._events), 1)
                end = next(self._events)
                assert isinstance(end, DocumentEndEvent)
                if node.value is not None:  # only comments between two `---`
                    yield node

    def _node(self, event: Event, depth: int) -> Node:
        line = _line(event)
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._refuse(line, "uses an anchor or alias.", "Write the value out.")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._refuse(line, f"uses the tag {shown(tag)}.", "Remove it: fields have fixed types.")
        if isinstance(event, ScalarEvent):
            return Node(line, _scalar(event.value) if event.implicit[0] else event.value)
        if depth > self.depth:
            raise self._refuse(line, "is nested too deeply.", "Documents are flat.")
        if isinstance(event, SequenceStartEvent):
            return Node(line, tuple(self._sequence(depth)))
        assert isinstance(event, MappingStartEvent)
        return Node(line, self._mapping(depth))

    def _sequence(self, depth: int) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                return
            yield self._node(event, depth + 1)

    def _mapping(self, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            line = _line(event)
            if not isinstance(event, ScalarEvent):
                raise self._refuse(line, "has a field whose name is not text.", "Write NAME: VALUE.")
            key = self._key(event, depth)
            if not isinstance(key.value, str):
                raise self._refuse(line, f"has a field whose name is {key.sort}.", "Write NAME: VALUE.")
            if key.value in members:
                fix = f"Keep this one or the one on line {lines[key.value]}."
                raise self._refuse(line, f"names {shown(key.value)} twice.", fix)
            lines[key.value] = line
            member = self._node(next(self._events), depth + 1)
            # The line of the field, not of its value: a list begins one line below its name.
            members[key.value] = Node(line, member.value)
        return members

    def _key(self, event: ScalarEvent, depth: int) -> Node:
        return self._node(event, depth + 1)

    def _refuse(self, line: int, text: str, fix: str) -> Invalid:
        return _invalid(self._file, line, text, fix)


class _Foreign(_Reader):
    """Anchors, aliases and merge keys are written out: what is read is a tree, and no larger than FOREIGN_NODES."""

    depth = FOREIGN_DEPTH

    def __init__(self, file: str, events: Iterator[Event]) -> None:
        super().__init__(file, events)
        self._anchored: dict[str, tuple[Node, int, int]] = {}
        """Of each anchor: its value, how many values that holds, and how many levels."""
        self._read = 0
        self._deepest = 0

    def _node(self, event: Event, depth: int) -> Node:
        line = _line(event)
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchored:  # a value that holds itself is not complete yet either
                raise self._refuse(line, "uses an alias of no anchor before it.", "Write the value out.")
            node, held, levels = self._anchored[event.anchor]
            self._count(line, held, depth + levels)
            return Node(line, node.value)
        self._count(line, 1, depth)
        anchor = getattr(event, "anchor", None)
        if anchor is None:
            return super()._node(event, depth)
        event.anchor = None  # type: ignore[attr-defined]
        before, outer, self._deepest = self._read, self._deepest, depth
        node = super()._node(event, depth)
        self._anchored[anchor] = node, self._read - before + 1, self._deepest - depth
        self._deepest = max(outer, self._deepest)
        return node

    def _count(self, line: int, values: int, depth: int) -> None:
        self._read += values
        self._deepest = max(self._deepest, depth)
        if self._read > FOREIGN_NODES:
            raise self._refuse(line, f"holds more than {FOREIGN_NODES} values.", "Import it in parts.")
        if depth > self.depth:
            raise self._refuse(line, "is nested too deeply.", "Write it flatter.")

    def _key(self, event: ScalarEvent, depth: int) -> Node:
        return Node(_line(event), event.value)  # to such a program `1` and `on` may be names

    def _mapping(self, depth: int) -> dict[str, Node]:
        members = super()._mapping(depth)
        merged = members.pop("<<", None)
        if merged is not None:
            for source in merged.value if isinstance(merged.value, tuple) else (merged,):
                if not isinstance(source.value, dict):
                    raise self._refuse(merged.line, f"merges {source.sort}.", "Merge a group of fields.")
                members = {**source.value, **members}
        return members


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _scalar(text: str) -> Scalar:
    """A plain scalar by the YAML 1.2 core schema, without its floating-point numbers."""
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if _INTEGER.match(text) else text


def nearest(word: str, known: Iterator[str] | list[str]) -> str:
    """`Did you mean X?` where one of the known words is close, else the empty string."""
    close = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else ""


def _invalid(file: str, line: int, text: str, fix: str) -> Invalid:
    return Invalid([Problem(file, line, "", "", text, fix)])
