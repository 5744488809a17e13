"""What LiteLLM's other settings come to: carried, not needed, or left out with what to do instead. Facts as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from sekimori.egress.address import BaseUrl, Denied, check_base_url
from sekimori.migrate.origins import Served
from sekimori.migrate.report import Verdict
from sekimori.policy.kinds import KINDS, Document, Provider
from sekimori.policy.problems import looks_secret
from sekimori.upstream.catalog import ENTRIES

Said = tuple[Verdict, str, str]

UNKNOWN: Final[Said] = ("left_out", "The setting has no counterpart that an import knows.", "See docs/from-litellm.md.")
"""Of a setting that is in no table."""
PROVIDER_FIELDS: Final = frozenset(Provider.__struct_fields__)
"""What a Provider document can say in this version."""
KEY_FIELDS: Final = ("api_key", "azure_ad_token", "aws_bearer_token", "vertex_credentials", "aws_access_key_id")
"""Fields of `litellm_params` that hold a provider's key, in the order in which they count."""

_PROCESS: Final = "Set upstream.total_seconds, first_byte_seconds and idle_seconds in settings.toml; they hold for all."
_CALLER: Final = "Let the agent say it: a request is passed on as it was sent."
_LEDGER: Final = (
    "Read the ledger (`sekimori ledger show`, `sekimori usage`): every call stands in it, without its content."
)
_FALLBACK: Final = "Let the agent ask for the other model; a route's fallback is for the same model."

