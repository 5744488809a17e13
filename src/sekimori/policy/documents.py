"""Documents: read, kept together, compared and written.

`parse` turns a file into documents and finds every error of shape in it; `Documents` is a set of them, one per
identity; `export` writes a set canonically, so that applying an export changes nothing; `diff` says what an apply would
change. What does not fit together (a route to a key that is not there) is `checks.check`'s business.
"""

from __future__ import annotations

import hashlib
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml
from msgspec import Meta, Struct, structs

from sekimori.policy import kinds
from sekimori.policy.kinds import KINDS, Document, Identity, identity, name_of, tenant_of
from sekimori.policy.problems import Invalid, Problem, looks_secret, shown
from sekimori.policy.reading import Node, nearest, read

__all__ = [
    "Change",
    "Documents",
    "Invalid",
    "Located",
    "Problem",
    "decode",
    "diff",
    "digest",
    "encode",
    "export",
    "parse",
    "subject",
]

_RANK: Final = {kind: rank for rank, kind in enumerate(KINDS)}
_SECRET_FIELDS: Final = frozenset({"key", "apikey", "api_key", "secret", "value", "token", "password"})
_DECIMAL: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?")
_NO_SECRETS: Final = "Documents hold no secrets: `sekimori key put PATH` reads the key from its input."
_DECODER: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(Document)


class Located(Struct, frozen=True):
    """A document and where it was written."""

    document: Document
    file: str = ""
    """Empty for a document that comes from the store."""
    line: int = 0
    lines: dict[str, int] = {}
    """Line of each field that was written, e.g. `fallback.key` -> 7."""

    def problem(self, field: str, text: str, fix: str, level: Literal["error", "warning"] = "error") -> Problem:
        """A problem with this document, at the line of the field."""
        line = self.lines.get(field) or self.lines.get(field.split("[")[0].split(".")[0]) or self.line
        return Problem(self.file, line, subject(self.document), field, text, fix, level)


def subject(document: Document) -> str:
    """How messages name a document, e.g. `Agent acme/analyst`."""
    kind, tenant, name = identity(document)
    return f"{kind} {name}" if kind in {"Operator", "Tenant", "Key"} or not tenant else f"{kind} {tenant}/{name}"


class Documents:
    """A set of documents, at most one per identity. Immutable; iterates in canonical order."""

    __slots__ = ("_by_identity",)

    def __init__(self, located: Iterable[Located | Document] = ()) -> None:
        """Raises `Invalid` where two documents have one identity."""
        found: dict[Identity, Located] = {}
        problems = []
        for item in located:
            entry = item if isinstance(item, Located) else Located(item)
            key = identity(entry.document)
            if key in found:
                first = found[key]
                where = f"{first.file}:{first.line}" if first.file else "the store"
                problems.append(entry.problem("", f"is written twice; the first is {where}.", "Keep one of them."))
            else:
                found[key] = entry
        if problems:
            raise Invalid(problems)
        order = sorted(found, key=lambda key: (_RANK[key[0]], key[1], key[2]))
        self._by_identity: Mapping[Identity, Located] = {key: found[key] for key in order}

    def __iter__(self) -> Iterator[Document]:
        return (entry.document for entry in self._by_identity.values())

    def __len__(self) -> int:
        return len(self._by_identity)

    def __contains__(self, key: Identity) -> bool:
        return key in self._by_identity

    def __eq__(self, other: object) -> bool:
        """Same documents, wherever they were written."""
        return isinstance(other, Documents) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def located(self) -> Iterator[Located]:
        """The documents with their places."""
        return iter(self._by_identity.values())

    def get(self, key: Identity) -> Document | None:
        """The document of that identity."""
        entry = self._by_identity.get(key)
        return entry.document if entry else None

    def merged(self, other: Documents) -> Documents:
        """This set with the documents of `other` added, or put in the place of those with the same identity."""
        return Documents({**self._by_identity, **other._by_identity}.values())

    def without(self, keys: Iterable[Identity]) -> Documents:
        """This set less the named documents."""
        gone = set(keys)
        return Documents(entry for key, entry in self._by_identity.items() if key not in gone)


