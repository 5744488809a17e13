"""What an ask of the OpenAI dialect names outside of itself: URLs, files, conversations, servers, containers.

Chat completions and responses name such things in the same shapes. Each is noted with its place, for policy to judge:
an id is somebody's, a URL leads somewhere.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sekimori.dialects.fields import Rule
from sekimori.dialects.fields_responses import RESPONSES_ENVIRONMENTS
from sekimori.dialects.found import Found, Path, fetched, list_of, wrong

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-=\r\n]*", re.ASCII)
_NETWORK: Final = frozenset({"type", "allowed_domains", "domain_secrets"})
_SKILL: Final = frozenset({"type", "skill_id", "version", "name", "description", "source"})
_SECRETS: Final = Rule(refused="it holds credentials that a container of the provider would use")


def read_media_url(found: Found, url: Any, path: Path, *, encoded: bool = False) -> None:
    """A member that shows something by a URL: inline, or to be fetched. `encoded`: it may also be plain base64."""
    if type(url) is not str:
        wrong(path, "a string")
    # Base64 has no scheme; anything with a scheme, or too odd to tell, is fetched.
    if fetched(url) and not (encoded and _BASE64.fullmatch(url[:256])):
        found.need("images_by_url", path)
        found.fetch(url, path)


def read_file_id(found: Found, file: Any, path: Path) -> None:
    """A file kept at the provider."""
    found.need("files_by_id", path)
    found.names(file, path)


def read_conversation(found: Found, conversation: Any) -> None:
    """A conversation kept at the provider, named by its id or by an object that holds it."""
    found.need("stored_state", ("conversation",))
    if type(conversation) is not dict:
        found.names(conversation, ("conversation",))
        return
    if not conversation.keys() <= {"id"}:
        found.unknown(conversation.keys() - {"id"}, {"id"}, ("conversation",))
    found.names(conversation.get("id"), ("conversation", "id"))


def read_tool_outside(found: Found, kind: str, tool: dict[str, Any], path: Path) -> None:
    """What a tool of the provider's own names. `kind` is its type without a date; the type itself was judged before."""
    if kind == "mcp":
        _read_server(found, tool, path)
    elif kind == "file_search":
        for index, store in enumerate(list_of(tool, "vector_store_ids")):
            found.names(store, (*path, "vector_store_ids", index))
    elif kind in ("code_interpreter", "code_execution"):
        container = tool.get("container")
        if type(container) is str:
            found.names(container, (*path, "container"))
        elif container is not None:
            read_environment(found, container, (*path, "container"))
    elif kind == "shell":
        if tool.get("environment") is not None:
            read_environment(found, tool["environment"], (*path, "environment"))
    elif kind == "image_generation" and tool.get("input_image_mask") is not None:
        read_image(found, tool["input_image_mask"], (*path, "input_image_mask"))


def read_image(found: Found, image: Any, path: Path) -> None:
    """An object that shows an image by `image_url` or `file_id`."""
    if type(image) is not dict:
        wrong(path, "an object")
    if not image.keys() <= {"image_url", "file_id"}:
        found.unknown(image.keys() - {"image_url", "file_id"}, {"image_url", "file_id"}, path)
    if image.get("image_url") is not None:
        read_media_url(found, image["image_url"], (*path, "image_url"))
    if image.get("file_id") is not None:
        read_file_id(found, image["file_id"], (*path, "file_id"))


def _read_server(found: Found, tool: dict[str, Any], path: Path) -> None:
    """An MCP server that the provider calls, by its URL or by a tunnel kept at the provider."""
    if tool.get("server_url") is not None:
        found.fetch(tool["server_url"], (*path, "server_url"))
    if tool.get("tunnel_id") is not None:
        found.need("stored_state", (*path, "tunnel_id"))
        found.names(tool["tunnel_id"], (*path, "tunnel_id"))


def read_environment(found: Found, environment: Any, path: Path) -> None:
    """Where code or a shell runs: a container that is named, or a new one, with the files and hosts it may reach."""
    if type(environment) is not dict:
        wrong(path, "an object")
    kind = environment.get("type")
    if type(kind) is not str:
        wrong((*path, "type"), "a string")
    known = RESPONSES_ENVIRONMENTS.get(kind)
    if known is None:
        found.unknown_kind("unknown_fields", kind, RESPONSES_ENVIRONMENTS.keys(), (*path, "type"))
        return
    found.apply(known.rule, None, (*path, "type"))
    if not environment.keys() <= known.members:
        found.unknown(environment.keys() - known.members, known.members, path)
    if environment.get("container_id") is not None:
        found.names(environment["container_id"], (*path, "container_id"))
    for index, file in enumerate(list_of(environment, "file_ids")):
        read_file_id(found, file, (*path, "file_ids", index))
    if kind != "local":  # skills of the agent's own machine are paths there
        for index, skill in enumerate(list_of(environment, "skills")):
            _read_skill(found, skill, (*path, "skills", index))
    if environment.get("network_policy") is not None:
        _read_network(found, environment["network_policy"], (*path, "network_policy"))


def _read_skill(found: Found, skill: Any, path: Path) -> None:
    if type(skill) is not dict:
        wrong(path, "an object")
    if not skill.keys() <= _SKILL:
        found.unknown(skill.keys() - _SKILL, _SKILL, path)
    kind = skill.get("type")
    if kind == "inline":
        return
    if kind != "skill_reference":
        found.need("unknown_fields", (*path, "type"))
        return
    found.need("stored_state", (*path, "skill_id"))
    found.names(skill.get("skill_id"), (*path, "skill_id"))


def _read_network(found: Found, network: Any, path: Path) -> None:
    """Hosts that code in a container may reach: what goes there goes by way of the provider."""
    if type(network) is not dict:
        wrong(path, "an object")
    if not network.keys() <= _NETWORK:
        found.unknown(network.keys() - _NETWORK, _NETWORK, path)
    if network.get("type") == "disabled":
        return
    found.need("web_fetch", path)
    if network.get("domain_secrets") is not None:
        found.apply(_SECRETS, None, (*path, "domain_secrets"))
    if network.get("type") != "allowlist":
        found.need("unknown_fields", (*path, "type"))
    for index, host in enumerate(list_of(network, "allowed_domains")):
        if type(host) is not str:
            wrong((*path, "allowed_domains", index), "a string")
        found.fetch(f"https://{host}", (*path, "allowed_domains", index))
