"""Steps in which calls are answered: plain, streamed, with tools, and by the second key where the first is limited."""

from __future__ import annotations

import json
from typing import Any, Final

import anthropic
import openai

from sekimori.demo import cast
from sekimori.demo.show import Step, excerpt
from sekimori.demo.world import World, anthropic_tokens, openai_tokens, recorded, short

QUESTION: Final = "Name the capital of France in one sentence."
WORD: Final = "Paris"
"""What the small model says to that; a reply without it did not come from the model."""
STEADY: Final = {"temperature": 0}
"""The likeliest words. The SDK of Anthropic has no argument for it any more; the model takes it all the same."""
STORY: Final = "Tell me about a lighthouse in three sentences."

_PARAMETERS: Final = {
    "type": "object",
    "properties": {"order": {"type": "string", "description": "The order's number."}},
    "required": ["order"],
}


def plain(world: World, step: Step) -> None:
    step.table("agent", "through", "model", "the model says", "key", "tokens", "record")
    heard = {}

    x = world.anthropic("acme/x").messages.with_raw_response.create(
        model="smollm2", max_tokens=40, messages=[{"role": "user", "content": QUESTION}], extra_body=STEADY
    )
    message = x.parse()
    heard["acme/x"] = words = _anthropic_text(message)
    _answered(world, step, "acme/x", "anthropic SDK", "smollm2", words, x.headers, anthropic_tokens(message.usage))

    for agent, model in (("acme/y", "smollm2"), ("globex/z", cast.FOREIGN_MODEL)):
        raw = world.openai(agent).chat.completions.with_raw_response.create(
            model=model, max_tokens=40, temperature=0, messages=[{"role": "user", "content": QUESTION}]
        )
        reply = raw.parse()
        heard[agent] = words = reply.choices[0].message.content or ""
        assert reply.usage is not None
        _answered(world, step, agent, "openai SDK", model, words, raw.headers, openai_tokens(reply.usage))

    for agent, words in heard.items():
        step.holds(f"{agent} is answered in the model's own words", WORD in words, expected=f"… {WORD} …", seen=words)


KEYS: Final = {
    "acme/x": (cast.ACME_CLAUDE, cast.ACME_CLAUDE),
    "acme/y": ("operator", cast.OPERATOR_OPENAI),
    "globex/z": (cast.GLOBEX_LLM, cast.GLOBEX_LLM),
}
"""Agent -> what a reply says of the key that paid for it, and the key's path in the operator's own reports."""


def _answered(
    world: World, step: Step, agent: str, through: str, model: str, words: str, headers: Any, tokens: Any
) -> None:
    record = recorded(step, f"the reply to {agent}", headers)
    named, path = KEYS[agent]
    step.row(agent, through, model, excerpt(words, 34), headers["x-sekimori-key"], tokens or "-", short(record))
    step.check(f"{agent}'s reply says that it was paid for with {named}", headers["x-sekimori-key"], named)
    world.tally(agent, path, tokens)


def streamed(world: World, step: Step) -> None:
    step.table("agent", "through", "model", "the model says", "key", "tokens", "pieces")

    with world.anthropic("acme/x").messages.stream(
        model="smollm2", max_tokens=60, messages=[{"role": "user", "content": STORY}], extra_body=STEADY
    ) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
        _streamed(world, step, "acme/x", "smollm2", pieces, stream.response.headers, anthropic_tokens(final.usage))
    step.check("the SDK's own sum of acme/x's stream is what its pieces say", _anthropic_text(final), "".join(pieces))

    for agent, model, asks in (("acme/y", "smollm2", True), ("globex/z", cast.FOREIGN_MODEL, False)):
        raw = world.openai(agent).chat.completions.with_raw_response.create(
            model=model,
            max_tokens=60,
            temperature=0,
            messages=[{"role": "user", "content": STORY}],
            stream=True,
            stream_options={"include_usage": True} if asks else openai.omit,
        )
        chunks = list(raw.parse())
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        told = [chunk.usage for chunk in chunks if chunk.usage is not None]
        tokens = openai_tokens(told[0]) if told else None
        _streamed(world, step, agent, model, [piece for piece in pieces if piece], raw.headers, tokens)
        step.check(
            f"{agent} {'asked' if asks else 'did not ask'} for the usage event and {'got' if asks else 'saw'}"
            f" {'it once' if asks else 'none'}",
            len(told),
            1 if asks else 0,
        )


def _streamed(world: World, step: Step, agent: str, model: str, pieces: list[str], headers: Any, tokens: Any) -> None:
    named, path = KEYS[agent]
    recorded(step, f"the stream to {agent}", headers)
    words = "".join(pieces)
    through = "anthropic SDK" if agent == "acme/x" else "openai SDK"
    step.row(agent, through, model, excerpt(words, 34), headers["x-sekimori-key"], tokens or "(not asked)", len(pieces))
    step.check(f"{agent}'s stream says that it is paid for with {named}", headers["x-sekimori-key"], named)
    step.holds(
        f"{agent} hears the model word by word",
        len(pieces) > 5 and len(words) > 20,
        expected="more than 5 pieces and 20 characters",
        seen=f"{len(pieces)} pieces: {words!r}",
    )
    world.tally(agent, path, tokens)


