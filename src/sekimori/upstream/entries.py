"""The catalogue's entries: one for each kind of provider, as data. upstream/catalog reads them.

Each names where its facts stand (`source`) and when they were read (`date`). Where a reference is silent the general
rule holds, and docs/providers.md says what could not be found.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from sekimori.terms import Condition, CredentialKind, Dialect, Operation

Auth = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key"]
"""`Authorization: Bearer KEY` (RFC 6750 section 2.1), or the key alone in a field of that name."""
Shape = Literal["invoke", "raw_predict"]
"""How a cloud wants a body or frames a reply, where not as the dialect does; upstream/shapes has the edits."""
Paths = Mapping[tuple[Dialect, Operation], tuple[str, str]]
"""Of an operation the target of a plain and of a streamed call, with names in braces."""
Field = Literal["project", "location", "organization", "api_version", "deployments"]

_NO_PATHS: Final[Paths] = MappingProxyType({})


class Entry(Struct, frozen=True, kw_only=True):
    """One kind of provider."""

    name: str
    title: str
    source: str
    """Where the facts stand."""
    date: str
    """The day on which they were read there, in a stored copy that may be older."""
    base_url: str | None = None
    """Where it listens unless the document says; None where that depends on the document."""
    regional: str | None = None
    """The same with `{location}` for the document's location."""
    regions: tuple[tuple[str, str], ...] = ()
    """(location, or the beginning of some, ending in a hyphen; address): those that differ from `regional`."""
    dialects: frozenset[Dialect]
    """What such a provider may speak."""
    usual: frozenset[Dialect]
    """What it speaks unless the document says."""
    auth: Mapping[Dialect, tuple[Auth, ...]]
    """How the key is sent; every form carries the same key to the same origin."""
    conditions: Mapping[int, Condition] = MappingProxyType({})
    """Statuses that mean something other than the general rule (429 rate_limited, 529 overloaded, other 5xx
    server_error) by the provider's own reference."""
    include_usage: bool = False
    """OpenAI dialect: a stream tells its usage only when asked to (`stream_options.include_usage`). Else it is never
    asked, not even for a caller who did: such a provider refuses `stream_options`."""
    operations: Mapping[Dialect, frozenset[Operation]] = MappingProxyType({})
    """What it offers in a dialect; all of the dialect's operations where not said."""
    prefixes: Mapping[Dialect, str] = MappingProxyType({})
    """The folder that a dialect's paths lie in."""
    paths: Paths = _NO_PATHS
    """Paths of its own, for dialects whose paths are not the SDK's."""
    dated: Paths = _NO_PATHS
    """Instead of `paths`, where the document names an API version."""
    since: Mapping[Operation, str] = MappingProxyType({})
    """Of operations that not every dated version has: the day of the first that does."""
    express: Paths = _NO_PATHS
    """Instead of `paths`, where the document names no project; then only an API key serves."""
    shapes: Mapping[Dialect, Shape] = MappingProxyType({})
    plain_errors: bool = False
    """Its errors are not of the dialects' form (see shapes.plain_error)."""
    credentials: frozenset[CredentialKind] = frozenset({"api_key"})
    """What a key's secret may be."""
    scope: str = ""
    """OAuth 2.0 scope of a token for it."""
    service: str = ""
    """The name of the service in an AWS signature."""
    takes: frozenset[Field] = frozenset()
    """Fields of the document that mean something here."""
    needs: frozenset[Field] = frozenset()
    account: tuple[tuple[Field, bytes], ...] = ()
    """Fields of the document that are sent as header fields."""


