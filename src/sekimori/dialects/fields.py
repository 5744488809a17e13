"""The dated field registry: what an ask may hold, and what each field would have the provider do.

What is not listed here is refused unless the agent's document allows it by name, because what a provider does for an
agent (fetch a URL, run code, keep state) leaves our sight: it is egress. Three classes:

- inert: shapes the answer, reaches nothing; travels untouched;
- a capability: has the provider do something; travels if the agent's document lists that capability;
- refused: cannot be carried safely by a gateway; the note says why.

Derived from the SDKs named in `SOURCES`; tests/dialects/test_fields.py walks their types and fails when one of them
can send something that has no class here. docs/dialects.md shows these tables; a test keeps it complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

DATE: Final = "2026-11-22"
"""The day on which these tables were last compared with their sources."""
SOURCES: Final[Mapping[str, str]] = MappingProxyType({"openai": "openai 3.54.0", "anthropic": "anthropic 2.12.0"})
"""Dialect -> the SDK release whose types the tables were derived from."""

CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "images_by_url": "the provider fetches what the agent names by URL: images, documents, sound, video, schemas",
        "files_by_id": "the agent names files kept at the provider",
        "web_search": "the provider searches the web",
        "web_fetch": "the provider fetches web pages that the model names",
        "file_search": "the provider searches stores of documents that it keeps",
        "code_interpreter": "the provider runs code that the model writes, in its own containers",
        "image_generation": "the provider makes images with a tool of its own",
        "remote_mcp": "the provider calls MCP servers that the agent names",
        "computer_use": "the model drives the agent's own machine: screen, browser, shell, editor",
        "memory": "the model keeps files of its own by the agent's memory tool",
        "stored_state": "the provider keeps the conversation, or is asked to go on from what it kept",
        "background": "the provider works on after the call has ended",
        "audio_out": "the provider answers with sound, which no guard reads",
        "priority_tier": "the provider serves faster at a higher price",
        "inference_geo": "the agent chooses in which region the provider computes",
        "unknown_fields": "fields and content types that the registry does not know are passed on unread",
        "unknown_tools": "tool types that the registry does not know are passed on unread",
        "unknown_betas": "beta features that the registry does not know are passed on",
    }
)
"""The closed list of what an agent may be granted beyond a plain call, a line each."""


class Rule(Struct, frozen=True):
    """The class of one field, content type, tool type or beta."""

    capability: str = ""
    """The capability it needs; empty where it is inert or refused."""
    refused: str = ""
    """Why it is never carried; empty where it may be."""
    harmless: tuple[Any, ...] = ()
    """Values with which it asks for nothing (null always does)."""
    note: str = ""

    @property
    def inert(self) -> bool:
        return not (self.capability or self.refused)


INERT: Final = Rule()


def needs(capability: str, *harmless: Any, note: str = "") -> Rule:
    assert capability in CAPABILITIES, capability
    return Rule(capability=capability, harmless=harmless, note=note)


def _inert(*names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, INERT)


def _table(*parts: Mapping[str, Rule]) -> Mapping[str, Rule]:
    whole: dict[str, Rule] = {}
    for part in parts:
        assert not whole.keys() & part.keys(), whole.keys() & part.keys()
        whole.update(part)
    return MappingProxyType(whole)


_OTHER_MODELS: Final = Rule(refused="it lets the provider answer with another model than the one that was decided on")
_BILLING: Final = Rule(refused="it moves the bill or the identity that the provider sees")
_ADMIN: Final = Rule(refused="it belongs to the provider's administration, which is not reached through here")

OPENAI_CHAT: Final = _table(
    _inert(
        "model", "messages", "stream", "stream_options", "temperature", "top_p", "n", "stop", "seed", "max_tokens",
        "max_completion_tokens", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs",
        "response_format", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "modalities",
        "prediction", "reasoning_effort", "verbosity", "user", "safety_identifier", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "moderation",
    ),
    {
        "store": needs("stored_state", False),
        "metadata": needs("stored_state", {}, note="kept with the stored completion"),
        "web_search_options": needs("web_search"),
        "audio": needs("audio_out"),
        "service_tier": needs("priority_tier", "auto", "default", "flex"),
    },
    # Not in OpenAI's own types: what servers of this dialect add, each harmless or classed.
    _inert(
        "top_k", "top_a", "min_p", "typical_p", "repetition_penalty", "length_penalty", "min_tokens", "ignore_eos",
        "stop_token_ids", "skip_special_tokens", "spaces_between_special_tokens", "include_stop_str_in_output",
        "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "grammar",
        "json_schema", "cache_prompt", "random_seed", "safe_prompt", "reasoning", "include_reasoning",
        "reasoning_format", "thinking", "enable_thinking", "thinking_budget",
    ),
    {
        "search_parameters": needs("web_search", note="xAI"),
        "search_domain_filter": needs("web_search", note="Perplexity"),
        "enable_search": needs("web_search", False, note="Qwen"),
        "plugins": needs("web_search", [], note="OpenRouter"),
        "previous_response_id": needs("stored_state"),
        "conversation": needs("stored_state"),
        "background": needs("background", False),
        "models": _OTHER_MODELS,
        "route": _OTHER_MODELS,
        "fallbacks": _OTHER_MODELS,
        "data_sources": Rule(refused="it holds addresses and credentials that the provider would use"),
    },
)  # fmt: skip
"""Top-level members of `POST /v1/chat/completions`."""

OPENAI_MESSAGE: Final = frozenset(
    {
        "role", "content", "name", "refusal", "audio", "tool_calls", "function_call", "tool_call_id",
        # What agents send back from answers of OpenAI and of compatible servers.
        "annotations", "reasoning", "reasoning_content", "reasoning_details", "prefix", "partial", "cache_control",
        "extra_content", "provider_specific_fields",
    }
)  # fmt: skip
"""Members of a message; `audio` names sound kept at the provider."""


class Part(Struct, frozen=True):
    """One type of content part or block."""

    members: frozenset[str]
    rule: Rule = INERT
    url: str = ""
    """Member that holds a URL, or an object with one: `data:` is inline, all else has the provider fetch it."""


def _part(*members: str, url: str = "", rule: Rule = INERT) -> Part:
    return Part(frozenset({"type", "cache_control", "prompt_cache_breakpoint", *members}), rule, url)


OPENAI_PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "text": _part("text"),
        "refusal": _part("refusal"),
        "image_url": _part("image_url", url="image_url"),
        "input_audio": _part("input_audio", url="input_audio"),
        "file": _part("file", url="file"),
        # Compatible servers (vLLM, Qwen, OpenRouter).
        "audio_url": _part("audio_url", url="audio_url"),
        "video_url": _part("video_url", url="video_url"),
        "thinking": _part("thinking", "signature"),
    }
)
OPENAI_MEDIA: Final = frozenset({"url", "detail", "data", "format", "file_data", "file_id", "filename"})
"""Members of the object that a media part holds. `url`, `data` and `file_data` may be URLs; `file_id` is an id."""

OPENAI_SCHEMAS: Final = (
    "tools", "functions", "response_format", "json_schema", "guided_json", "structured_outputs",
)  # fmt: skip
"""Members that hold JSON Schemas, whose references a server may follow."""

OPENAI_TOOL: Final = frozenset({"type", "function", "custom", "cache_control"})
"""Members of a tool that the agent itself runs."""
OPENAI_TOOL_MEMBERS: Final = OPENAI_TOOL | frozenset(
    {
        "name", "description", "parameters", "strict", "format", "allowed_tools", "mode", "tools", "container",
        "environment", "server_url", "server_label", "server_description", "connector_id", "authorization", "headers",
        "require_approval", "vector_store_ids", "filters", "max_num_results", "ranking_options", "search_context_size",
        "user_location", "file_ids", "memory_limit", "tunnel_id", "network_policy", "input_image_mask",
        "model", "skills",
    }
)  # fmt: skip
"""Members of any tool, the provider's own included: one that differs from them in case alone is refused, also where
the tool's type is not known."""
OPENAI_TOOLS: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "function": INERT,
        "custom": INERT,
        "web_search": needs("web_search"),
        "web_search_preview": needs("web_search"),
        "live_search": needs("web_search"),
        "browser_search": needs("web_search"),
        "file_search": needs("file_search"),
        "code_interpreter": needs("code_interpreter"),
        "code_execution": needs("code_interpreter"),
        "image_generation": needs("image_generation"),
        "mcp": needs("remote_mcp"),
        "computer": needs("computer_use"),
        "computer_use": needs("computer_use"),
        "computer_use_preview": needs("computer_use"),
        "local_shell": needs("computer_use"),
        "shell": needs("computer_use"),
        "apply_patch": needs("computer_use"),
    }
)
"""Tool types, a dated suffix (`_2026_01_31`, `_20260131`) set aside."""

