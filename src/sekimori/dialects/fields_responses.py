"""The dated field registry of two further operations of the OpenAI dialect: responses and embeddings.

Classes, date and sources are those of `fields`; docs/dialects.md shows these tables, and tests/dialects/test_fields.py
walks the SDK's types against them. What the tables cannot say is read in `responses`: which ids and URLs a value holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

# One registry in two files, for the sake of their length: so the makers of its tables are shared, though private.
from sekimori.dialects.fields import _OTHER_MODELS, INERT, OPENAI_CHAT, Rule, _inert, _table, needs

RESPONSES: Final = _table(
    _inert(
        "model", "input", "instructions", "stream", "stream_options", "temperature", "top_p", "top_logprobs",
        "max_output_tokens", "max_tool_calls", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning",
        "truncation", "include", "context_management", "image", "moderation", "user", "safety_identifier",
        "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
    ),
    {
        "store": needs("stored_state", False, note="set to `false` for an agent that may not have state kept"),
        "metadata": Rule(note="kept only with what is stored"),
        "previous_response_id": needs("stored_state"),
        "conversation": needs("stored_state"),
        "prompt": needs("stored_state", note="a prompt kept at the provider"),
        "background": needs("background", False),
        "background_options": needs("background", {}),
        "service_tier": needs("priority_tier", "auto", "default", "flex"),
        "access_programs": Rule(refused="it draws on special access that the provider gave to the owner of the key"),
    },
    # Not in OpenAI's own types: what servers of this dialect add.
    _inert(
        "top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty", "seed", "stop",
        "skip_special_tokens", "include_stop_str_in_output",
    ),
    {
        "plugins": needs("web_search", [], note="OpenRouter"),
        "models": _OTHER_MODELS,
        "route": _OTHER_MODELS,
        "fallbacks": _OTHER_MODELS,
        "data_sources": OPENAI_CHAT["data_sources"],
    },
)  # fmt: skip
"""Top-level members of `POST /v1/responses`."""


class Item(Struct, frozen=True):
    """One type of input item."""

    members: frozenset[str]
    rule: Rule = INERT
    own: tuple[str, ...] = ()
    """Members that hold what the item is. Where none of them holds anything, the item's `id` has the provider look up
    what it kept: an item by reference."""


def _item(*members: str, rule: Rule = INERT, own: tuple[str, ...] = ()) -> Item:
    return Item(frozenset({"type", "id", "status", *members}), rule, own)


_SEARCH: Final = needs("web_search")
_FILES: Final = needs("file_search")
_CODE: Final = needs("code_interpreter")
_IMAGES: Final = needs("image_generation")
_MCP: Final = needs("remote_mcp")
_MACHINE: Final = needs("computer_use")

RESPONSES_ITEMS: Final[Mapping[str, Item]] = MappingProxyType(
    {
        "message": _item("role", "content", "phase"),
        "item_reference": Item(frozenset({"type", "id"}), needs("stored_state")),
        "reasoning": _item("summary", "content", "encrypted_content", own=("encrypted_content", "content")),
        "compaction": _item("encrypted_content", own=("encrypted_content",)),
        "compaction_trigger": _item(),
        "configuration_update": _item("reasoning", "text"),
        "additional_tools": _item("role", "tools"),
        "function_call": _item("call_id", "name", "arguments", "async", "caller", "namespace"),
        "function_call_output": _item("call_id", "output", "caller", "name", "namespace"),
        "custom_tool_call": _item("call_id", "name", "input", "async", "caller", "namespace"),
        "custom_tool_call_output": _item("call_id", "output", "caller"),
        "tool_search_call": _item("call_id", "arguments", "execution"),
        "tool_search_output": _item("call_id", "tools", "execution"),
        "web_search_call": _item("action", rule=_SEARCH),
        "file_search_call": _item("queries", "results", rule=_FILES),
        "code_interpreter_call": _item("code", "container_id", "outputs", rule=_CODE),
        "program": _item("call_id", "code", "fingerprint", rule=_CODE),
        "program_output": _item("call_id", "result", rule=_CODE),
        "image_generation_call": _item(
            "result", "action", "background", "error", "output_format", "quality", "revised_prompt", "size",
            "svg_usage", rule=_IMAGES, own=("result",),
        ),
        "mcp_call": _item(
            "arguments", "name", "server_label", "approval_request_id", "error", "output", rule=_MCP
        ),
        "mcp_list_tools": _item("server_label", "tools", "error", rule=_MCP),
        "mcp_approval_request": _item("arguments", "name", "server_label", rule=_MCP),
        "mcp_approval_response": _item("approval_request_id", "approve", "reason", rule=_MCP),
        "computer_call": _item("call_id", "action", "actions", "pending_safety_checks", rule=_MACHINE),
        "computer_call_output": _item("call_id", "output", "acknowledged_safety_checks", rule=_MACHINE),
        "local_shell_call": _item("call_id", "action", rule=_MACHINE),
        "local_shell_call_output": _item("output", rule=_MACHINE),
        "shell_call": _item("call_id", "action", "caller", "environment", rule=_MACHINE),
        "shell_call_output": _item("call_id", "output", "caller", "max_output_length", rule=_MACHINE),
        "apply_patch_call": _item("call_id", "operation", "caller", rule=_MACHINE),
        "apply_patch_call_output": _item("call_id", "output", "caller", rule=_MACHINE),
    }
)  # fmt: skip
"""Types of input items. One without a type is a `message` where it has a role, else an `item_reference`."""


class Content(Struct, frozen=True):
    """One type of content part."""

    members: frozenset[str]
    urls: tuple[str, ...] = ()
    """Members that hold a URL: `data:` is inline, all else has the provider fetch it."""
    encoded: tuple[str, ...] = ()
    """Members that hold base64 or a URL."""


def _content(*members: str, urls: tuple[str, ...] = (), encoded: tuple[str, ...] = ()) -> Content:
    return Content(frozenset({"type", "prompt_cache_breakpoint", *members}), urls, encoded)


RESPONSES_CONTENT: Final[Mapping[str, Content]] = MappingProxyType(
    {
        "input_text": _content("text"),
        "input_image": _content("image_url", "file_id", "detail", urls=("image_url",)),
        "input_file": _content(
            "file_data", "file_id", "file_url", "filename", "detail", urls=("file_url",), encoded=("file_data",)
        ),
        "input_audio": _content("input_audio"),
        "output_text": _content("text", "annotations", "logprobs"),
        "refusal": _content("refusal"),
        "text": _content("text"),
        "summary_text": _content("text"),
        "reasoning_text": _content("text"),
        "computer_screenshot": _content("image_url", "file_id", urls=("image_url",)),
    }
)
"""Types of content parts. A `file_id` in any of them needs `files_by_id`. Citations in `annotations` tell where words
came from; nothing is opened by them."""

RESPONSES_AUDIO: Final = frozenset({"data", "format"})
"""Members of the object that an `input_audio` part holds."""


class Tool(Struct, frozen=True):
    """One type of tool."""

    members: frozenset[str]
    rule: Rule = INERT


def _tool(*members: str, rule: Rule = INERT) -> Tool:
    return Tool(frozenset({"type", *members}), rule)


RESPONSES_TOOLS: Final[Mapping[str, Tool]] = MappingProxyType(
    {
        "function": _tool(
            "name", "parameters", "strict", "description", "async", "allowed_callers", "defer_loading",
            "output_schema",
        ),
        "custom": _tool("name", "description", "format", "async", "allowed_callers", "defer_loading"),
        "namespace": _tool("name", "description", "tools"),
        "tool_search": _tool(
            "description", "execution", "parameters", rule=Rule(note="searches only among the tools of the same ask")
        ),
        "web_search": _tool(
            "external_web_access", "filters", "search_context_size", "user_location", rule=_SEARCH
        ),
        "web_search_preview": _tool(
            "search_content_types", "search_context_size", "user_location", rule=_SEARCH
        ),
        "file_search": _tool(
            "vector_store_ids", "filters", "max_num_results", "ranking_options", rule=_FILES
        ),
        "code_interpreter": _tool("container", "allowed_callers", rule=_CODE),
        "programmatic_tool_calling": _tool(rule=_CODE),
        "image_generation": _tool(
            "action", "background", "complexity", "frame_count", "frame_duration_ms", "input_fidelity",
            "input_image_mask", "model", "moderation", "output_compression", "output_format", "partial_images",
            "quality", "size", "svg", rule=_IMAGES,
        ),
        "mcp": _tool(
            "server_label", "server_url", "server_description", "connector_id", "tunnel_id", "authorization",
            "headers", "allowed_tools", "allowed_callers", "require_approval", "defer_loading", rule=_MCP,
        ),
        "computer": _tool(rule=_MACHINE),
        "computer_use": _tool("display_height", "display_width", "environment", rule=_MACHINE),
        "computer_use_preview": _tool("display_height", "display_width", "environment", rule=_MACHINE),
        "local_shell": _tool(rule=_MACHINE),
        "shell": _tool("environment", "allowed_callers", rule=_MACHINE),
        "apply_patch": _tool("allowed_callers", rule=_MACHINE),
    }
)  # fmt: skip
"""Tool types, a dated suffix set aside but for those that the agent itself runs."""

RESPONSES_ENVIRONMENTS: Final[Mapping[str, Item]] = MappingProxyType(
    {
        "local": Item(frozenset({"type", "skills"})),
        "auto": Item(frozenset({"type", "file_ids", "memory_limit", "network_policy"}), _CODE),
        "container_auto": Item(
            frozenset({"type", "file_ids", "memory_limit", "network_policy", "skills"}), _CODE
        ),
        "container_reference": Item(frozenset({"type", "container_id"}), _CODE),
    }
)  # fmt: skip
"""Where code or a shell runs: on the agent's own machine, or in a container of the provider."""