SETTINGS: Final[Mapping[str, Mapping[str, Said | None]]] = {
    "litellm_settings": {
        "fallbacks": None,
        "drop_params": ("changed", "Nothing is dropped: what a provider does not take, it refuses.", _CALLER),
        "modify_params": ("changed", "Requests are not modified.", _CALLER),
        "num_retries": ("changed", "A call is tried once per key.", "The SDKs retry by themselves (max_retries)."),
        "request_timeout": ("left_out", "Deadlines are settings of the process.", _PROCESS),
        "cache": ("left_out", "Replies are not cached: one caller's reply is never another's.", "Use the provider's."),
        "cache_params": ("left_out", "Replies are not cached.", "Use the provider's prompt cache."),
        "callbacks": ("left_out", "There are no callbacks.", _LEDGER),
        "success_callback": ("left_out", "There are no callbacks.", _LEDGER),
        "failure_callback": ("left_out", "There are no callbacks.", _LEDGER),
        "service_callbacks": ("left_out", "There are no callbacks.", "Scrape /metrics of the control listener."),
        "turn_off_message_logging": ("note", "Messages are never logged.", ""),
        "redact_user_api_key_info": ("note", "Keys are never logged.", ""),
        "set_verbose": ("left_out", "Verbosity is a setting of the process.", "Set log.level in settings.toml."),
        "json_logs": ("note", "Log lines are JSON in any case.", ""),
        "telemetry": ("note", "There is no telemetry to anyone.", ""),
        "context_window_fallbacks": ("left_out", "A model is not exchanged for a larger one.", _FALLBACK),
        "content_policy_fallbacks": ("left_out", "A refusal of a provider is passed on.", _FALLBACK),
        "default_fallbacks": ("left_out", "A model is not exchanged for another one.", _FALLBACK),
        "allowed_fails": ("left_out", "Cool-down is not configured from here.", "See docs/resources.md."),
        "cooldown_time": ("left_out", "Cool-down is not configured from here.", "See docs/resources.md."),
        "max_budget": None,
        "budget_duration": None,
        "default_team_settings": ("left_out", "Teams are not carried.", "Write a Tenant, or an Agent, for each."),
        "guardrails": ("left_out", "Guardrails are not carried.", "See the Guard document, where this version has it."),
    },
    "router_settings": {
        "fallbacks": None,
        "model_group_alias": None,
        "routing_strategy": (
            "changed",
            "Deployments are chosen by weight, in every case.",
            "Set weights in the Alias.",
        ),
        "routing_strategy_args": ("left_out", "Deployments are chosen by weight.", "Set weights in the Alias."),
        "num_retries": ("changed", "A call is tried once per key.", "The SDKs retry by themselves (max_retries)."),
        "retry_policy": ("changed", "A call is tried once per key.", "The SDKs retry by themselves (max_retries)."),
        "timeout": ("left_out", "Deadlines are settings of the process.", _PROCESS),
        "allowed_fails": ("left_out", "Cool-down is not configured from here.", "See docs/resources.md."),
        "allowed_fails_policy": ("left_out", "Cool-down is not configured from here.", "See docs/resources.md."),
        "cooldown_time": ("left_out", "Cool-down is not configured from here.", "See docs/resources.md."),
        "disable_cooldowns": ("left_out", "Cool-down is not configured from here.", "See docs/resources.md."),
        "enable_pre_call_checks": ("left_out", "The provider itself checks the length of a prompt.", ""),
        "redis_host": ("note", "One process counts exactly and needs no Redis.", ""),
        "redis_port": ("note", "One process counts exactly and needs no Redis.", ""),
        "redis_password": ("note", "One process counts exactly and needs no Redis.", ""),
        "redis_url": ("note", "One process counts exactly and needs no Redis.", ""),
        "context_window_fallbacks": ("left_out", "A model is not exchanged for a larger one.", _FALLBACK),
        "content_policy_fallbacks": ("left_out", "A refusal of a provider is passed on.", _FALLBACK),
        "default_fallbacks": ("left_out", "A model is not exchanged for another one.", _FALLBACK),
        "enable_tag_filtering": ("left_out", "Tags decide nothing here: a caller sets them.", "Give agents routes."),
        "max_fallbacks": ("note", "There is one second key.", ""),
    },
    "general_settings": {
        "global_max_parallel_requests": None,
        "master_key": (
            "changed",
            "There is no master key: nobody may do everything.",
            "Each agent gets its own key: `sekimori apikey issue TENANT AGENT`.",
        ),
        "database_url": ("note", "Sekimori keeps its own store in its home.", "Back up the home."),
        "database_connection_pool_limit": ("note", "Sekimori keeps its own store in its home.", ""),
        "database_connection_timeout": ("note", "Sekimori keeps its own store in its home.", ""),
        "store_model_in_db": (
            "left_out",
            "Models, keys and teams that stand in LiteLLM's database are not in this file.",
            "Write them as documents; issue each agent a new key.",
        ),
        "allow_requests_on_db_unavailable": (
            "changed",
            "What cannot be checked or recorded is refused.",
            "There is no setting for it.",
        ),
        "max_parallel_requests": ("left_out", "A deployment has no bound of its own.", "Write a Limit (concurrency)."),
        "custom_auth": ("left_out", "Callers are known by API keys alone.", "Issue each agent a key."),
        "alerting": ("left_out", "Alerts are made from the metrics.", "Scrape /metrics of the control listener."),
        "alerting_threshold": ("left_out", "Alerts are made from the metrics.", ""),
        "completion_model": ("left_out", "A call names its model.", _CALLER),
        "pass_through_endpoints": ("left_out", "There are no unchecked doors.", "Call that API as before."),
        "background_health_checks": ("note", "Nobody is called without a caller.", ""),
        "health_check_interval": ("note", "Nobody is called without a caller.", ""),
        "allowed_routes": ("note", "Agents reach the documented doors alone.", ""),
        "disable_spend_logs": ("changed", "Every call is recorded; it cannot be switched off.", ""),
        "proxy_batch_write_at": ("changed", "A call is recorded before it is answered.", ""),
    },
}

_OTHER_SECTIONS: Final[Mapping[str, Said]] = {
    "environment_variables": ("note", "Variables are not carried.", "Keys go into the vault, as listed."),
    "guardrails": ("left_out", "Guardrails are not carried.", "See the Guard document, where this version has it."),
    "mcp_servers": (
        "left_out",
        "MCP servers are not carried.",
        "Write them as documents, where this version has them.",
    ),
    "callback_settings": ("left_out", "There are no callbacks.", _LEDGER),
    "files_settings": ("left_out", "Files are not served.", "Call the provider for that as before."),
    "finetune_settings": ("left_out", "Fine-tuning is not served.", "Call the provider for that as before."),
}