ANTHROPIC_MESSAGES: Final = _table(
    _inert(
        "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k",
        "tools", "tool_choice", "thinking", "metadata", "output_config", "output_format", "cache_control",
        "context_management", "compaction",
    ),
    {
        "mcp_servers": needs("remote_mcp", []),
        "container": needs("code_interpreter"),
        "thread": needs("stored_state"),
        "diagnostics": needs("stored_state", {}, {"previous_message_id": None}),
        "service_tier": needs("priority_tier", "auto", "standard_only"),
        "speed": needs("priority_tier", "standard"),
        "inference_geo": needs("inference_geo"),
        "fallbacks": _OTHER_MODELS,
        "fallback_credit_token": _OTHER_MODELS,
        "billing_policy": _BILLING,
        "betas": Rule(refused="betas are named in the header `anthropic-beta`"),
        "anthropic_beta": Rule(refused="betas are named in the header `anthropic-beta`"),
        "anthropic_version": Rule(refused="the version is named in the header `anthropic-version`"),
        "user_profile_id": _BILLING,
        "workspace_id": _BILLING,
    },
)  # fmt: skip
"""Top-level members of `POST /v1/messages`, and of `/v1/messages/count_tokens`, which takes some of them."""

ANTHROPIC_MCP_SERVER: Final = frozenset({"type", "name", "url", "authorization_token", "tool_configuration"})
ANTHROPIC_CONTAINER: Final = frozenset({"id", "skills"})
ANTHROPIC_SKILL: Final = frozenset({"type", "skill_id", "version"})
ANTHROPIC_THREAD: Final = frozenset({"type", "previous_message_id"})
ANTHROPIC_DIAGNOSTICS: Final = frozenset({"previous_message_id"})
"""Members of the objects that name a server, a container, a skill or an earlier message."""
ANTHROPIC_MESSAGE: Final = frozenset({"role", "content", "clear_at", "output_config"})
ANTHROPIC_ROLES: Final = frozenset({"user", "assistant", "system"})


