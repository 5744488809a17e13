"""Where text stands in what is asked and answered: what guards read, and how an edit is written back.

Read by exclusion: every string is text unless it is listed as something else, so that a member which the registry does
not know, and passes on because the agent may send such, is read like all others. What is not read is counted, since a
verdict must say so: media, files, and what a provider encrypted.

An edit is spliced into the caller's own bytes: every member beside the edited string stays as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Raw

from sekimori.dialects.found import Path
from sekimori.terms import Ask

Source = Literal["system", "definition", "user", "assistant", "tool_call", "tool_result", "document"]
"""Who wrote a text, by the role and type that the dialects give it. The last three were not written by the people who
own the agent or talk to it: what they say is judged more strictly."""

Fixed = Literal["", "name", "url", "signed", "key"]
"""Why a text can be read but not edited: another part refers to it, somebody fetches it, its writer signed it, or it is
the name of a member."""


class Text(NamedTuple):
    """One string that a model reads or wrote."""

    path: Path
    """From the top-level member, or from the top of a reply."""
    source: Source
    text: str
    json: bool = False
    """The text is the source of a JSON value: what is said in it is seen through its escapes."""
    fixed: Fixed = ""
    bare: bool = False
    """The value at `path` is the JSON value itself and not a string that holds its source."""


class Texts(NamedTuple):
    """What a value holds."""

    texts: list[Text]
    unread: list[tuple[str, int]]
    """(what, characters): `media`, `signed`."""


_ROLES: Final[Mapping[str, Source]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool_result",
    "function": "tool_result",
}
_MEMBERS: Final[Mapping[str, Source]] = {
    "messages": "user",
    "input": "user",
    "contents": "user",
    "content": "user",
    "prompt": "user",
    "query": "user",
    "documents": "document",
    "requests": "user",
    "system": "system",
    "instructions": "system",
    "systemInstruction": "system",
    "system_instruction": "system",
}
"""Top-level members; what is not listed defines something: tools, schemas, metadata."""
_TURNS: Final = frozenset({"messages", "input", "contents"})
"""Top-level members whose elements have roles of their own."""
_STRICT: Final = frozenset({"tool_result", "document"})
"""Once a value is one of these, nothing inside it is anything else, whatever it calls itself."""
_INSIDE: Final[Mapping[str, Source]] = {
    "functionResponse": "tool_result",
    "function_response": "tool_result",
    "functionCall": "tool_call",
    "function_call": "tool_call",
    "tool_calls": "tool_call",
    "arguments": "tool_call",
}
_TYPES: Final[Mapping[str, Source]] = {
    "tool_result": "tool_result",
    "document": "document",
    "search_result": "document",
    "input_file": "document",
    "file": "document",
    "tool_use": "tool_call",
    "server_tool_use": "tool_call",
    "mcp_tool_use": "tool_call",
    "function_call": "tool_call",
    "custom_tool_call": "tool_call",
    "mcp_call": "tool_call",
}
_SAYS_JSON: Final = frozenset({"arguments", "partial_json"})
"""Strings that hold the source of a JSON value."""
_FREE: Final = frozenset({"args", "response"})
"""Members of a call or its result that hold any JSON value; `input` of a tool use is another."""
_LABELS: Final = frozenset(
    {
        "type", "role", "id", "call_id", "tool_call_id", "tool_use_id", "item_id", "response_id",
        "previous_response_id", "model", "modelVersion", "responseId", "object", "status", "finish_reason",
        "finishReason", "stop_reason", "media_type", "mimeType", "mime_type", "format", "detail", "service_tier",
        "system_fingerprint", "created_at", "obfuscation", "phase", "effort", "cache_control", "ttl", "file_id",
        "container_id", "encoding_format", "prompt_cache_key", "truncation", "native_finish_reason", "owned_by",
        "event_id", "sequence_number",
    }
)  # fmt: skip
_LABEL: Final = re.compile(r"[!-~]{0,256}\Z")
"""What a label can be; a longer string in the place of one is a text after all."""
_NAMES: Final = frozenset({"name", "server_label", "tool_name", "title_id"})
_URLS: Final = frozenset({"url", "image_url", "file_url", "fileUri", "file_uri", "uri", "server_url"})
_ENCODED: Final = frozenset(
    {"data", "file_data", "b64_json", "result", "url", "image_url", "partial_image_b64", "bytesBase64Encoded"}
)
_MEDIA: Final = re.compile(r"data:[!-~]{0,200};base64,[A-Za-z0-9+/_-]*={0,2}\Z|[A-Za-z0-9+/_-]{512,}={0,2}\Z")
"""Encoded media. Shorter strings are read: a key is one, too."""
_SEALED: Final = frozenset({"signature", "thoughtSignature", "thought_signature", "encrypted_content"})
_SEAL: Final = re.compile(r"[!-~]*\Z")
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,18}\Z")
"""Names of members that are too short to hold anything."""
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_elements: Final = msgspec.json.Decoder(list[Raw]).decode


def texts_of(ask: Ask) -> Texts:
    """All text of an ask, in the order of its members."""
    reader = _Reader()
    for name, raw in ask.members.items():
        if name == "model" or name == "stream":
            continue
        if memoryview(raw)[0] in b'"[{':
            source = _MEMBERS.get(name, "definition")
            reader.read(_decode(raw), (name,), name, source, turns=name in _TURNS)
    return Texts(reader.texts, reader.unread)


def texts_within(value: Any, source: Source = "assistant") -> Texts:
    """All text of a reply, or of an event of one."""
    reader = _Reader()
    reader.read(value, (), "", source)
    return Texts(reader.texts, reader.unread)


class _Reader:
    """Collects texts on one way through a value."""

    __slots__ = ("texts", "unread")

    def __init__(self) -> None:
        self.texts: list[Text] = []
        self.unread: list[tuple[str, int]] = []

    def read(
        self, value: Any, path: Path, name: str, source: Source, *, turns: bool = False, fixed: Fixed = ""
    ) -> None:
        if type(value) is str:
            self._string(value, path, name, source, fixed)
        elif type(value) is list:
            for index, inner in enumerate(value):
                self._element(inner, (*path, index), name, source, turns, fixed)
        elif type(value) is dict:
            self._object(value, path, name, source, fixed)

    def _element(self, value: Any, path: Path, name: str, source: Source, turns: bool, fixed: Fixed) -> None:
        if turns and type(value) is dict:
            role = value.get("role")
            if type(role) is str:
                source = _ROLES.get(role, "tool_result")  # an unknown writer is judged as the least trusted
            elif "type" in value and value["type"] != "message":
                source = _typed(value["type"], "assistant")
        self.read(value, path, name, source, fixed=fixed)

    def _object(self, value: dict[str, Any], path: Path, name: str, source: Source, fixed: Fixed) -> None:
        kind = value.get("type")
        if source not in _STRICT and type(kind) is str:
            source = _typed(kind, source)
        if kind in _THOUGHTS or "thoughtSignature" in value or "thought_signature" in value:
            fixed = "signed"
        for inner_name, inner in value.items():
            if not _KEY.match(inner_name):
                self.texts.append(Text((*path, inner_name), source, inner_name, fixed="key"))
            if inner is None or type(inner) is bool or type(inner) is int or type(inner) is float:
                continue
            inner_source = source
            if source not in _STRICT:
                inner_source = _INSIDE.get(inner_name, source)
            free = name in _INSIDE if inner_name in _FREE else inner_name == "input" and source == "tool_call"
            if free and type(inner) is not str:
                said = _encode(inner).decode()
                self.texts.append(Text((*path, inner_name), inner_source, said, json=True, fixed=fixed, bare=True))
                continue
            self.read(inner, (*path, inner_name), inner_name, inner_source, fixed=fixed)

    def _string(self, text: str, path: Path, name: str, source: Source, fixed: Fixed) -> None:
        if not text:
            return
        if name in _LABELS and _LABEL.match(text):
            return
        if name in _SEALED and _SEAL.match(text):
            self.unread.append(("signed", len(text)))
            return
        if name in _ENCODED and _MEDIA.match(text):
            self.unread.append(("media", len(text)))
            return
        if not fixed:
            fixed = "url" if name in _URLS else "name" if name in _NAMES else ""
        self.texts.append(Text(path, source, text, json=name in _SAYS_JSON, fixed=fixed))


def _typed(kind: Any, source: Source) -> Source:
    if type(kind) is not str:
        return source
    told = _TYPES.get(kind)
    if told is not None:
        return told
    return "tool_result" if kind.endswith(("_output", "_result")) else source


def edited(members: Mapping[str, Raw], edits: Iterable[tuple[Text, str]]) -> dict[str, Raw]:
    """The members of an ask with some of its texts replaced; all others are the caller's own bytes."""
    by_member: dict[str, dict[Path, bytes]] = {}
    for text, replacement in edits:
        name = text.path[0]
        assert type(name) is str
        by_member.setdefault(name, {})[text.path[1:]] = _written(text, replacement)
    return {
        name: raw if (own := by_member.get(name)) is None else Raw(_spliced(bytes(raw), own))
        for name, raw in members.items()
    }


def edited_within(body: bytes, edits: Iterable[tuple[Text, str]]) -> bytes:
    """A reply, or the data of an event, with some of its texts replaced."""
    return _spliced(body, {text.path: _written(text, replacement) for text, replacement in edits})


def _written(text: Text, replacement: str) -> bytes:
    return replacement.encode() if text.bare else _encode(replacement)


def _spliced(raw: bytes, edits: Mapping[Path, bytes]) -> bytes:
    whole = edits.get(())
    if whole is not None:
        return whole
    inner: dict[str | int, dict[Path, bytes]] = {}
    for path, replacement in edits.items():
        inner.setdefault(path[0], {})[path[1:]] = replacement
    if type(next(iter(inner))) is int:
        elements = _elements(raw)
        for step, own in inner.items():
            assert type(step) is int
            elements[step] = Raw(_spliced(bytes(elements[step]), own))
        return _encode(elements)
    members = _members(raw)
    for step, own in inner.items():
        assert type(step) is str
        members[step] = Raw(_spliced(bytes(members[step]), own))
    return _encode(members)
