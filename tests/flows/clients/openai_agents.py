"""OpenAI's Agents SDK: its chat-completions model and its responses model."""

from __future__ import annotations

from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from agents.models.interface import Model
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from tests.flows.clients import Door, Told, Used, Ways

# Traces would go to OpenAI itself, with whichever key the SDK finds.
set_tracing_disabled(True)


class Runs:
    def __init__(self, model: Model) -> None:
        self.model = model

    def agent(self, **more: Any) -> Agent[None]:
        settings = ModelSettings(include_usage=True)  # a stream tells its figures only where they are asked for
        return Agent(name="helper", instructions="Be brief.", model=self.model, model_settings=settings, **more)

    async def plain(self, prompt: str) -> Told:
        run = await Runner.run(self.agent(), prompt)
        usage = run.context_wrapper.usage
        return Told(run.final_output, usage.input_tokens, usage.output_tokens)

    async def streamed(self, prompt: str) -> Told:
        run = Runner.run_streamed(self.agent(), prompt)
        words = [
            event.data.delta
            async for event in run.stream_events()
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
        ]
        usage = run.context_wrapper.usage
        assert run.final_output == "".join(words)
        return Told("".join(words), usage.input_tokens, usage.output_tokens, len(words))

    async def with_tool(self, prompt: str) -> Used:
        given: list[dict[str, Any]] = []

        @function_tool
        def weather(city: str) -> str:
            """The weather of a city."""
            given.append({"city": city})
            return "rain"

        run = await Runner.run(self.agent(tools=[weather]), prompt)
        return Used(given[0], run.final_output)


def client(door: Door) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.key, max_retries=0)


WAYS: Ways = {
    "OpenAIChatCompletionsModel": lambda door: Runs(OpenAIChatCompletionsModel(door.model, client(door))),
    "OpenAIResponsesModel": lambda door: Runs(OpenAIResponsesModel(door.model, client(door))),
}
