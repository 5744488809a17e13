"""LiteLLM's provider prefixes (`provider/model`, read November 2026) and what serves their models here.

A catalogue entry of the same provider comes first. Where this version has none, the provider's own OpenAI-compatible
address does, as a `compatible` provider; where there is no such address either, the models are left out and the reason
says so.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from sekimori.upstream.catalog import ENTRIES


class Served(Struct, frozen=True):
    """How the models of a prefix are served."""

    catalog: str = "compatible"
    """The entry that is meant for it."""
    base_url: str | None = None
    """Of its OpenAI-compatible API, for when there is no such entry."""
    variable: str = ""
    """Where LiteLLM looks for the key when the file names none."""
    own: bool = False
    """A server that someone runs: the file must say where, and it may want no key."""
    root: bool = False
    """The file names the server's root, below which the OpenAI dialect is at /v1."""
    families: tuple[str, ...] = ("*",)
    """The provider's own models, where `*` stands for all of them."""
    reason: str = ""
    """Why its models cannot be carried, whatever else is known."""

    @property
    def known(self) -> bool:
        """Whether this version has the entry."""
        return self.catalog in ENTRIES


_OPENAI: Final = ("gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "text-embedding-*", "ft:*")
_BASE: Final = "its API is no dialect that Sekimori speaks"

ORIGINS: Final[dict[str, Served]] = {
    "openai": Served("openai", variable="OPENAI_API_KEY", families=_OPENAI),
    "anthropic": Served("anthropic", variable="ANTHROPIC_API_KEY", families=("claude-*",)),
    "azure": Served("azure", variable="AZURE_API_KEY"),
    "azure_ai": Served("compatible", variable="AZURE_AI_API_KEY", own=True),
    "gemini": Served(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        families=("gemini-*", "gemma-*", "text-embedding-*"),
    ),
    "vertex_ai": Served("vertex", variable="GOOGLE_APPLICATION_CREDENTIALS", families=("gemini-*", "google/gemini-*")),
    "bedrock": Served("bedrock", variable="AWS_BEARER_TOKEN_BEDROCK"),
    "mistral": Served("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "groq": Served("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "openrouter": Served("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "deepseek": Served("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", families=("deepseek-*",)),
    "xai": Served("xai", "https://api.x.ai/v1", "XAI_API_KEY", families=("grok-*",)),
    "together_ai": Served(base_url="https://api.together.xyz/v1", variable="TOGETHERAI_API_KEY"),
    "fireworks_ai": Served(base_url="https://api.fireworks.ai/inference/v1", variable="FIREWORKS_AI_API_KEY"),
    "cerebras": Served(base_url="https://api.cerebras.ai/v1", variable="CEREBRAS_API_KEY"),
    "nvidia_nim": Served(base_url="https://integrate.api.nvidia.com/v1", variable="NVIDIA_NIM_API_KEY"),
    "deepinfra": Served(base_url="https://api.deepinfra.com/v1/openai", variable="DEEPINFRA_API_KEY"),
    "sambanova": Served(base_url="https://api.sambanova.ai/v1", variable="SAMBANOVA_API_KEY"),
    "moonshot": Served(base_url="https://api.moonshot.ai/v1", variable="MOONSHOT_API_KEY"),
    "ollama": Served(own=True, root=True),
    "ollama_chat": Served(own=True, root=True),
    "hosted_vllm": Served(own=True, variable="HOSTED_VLLM_API_KEY"),
    "vllm": Served(own=True),
    "openai_like": Served(own=True),
    "custom_openai": Served(own=True),
    "lm_studio": Served(own=True, variable="LM_STUDIO_API_KEY"),
    "llamafile": Served(own=True),
    "xinference": Served(own=True, variable="XINFERENCE_API_KEY"),
    "litellm_proxy": Served(own=True, variable="LITELLM_PROXY_API_KEY"),
    "huggingface": Served(own=True, root=True, variable="HUGGINGFACE_API_KEY"),
    "text-completion-openai": Served(reason="it is called at /v1/completions, which Sekimori does not serve"),
    "sagemaker": Served(reason=_BASE),
    "sagemaker_chat": Served(reason=_BASE),
    "cohere": Served(reason=_BASE),
    "cohere_chat": Served(reason=_BASE),
    "replicate": Served(reason=_BASE),
    "watsonx": Served(reason=_BASE),
    "databricks": Served(reason="its address holds a workspace, which the file does not name here"),
    "palm": Served(reason="the provider has ended it"),
}

SAME: Final = {
    "vertex_ai_beta": "vertex_ai",
    "bedrock_converse": "bedrock",
    "azure_text": "azure",
    "gemini_ai": "gemini",
}
"""Other spellings of a prefix."""

_PLAIN: Final = (
    (re.compile(r"(?:gpt-|o[134](?:-|\Z)|chatgpt-|text-embedding-|ft:|codex-)"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-"), "vertex_ai"),
)


def origin_of(model: str, named: str = "") -> tuple[str, str] | None:
    """(prefix, the model's name at the provider); None where nothing says who serves it. `named` is
    `custom_llm_provider`."""
    prefix, slash, rest = model.partition("/")
    given = SAME.get(named, named)
    said = SAME.get(prefix, prefix)
    if given:
        return given, rest if slash and said == given else model
    if slash and said in ORIGINS:
        if said == "bedrock":
            rest = rest.removeprefix("converse/").removeprefix("invoke/")
        return said, rest
    if slash:
        return prefix, rest
    return next(((prefix, model) for pattern, prefix in _PLAIN if pattern.match(model)), None)
