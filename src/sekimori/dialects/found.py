"""What reading an ask found: the capabilities it needs, the objects and URLs it names, and where each stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from typing import Any, Final, NoReturn

from sekimori.dialects.fields import CAPABILITIES, Rule
from sekimori.errors import Refused

Path = tuple[str | int, ...]
MOST_NAMED: Final = 256
"""Objects, and URLs, that one ask may name; each costs a look-up."""
_ID: Final = re.compile(r"[!-~]{1,256}")
MOST_TOKENS: Final = 2**31 - 1
"""No model answers this long; a bound beyond it is a mistake or an attempt to overflow somebody's counter."""


class Found:
    """Collects needs while the body is read. Raises Refused where no setting could allow what stands there."""

    __slots__ = ("_fetches", "_objects", "places")

    def __init__(self) -> None:
        self.places: dict[str, str] = {}
        """Capability -> the first place that needs it."""
        self._objects: dict[str, str] = {}
        self._fetches: dict[str, str] = {}

    @property
    def objects(self) -> tuple[tuple[str, str], ...]:
        """Objects kept at the provider that the ask names, each once: (id, first place)."""
        return tuple(self._objects.items())

    @property
    def fetches(self) -> tuple[tuple[str, str], ...]:
        """URLs that the provider would fetch, each once: (URL, first place)."""
        return tuple(self._fetches.items())

    def names(self, id: Any, path: Path) -> None:
        """An object kept at the provider is named. Raises Refused where that is no id: what it would name there is
        not known here."""
        if type(id) is not str or not _ID.fullmatch(id):
            wrong(path, "an id of 1 to 256 visible ASCII characters")
        _note(self._objects, id, path)

    def fetch(self, url: Any, path: Path) -> None:
        """A URL stands where the provider would fetch it. Whether it may is decided by policy/egress."""
        if type(url) is not str:
            wrong(path, "a string")
        _note(self._fetches, url, path)

    def members(self, value: Mapping[str, Any], table: Mapping[str, Rule]) -> None:
        """Judge the members of a body by their table. One that is null asks for nothing."""
        for name, item in value.items():
            rule = table.get(name)
            if rule is None:
                self.unknown({name}, table.keys(), ())
            elif not rule.inert and item is not None:
                self.apply(rule, item, (name,))

    def apply(self, rule: Rule, value: Any, path: Path) -> None:
        """Judge a listed field by its rule. `value` is what it holds; None where only its presence counts."""
        if rule.refused:
            raise Refused("unknown_field", f"`{spell(path)}` is not carried: {rule.refused}.", advice="Leave it out.")
        if rule.capability and not (value in rule.harmless and rule.harmless):
            self.need(rule.capability, path)

    def need(self, capability: str, path: Path) -> None:
        if capability not in self.places:
            self.places[capability] = spell(path)

    def unknown(self, names: Set[str], known: Set[str], path: Path) -> None:
        """Judge members that are not listed.

        One that differs from a listed member in case alone is refused whatever was granted: some servers (Go's JSON
        among them) take it for the listed one, and would read a `Model` that was never decided on.
        """
        for name in sorted(names):
            folded = name.casefold()
            if folded in known:  # listed names are all in lower case
                raise Refused("unknown_field", f"`{spell((*path, name))}` is spelled otherwise: `{folded}`.")
            self.need("unknown_fields", (*path, name))

    def spelled(self, names: Iterable[str], known: Set[str], path: Path) -> None:
        """Refuse members that differ from a listed one in case alone, in an object whose other members may be any."""
        for name in names:
            folded = name.casefold()
            if folded != name and folded in known:
                raise Refused("unknown_field", f"`{spell((*path, name))}` is spelled otherwise: `{folded}`.")

    def unknown_kind(self, capability: str, kind: str, known: Set[str], path: Path) -> None:
        """Judge a `type` (or `name`) that is not listed; its value becomes part of the place."""
        if kind.casefold() in known:
            raise Refused("unknown_field", f"`{spell(path)}` is spelled otherwise: `{kind.casefold()[:80]}`.")
        self.need(capability, (*path[:-1], f"{path[-1]}={kind}"))


