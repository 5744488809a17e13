"""The practice provider in the Gemini dialect: what is heard, and what is said, as Google's servers write it. Pure.

As in `replies`: tokens are words, half of the input is told as cached where the ask names a cache, and three more
tokens are told as thoughts where it asks for thinking.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from sekimori.errors import Refused
from sekimori.sandbox.replies import Heard, Said, arguments, fingerprint, pieces
from sekimori.terms import Dialect, Usage

METHODS: Final = {
    "generateContent": "chat",
    "streamGenerateContent": "chat",
    "countTokens": "count_tokens",
    "embedContent": "embeddings",
    "batchEmbedContents": "embeddings",
}
ROOT: Final = "/v1beta/models"
EXPRESS: Final = "/v1/publishers/google/models"
"""Where Vertex AI has them for who comes with an API key."""
VERTEX: Final = re.compile(
    r"/v1/projects/[^/]+/locations/[^/]+/publishers/google/models/(?P<model>[^/:]+):(?P<method>[A-Za-z]+)", re.ASCII
)
"""The same for who comes with a token."""
DIMENSIONS: Final = 8

_CAPITAL: Final = re.compile("(?<=[a-z])_([a-z])")
_encode: Final = msgspec.json.Encoder().encode


def method_of(path: str) -> tuple[str, str] | None:
    """Model and method of a path; None where it is none of this dialect's."""
    placed = VERTEX.fullmatch(path)
    if placed is not None:  # Vertex AI takes several embeddings by no path of this dialect
        known = placed["method"] in METHODS and placed["method"] != "batchEmbedContents"
        return (unquote(placed["model"]), placed["method"]) if known else None
    root = EXPRESS if path.startswith(EXPRESS) else ROOT
    if not path.startswith(root + "/"):
        return None
    model, _, method = path[len(root) + 1 :].rpartition(":")
    return (model, method) if method in METHODS else None


