"""What the SDKs' own types can send against what the field registry lists: `python -m tests.dialects.registry_diff`.

Run it after an SDK was upgraded. `unclassed` can be sent and has no class: it is refused until somebody has given it
one. `ours alone` is listed and no SDK sends it: what compatible servers add, or what an SDK has dropped. Exits with 1
where something is unclassed. `--json` prints the same as one JSON array; `--all` also shows what agrees. A dialect is
added by a row of DIALECTS.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, Final, NamedTuple

from anthropic.types import AnthropicBetaParam
from google.genai import types

from sekimori.dialects import fields
from sekimori.dialects import fields_further as further
from sekimori.dialects import fields_gemini as gemini
from sekimori.dialects import fields_responses as responses
from tests.dialects import sdk, sdk_gemini


class Compared(NamedTuple):
    """One table of the registry, or the members that one of its rows lists, beside what an SDK can send there."""

    dialect: str
    table: str
    listed: Set[str]
    sent: Set[str]

    @property
    def unclassed(self) -> list[str]:
        return sorted(self.sent - self.listed)

    @property
    def ours_alone(self) -> list[str]:
        return sorted(self.listed - self.sent)


def members(kinds: Iterable[Any]) -> set[str]:
    return {name for kind in kinds for name in sdk.members(kind)}


def inside(kinds: Iterable[Any], name: str) -> list[Any]:
    """The TypedDicts that the member of any of the kinds can be."""
    return [one for kind in kinds if name in sdk.members(kind) for one in sdk.choices(sdk.members(kind)[name])]


def closure(kinds: Iterable[Any], *names: str) -> list[Any]:
    """The kinds, and what stands in these members of them, at any depth."""
    found: list[Any] = []
    waiting = list(kinds)
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.append(one)
            for name in names:
                waiting += inside([one], name)
    return found


def by_type(
    dialect: str,
    title: str,
    table: Mapping[str, Any],
    kinds: Iterable[Any],
    *,
    untyped: str = "",
    plain: Callable[[str], str] = str,
) -> Iterator[Compared]:
    """A table by `type`: the types, then of each type the members where its row lists them. `plain` takes off dates."""
    sent: dict[str, set[str]] = {}
    for kind in kinds:
        for name in sdk.kinds(kind) or {untyped}:
            sent.setdefault(plain(name), set()).update(sdk.members(kind))
    yield Compared(dialect, title, table.keys(), sent.keys())
    for name, row in table.items():
        if name in sent and hasattr(row, "members"):
            yield Compared(dialect, f"{title}.{name}", row.members, sent[name])


def of_chat() -> Iterator[Compared]:
    at = "openai"
    yield Compared(at, "OPENAI_CHAT", fields.OPENAI_CHAT.keys(), members(sdk.OPENAI))
    messages = inside(sdk.OPENAI, "messages")
    yield Compared(at, "OPENAI_MESSAGE", fields.OPENAI_MESSAGE, members(messages))
    parts = [*inside(messages, "content"), *inside(inside(sdk.OPENAI, "prediction"), "content")]
    yield from by_type(at, "OPENAI_PARTS", fields.OPENAI_PARTS, parts)
    media = [one for row in fields.OPENAI_PARTS.values() if row.url for one in inside(parts, row.url)]
    yield Compared(at, "OPENAI_MEDIA", fields.OPENAI_MEDIA, members(media))
    tools = inside(sdk.OPENAI, "tools")
    yield from by_type(at, "OPENAI_TOOLS", fields.OPENAI_TOOLS, tools)
    yield Compared(at, "OPENAI_TOOL", fields.OPENAI_TOOL, members(tools))


def of_responses() -> Iterator[Compared]:
    at, asks = "openai", sdk.RESPONSES
    yield Compared(at, "RESPONSES", responses.RESPONSES.keys(), members(asks))
    items = inside(asks, "input")
    yield from by_type(at, "RESPONSES_ITEMS", responses.RESPONSES_ITEMS, items)
    output = [
        one
        for item in items
        if sdk.kinds(item) & {"function_call_output", "custom_tool_call_output", "computer_call_output"}
        for one in inside([item], "output")
    ]
    said = [item for item in items if sdk.kinds(item) & {"message", "reasoning"}]
    content = [
        *output,
        *inside(said, "content"),
        *inside(said, "summary"),
        *inside(inside(asks, "prompt"), "variables"),
    ]
    yield from by_type(at, "RESPONSES_CONTENT", responses.RESPONSES_CONTENT, content)
    offering = [item for item in items if sdk.kinds(item) & {"additional_tools", "tool_search_output"}]
    tools = closure([*inside(asks, "tools"), *inside(offering, "tools")], "tools")
    yield from by_type(at, "RESPONSES_TOOLS", responses.RESPONSES_TOOLS, tools, plain=fields.undated)
    chosen = {fields.undated(kind) for one in inside(asks, "tool_choice") for kind in sdk.kinds(one)}
    yield Compared(at, "RESPONSES_TOOLS chosen", responses.RESPONSES_TOOLS.keys(), chosen - {"allowed_tools"})
    shells = [one for one in (*tools, *items) if sdk.kinds(one) & {"shell", "shell_call"}]
    places = [*inside(shells, "environment"), *inside(tools, "container")]
    yield from by_type(at, "RESPONSES_ENVIRONMENTS", responses.RESPONSES_ENVIRONMENTS, places)
    wanted = {value for ask in asks for value in listed_literals(sdk.members(ask)["include"])}
    yield Compared(at, "RESPONSES_INCLUDE", responses.RESPONSES_INCLUDE.keys(), wanted)
    for operation, kinds in sdk.STORED.items():
        yield Compared(at, f"RESPONSES_QUERY.{operation}", responses.RESPONSES_QUERY[operation].keys(), members(kinds))
    yield Compared(at, "EMBEDDINGS", responses.EMBEDDINGS.keys(), members(sdk.EMBEDDINGS))


def of_further() -> Iterator[Compared]:
    at = "openai"
    yield Compared(at, "MODERATIONS", further.MODERATIONS.keys(), members(sdk.MODERATIONS))
    parts = inside(sdk.MODERATIONS, "input")
    sent = {name: set(sdk.members(part)) for part in parts for name in sdk.kinds(part)}
    yield Compared(at, "MODERATIONS_INPUT", further.MODERATIONS_INPUT.keys(), sent.keys())
    for name, listed in further.MODERATIONS_INPUT.items():
        yield Compared(at, f"MODERATIONS_INPUT.{name}", listed, sent[name])
    yield Compared(at, "MODERATIONS_IMAGE", further.MODERATIONS_IMAGE, members(inside(parts, "image_url")))
    yield Compared(at, "COMPLETIONS", further.COMPLETIONS.keys(), members(sdk.COMPLETIONS))
    yield Compared(at, "IMAGES", further.IMAGES.keys(), members(sdk.IMAGES))


def listed_literals(kind: Any) -> set[str]:
    """The literals of a type, those in its lists included."""
    found = {value for value in sdk.literals(kind) if isinstance(value, str)}
    for one in sdk.te.get_args(kind):
        found |= listed_literals(one)
    return found


def of_anthropic() -> Iterator[Compared]:
    at, asks = "anthropic", sdk.ANTHROPIC
    yield Compared(at, "ANTHROPIC_MESSAGES", fields.ANTHROPIC_MESSAGES.keys(), members(asks))
    messages = inside(asks, "messages")
    yield Compared(at, "ANTHROPIC_MESSAGE", fields.ANTHROPIC_MESSAGE, members(messages))
    blocks = [*inside(asks, "system"), *inside(messages, "content")]
    nesting = {"tool_result", "search_result", "mcp_tool_result", "compaction", "document"}
    waiting, seen = list(blocks), list[Any]()
    while waiting:
        block = waiting.pop()
        if block in seen:
            continue
        seen.append(block)
        if sdk.kinds(block) & nesting:
            waiting += [*inside([block], "tool_changes"), *inside(inside([block], "source"), "content")]
            waiting += inside([block], "content") if not sdk.kinds(block) & {"compaction", "document"} else []
    yield from by_type(at, "ANTHROPIC_BLOCKS", fields.ANTHROPIC_BLOCKS, seen)
    sources = [one for block in seen if sdk.kinds(block) & {"image", "document"} for one in inside([block], "source")]
    yield from by_type(at, "ANTHROPIC_SOURCES", fields.ANTHROPIC_SOURCES, sources)
    tools = inside(asks, "tools")
    yield from by_type(at, "ANTHROPIC_TOOLS", fields.ANTHROPIC_TOOLS, tools, untyped="custom", plain=fields.undated)
    custom = [tool for tool in tools if "custom" in (sdk.kinds(tool) or {"custom"})]
    yield Compared(at, "ANTHROPIC_TOOL", fields.ANTHROPIC_TOOL, members(custom))
    uses = [block for block in seen if "server_tool_use" in sdk.kinds(block)]
    names = {name for use in uses for name in listed_literals(sdk.members(use)["name"])}
    yield Compared(at, "ANTHROPIC_SERVER_TOOLS", fields.ANTHROPIC_SERVER_TOOLS.keys(), names)
    betas = {name for name in sdk.literals(AnthropicBetaParam) if isinstance(name, str)}
    yield Compared(at, "ANTHROPIC_BETAS", fields.ANTHROPIC_BETAS.keys(), betas)


def of_gemini() -> Iterator[Compared]:
    at = "gemini"
    for message, kind in sdk_gemini.messages():
        sent = {sdk_gemini.RENAMED.get(name, name) for name in sdk_gemini.wire(kind) if name not in sdk_gemini.NOT_SENT}
        listed = set(gemini.GEMINI.get(message, ()))
        if kind.__name__ in sdk_gemini.SENT_AS:
            # Arguments of the SDK beside its configuration; and what of it goes into the `generationConfig`.
            sent |= {"contents", "model"}
        if message == "GenerateContentRequest":
            listed |= sent & gemini.GEMINI["GenerationConfig"].keys()
            sent.add("generationConfig")
        if sent or listed:
            yield Compared(at, f"GEMINI.{message}", listed, sent)
    yield Compared(at, "MODALITIES", gemini.MODALITIES.keys(), {one.value for one in types.Modality})
    yield Compared(at, "TOOL_TYPES", gemini.TOOL_TYPES.keys(), {one.value for one in types.ToolType})


DIALECTS: Final[Mapping[str, tuple[Callable[[], Iterator[Compared]], ...]]] = {
    "openai": (of_chat, of_responses, of_further),
    "anthropic": (of_anthropic,),
    "gemini": (of_gemini,),
}


def compare() -> list[Compared]:
    return [one for makers in DIALECTS.values() for make in makers for one in make()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.dialects.registry_diff", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON array in place of the table")
    parser.add_argument("--all", action="store_true", help="also what agrees")
    options = parser.parse_args()
    found = compare()
    shown = [one for one in found if options.all or one.unclassed or one.ours_alone]
    if options.json:
        rows = [
            {"dialect": one.dialect, "table": one.table, "unclassed": one.unclassed, "ours_alone": one.ours_alone}
            for one in shown
        ]
        print(json.dumps(rows, indent=2))
    else:
        width = max(len(one.table) for one in found)
        print(f"{'dialect':10} {'table':{width}} difference")
        for one in shown:
            for what, names in (("unclassed", one.unclassed), ("ours alone", one.ours_alone)):
                if names:
                    print(f"{one.dialect:10} {one.table:{width}} {what}: {', '.join(names)}")
            if not (one.unclassed or one.ours_alone):
                print(f"{one.dialect:10} {one.table:{width}} none")
    return 1 if any(one.unclassed for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
