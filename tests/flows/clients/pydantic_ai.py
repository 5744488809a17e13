"""Pydantic AI: its OpenAI models, over chat completions and over responses, and its Anthropic model."""

from __future__ import annotations

from typing import Any

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.flows.clients import Door, Told, Used, Ways


class Runs:
    def __init__(self, model: Model) -> None:
        self.agent = Agent(model)

    async def plain(self, prompt: str) -> Told:
        run = await self.agent.run(prompt)
        return told(run.output, run.usage)

    async def streamed(self, prompt: str) -> Told:
        async with self.agent.run_stream(prompt) as run:
            words = [word async for word in run.stream_text(delta=True, debounce_by=None)]
        return told("".join(words), run.usage, len(words))

    async def with_tool(self, prompt: str) -> Used:
        given: list[dict[str, Any]] = []
        agent = self.agent

        @agent.tool_plain
        def weather(city: str) -> str:
            """The weather of a city."""
            given.append({"city": city})
            return "rain"

        run = await agent.run(prompt)
        return Used(given[0], run.output)


def told(text: str, usage: Any, pieces: int = 1) -> Told:
    return Told(text, usage.input_tokens, usage.output_tokens, pieces)


def openai(door: Door) -> OpenAIProvider:
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.key, max_retries=0))


def of_anthropic(door: Door) -> Runs:
    client = AsyncAnthropic(base_url=door.url, api_key=door.key, max_retries=0)
    return Runs(AnthropicModel(door.model, provider=AnthropicProvider(anthropic_client=client)))


WAYS: Ways = {
    "OpenAIChatModel": lambda door: Runs(OpenAIChatModel(door.model, provider=openai(door))),
    "OpenAIResponsesModel": lambda door: Runs(OpenAIResponsesModel(door.model, provider=openai(door))),
    "AnthropicModel": of_anthropic,
}
