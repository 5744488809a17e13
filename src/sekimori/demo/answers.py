"""Steps in which calls are answered: plain, streamed, with tools, and by the second key where the first is limited."""

from __future__ import annotations

import json
from typing import Any, Final

import anthropic
import openai

from sekimori.demo import cast
from sekimori.demo.show import Step, excerpt
from sekimori.demo.world import Tokens, World, anthropic_tokens, openai_tokens, recorded

QUESTION: Final = "Name the capital of France in one sentence."
WORD: Final = "Paris"
"""What the small model says to that; a reply without it did not come from the model."""
STEADY: Final = {"temperature": 0}
"""The likeliest words. The SDK of Anthropic has no argument for it any more; the model takes it all the same."""
STORY: Final = "Tell me about a lighthouse in one sentence."

_PARAMETERS: Final = {
    "type": "object",
    "properties": {"order": {"type": "string", "description": "The order's number."}},
    "required": ["order"],
}


KEYS: Final = {
    "acme/x": (cast.ACME_CLAUDE, cast.ACME_CLAUDE),
    "acme/y": ("operator", cast.OPERATOR_OPENAI),
    "globex/z": (cast.GLOBEX_LLM, cast.GLOBEX_LLM),
}
"""Agent -> what a reply says of the key that paid for it, and the key's path in the operator's own reports."""


def plain(world: World, step: Step) -> None:
    step.table("agent", "through", "model", "the model says", "paid with", "tokens", wide="the model says")
    heard: dict[str, str] = {}
    paid: dict[str, str] = {}

    def answered(agent: str, through: str, model: str, words: str, headers: Any, tokens: Tokens) -> None:
        recorded(step, f"the reply to {agent}", headers)
        heard[agent], paid[agent] = words, headers["x-sekimori-key"]
        step.row(agent, through, model, excerpt(words), paid[agent], tokens)
        world.tally(agent, KEYS[agent][1], tokens)

    x = world.anthropic("acme/x").messages.with_raw_response.create(
        model="smollm2", max_tokens=40, messages=[{"role": "user", "content": QUESTION}], extra_body=STEADY
    )
    message = x.parse()
    words = _anthropic_text(message)
    answered("acme/x", "anthropic SDK", "smollm2", words, x.headers, anthropic_tokens(message.usage))
    for agent, model in (("acme/y", "smollm2"), ("globex/z", cast.FOREIGN_MODEL)):
        raw = world.openai(agent).chat.completions.with_raw_response.create(
            model=model, max_tokens=40, temperature=0, messages=[{"role": "user", "content": QUESTION}]
        )
        reply = raw.parse()
        words = reply.choices[0].message.content or ""
        answered(agent, "openai SDK", model, words, raw.headers, openai_tokens(reply.usage))

    step.check(
        f"each agent is answered in the model's own words ({WORD})",
        {agent: WORD if WORD in words else words for agent, words in heard.items()},
        dict.fromkeys(KEYS, WORD),
    )
    step.check("each reply says whose key paid for it", paid, {agent: named for agent, (named, _) in KEYS.items()})
    step.checks.append("each reply names its entry in the ledger (x-sekimori-record)")


def streamed(world: World, step: Step) -> None:
    step.table("agent", "through", "the model says", "pieces", "paid with", "tokens", wide="the model says")
    heard: dict[str, list[str]] = {}
    paid: dict[str, str] = {}

    def answered(agent: str, through: str, pieces: list[str], headers: Any, tokens: Tokens | None) -> str:
        heard[agent], paid[agent] = pieces, headers["x-sekimori-key"]
        step.row(
            agent,
            through,
            excerpt("".join(pieces)),
            len(pieces),
            paid[agent],
            "not asked" if tokens is None else tokens,
        )
        return recorded(step, f"the stream to {agent}", headers)

    with world.anthropic("acme/x").messages.stream(
        model="smollm2", max_tokens=24, messages=[{"role": "user", "content": STORY}], extra_body=STEADY
    ) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
        tokens = anthropic_tokens(final.usage)
        answered("acme/x", "anthropic SDK", pieces, stream.response.headers, tokens)
        world.tally("acme/x", cast.ACME_CLAUDE, tokens)
    step.check("the whole message is the sum of its pieces", _anthropic_text(final), "".join(pieces))

    told: dict[str, int] = {}
    for agent, model, asks in (("acme/y", "smollm2", True), ("globex/z", cast.FOREIGN_MODEL, False)):
        raw = world.openai(agent).chat.completions.with_raw_response.create(
            model=model,
            max_tokens=24,
            temperature=0,
            messages=[{"role": "user", "content": STORY}],
            stream=True,
            stream_options={"include_usage": True} if asks else openai.omit,
        )
        chunks = list(raw.parse())
        pieces = [text for chunk in chunks if chunk.choices and (text := chunk.choices[0].delta.content)]
        usages = [openai_tokens(chunk.usage) for chunk in chunks if chunk.usage is not None]
        told[agent] = len(usages)
        record = answered(agent, "openai SDK", pieces, raw.headers, usages[0] if usages else None)
        world.tally(agent, KEYS[agent][1], usages[0] if usages else settled_tokens(world, agent, record))

    step.check(
        "each agent hears the model piece by piece",
        {agent: "many" if len(pieces) > 5 else pieces for agent, pieces in heard.items()},
        dict.fromkeys(KEYS, "many"),
    )
    step.check("each stream says whose key pays for it", paid, {agent: named for agent, (named, _) in KEYS.items()})
    step.check(
        "acme/y asked for the usage event and got it; globex/z did not and saw none (the record has it)",
        told,
        {"acme/y": 1, "globex/z": 0},
    )


