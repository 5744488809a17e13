"""Gemini callers: the paths that Google's SDKs ask for, which name model and method.

    /v1beta/models/MODEL:generateContent                       the Gemini API
    /v1beta/tunedModels/MODEL:streamGenerateContent?alt=sse    a tuned model, as events
    /v1beta1/publishers/google/models/MODEL:countTokens        the SDK's Vertex AI mode with a plain key

Names are read as they stand, nothing is decoded: an encoded name is none that a policy lists.
"""

from __future__ import annotations

from typing import Final

from sekimori.dialects.gemini import TUNED
from sekimori.errors import Refused
from sekimori.terms import Named, Operation

DOORS: Final = "/v1beta/models/MODEL:METHOD"
MODELS: Final = "/v1beta/models"

_ROOTS: Final = ("/v1beta/", "/v1/", "/v1beta1/")
"""Versions that the SDKs name: v1beta of the Gemini API, v1 of both, v1beta1 of Vertex AI."""
_BELOW: Final = ("models/", TUNED, "publishers/google/models/")
_METHODS: Final[dict[str, tuple[Operation, bool, bool]]] = {
    # method: operation, stream, batch
    "generateContent": ("chat", False, False),
    "streamGenerateContent": ("chat", True, False),
    "countTokens": ("count_tokens", False, False),
    "embedContent": ("embeddings", False, False),
    "batchEmbedContents": ("embeddings", False, True),
}


def read_path(path: str, query: str) -> tuple[Operation, Named, str] | None:
    """What a path and its query say of a call, and a parameter of the query that is not read here.

    None where the path is none of this dialect's.
    """
    name, _, method = model_of(path).rpartition(":")
    meant = _METHODS.get(method) if name else None
    if meant is None:
        return None
    operation, stream, batch = meant
    array, unread = stream, ""
    for one in query.split("&") if query else ():
        if one == "alt=sse" and stream:
            array = False
        elif one not in ("alt=json", ""):
            unread = one.partition("=")[0] or one
    if stream and not array and "alt=json" in query:
        unread = "alt"  # twice: which of the two counts, only the provider knows
    return operation, Named(name, stream, array, batch), unread


def model_of(path: str) -> str:
    """The model at a path, with the method behind it if one is named; empty where there is none.

    Names of tuned models keep what they begin with, by which they are known from others.
    """
    for root in _ROOTS:
        if path.startswith(root):
            for below in _BELOW:
                if path.startswith(below, len(root)):
                    return path[len(root) + (0 if below == TUNED else len(below)) :]
    return ""


def speaks(target: str) -> bool:
    """Whether a target, known or not, is one of this dialect's."""
    if target.startswith("/v1beta"):
        return True
    path = target.partition("?")[0]
    if not path.startswith("/v1/"):
        return False
    return "/publishers/google/" in path or path.startswith("/v1/" + TUNED) or path.rpartition(":")[2] in _METHODS


def shut(path: str) -> Refused | None:
    """The refusal of a path of Vertex AI that names a project, or asks by `:predict`; None for any other."""
    if not speaks(path):
        return None
    if path.endswith(":predict"):
        return Refused(
            "unsupported_operation",
            "`:predict` is no door here: its instances and parameters are none of the Gemini dialect.",
            advice="Of a model that embeds by `:embedContent`, embed by that, one text at a time.",
        )
    if "/projects/" not in path:
        return None
    return Refused(
        "unsupported_operation",
        "Paths of Vertex AI that name a project are no doors here: the key decides whose project it is.",
        advice="Give the SDK an API key of this gateway, and neither project nor location.",
    )