_PARAMETERS: Final[Mapping[str, Said | None]] = {
    **dict.fromkeys(
        (
            *("model", "api_base", "base_url", "custom_llm_provider", "litellm_credential_name"),
            *("rpm", "tpm", "max_budget", "budget_duration", "weight", "input_cost_per_token", "output_cost_per_token"),
            *KEY_FIELDS,
            *("vertex_project", "vertex_location", "aws_region_name", "region_name"),
        )
    ),
    "api_version": ("changed", "The address is Azure's version 1 API, which takes no api-version.", ""),
    "organization": None
    if "organization" in PROVIDER_FIELDS
    else ("left_out", "The organisation is not sent.", "Use a key of that organisation or project."),
    "timeout": ("left_out", "Deadlines are settings of the process.", _PROCESS),
    "stream_timeout": ("left_out", "Deadlines are settings of the process.", _PROCESS),
    "max_retries": ("changed", "A call is tried once per key.", "The SDKs retry by themselves (max_retries)."),
    "num_retries": ("changed", "A call is tried once per key.", "The SDKs retry by themselves (max_retries)."),
    "drop_params": ("changed", "Nothing is dropped: what a provider does not take, it refuses.", _CALLER),
    "extra_headers": ("left_out", "Headers are not added.", _CALLER),
    "headers": ("left_out", "Headers are not added.", _CALLER),
    "tags": ("left_out", "Tags decide nothing here: a caller sets them.", "Give the agents routes of their own."),
    "mock_response": ("left_out", "There are no made-up replies.", "Use the practice provider, docs/sandbox.md."),
    "max_parallel_requests": ("left_out", "A deployment has no bound of its own.", "Write a Limit (concurrency)."),
    "aws_secret_access_key": None,
    "aws_session_token": ("left_out", "A token that ends is not carried.", "Use a key that lasts, and rotate it."),
    "aws_role_name": ("left_out", "Roles are not assumed.", "Use a Bedrock API key."),
    "aws_profile_name": ("left_out", "Profiles are not read.", "Use a Bedrock API key."),
}

_SECRET_NAME: Final = re.compile(
    r"(?:^|[_-])(?:key|secret|password|passwd|token|credentials?|authorization|database_url|dsn|webhook)(?:$|_url$)",
    re.I,
)
_NOT_SECRET: Final = frozenset({"cache_key"})
_PLACEHOLDERS: Final = frozenset(
    {
        *("none", "null", "nil", "na", "n/a", "empty", "dummy", "anything", "fake", "fake-key", "not-needed"),
        *("not-required", "no-key", "no-key-required", "unused", "ollama", "token-abc123", "xxx"),
    }
)


def is_placeholder(text: str) -> bool:
    """Whether a key's text is one of the words that people write where a server wants none."""
    return text.lower() in _PLACEHOLDERS or (text.startswith("<") and text.endswith(">"))


def is_secret(name: str, text: str) -> bool:
    """Whether a field of the file holds a secret as text: by its name, or because it looks like a key."""
    if not text or text.startswith("os.environ/") or is_placeholder(text):
        return False
    if re.fullmatch(r"[./~]\S{0,200}\.json", text):  # names a file
        return False
    if looks_secret(text) or re.search(r"://[^/@\s]+:[^/@\s]+@", text):
        return True
    named = _SECRET_NAME.search(name) is not None and name.lower() not in _NOT_SECRET
    return named and text.lower() not in ("true", "false") and not re.fullmatch(r"[0-9.]{1,12}(?:e-?[0-9]+)?", text)


def parameter(name: str, catalog: str) -> Said | None:
    """What is said of a field of `litellm_params`; None for one that is carried."""
    if name == "api_version" and catalog not in ("compatible", "azure"):
        return None
    if name in _PARAMETERS:
        return _PARAMETERS[name]
    return "left_out", "A field of the request is not set for the caller.", _CALLER


def section(name: str) -> Said:
    """What is said of a section that is not read."""
    return _OTHER_SECTIONS.get(name, ("left_out", "The section has no counterpart that an import knows.", ""))


Trouble = tuple[str, str]
"""What is wrong with an address, and the fix."""