def settled_tokens(world: World, agent: str, record: str) -> Tokens:
    """What the record says of a call whose caller was not told."""
    entries = world.entries_of_call(agent.partition("/")[0], record)
    settled = next(entry for entry in entries if entry["kind"] == "Settled")
    return Tokens(settled["payload"]["usage"]["input"], settled["payload"]["usage"]["output"])


def tools(world: World, step: Step) -> None:
    step.table("agent", "through", "a tool is called", "told its result, the sandbox says")

    client = world.openai("acme/y")
    offered: Any = [{"type": "function", "function": {"name": "order_status", "parameters": _PARAMETERS}}]
    talk: list[Any] = [{"role": "user", "content": "Where is order 1714?"}]
    first = client.chat.completions.create(model=cast.SANDBOX, messages=talk, tools=offered)
    world.tally("acme/y", cast.OPERATOR_PRACTICE, openai_tokens(first.usage))
    calls: list[Any] = list(first.choices[0].message.tool_calls or [])
    step.holds("acme/y is asked to run a tool", bool(calls), expected="a tool call", seen=first.choices[0].message)
    called = calls[0]
    given = json.loads(called.function.arguments)
    asked_for = (called.function.name, sorted(given))
    step.check("it is the tool that acme/y offered, with its arguments", asked_for, ("order_status", ["order"]))
    talk += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": called.id, "content": "It left the harbour on Tuesday."},
    ]
    second = client.chat.completions.create(model=cast.SANDBOX, messages=talk, tools=offered)
    world.tally("acme/y", cast.OPERATOR_PRACTICE, openai_tokens(second.usage))
    words = second.choices[0].message.content or ""
    step.row("acme/y", "openai SDK", f"{called.function.name}({json.dumps(given)})", excerpt(words))
    step.holds("told the result, it answers acme/y in words", bool(words), expected="words", seen=second)

    messages = world.anthropic("acme/x").messages
    tool: Any = {"name": "order_status", "input_schema": _PARAMETERS}
    asked: list[Any] = [{"role": "user", "content": "Where is order 1714?"}]
    raw = messages.with_raw_response.create(model=cast.SANDBOX, max_tokens=100, messages=asked, tools=[tool])
    reply = raw.parse()
    world.tally("acme/x", cast.OPERATOR_PRACTICE, anthropic_tokens(reply.usage))
    used = [block for block in reply.content if block.type == "tool_use"]
    step.holds("acme/x is asked to run a tool", bool(used), expected="a tool_use block", seen=reply.content)
    asked_for = (used[0].name, sorted(used[0].input))
    step.check("it is the tool that acme/x offered, with its arguments", asked_for, ("order_status", ["order"]))
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
    step.row("acme/x", "anthropic SDK", f"{used[0].name}({json.dumps(used[0].input)})", excerpt(words))
    step.holds("told the result, it answers acme/x in words", bool(words), expected="words", seen=last.content)


def _anthropic_text(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def fallback(world: World, step: Step) -> None:
    step.table("agent", "its client's key", "there", "policy", "the agent gets", wide="the agent gets")
    keys = (cast.ACME_PRACTICE, cast.GLOBEX_PRACTICE, cast.OPERATOR_PRACTICE)
    before = {path: world.sandbox_calls(path) for path in keys}

    raw = world.anthropic("acme/x").messages.with_raw_response.create(
        model=cast.SANDBOX, max_tokens=50, messages=[{"role": "user", "content": QUESTION}]
    )
    message = raw.parse()
    world.tally("acme/x", cast.OPERATOR_PRACTICE, anthropic_tokens(message.usage))
    paid = raw.headers["x-sekimori-key"]
    words = excerpt(_anthropic_text(message), 24)
    step.row("acme/x", cast.ACME_PRACTICE, 429, "then the operator's", f"{words} (paid with: {paid})")
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
    step.row("globex/z", cast.GLOBEX_PRACTICE, 429, "VPC mode: no other", f"RateLimitError (429), Retry-After: {wait}")
    world.tally("globex/z", cast.GLOBEX_PRACTICE, None)
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
