"""Steps with contracts of the clients' own, played by the sandbox provider: Azure, Google, and two keys of a route."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

from sekimori.demo import cast
from sekimori.demo.show import Step, excerpt
from sekimori.demo.world import Tokens, World, fingerprint, gemini_tokens, openai_tokens, recorded
from sekimori.sandbox.replies import NOTICE

SHARED: Final = 60
"""Calls that show how two keys share. Of these the second, with one in four, gets fewer than FEWEST or more than MOST
once in thirty million runs."""
FEWEST: Final = 1
MOST: Final = 36
MORE: Final = 20
"""Calls while one of the keys rests."""
RETRY_AFTER: Final = 7.0
"""Seconds for which the sandbox provider asks."""


def azure(world: World, step: Step) -> None:
    step.table("call", "the sandbox says", "pieces", "paid with", "tokens", wide="the sandbox says")
    client = world.azure("globex/z")
    asked: Any = {"model": cast.AZURE_MODEL, "messages": [{"role": "user", "content": "Summarise the ward's notes."}]}
    paid: list[str] = []

    def answered(call: str, words: str, pieces: int, headers: Any, tokens: Tokens) -> str:
        paid.append(headers["x-sekimori-key"])
        step.row(call, _told(words), pieces, paid[-1], tokens)
        world.tally("globex/z", cast.GLOBEX_AZURE, tokens)
        return recorded(step, "the reply to globex/z", headers)

    plain = client.chat.completions.with_raw_response.create(**asked)
    reply = plain.parse()
    words = reply.choices[0].message.content or ""
    record = answered("plain", words, 1, plain.headers, openai_tokens(reply.usage))
    raw = client.chat.completions.with_raw_response.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = list(raw.parse())
    pieces = [text for chunk in chunks if chunk.choices and (text := chunk.choices[0].delta.content)]
    [usage] = [chunk.usage for chunk in chunks if chunk.usage is not None]
    answered("streamed", "".join(pieces), len(pieces), raw.headers, openai_tokens(usage))

    step.check("the reply says that globex's own Azure key paid", paid, [cast.GLOBEX_AZURE] * 2)
    entries = world.entries_of_call("globex", record)
    decided: dict[str, Any] = next((entry["payload"] for entry in entries if entry["kind"] == "Decided"), {})
    step.check(
        "and so does the record: globex's key, its contract, and the model as asked",
        {name: decided.get(name) for name in ("key", "provider", "model")},
        {"key": cast.GLOBEX_AZURE, "provider": "globex-azure", "model": cast.AZURE_MODEL},
    )
    last = world.sandbox_last(cast.GLOBEX_AZURE)
    step.check(
        "Azure was asked for globex's deployment and api-version, with globex's key as `api-key`",
        (last["target"], dict(last["headers"])["api-key"]),
        (
            f"/openai/deployments/{cast.SANDBOX}/chat/completions?api-version={cast.AZURE_VERSION}",
            fingerprint(world.secrets[cast.GLOBEX_AZURE]),
        ),
    )


def gemini(world: World, step: Step) -> None:
    step.table("call", "the sandbox says", "pieces", "paid with", "tokens", wide="the sandbox says")
    client = world.gemini("acme/x")
    paid: list[str] = []
    heard: list[str] = []

    def answered(call: str, pieces: list[str], headers: Any, tokens: Tokens) -> None:
        paid.append(headers["x-sekimori-key"])
        heard.append("".join(pieces))
        step.row(call, _told(heard[-1]), len(pieces), paid[-1], tokens)
        world.tally("acme/x", cast.ACME_GEMINI, tokens)
        recorded(step, "the reply to acme/x", headers)

    reply = client.models.generate_content(model=cast.GEMINI_MODEL, contents="When do you open?")
    answered("plain", [reply.text or ""], _headers(reply), gemini_tokens(reply.usage_metadata))
    chunks = list(client.models.generate_content_stream(model=cast.GEMINI_MODEL, contents="When do you open?"))
    answered("streamed", [text for chunk in chunks if (text := chunk.text)], _headers(chunks[0]), _last_tokens(chunks))

    step.check("google-genai is answered, whole and piece by piece, in the same words", heard[1], heard[0])
    step.check("with acme's own key at Google, and told so", paid, [cast.ACME_GEMINI] * 2)
    last = world.sandbox_last(cast.ACME_GEMINI)
    step.check(
        "Google was asked at its own path, with acme's key as `x-goog-api-key`",
        (last["target"], dict(last["headers"])["x-goog-api-key"]),
        (
            f"/v1beta/models/{cast.SANDBOX}:streamGenerateContent?alt=sse",
            fingerprint(world.secrets[cast.ACME_GEMINI]),
        ),
    )


def _last_tokens(chunks: list[Any]) -> Tokens:
    return gemini_tokens(next(chunk.usage_metadata for chunk in reversed(chunks) if chunk.usage_metadata is not None))


def _headers(reply: Any) -> dict[str, str]:
    """The head of a reply as google-genai keeps it."""
    return {name.lower(): value for name, value in reply.sdk_http_response.headers.items()}


def _told(words: str) -> str:
    """What the sandbox says of a call, without its word that it is no model."""
    return excerpt(words.removeprefix(NOTICE).partition(";")[0])


def pair(world: World, step: Step) -> None:
    first, second = cast.ACME_GEMINI, cast.ACME_GEMINI_2
    step.table("acme/x calls", f"{first} (weight {cast.WEIGHT})", f"{second} (weight 1)", wide="acme/x calls")
    client = world.gemini("acme/x")
    world.apply("pair.yaml", cast.PAIR)

    def call() -> str:
        reply = client.models.generate_content(model=cast.GEMINI_MODEL, contents="Hello")
        key = _headers(reply)["x-sekimori-key"]
        world.tally("acme/x", key, gemini_tokens(reply.usage_metadata))
        return key

    def seen() -> Counter[str]:
        totals = world.sandbox_totals()
        return Counter({path: totals[path]["requests"] for path in (first, second)})

    before = seen()
    said = Counter(call() for _ in range(SHARED))
    step.row(f"{SHARED}, both well", said[first], said[second])
    step.holds(
        f"the keys share {SHARED} calls about {cast.WEIGHT} to 1 (each is drawn, so bounds are checked)",
        said.total() == said[first] + said[second] and FEWEST <= said[second] <= MOST,
        expected=f"{FEWEST} to {MOST} with {second}, the others with {first}",
        seen=dict(said),
    )
    step.check("the provider saw exactly the calls that the replies name, key by key", seen() - before, said)

    world.rotate(second, cast.limited())
    before, made, began = seen(), Counter[str](), 0.0
    while seen()[second] == before[second] and made.total() < SHARED:
        began = time.monotonic()
        made[call()] += 1
    step.row(f"{made.total()}, until the second is drawn", made[first], f"{seen()[second] - before[second]} (429)")
    told = world.json("route", "explain", "acme", "x", cast.GEMINI_MODEL, "--dialect", "gemini")
    resting = {one["key"]: one for one in told["resting"]}
    step.check(
        "`sekimori route explain` says that the second rests, and why",
        {key: one["because"] for key, one in resting.items()},
        {second: "rate_limited"},
    )
    left = resting[second]["seconds"]
    step.row("`sekimori route explain`", "", f"rests for {left:.1f} s")
    made.update(call() for _ in range(MORE))
    lasted = time.monotonic() - began
    step.row(f"{MORE} more, while it rests", MORE, seen()[second] - before[second] - 1)
    step.holds(
        f"as long as the provider asked for (Retry-After: {RETRY_AFTER:.0f})",
        0 <= left <= RETRY_AFTER,
        expected=f"at most {RETRY_AFTER:.0f} s",
        seen=left,
    )
    step.check("meanwhile the first serves every call: the agent notices nothing", dict(made), {first: made.total()})
    # One 429, and one more for each rest that ended meanwhile, where this machine is that slow.
    limited = seen()[second] - before[second]
    step.holds(
        "the limited key was asked once, and then left alone",
        1 <= limited <= 1 + lasted // RETRY_AFTER,
        expected="1",
        seen=limited,
    )