_OPENAI: Final[frozenset[Dialect]] = frozenset({"openai"})
_ANTHROPIC: Final[frozenset[Dialect]] = frozenset({"anthropic"})
_BOTH: Final = _OPENAI | _ANTHROPIC
_GEMINI: Final[frozenset[Dialect]] = frozenset({"gemini"})
_CHAT: Final[frozenset[Operation]] = frozenset({"chat"})
_STORED: Final[frozenset[Operation]] = frozenset(
    {"response_retrieve", "response_delete", "response_cancel", "response_items"}
)
_BEARER: Final[tuple[Auth, ...]] = ("bearer",)
_GOOG: Final[tuple[Auth, ...]] = ("x-goog-api-key",)
_MODELS: Final = "/v1/projects/{project}/locations/{location}/publishers"
_EXPRESS: Final = "/v1/publishers"

ENTRIES: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(
                name="openai",
                title="OpenAI",
                source="https://platform.openai.com/docs/api-reference",
                date="2026-11-25",
                base_url="https://api.openai.com/v1",
                dialects=_OPENAI,
                usual=_OPENAI,
                auth={"openai": _BEARER},
                conditions={503: "overloaded"},
                include_usage=True,
                operations={
                    "openai": frozenset[Operation](
                        {"chat", "responses", "embeddings", "completions", "moderations", "images"}
                    )
                    | _STORED
                },
                takes=frozenset({"organization", "project"}),
                account=(("organization", b"openai-organization"), ("project", b"openai-project")),
            ),
            Entry(
                name="anthropic",
                title="Anthropic",
                source="https://platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk",
                date="2026-11-25",
                base_url="https://api.anthropic.com",
                dialects=_BOTH,
                # Anthropic calls its OpenAI dialect a layer for trying models out: only where a document wants it.
                usual=_ANTHROPIC,
                auth={"anthropic": ("x-api-key",), "openai": _BEARER},
                include_usage=True,
                operations={"openai": _CHAT},
            ),
            Entry(
                name="gemini",
                title="Google Gemini API",
                source="https://ai.google.dev/gemini-api/docs/openai",
                date="2026-11-25",
                base_url="https://generativelanguage.googleapis.com",
                dialects=_GEMINI | _OPENAI,
                usual=_GEMINI | _OPENAI,
                auth={"gemini": _GOOG, "openai": _BEARER},
                conditions={503: "overloaded"},
                include_usage=True,
                paths={
                    ("openai", "chat"): 2 * ("/v1beta/openai/chat/completions",),
                    ("openai", "embeddings"): 2 * ("/v1beta/openai/embeddings",),
                },
            ),
            Entry(
                name="azure",
                title="Azure OpenAI (Microsoft Foundry)",
                source="https://learn.microsoft.com/en-us/azure/foundry/openai/api-version-lifecycle",
                date="2026-11-25",
                dialects=_BOTH,
                usual=_OPENAI,
                auth={"openai": ("api-key",), "anthropic": ("x-api-key", "api-key")},
                include_usage=True,
                operations={
                    "openai": frozenset[Operation]({"chat", "responses", "embeddings", "completions", "images"})
                    | _STORED,
                    "anthropic": frozenset({"chat", "count_tokens"}),
                },
                prefixes={"openai": "/openai", "anthropic": "/anthropic"},
                dated={
                    ("openai", "chat"): 2
                    * ("/openai/deployments/{deployment}/chat/completions?api-version={api_version}",),
                    ("openai", "embeddings"): 2
                    * ("/openai/deployments/{deployment}/embeddings?api-version={api_version}",),
                    ("openai", "completions"): 2
                    * ("/openai/deployments/{deployment}/completions?api-version={api_version}",),
                    ("openai", "images"): 2
                    * ("/openai/deployments/{deployment}/images/generations?api-version={api_version}",),
                    ("openai", "responses"): 2 * ("/openai/responses?api-version={api_version}",),
                    ("openai", "response_retrieve"): 2 * ("/openai/responses/{object}?api-version={api_version}",),
                    ("openai", "response_delete"): 2 * ("/openai/responses/{object}?api-version={api_version}",),
                    ("openai", "response_cancel"): 2 * ("/openai/responses/{object}/cancel?api-version={api_version}",),
                    ("openai", "response_items"): 2
                    * ("/openai/responses/{object}/input_items?api-version={api_version}",),
                },
                since={
                    "responses": "2025-03-01",
                    "response_retrieve": "2025-03-01",
                    "response_delete": "2025-03-01",
                    "response_items": "2025-03-01",
                    "response_cancel": "2025-04-01",  # with background work
                },
                credentials=frozenset({"api_key", "entra"}),
                scope="https://cognitiveservices.azure.com/.default",
                takes=frozenset({"api_version", "deployments"}),
            ),
            Entry(
                name="vertex",
                title="Google Vertex AI",
                source="https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest",
                date="2026-11-25",
                base_url="https://aiplatform.googleapis.com",
                regional="https://{location}-aiplatform.googleapis.com",
                regions=(
                    ("global", "https://aiplatform.googleapis.com"),
                    ("us", "https://aiplatform.us.rep.googleapis.com"),
                    ("eu", "https://aiplatform.eu.rep.googleapis.com"),
                ),
                dialects=_BOTH | {"gemini"},
                usual=_BOTH | {"gemini"},
                auth={"openai": _BEARER, "anthropic": _BEARER, "gemini": ("x-goog-api-key",)},
                include_usage=True,
                paths={
                    ("openai", "chat"): 2
                    * ("/v1/projects/{project}/locations/{location}/endpoints/openapi/chat/completions",),
                    ("anthropic", "chat"): (
                        _MODELS + "/anthropic/models/{model}:rawPredict",
                        _MODELS + "/anthropic/models/{model}:streamRawPredict",
                    ),
                    ("anthropic", "count_tokens"): 2 * (_MODELS + "/anthropic/models/count-tokens:rawPredict",),
                    ("gemini", "chat"): (
                        _MODELS + "/google/models/{model}:generateContent",
                        _MODELS + "/google/models/{model}:streamGenerateContent?alt=sse",
                    ),
                    ("gemini", "count_tokens"): 2 * (_MODELS + "/google/models/{model}:countTokens",),
                    ("gemini", "embeddings"): 2 * (_MODELS + "/google/models/{model}:embedContent",),
                },
                express={
                    ("gemini", "chat"): (
                        _EXPRESS + "/google/models/{model}:generateContent",
                        _EXPRESS + "/google/models/{model}:streamGenerateContent?alt=sse",
                    ),
                    ("gemini", "count_tokens"): 2 * (_EXPRESS + "/google/models/{model}:countTokens",),
                },
                shapes={"anthropic": "raw_predict"},
                plain_errors=True,
                credentials=frozenset({"api_key", "google_service_account", "google_external_account"}),
                scope="https://www.googleapis.com/auth/cloud-platform",
                takes=frozenset({"project", "location"}),
            ),
            Entry(
                name="bedrock",
                title="Amazon Bedrock (runtime)",
                source="https://docs.aws.amazon.com/bedrock/latest/userguide/apis.html",
                date="2026-11-25",
                regional="https://bedrock-runtime.{location}.amazonaws.com",
                regions=(
                    ("cn-", "https://bedrock-runtime.{location}.amazonaws.com.cn"),
                    ("eusc-", "https://bedrock-runtime.{location}.amazonaws.eu"),
                ),
                dialects=_BOTH,
                usual=_BOTH,
                auth={"openai": _BEARER, "anthropic": _BEARER},
                include_usage=True,
                operations={"openai": frozenset({"chat", "responses"})},
                prefixes={"openai": "/openai"},
                paths={("anthropic", "chat"): ("/model/{model}/invoke", "/model/{model}/invoke-with-response-stream")},
                shapes={"anthropic": "invoke"},
                plain_errors=True,
                credentials=frozenset({"api_key", "aws"}),
                service="bedrock",
                takes=frozenset({"location"}),
                needs=frozenset({"location"}),
            ),
            Entry(
                name="bedrock_mantle",
                title="Amazon Bedrock (mantle)",
                source="https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html",
                date="2026-11-25",
                regional="https://bedrock-mantle.{location}.api.aws",
                dialects=_BOTH,
                usual=_BOTH,
                auth={"openai": _BEARER, "anthropic": _BEARER},
                include_usage=True,
                operations={"openai": frozenset({"chat", "responses"}), "anthropic": _CHAT},
                prefixes={"anthropic": "/anthropic"},
                plain_errors=True,
                credentials=frozenset({"api_key", "aws"}),
                service="bedrock-mantle",
                takes=frozenset({"location"}),
                needs=frozenset({"location"}),
            ),
            Entry(
                name="mistral",
                title="Mistral",
                source="https://docs.mistral.ai/api",
                date="2026-11-25",
                base_url="https://api.mistral.ai/v1",
                dialects=_OPENAI,
                usual=_OPENAI,
                auth={"openai": _BEARER},
                operations={"openai": frozenset({"chat", "embeddings", "moderations"})},
                plain_errors=True,
            ),
            Entry(
                name="groq",
                title="Groq",
                source="https://console.groq.com/docs/errors",
                date="2026-11-25",
                base_url="https://api.groq.com/openai/v1",
                dialects=_OPENAI,
                usual=_OPENAI,
                auth={"openai": _BEARER},
                conditions={498: "overloaded"},
                include_usage=True,
                operations={"openai": frozenset({"chat", "responses"})},
            ),
            Entry(
                name="openrouter",
                title="OpenRouter",
                source="https://openrouter.ai/docs/api/reference/errors-and-debugging",
                date="2026-11-25",
                base_url="https://openrouter.ai/api/v1",
                dialects=_BOTH,
                usual=_BOTH,
                auth={"openai": _BEARER, "anthropic": _BEARER},
                include_usage=True,
                operations={"openai": frozenset({"chat", "completions"}), "anthropic": _CHAT},
            ),
            Entry(
                name="deepseek",
                title="DeepSeek",
                source="https://api-docs.deepseek.com/guides/anthropic_api",
                date="2026-11-25",
                base_url="https://api.deepseek.com",
                dialects=_BOTH,
                usual=_BOTH,
                auth={"openai": _BEARER, "anthropic": ("x-api-key",)},
                conditions={503: "overloaded"},
                include_usage=True,
                operations={"openai": _CHAT, "anthropic": _CHAT},
                prefixes={"anthropic": "/anthropic"},
            ),
            Entry(
                name="xai",
                title="xAI",
                source="https://docs.x.ai/api/integrations",
                date="2026-11-25",
                base_url="https://api.x.ai/v1",
                dialects=_BOTH,
                usual=_BOTH,
                auth={"openai": _BEARER, "anthropic": ("x-api-key",)},
                include_usage=True,
                operations={
                    # What is kept can be fetched and deleted; nothing is worked on in the background.
                    "openai": frozenset({"chat", "responses", "response_retrieve", "response_delete"}),
                    "anthropic": _CHAT,
                },
            ),
            Entry(
                name="compatible",
                title="Any server that speaks one of the dialects (vLLM, llama.cpp, Ollama, a gateway)",
                source="docs/providers.md",
                date="2026-11-25",
                dialects=_BOTH | _GEMINI,
                usual=_OPENAI,
                # Such servers look for the key where OpenAI's SDK puts it even when they speak Anthropic's dialect.
                auth={"openai": _BEARER, "anthropic": ("x-api-key", "bearer"), "gemini": _GOOG},
                conditions={503: "overloaded"},
                include_usage=True,
            ),
            Entry(
                name="sandbox",
                title="Sekimori's own practice provider",
                source="docs/sandbox.md",
                date="2026-11-25",
                dialects=_BOTH | _GEMINI,
                usual=_BOTH | _GEMINI,
                auth={"openai": _BEARER, "anthropic": ("x-api-key",), "gemini": _GOOG},
                conditions={503: "overloaded"},
                include_usage=True,
            ),
        )
    }
)