class Change(Struct, frozen=True):
    """What an apply would do to one document."""

    action: Literal["create", "update", "delete"]
    kind: str
    tenant: str | None
    name: str
    before: Document | None
    after: Document | None

    @property
    def fields(self) -> tuple[tuple[str, Any, Any], ...]:
        """(field, before, after) of an update, as plain values; None where the field is not written."""
        if self.before is None or self.after is None:
            return ()
        before, after = msgspec.to_builtins(self.before), msgspec.to_builtins(self.after)
        names = dict.fromkeys([*before, *after])
        return tuple((n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n))

    def __str__(self) -> str:
        sign = {"create": "+", "update": "~", "delete": "-"}[self.action]
        document = self.after or self.before
        assert document is not None
        head = f"{sign} {subject(document)}"
        return "\n".join([head, *(f"    {name}: {before} -> {after}" for name, before, after in self.fields)])


def diff(old: Documents, new: Documents) -> list[Change]:
    """What turns `old` into `new`, in canonical order; empty exactly when they are equal."""
    changes = []
    for document in old.merged(new):
        key = identity(document)
        before, after = old.get(key), new.get(key)
        if before != after:
            action: Literal["create", "update", "delete"]
            action = "create" if before is None else "delete" if after is None else "update"
            changes.append(Change(action, key[0], tenant_of(document), name_of(document), before, after))
    return changes


def encode(document: Document) -> bytes:
    """Canonical JSON of one document, for the store."""
    return msgspec.json.encode(document)


def decode(data: bytes) -> Document:
    """The document that `encode` wrote. Raises `msgspec.DecodeError` on anything that is not one."""
    document: Document = _DECODER.decode(data)
    return document


def digest(documents: Documents) -> str:
    """SHA-256 (hex) of the canonical form of a set: equal exactly when the sets are."""
    return hashlib.sha256(b"\n".join(encode(document) for document in documents)).hexdigest()


def export(documents: Iterable[Document]) -> str:
    """YAML that `parse` reads back to the same documents. Fields at their defaults are left out."""
    plain = [msgspec.to_builtins(document) for document in documents]
    if not plain:
        return ""
    text: str = yaml.dump_all(
        plain, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120, explicit_start=True, encoding=None
    )
    return text


