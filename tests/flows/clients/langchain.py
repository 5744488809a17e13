"""LangChain: `ChatOpenAI` over chat completions and over responses, and `ChatAnthropic`."""

from __future__ import annotations

from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.flows.clients import Door, Told, Used, Ways


class Chat:
    def __init__(self, model: BaseChatModel) -> None:
        self.model = model

    async def plain(self, prompt: str) -> Told:
        return told(await self.model.ainvoke(prompt), 1)

    async def streamed(self, prompt: str) -> Told:
        pieces = [piece async for piece in self.model.astream(prompt)]
        whole: Any = pieces[0]
        for piece in pieces[1:]:
            whole += piece
        return told(whole, len(pieces))

    async def with_tool(self, prompt: str) -> Used:
        given: list[dict[str, Any]] = []

        @tool
        def weather(city: str) -> str:
            """The weather of a city."""
            given.append({"city": city})
            return "rain"

        bound = self.model.bind_tools([weather])
        asked: list[Any] = [HumanMessage(prompt)]
        reply: Any = await bound.ainvoke(asked)
        [call] = reply.tool_calls
        result: ToolMessage = await weather.ainvoke(call)
        answer = await bound.ainvoke([*asked, reply, result])
        return Used(given[0], str(answer.text))


def told(message: Any, pieces: int) -> Told:
    usage = message.usage_metadata
    return Told(str(message.text), usage["input_tokens"], usage["output_tokens"], pieces)


def of_openai(door: Door, **more: Any) -> Chat:
    model = ChatOpenAI(
        model=door.model, base_url=f"{door.url}/v1", api_key=door.key, stream_usage=True, max_retries=0, **more
    )  # type: ignore[arg-type]
    return Chat(model)


def of_responses(door: Door) -> Chat:
    return of_openai(door, use_responses_api=True)


def of_anthropic(door: Door) -> Chat:
    model = ChatAnthropic(model=door.model, base_url=door.url, api_key=door.key, max_retries=0)  # type: ignore[call-arg,arg-type]
    return Chat(model)


WAYS: Ways = {
    "ChatOpenAI": of_openai,
    "ChatOpenAI, responses": of_responses,
    "ChatAnthropic": of_anthropic,
}