RESPONSES_INCLUDE: Final = _table(
    _inert(
        "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
        "message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs",
        "reasoning.encrypted_content", "message.output_text.logprobs",
    )
)  # fmt: skip
"""Values of `include`: each only has the reply say more of what was allowed to happen."""

_LATER: Final = Rule(refused="a stream that was left is not taken up again through here; fetch the response whole")

RESPONSES_QUERY: Final[Mapping[str, Mapping[str, Rule]]] = MappingProxyType(
    {
        "response_retrieve": _table(
            _inert("include", "include_obfuscation"),
            {"stream": Rule(note="only `false`"), "starting_after": _LATER},
        ),
        "response_items": _inert("after", "include", "limit", "order"),
        "response_delete": MappingProxyType({}),
        "response_cancel": MappingProxyType({}),
    }
)
"""Parameters of the query of a call about a stored response, by operation; `include` takes the values listed above."""

RESPONSES_SCHEMAS: Final = ("tools", "text", "input")
"""Members that hold JSON Schemas; `input` may define tools and formats."""

EMBEDDINGS: Final = _table(
    _inert("model", "input", "dimensions", "encoding_format", "user"),
    # Not in OpenAI's own types: what servers of this dialect add.
    _inert(
        "input_type", "truncate", "truncation", "output_dtype", "output_dimension", "truncate_prompt_tokens",
        "add_special_tokens", "embedding_type", "task", "normalized", "late_chunking",
    ),
    {"models": _OTHER_MODELS, "route": _OTHER_MODELS, "fallbacks": _OTHER_MODELS},
)  # fmt: skip
"""Top-level members of `POST /v1/embeddings`."""