ANTHROPIC_SCHEMAS: Final = ("tools", "output_config", "output_format", "messages")
"""Members that hold JSON Schemas; `messages` may define tools."""


def _block(*members: str, rule: Rule = INERT) -> Part:
    return Part(frozenset({"type", "cache_control", *members}), rule)


_CODE: Final = needs("code_interpreter")
_ADVISOR: Final = Rule(refused="it has another model answer, which was not decided on")
ANTHROPIC_BLOCKS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "text": _block("text", "citations"),
        "image": _block("source", "transformations"),
        "document": _block("source", "citations", "context", "title"),
        "search_result": _block("content", "source", "title", "citations"),
        "thinking": _block("thinking", "signature"),
        "redacted_thinking": _block("data"),
        "tool_use": _block("id", "name", "input", "caller", "toolset_name"),
        "tool_result": _block("tool_use_id", "content", "is_error", "toolset_name"),
        "tool_reference": _block("tool_name"),
        "tool_search_tool_result": _block("tool_use_id", "content"),
        "tool_addition": _block("tool"),
        "tool_removal": _block("tool"),
        "compaction": _block("content", "encrypted_content", "signature", "tool_changes"),
        "server_tool_use": _block("id", "name", "input", "caller"),
        "web_search_tool_result": _block("tool_use_id", "content", "caller", rule=needs("web_search")),
        "web_fetch_tool_result": _block("tool_use_id", "content", "caller", rule=needs("web_fetch")),
        "code_execution_tool_result": _block("tool_use_id", "content", rule=_CODE),
        "bash_code_execution_tool_result": _block("tool_use_id", "content", rule=_CODE),
        "text_editor_code_execution_tool_result": _block("tool_use_id", "content", rule=_CODE),
        "container_upload": _block("file_id", rule=_CODE),
        "mcp_tool_use": _block("id", "name", "input", "server_name", rule=needs("remote_mcp")),
        "mcp_tool_result": _block("tool_use_id", "content", "is_error", rule=needs("remote_mcp")),
        "mcp_tool_listing": _block("mcp_server_name", "tools", rule=needs("remote_mcp")),
        "browser_state": _block("tabs", "state_changes", rule=needs("computer_use")),
        "advisor_tool_result": _block("tool_use_id", "content", rule=_ADVISOR),
        "fallback": _block("from", "to", "trigger", rule=_OTHER_MODELS),
    }
)
"""Content blocks. Sources of images and documents are read further: see ANTHROPIC_SOURCES."""