_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Plain(_DUMPER):  # type: ignore[misc]
    """Writes no anchors, which `parse` would refuse."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def parse(data: bytes, file: str) -> list[Located]:
    """Documents of one YAML file, in its order. `file` is only for messages.

    Raises `Invalid` with every error of the file: unknown and missing fields, wrong types, values against their rule.
    """
    problems: list[Problem] = []
    located = []
    for node in read(data, file):
        found = _document(node, file, problems)
        if found is not None:
            located.append(found)
    if problems:
        raise Invalid(problems)
    return located


def _document(node: Node, file: str, problems: list[Problem]) -> Located | None:
    members = node.value
    if not isinstance(members, dict):
        problems.append(Problem(file, node.line, "", "", f"is {node.sort}, not a document.", "Write `kind: …` first."))
        return None
    kind = members.get("kind")
    known = ", ".join(KINDS)
    if kind is None:
        problems.append(Problem(file, node.line, "", "kind", "is missing.", f"Write one of {known}."))
        return None
    if not isinstance(kind.value, str) or kind.value not in KINDS:
        said = shown(kind.value) if isinstance(kind.value, str) else kind.sort
        fix = nearest(said, list(KINDS)) or f"Write one of {known}."
        problems.append(Problem(file, kind.line, "", "kind", f"{said} is not a kind.", fix))
        return None
    shape = _Shape(file, _named(kind.value, members))
    document = shape.struct(node, KINDS[kind.value], "")
    problems.extend(shape.problems)
    return None if shape.problems else Located(document, file, node.line, shape.lines)


def _named(kind: str, members: Mapping[str, Node]) -> str:
    """How to name a document that may be incomplete."""
    names = [members[field].value for field in ("tenant", "name", "path", "agent", "provider") if field in members]
    return f"{kind} " + "/".join(shown(name) for name in names if isinstance(name, str))


class _Shape:
    """Nodes to structs by the types the kinds declare, gathering problems instead of stopping at the first."""

    def __init__(self, file: str, named: str) -> None:
        self._file = file
        self._named = named.strip()
        self.problems: list[Problem] = []
        self.lines: dict[str, int] = {}

    def struct(self, node: Node, shape: Any, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self._wrong(node, path, f"is {node.sort}.", "Write its fields below it, indented.")
        fields, types_ = _declared(shape)
        dot = path + "." if path else ""
        given = {}
        for name, member in node.value.items():
            self.lines[dot + shown(name)] = member.line
            if name == "kind" and not path:
                continue
            if name not in fields:
                fix = nearest(name, list(fields)) or f"Known are {', '.join(fields)}."
                if shape is kinds.Key and name.lower() in _SECRET_FIELDS:
                    fix = _NO_SECRETS
                self._wrong(member, dot + shown(name), "is not a field.", fix)
            elif member.value is None:
                self._wrong(member, dot + name, "has no value.", "Give one, or remove the line.")
            else:
                field = fields[name]
                given[field.name] = self._value(member, types_[field.name], dot + name)
        for name, field in fields.items():
            if field.required and name not in node.value:
                _, rule = _rule(types_[field.name])
                self._wrong(node, dot + name, "is missing.", f"Write {rule}." if rule else "Write it.")
        return None if self.problems else shape(**given)

    def _value(self, node: Node, wanted: Any, path: str) -> Any:
        wanted = _without_none(wanted)
        if get_origin(wanted) is tuple:
            return self._list(node, get_args(wanted)[0], path)
        if isinstance(wanted, type) and issubclass(wanted, Struct):
            return self.struct(node, wanted, path)
        base, rule = _rule(wanted)
        value: Any = node.value
        if base is str and isinstance(value, str) and wanted is kinds.Text:
            value = " ".join(value.split())  # a folded block is one line
        if base is float and isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = float(value)
        if base is str and not isinstance(value, str):
            return self._wrong(node, path, f"is {node.sort}, not text.", "Put it in quotes if it is meant.")
        if isinstance(value, str) and not value.isprintable():
            return self._wrong(node, path, "contains a control character.", "Remove it.")
        if isinstance(value, str) and looks_secret(value):
            return self._wrong(node, path, "looks like a key.", _NO_SECRETS)
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            said = shown(value) if isinstance(value, str) else node.sort
            return self._wrong(node, path, f"{said} does not fit.", f"Write {rule}." if rule else "")

    def _list(self, node: Node, wanted: Any, path: str) -> Any:
        if not isinstance(node.value, tuple):
            return self._wrong(node, path, f"is {node.sort}, not a list.", "Write [a, b], or one `- value` a line.")
        items: list[Any] = []
        for number, item in enumerate(node.value):
            at = f"{path}[{number}]"
            self.lines[at] = item.line
            value = self._value(item, wanted, at)
            if value is not None and value in items:
                self._wrong(item, at, "is listed twice.", "Keep one.")
            items.append(value)
        return tuple(items)

    def _wrong(self, node: Node, path: str, text: str, fix: str) -> None:
        self.problems.append(Problem(self._file, node.line, self._named, path, text, fix))


@cache
def _declared(shape: Any) -> tuple[dict[str, structs.FieldInfo], dict[str, Any]]:
    """A struct's fields by their written name, and their types by their own."""
    return {field.encode_name: field for field in structs.fields(shape)}, get_type_hints(shape, include_extras=True)


def _without_none(wanted: Any) -> Any:
    if get_origin(wanted) in (Union, types.UnionType):
        return next(option for option in get_args(wanted) if option is not type(None))
    return wanted


def _rule(wanted: Any) -> tuple[Any, str]:
    """The plain type of a field, and its rule in words."""
    wanted = _without_none(wanted)
    if get_origin(wanted) is Annotated:
        base, *notes = get_args(wanted)
        return base, next((note.description for note in notes if isinstance(note, Meta) and note.description), "")
    if get_origin(wanted) is Literal:
        return str, " or ".join(get_args(wanted))
    if get_origin(wanted) is tuple:
        return tuple, f"a list of {_rule(get_args(wanted)[0])[1]}"
    return wanted, "true or false" if wanted is bool else ""
