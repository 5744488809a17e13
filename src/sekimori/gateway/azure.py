"""Azure callers: the paths that OpenAI's SDK asks for as `AzureOpenAI`, read as the paths of the OpenAI dialect.

    /openai/deployments/NAME/chat/completions?api-version=…   ->  /v1/chat/completions, of the model NAME
    /openai/responses?api-version=…                           ->  /v1/responses, of the model that the body names
    /openai/v1/chat/completions                               ->  /v1/chat/completions
    /openai/responses/ID?api-version=…                        ->  /v1/responses/ID; what else the query holds is kept

A deployment is a model by the rules of every model (`provider/model` included, its slash as it is or `%2F`). As at
Azure the deployment decides, whatever `model` the body names beside it: what is decided on is what the provider is
sent.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

from sekimori.errors import Refused
from sekimori.terms import NOTHING_NAMED, Named

ROOT: Final = "/openai/"

# The shortest name that leaves a path of the SDK's: the client writes a deployment's slash as it is.
_DEPLOYMENT: Final = re.compile(
    r"/openai/deployments/([^/].*?)/((?:chat/)?completions|responses|embeddings|audio/[a-z]+|images/[a-z]+)", re.ASCII
)
_VERSION: Final = re.compile(r"20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:-preview)?|preview|latest", re.ASCII)
_MOST_FIELDS: Final = 20


def translated(path: str, query: str) -> tuple[str, Named]:
    """The path of the OpenAI dialect that a path below ROOT stands for, and what it names of the call.

    `/openai/v1/…` needs no `api-version`, all else does. Raises Refused `bad_request`.
    """
    versioned = path.startswith("/openai/v1/")
    _check_version(query, required=not versioned)
    if versioned:
        return path.removeprefix("/openai"), NOTHING_NAMED
    deployed = _DEPLOYMENT.fullmatch(path)
    if deployed is None:
        return "/v1/" + path.removeprefix(ROOT), NOTHING_NAMED
    try:
        model = unquote(deployed[1], errors="strict")
    except UnicodeDecodeError:
        model = ""
    if not model or len(model) > 256 or not model.isprintable():
        raise Refused("bad_request", "The deployment in the path must be a name of 1 to 256 printable characters.")
    return "/v1/" + deployed[2], Named(model=model)


def without_version(query: str) -> str:
    """The query without its `api-version`, which means nothing to the doors."""
    return "&".join(one for one in query.split("&") if unquote(one.partition("=")[0]) != "api-version")


def _check_version(query: str, *, required: bool) -> None:
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        fields = [("api-version", "")]
    versions = [value for name, value in fields if name == "api-version"]
    if not versions and not required:
        return
    # Nothing here depends on it, for the provider is asked in its own way. But a client that sends nonsense, or two of
    # them, is misconfigured, and Azure would tell it so.
    if len(versions) != 1 or not _VERSION.fullmatch(versions[0]):
        raise Refused(
            "bad_request",
            "The query must have one `api-version` of the form YYYY-MM-DD or YYYY-MM-DD-preview.",
            advice="Send e.g. `?api-version=2024-10-21`, or use the paths below `/openai/v1/`, which need none.",
        )
