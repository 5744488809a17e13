"""LiteLLM as a client: the `openai/` and `anthropic/` providers with a base of their own."""

from __future__ import annotations

import json
from typing import Any

import litellm

from tests.flows.clients import Door, Told, Used, Ways

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Completion:
    def __init__(self, provider: str, base: str, door: Door) -> None:
        self.named = {"model": f"{provider}/{door.model}", "api_base": base, "api_key": door.key, "max_retries": 0}

    async def ask(self, messages: list[Any], **more: Any) -> Any:
        return await litellm.acompletion(messages=messages, **self.named, **more)

    async def plain(self, prompt: str) -> Told:
        reply = await self.ask([{"role": "user", "content": prompt}])
        usage = reply.usage
        return Told(reply.choices[0].message.content, usage.prompt_tokens, usage.completion_tokens)

    async def streamed(self, prompt: str) -> Told:
        asked = [{"role": "user", "content": prompt}]
        stream = await self.ask(asked, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        usage = next(chunk.usage for chunk in reversed(chunks) if getattr(chunk, "usage", None))
        return Told(text, usage.prompt_tokens, usage.completion_tokens, len(chunks))

    async def with_tool(self, prompt: str) -> Used:
        asked: list[Any] = [{"role": "user", "content": prompt}]
        first = (await self.ask(asked, tools=[WEATHER])).choices[0].message
        [call] = first.tool_calls
        assert call.function.name == "weather"
        told = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
        answer = await self.ask([*asked, first.model_dump(exclude_none=True), told], tools=[WEATHER])
        return Used(json.loads(call.function.arguments), answer.choices[0].message.content)


WAYS: Ways = {
    "openai/": lambda door: Completion("openai", f"{door.url}/v1", door),
    "anthropic/": lambda door: Completion("anthropic", door.url, door),
}