ANTHROPIC_SOURCES: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "base64": Part(frozenset({"type", "media_type", "data"})),
        "text": Part(frozenset({"type", "media_type", "data"})),
        "content": Part(frozenset({"type", "content"})),
        "url": Part(frozenset({"type", "url"}), needs("images_by_url")),
        "file": Part(frozenset({"type", "file_id"}), needs("files_by_id")),
    }
)

ANTHROPIC_SERVER_TOOLS: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "web_search": needs("web_search"),
        "web_fetch": needs("web_fetch"),
        "code_execution": _CODE,
        "bash_code_execution": _CODE,
        "text_editor_code_execution": _CODE,
        "tool_search_tool_regex": INERT,
        "tool_search_tool_bm25": INERT,
        "advisor": _ADVISOR,
    }
)
"""Names in a `server_tool_use` block of the history: one without its result is run when the conversation goes on."""

ANTHROPIC_TOOL: Final = frozenset(
    {
        "type", "name", "description", "input_schema", "cache_control", "strict", "defer_loading", "allowed_callers",
        "eager_input_streaming", "input_examples",
    }
)  # fmt: skip
"""Members of a tool that the agent itself runs."""
ANTHROPIC_TOOL_MEMBERS: Final = ANTHROPIC_TOOL | OPENAI_TOOL_MEMBERS | frozenset(
    {
        "allowed_domains", "blocked_domains", "citations", "max_content_tokens", "max_uses", "user_location",
        "url_sources", "use_cache", "response_inclusion", "configs", "default_config", "mcp_server_name", "model",
        "display_height_px", "display_width_px", "display_number", "enable_zoom", "max_characters", "caching",
        "max_tokens", "tools",
    }
)  # fmt: skip
"""Members of any tool, the provider's own included: as OPENAI_TOOL_MEMBERS, whose servers often speak both dialects."""
ANTHROPIC_TOOLS: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "custom": INERT,
        "web_search": needs("web_search"),
        "web_fetch": needs("web_fetch"),
        "code_execution": _CODE,
        "mcp_toolset": needs("remote_mcp"),
        "computer": needs("computer_use"),
        "computer_toolset": needs("computer_use"),
        "browser_toolset": needs("computer_use"),
        "bash": needs("computer_use"),
        "text_editor": needs("computer_use"),
        "memory": needs("memory"),
        "tool_search_tool_bm25": Rule(note="searches only among the tools of the same ask"),
        "tool_search_tool_regex": Rule(note="searches only among the tools of the same ask"),
        "advisor": _ADVISOR,
    }
)
"""Tool types, a dated suffix (`_20260318`) set aside."""