def check_vertex(method: str, value: dict[str, Any]) -> None:
    """Raises Refused where Vertex AI knows no such member, though the Gemini API does."""
    unknown = {"countTokens": {"generateContentRequest"}, "generateContent": {"model"}}.get(method, set())
    for name in unknown & _camel(value).keys():
        raise Refused("bad_request", f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')


def hear(model: str, stream: bool, value: dict[str, Any], key: str) -> Heard:
    """Read an ask, leniently."""
    value = _camel(value)
    inner = value.get("generateContentRequest", value)
    asked = inner if isinstance(inner, dict) else value
    contents = _contents(asked)
    texts = [text for one in (*contents, asked.get("systemInstruction")) for text in _texts(one)]
    users = [" ".join(_texts(one)) for one in contents if one.get("role", "user") == "user"]
    config = asked.get("generationConfig")
    settings: dict[str, Any] = config if isinstance(config, dict) else {}
    told = bool(contents) and any("functionResponse" in part for part in _parts(contents[-1]))
    cap = settings.get("maxOutputTokens")
    return Heard(
        dialect="gemini",
        model=model,
        key=fingerprint(key),
        messages=len(contents),
        last=users[-1] if users else "",
        words=max(1, sum(len(text.split()) for text in texts)),
        stream=stream,
        wants_usage=True,
        tool=None if told else _tool(asked),
        cap=cap if isinstance(cap, int) else None,
        cached="cachedContent" in asked,
        reasons="thinkingConfig" in settings,
    )


def _camel(value: Any) -> Any:
    """The same with members in camel case: the SDK itself sends both spellings."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {_CAPITAL.sub(lambda found: found[1].upper(), name): _camel(inner) for name, inner in value.items()}


def _contents(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The contents of a chat, or what is to be embedded."""
    several = value.get("contents", value.get("content"))
    requests = value.get("requests")
    if isinstance(requests, list):
        several = [one.get("content") for one in requests if isinstance(one, dict)]
    listed = several if isinstance(several, list) else [several]
    return [one for one in listed if isinstance(one, dict)]


def _parts(content: Any) -> list[dict[str, Any]]:
    parts = content.get("parts") if isinstance(content, dict) else None
    listed = parts if isinstance(parts, list) else [parts]
    return [part for part in listed if isinstance(part, dict)]


def _texts(content: Any) -> list[str]:
    return [part["text"] for part in _parts(content) if isinstance(part.get("text"), str)]


def _tool(value: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    choice = value.get("toolConfig")
    calling = choice.get("functionCallingConfig") if isinstance(choice, dict) else None
    if isinstance(calling, dict) and calling.get("mode") == "NONE":
        return None
    tools = value.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        declared = tool.get("functionDeclarations") if isinstance(tool, dict) else None
        for one in declared if isinstance(declared, list) else []:
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                schema = one.get("parametersJsonSchema") or one.get("parameters")
                return one["name"], arguments(_lowered(schema))
    return None


def _lowered(schema: Any) -> Any:
    """This dialect's own schemas name types in capitals."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return None
    kinds = {name: one.get("type") for name, one in properties.items() if isinstance(one, dict)}
    return {"properties": {name: {"type": str(kind).lower()} for name, kind in kinds.items()}}


def figures(dialect: Dialect, usage: Usage) -> dict[str, Any]:
    """Usage as this dialect writes it: what is zero is left out."""
    told = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "cachedContentTokenCount": usage.cached,
        "totalTokenCount": usage.input + usage.output,
    }
    return {name: count for name, count in told.items() if count}


def counted(count: int) -> dict[str, int]:
    """Figures that a scenario makes up."""
    return {"promptTokenCount": count, "candidatesTokenCount": count, "totalTokenCount": 2 * count}


def plain(heard: Heard, said: Said, usage: Any) -> bytes:
    """A whole reply."""
    part: dict[str, Any] = {"text": said.text}
    if said.tool is not None:
        part = {"functionCall": {"name": said.tool[0], "args": msgspec.json.decode(said.tool[1])}}
    return _encode(_chunk(heard, said, part, _finish(said), usage))


def events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    """A stream of server-sent events: a chunk for each word, the reason to finish in the last. Usage grows."""
    for chunk in _chunks(heard, said, usage):
        yield b"data: " + chunk + b"\r\n\r\n"


def elements(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    """The same chunks as one JSON array, which is what comes without `alt=sse`."""
    begin = b"["
    for chunk in _chunks(heard, said, usage):
        yield begin + chunk
        begin = b"\n,\r\n"
    yield b"\n]"


def _chunks(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    if said.tool is not None:
        yield plain(heard, said, usage)
        return
    words = list(pieces(said.text))
    for number, word in enumerate(words, 1):
        told = usage
        if isinstance(usage, dict) and number < len(words) and type(usage.get("promptTokenCount")) is int:
            told = {"promptTokenCount": usage["promptTokenCount"], "totalTokenCount": usage["promptTokenCount"]}
        finish = _finish(said) if number == len(words) else None
        yield _encode(_chunk(heard, said, {"text": word}, finish, told))


def _chunk(heard: Heard, said: Said, part: dict[str, Any], finish: str | None, usage: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    told = {} if usage is None else {"usageMetadata": usage}
    return {"candidates": [candidate], **told, "modelVersion": heard.model, "responseId": said.id}


def _finish(said: Said) -> str:
    return "MAX_TOKENS" if said.capped else "STOP"


def count(heard: Heard) -> bytes:
    """The reply of countTokens."""
    return _encode(
        {"totalTokens": heard.words, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": heard.words}]}
    )


def embedded(heard: Heard, value: dict[str, Any]) -> bytes:
    """The reply of the embeddings: vectors that only tell texts apart."""
    vectors = [{"values": _vector(" ".join(_texts(one)))} for one in _contents(_camel(value))]
    told = {"usageMetadata": {"promptTokenCount": heard.words}}
    if isinstance(value.get("requests"), list):
        return _encode({"embeddings": vectors, **told})
    return _encode({"embedding": vectors[0] if vectors else {"values": []}, **told})


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [(byte - 128) / 128 for byte in digest[:DIMENSIONS]]


def error_body(name: str) -> bytes:
    """The error of a scenario, as it comes in an event or with a status of 200."""
    limited = name == "rate-limited"
    error = {
        "code": 429 if limited else 503,
        "message": "as asked: org-sandbox-owner",
        "status": "RESOURCE_EXHAUSTED" if limited else "UNAVAILABLE",
    }
    return _encode({"error": error})


def wrong_key(text: str) -> bytes:
    """The error that a key gets which is none: with a status of 400."""
    reason = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
    }
    return _encode({"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT", "details": [reason]}})
