"""The Gemini registry knows whatever the SDK's own types can hold, in both spellings, and every class is a real one."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pydantic
import pytest
from google.genai import models, types

from sekimori.dialects import fields_gemini
from sekimori.dialects.fields import CAPABILITIES, Rule
from sekimori.dialects.fields_gemini import FOLDED, GEMINI, MODALITIES, SPELLED, TOOL_TYPES, snake
from tests.dialects.sdk_gemini import NOT_SENT, ROOTS, SENT_AS, held, member_of, wire


def test_the_source_is_the_installed_release() -> None:
    name, number = fields_gemini.SOURCE.split()
    assert number == version(name), "compare the tables with the new release, then set DATE"


def test_every_member_of_every_message_is_classed_and_read_further() -> None:
    seen: set[str] = set()
    stack = list(ROOTS)
    while stack:
        kind = stack.pop()
        if kind.__name__ in seen:
            continue
        seen.add(kind.__name__)
        message = SENT_AS.get(kind.__name__, kind.__name__)
        assert message in GEMINI, f"no message {message}"
        for name, (_, annotation) in wire(kind).items():
            if name in NOT_SENT:
                continue
            member = member_of(message, name)
            assert member is not None, f"{message} lacks {name}"
            if member.rule.refused or member.reads == "schema":
                continue
            inner = {one for one in held(annotation) if one not in (types.File, types.HttpOptions)}
            if kind in (types.GenerateContentConfig, types.CountTokensConfig) and name == "systemInstruction":
                inner = {types.Content}
            names = {one.__name__ for one in inner}
            if names:
                assert names == {member.inside}, f"{message}.{name} is not read as {names}"
            stack += inner
    assert {"Part", "FileData", "McpServer", "ReplicatedVoiceConfig", "RagRetrievalConfigFilter"} <= seen
    unused = GEMINI.keys() - {SENT_AS.get(name, name) for name in seen}
    assert unused == {"BatchEmbedContentsRequest", "EmbedContentRequest"}, "messages that the SDK no longer has"


def test_both_spellings_are_the_sdks() -> None:
    """The SDK sends members of nested messages by their Python names."""
    for name, kind in vars(types).items():
        if name in GEMINI and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            for camel, (python, _) in wire(kind).items():
                if camel in GEMINI[name]:
                    assert python in SPELLED[name], f"{name}.{python}"
                    assert SPELLED[name][camel][0] == SPELLED[name][python][0]


def test_the_converters_send_nothing_else() -> None:
    """Names that the SDK's converters write into a request, read from their source."""
    source = Path(models.__file__).read_text(encoding="utf-8")
    listed = {name for members in GEMINI.values() for name in members}
    found = set()
    for part in re.split(r"\ndef ", source):
        if re.match(
            r"_(GenerateContent|CountTokens|EmbedContent|Content|Part|Tool|Image|Google|Safety|Function)", part
        ):
            head = part.partition("(")[0]
            if head.endswith(("to_mldev", "to_vertex")) and "GenerateImages" not in head:
                found |= set(
                    re.findall(r"setv\(\s*\w+,\s*\[(?:'requests\[\]', |'embedContentConfig', )?'(\w+)'\]", part)
                )
    assert {"contents", "cachedContent", "thoughtSignature", "taskType", "fileData"} <= found
    of_other_calls = {
        "parameters", "referenceImages", "instances", "mimeType", "imageBytes", "gcsUri", "bytesBase64Encoded",
        "imageOutputOptions", "compressionQuality",
    }  # fmt: skip
    assert found - listed - of_other_calls == set()


def test_modalities_and_tool_types_are_the_sdks() -> None:
    assert {one.value for one in types.Modality} == MODALITIES.keys()
    assert {one.value for one in types.ToolType} == TOOL_TYPES.keys()
    tiers = GEMINI["GenerateContentRequest"]["serviceTier"].rule.harmless
    assert {one.value for one in types.ServiceTier} - set(tiers) == {"priority"}


def wants_fetching(name: str) -> bool:
    return bool(re.search(r"(^|_)ur[il]s?($|_)|(^|_)id$|_ids$|(^|_)names?$|_store|corpus|corpora|engine", name))


HARMLESS = {
    "id": "names a call of the same conversation",
    "name": "of a function, or of an MCP server that the agent names",
    "display_name": "a label",
    "allowed_function_names": "of the agent's own functions",
    "voice_name": "of a prebuilt voice",
    "vertex_rag_store": "judged by its members",
    "data_store_specs": "judged by its members",
    "stored_state": "",
}


def test_no_url_or_name_of_the_sdk_is_overlooked() -> None:
    """A new member that smells of a URL or of something kept fails here until somebody has looked at it."""
    for message, members in GEMINI.items():
        for name, member in members.items():
            if wants_fetching(snake(name)) and snake(name) not in HARMLESS:
                judged = member.reads in ("file", "fetch", "object") or not member.rule.inert
                assert judged, f"{message}.{name}"


def test_rules_name_capabilities_of_the_closed_list() -> None:
    for members in GEMINI.values():
        for member in members.values():
            assert not member.rule.capability or member.rule.capability in CAPABILITIES
            assert not (member.rule.capability and member.rule.refused)
            assert not member.inside or member.inside in GEMINI
    assert {one for needed in MODALITIES.values() for one in needed} <= CAPABILITIES.keys()
    assert set(TOOL_TYPES.values()) - {""} <= CAPABILITIES.keys()


def test_no_name_hides_another() -> None:
    for message, members in GEMINI.items():
        spelled = [one for name in members for one in {name, snake(name)}]
        assert len(spelled) == len(set(spelled)), message
        assert set(FOLDED[message].values()) <= members.keys()


@pytest.mark.parametrize(("camel", "expected"), [("topP", "top_p"), ("ragFileIds", "rag_file_ids"), ("role", "role")])
def test_snake(camel: str, expected: str) -> None:
    assert snake(camel) == expected


# docs/dialects.md shows the tables.

DOCS = Path(__file__).parents[2] / "docs" / "dialects.md"


def described(rule: Rule) -> str:
    return f"refused: {rule.refused}" if rule.refused else f"needs `{rule.capability}`"


def test_the_documentation_has_every_member() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert fields_gemini.DATE in text
    assert fields_gemini.SOURCE in text
    rows = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if line[:1] == "|"}
    inert = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in rows if len(row) == 2}
    for message, members in GEMINI.items():
        for name, member in members.items():
            if member.rule.inert:
                assert name in inert.get(f"`{message}`", set()), f"{message}.{name}"
            else:
                assert any(row[0] == f"`{message}.{name}`" and row[1] == described(member.rule) for row in rows), name
    for name, needed in MODALITIES.items():
        assert (f"`{name}`", ", ".join(f"needs `{one}`" for one in needed) or "inert") in rows
    for name, capability in TOOL_TYPES.items():
        assert (f"`{name}`", f"needs `{capability}`" if capability else "inert") in rows