def tools(world: World, step: Step) -> None:
    step.table("agent", "through", "the model asks for", "with", "then, told the result, says")

    client = world.openai("acme/y")
    offered: Any = [{"type": "function", "function": {"name": "order_status", "parameters": _PARAMETERS}}]
    talk: list[Any] = [{"role": "user", "content": "Where is order 1714?"}]
    first = client.chat.completions.create(model=cast.SANDBOX, messages=talk, tools=offered)
    world.tally("acme/y", cast.OPERATOR_PRACTICE, openai_tokens(first.usage))
    calls: list[Any] = list(first.choices[0].message.tool_calls or [])
    step.holds("acme/y's model calls a tool", bool(calls), expected="a tool call", seen=first.choices[0].message)
    called = calls[0]
    step.check("it is the one that was offered", called.function.name, "order_status")
    given = json.loads(called.function.arguments)
    step.holds("its arguments are a JSON object", isinstance(given, dict), expected="an object", seen=given)
    talk += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": called.id, "content": "It left the harbour on Tuesday."},
    ]
    second = client.chat.completions.create(model=cast.SANDBOX, messages=talk, tools=offered)
    world.tally("acme/y", cast.OPERATOR_PRACTICE, openai_tokens(second.usage))
    words = second.choices[0].message.content or ""
    step.row("acme/y", "openai SDK", called.function.name, json.dumps(given), excerpt(words, 40))
    step.holds("told the result, it answers in words", bool(words), expected="words", seen=second.choices[0].message)

    messages = world.anthropic("acme/x").messages
    tool: Any = {"name": "order_status", "input_schema": _PARAMETERS}
    asked: list[Any] = [{"role": "user", "content": "Where is order 1714?"}]
    raw = messages.with_raw_response.create(model=cast.SANDBOX, max_tokens=100, messages=asked, tools=[tool])
    reply = raw.parse()
    world.tally("acme/x", cast.OPERATOR_PRACTICE, anthropic_tokens(reply.usage))
    used = [block for block in reply.content if block.type == "tool_use"]
    step.holds("acme/x's model uses a tool", bool(used), expected="a tool_use block", seen=reply.content)
    step.check("it is the one that was offered", used[0].name, "order_status")
    asked += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in reply.content]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": used[0].id, "content": "It left on Tuesday."}],
        },
    ]
    last = messages.create(model=cast.SANDBOX, max_tokens=100, messages=asked, tools=[tool])
    world.tally("acme/x", cast.OPERATOR_PRACTICE, anthropic_tokens(last.usage))
    words = _anthropic_text(last)
    step.row("acme/x", "anthropic SDK", used[0].name, json.dumps(used[0].input), excerpt(words, 40))
    step.holds("told the result, it answers in words", bool(words), expected="words", seen=last.content)


def _anthropic_text(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def fallback(world: World, step: Step) -> None:
    step.table("agent", "client's key", "the provider said", "policy", "answered with", "seen by the agent")
    keys = (cast.ACME_PRACTICE, cast.GLOBEX_PRACTICE, cast.OPERATOR_PRACTICE)
    before = {path: world.sandbox_calls(path) for path in keys}

    raw = world.anthropic("acme/x").messages.with_raw_response.create(
        model=cast.SANDBOX, max_tokens=50, messages=[{"role": "user", "content": QUESTION}]
    )
    message = raw.parse()
    world.tally("acme/x", cast.OPERATOR_PRACTICE, anthropic_tokens(message.usage))
    paid = raw.headers["x-sekimori-key"]
    step.row("acme/x", cast.ACME_PRACTICE, 429, "fallback to the operator's", paid, f"{raw.http_response.status_code}")
    step.check("acme/x is answered, with the operator's key, and told so", paid, "operator")
    after = {path: world.sandbox_calls(path) for path in keys}
    step.check(
        "the provider saw one call with the client's key, then one with the operator's",
        {path: after[path] - before[path] for path in keys},
        {cast.ACME_PRACTICE: 1, cast.GLOBEX_PRACTICE: 0, cast.OPERATOR_PRACTICE: 1},
    )

    try:
        world.openai("globex/z").chat.completions.create(
            model=cast.SANDBOX, messages=[{"role": "user", "content": QUESTION}]
        )
    except openai.RateLimitError as error:
        refused = error
    else:
        step.holds("globex/z is refused", False, expected="openai.RateLimitError", seen="an answer")
        return
    wait = refused.response.headers.get("retry-after", "")
    paid = refused.response.headers.get("x-sekimori-key", "")
    step.row("globex/z", cast.GLOBEX_PRACTICE, 429, "VPC mode: none", "-", f"429, retry after {wait} s")
    step.holds(
        "globex/z is told to wait: 429 with Retry-After",
        wait.isdigit() and int(wait) > 0,
        expected="whole seconds in Retry-After",
        seen=repr(wait),
    )
    step.check("its refusal names the client's own key", paid, cast.GLOBEX_PRACTICE)
    last = {path: world.sandbox_calls(path) for path in keys}
    step.check(
        "the operator's key was not touched",
        {path: last[path] - after[path] for path in keys},
        {cast.ACME_PRACTICE: 0, cast.GLOBEX_PRACTICE: 1, cast.OPERATOR_PRACTICE: 0},
    )

    file = world.deployment.folder / "forbidden.yaml"
    file.write_text(cast.FORBIDDEN, encoding="utf-8")
    said = " ".join(world.run("check", "-f", str(file), expect=1).split())
    step.holds(
        "a document that would allow it is refused: `sekimori check` names file, line, field and the fix",
        "forbidden.yaml:5" in said and "fallback.key" in said and "VPC" in said,
        expected="forbidden.yaml:5 … fallback.key … VPC mode",
        seen=said,
    )