ANTHROPIC_VERSIONS: Final = ("2023-06-01", "2026-10-21")
"""Values of `anthropic-version` that these tables and readers describe; the second is what the SDK of 2.12 sends."""
ANTHROPIC_BETAS: Final = _table(
    _inert(
        "output-128k-2025-02-19", "output-300k-2026-03-24", "dev-full-thinking-2025-05-14",
        "interleaved-thinking-2025-05-14", "context-1m-2025-08-07", "context-management-2025-06-27",
        "model-context-window-exceeded-2025-08-26", "thinking-token-count-2026-05-13", "compact-2026-01-12",
        "compact-2026-09-04", "structured-outputs-2025-11-13", "task-budgets-2026-03-13",
        "thinking-display-updates-2026-08-18", "thinking-binding-controls-2026-08-01",
        "mid-conversation-output-config-2026-07-01", "mid-conversation-system-clear-at-2026-08-21",
        "mid-conversation-tool-changes-2026-07-01", "inline-tools-2026-09-15", "message-batches-2024-09-24",
        "prompt-caching-2024-07-31", "pdfs-2024-09-25", "token-counting-2024-11-01",
        "token-efficient-tools-2025-02-19", "extended-cache-ttl-2025-04-11", "cache-diagnosis-2026-04-07",
        # Sent by agents, no longer in the SDK's list.
        "claude-code-20250219", "fine-grained-tool-streaming-2025-05-14", "search-results-2025-06-09",
        "effort-2025-11-24", "tool-search-tool-2025-10-19", "tool-examples-2025-10-29",
        "advanced-tool-use-2025-11-20", "max-tokens-3-5-sonnet-2024-07-15",
    ),
    dict.fromkeys(
        ("computer-use-2024-10-22", "computer-use-2025-01-24", "computer-use-2025-11-24"), needs("computer_use")
    ),
    dict.fromkeys(
        ("mcp-client-2025-04-04", "mcp-client-2025-11-20", "mcp-client-2026-09-15", "mcp-tunnels-2026-06-22"),
        needs("remote_mcp"),
    ),
    dict.fromkeys(("code-execution-2025-05-22", "code-execution-2025-08-25", "skills-2025-10-02"), _CODE),
    {
        "web-fetch-2025-09-10": needs("web_fetch"),
        "files-api-2025-04-14": needs("files_by_id"),
        "fast-mode-2026-02-01": needs("priority_tier"),
        "agent-memory-2026-07-22": needs("memory"),
        "message-threads-2026-08-12": needs("stored_state"),
        "advisor-tool-2026-03-01": _ADVISOR,
    },
    dict.fromkeys(
        ("server-side-fallback-2026-06-01", "server-side-fallback-2026-07-01", "fallback-credit-2026-06-01",
         "fallback-credit-2026-07-01"),
        _OTHER_MODELS,
    ),
    dict.fromkeys(
        ("user-profiles-2026-03-24", "user-profiles-2026-08-18", "user-profiles-2026-09-04",
         "user-profiles-billing-2026-10-01"),
        _BILLING,
    ),
    dict.fromkeys(
        ("managed-agents-2026-04-01", "dreaming-2026-04-21", "ce-plugins-2026-09-01", "ce-user-management-2026-07-13",
         "ce-claude-code-managed-settings-2026-10-06", "spend-limit-reads-2026-09-26",
         "telemetry-destinations-2026-08-11", "webhooks-2026-10-07", "admin-user-sign-out-2026-10-08",
         "analytics-usage-cost-2026-08-24", "experimental-claude-tag-2026-10-21"),
        _ADMIN,
    ),
)  # fmt: skip
"""Values of the header `anthropic-beta`."""

_DATED: Final = re.compile(r"_(?:\d{8}|\d{4}_\d\d_\d\d)\Z", re.ASCII)


def undated(kind: str) -> str:
    """A tool type without its dated suffix: a new date of a known tool needs the same capability."""
    return _DATED.sub("", kind)
