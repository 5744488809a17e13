"""What is asked and what is answered: the same bytes for the load generator and the fixed upstream.

A nonce of twelve digits stands in every request and in every reply to it, so a reply that belongs to another call
is as wrong as a truncated one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

Kind = Literal["plain", "burst", "paced"]
"""A JSON reply; a stream written back to back; a stream of one event each `PACE_SECONDS`."""
KINDS: Final[tuple[Kind, ...]] = ("plain", "burst", "paced")

PATH: Final = "/v1/chat/completions"
PROVIDER_KEY: Final = "sk-bench-provider-0123456789abcdefghijklmnop"
"""What the upstream wants to see; a target that did not put it there gets 401, and the round fails."""
EVENTS: Final = 50
PACE_SECONDS: Final = 0.005
NONCE_DIGITS: Final = 12
REPLY_BYTES: Final = 564

_MARK: Final = b"0" * NONCE_DIGITS
CALL: Final = b"Call "
"""Stands before the nonce in a request."""
PROMPT: Final = (
    b"Summarise the quarterly report for the board in three sentences, with the figures that matter and no adjectives. "
    + b"Revenue grew in the north and fell in the south; costs followed with a delay of one quarter. " * 7
)[:800]


def nonce(number: int) -> bytes:
    return b"%012d" % number


def model(kind: Kind) -> str:
    return f"bench-{kind}"


def _body(kind: Kind) -> bytes:
    stream = b"" if kind == "plain" else b',"stream":true,"stream_options":{"include_usage":true}'
    return (
        b'{"model":"' + model(kind).encode() + b'","messages":[{"role":"system","content":"Answer in plain words."},'
        b'{"role":"user","content":"' + CALL + _MARK + b". " + PROMPT + b'"}],"max_tokens":256,"temperature":0.2'
        + stream + b"}"
    )  # fmt: skip


def request(kind: Kind, host: str, authorization: str, more: Sequence[tuple[str, str]] = ()) -> tuple[bytes, bytes]:
    """The request on the wire before and after its nonce, about 1 KB with its head; `more` are further fields."""
    body = _body(kind)
    fields = "".join(f"{name}: {value}\r\n" for name, value in more)
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {authorization}\r\n{fields}"
        f"content-type: application/json\r\naccept: */*\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    before, _, after = (head.encode() + body).partition(_MARK)
    return before, after


def _plain() -> bytes:
    before = b'{"id":"chatcmpl-' + _MARK + b'","object":"chat.completion","created":1750000000,"model":"bench-plain",'
    before += b'"choices":[{"index":0,"message":{"role":"assistant","content":"'
    after = b'"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":212,"completion_tokens":64,'
    after += b'"total_tokens":276,"prompt_tokens_details":{"cached_tokens":0}}}'
    words = b"Revenue grew in the north and fell in the south. " * 8
    return before + words[: REPLY_BYTES - len(before) - len(after)] + after


def _event(kind: Kind, rest: bytes) -> bytes:
    head = b'data: {"id":"chatcmpl-' + _MARK + b'","object":"chat.completion.chunk","created":1750000000,"model":"'
    return head + model(kind).encode() + b'",' + rest + b"}\n\n"


def _events(kind: Kind) -> list[bytes]:
    """The deltas, then what ends a stream: usage and `[DONE]`."""
    texts = [
        b'{"role":"assistant","content":""}',
        *(b'{"content":" word%02d"}' % n for n in range(1, EVENTS - 1)),
        b"{}",
    ]
    events = [
        _event(kind, b'"choices":[{"index":0,"delta":' + text + b',"finish_reason":' + stop + b'}],"usage":null')
        for text, stop in zip(texts, [b"null"] * (EVENTS - 1) + [b'"stop"'], strict=True)
    ]
    usage = b'"choices":[],"usage":{"prompt_tokens":212,"completion_tokens":48,"total_tokens":260}'
    return [*events, _event(kind, usage), b"data: [DONE]\n\n"]


_REPLIES: Final[dict[Kind, bytes]] = {
    "plain": _plain(),
    "burst": b"".join(_events("burst")),
    "paced": b"".join(_events("paced")),
}


def reply(kind: Kind, number: bytes) -> bytes:
    """The body that answers the request with this nonce, without any transfer coding."""
    return _REPLIES[kind].replace(_MARK, number)


def said(kind: Kind, body: bytes) -> tuple[str, str]:
    """Whose reply a body is (its id) and its words: what a target that writes replies anew must have kept.

    Raises ValueError for a body that is not a whole reply of this kind.
    """
    try:
        if kind == "plain":
            whole = msgspec.json.decode(body)
            return whole["id"], whole["choices"][0]["message"]["content"]
        *events, end, rest = body.split(b"\n\n")
        if (end, rest) != (b"data: [DONE]", b""):
            raise ValueError("a stream without its end")
        chunks = [msgspec.json.decode(event.removeprefix(b"data: ")) for event in events]
        [name] = {chunk["id"] for chunk in chunks}
        return name, "".join(choice["delta"].get("content") or "" for one in chunks for choice in one["choices"])
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a {kind} reply: {error}") from error


_CHUNKS: Final[dict[Kind, list[bytes]]] = {
    kind: [b"%x\r\n%b\r\n" % (len(event), event) for event in _events(kind)] for kind in ("burst", "paced")
}


def chunks(kind: Kind, number: bytes) -> list[bytes]:
    """The events of a stream, each as one HTTP chunk; the last one is `[DONE]`. The terminator is not included."""
    return [chunk.replace(_MARK, number) for chunk in _CHUNKS[kind]]