def lacking(missing: Set[str], places: Mapping[str, str]) -> Refused:
    """The refusal of an ask whose agent lacks the capabilities `missing`: names each, its place and the setting."""
    if not missing <= {"unknown_fields", "unknown_betas"}:
        what = "; ".join(
            f"`{places.get(name, 'the call')}` needs `{name}`: {CAPABILITIES.get(name, '?')}"
            for name in sorted(missing)
        )
        reason, text = "capability_missing", f"This agent may not have the provider do this: {what}."
    else:
        what = ", ".join(f"`{places.get(name, 'the call')}`" for name in sorted(missing))
        reason, text = "unknown_field", f"The registry of this dialect does not know {what}."
    names = ", ".join(sorted(missing))
    return Refused(reason, text, advice=f"Leave it out, or add {names} to `capabilities` of the agent's document.")


def spell(path: Path) -> str:
    """A path as people write it: `messages[0].content[1].image_url`; long ones and odd characters cut."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            shown = step if step.isprintable() else ascii(step)[1:-1]
            text += f".{shown[:80]}" if text else shown[:80]
    return text[:240]


def _note(noted: dict[str, str], what: str, path: Path) -> None:
    if what not in noted:
        if len(noted) >= MOST_NAMED:
            raise Refused(
                "bad_request",
                f"`{spell(path)}` is one too many: a call names at most {MOST_NAMED} URLs, and as many objects.",
                advice="Send them in several calls.",
            )
        noted[what] = spell(path)


def wrong(path: Path, expected: str) -> NoReturn:
    raise Refused("bad_request", f"`{spell(path)}` must be {expected}.")


def text_of(value: Mapping[str, Any], name: str) -> str:
    """A required member that is a non-empty string of at most 256 printable characters."""
    text = value.get(name)
    if type(text) is not str or not text or len(text) > 256 or not text.isprintable():
        wrong((name,), "a name of 1 to 256 printable characters")
    return text


def flag_of(value: Mapping[str, Any], name: str) -> bool:
    """A member that is true or false; absent and null are false. 1 and "true" are neither: servers disagree on them."""
    flag = value.get(name)
    if flag is None:
        return False
    if type(flag) is not bool:
        wrong((name,), "true or false")
    return flag


def count_of(value: Mapping[str, Any], name: str, least: int = 0) -> int | None:
    """A member that is a whole number of tokens or answers; None where absent or null."""
    count = value.get(name)
    if count is None:
        return None
    if type(count) is not int or not least <= count <= MOST_TOKENS:
        wrong((name,), f"a whole number from {least} to {MOST_TOKENS}")
    return count


def list_of(value: Mapping[str, Any], name: str) -> list[Any]:
    """A member that is an array; absent and null are empty."""
    items = value.get(name)
    if items is None:
        return []
    if type(items) is not list:
        wrong((name,), "an array")
    return items


_REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


def read_references(found: Found, body: bytes, value: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Find JSON Schemas that refer to another document, which a server may fetch (as some validators do by themselves).

    Schemas without references, nearly all, cost one look at the body; an escaped `$ref` does not hide.
    """
    if not (b'Ref"' in body or b'"$ref"' in body or b"\\u00" in body):
        return
    for name in names:
        if name in value:
            read_schema(found, value[name], (name,))


def read_schema(found: Found, schema: Any, path: Path, references: Set[str] = _REFERENCES) -> None:
    """Find what refers to another document in a JSON Schema, or in what holds some. `references` are the members."""
    stack: list[tuple[Path, Any]] = [(path, schema)]
    while stack:
        path, one = stack.pop()
        if type(one) is dict:
            for name, inner in one.items():
                if name in references and type(inner) is str and inner and not inner.startswith("#"):
                    found.need("images_by_url", (*path, name))
                    found.fetch(inner, (*path, name))
                elif type(inner) is dict or type(inner) is list:
                    stack.append(((*path, name), inner))
        elif type(one) is list:
            stack.extend(
                ((*path, index), inner) for index, inner in enumerate(one) if type(inner) is dict or type(inner) is list
            )


def fetched(url: str) -> bool:
    """Whether somebody has to fetch the URL: all but `data:` (RFC 2397). White space before it counts as fetched,
    since URL parsers skip it and what follows may be anything."""
    return url[:5].lower() != "data:"