class Place(Struct, frozen=True):
    """Where the models of an entry are served."""

    catalog: str = ""
    base_url: str = ""
    """The empty string for the catalogue's own."""
    fields: tuple[tuple[str, str], ...] = ()
    """Further fields of the Provider document."""
    credential: str = ""
    """What the key's secret is, where it is no API key."""
    trouble: Trouble | None = None
    """Why there is no such place."""


def place_of(prefix: str, served: Served, base: str, given: Mapping[str, str]) -> Place:
    """Where an entry of `model_list` is served. `base` is its address, `given` its parameters as text."""
    if prefix == "azure":
        return _azure(base)
    catalog = served.catalog if served.known else "compatible"
    if catalog in ("vertex", "bedrock"):
        return _cloud(catalog, base, given)
    if base and served.root and "v1" not in base.split("/")[3:]:
        base = base.rstrip("/") + "/v1"
    elif not base and ENTRIES[catalog].base_url is None:
        base = served.base_url or ""
    elif base and prefix == "openai" and not _same_origin(base, ENTRIES["openai"].base_url):
        catalog = "compatible"  # whatever speaks the dialect is written with this prefix there
    elif prefix == "openai":
        base = ""
    if not base and ENTRIES[catalog].base_url is None:
        if served.own:
            return Place(trouble=("The entry does not say where the server listens.", "Add its api_base."))
        text = f"{prefix} needs the catalogue entry `{served.catalog}`, which this version does not have."
        return Place(trouble=(text, "Import again with a version that has it."))
    organization = given.get("organization", "")
    if catalog == "openai" and "organization" in PROVIDER_FIELDS and organization.startswith("org-"):
        return Place(catalog, base, (("organization", organization),))
    return Place(catalog, base.rstrip("/"))


def _cloud(catalog: str, base: str, given: Mapping[str, str]) -> Place:
    """Vertex AI and Bedrock: addressed by project and region, and opened with a credential that makes tokens."""
    if catalog == "vertex":
        fields = {"project": given.get("vertex_project", ""), "location": given.get("vertex_location", "")}
        wanted, credential = "vertex_project and vertex_location", "google_service_account"
    else:
        fields = {"location": given.get("aws_region_name", "") or given.get("region_name", "")}
        own = any(given.get(name) for name in ("api_key", "aws_bearer_token"))
        wanted, credential = "aws_region_name", "" if own else "aws"
    if not all(fields.values()) or any(value.startswith("os.environ/") for value in fields.values()):
        return Place(trouble=(f"The entry does not say {wanted} itself.", "Write it, and import again."))
    if not all(re.fullmatch(r"[a-z][a-z0-9:.-]{1,62}", value) for value in fields.values()):
        return Place(trouble=(f"{wanted} cannot be read.", "Correct it, and import again."))
    return Place(catalog, base.rstrip("/"), tuple(fields.items()), credential)


def _azure(base: str) -> Place:
    """The resource's version 1 API, which is OpenAI's dialect whole: no deployment in the path, no api-version."""
    found = check_base_url(base) if base else None
    if found is None:
        return Place(trouble=("The entry does not name its Azure resource.", "Add its api_base and import again."))
    if isinstance(found, Denied):
        return Place(trouble=(found.text, found.advice))
    host = found.origin.host if found.origin.port == 443 else f"{found.origin.host}:{found.origin.port}"
    return Place("azure" if "azure" in ENTRIES else "compatible", f"https://{host}/openai/v1")


def _same_origin(one: str, other: str | None) -> bool:
    left, right = check_base_url(one), check_base_url(other or "")
    return isinstance(left, BaseUrl) and isinstance(right, BaseUrl) and left.origin == right.origin


def alias(tenant: str, name: str, targets: list[tuple[str, int]]) -> Document | None:
    """An Alias document; None where the name or a target does not fit one."""
    weighted: list[Any] = [
        {"model": model} if len(targets) == 1 else {"model": model, "weight": weight} for model, weight in targets
    ]
    try:
        made: Document = msgspec.convert({"tenant": tenant, "name": name, "targets": weighted}, KINDS["Alias"])
    except msgspec.ValidationError:
        return None
    return None if looks_secret(name) else made
