"""Figures are believed when they can be true, told alike for every dialect, and never guessed."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import Usage as AnthropicUsage
from google.genai.types import GenerateContentResponseUsageMetadata
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CompletionUsage

from sekimori.meter.usage import (
    MOST,
    of_anthropic,
    of_gemini,
    of_openai,
    of_openai_embeddings,
    of_openai_responses,
)
from sekimori.terms import Usage


def openai(prompt: Any = 10, completion: Any = 5, **rest: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **rest}


def anthropic(fresh: Any = 10, output: Any = 5, **rest: Any) -> dict[str, Any]:
    return {"input_tokens": fresh, "output_tokens": output, **rest}


def given_details(**details: Any) -> dict[str, Any]:
    return {"prompt_tokens_details": details}


def made_details(**details: Any) -> dict[str, Any]:
    return {"completion_tokens_details": details}


BELIEVED: list[tuple[dict[str, Any], Usage]] = [
    (openai(), Usage(10, 5)),
    (openai(0, 0), Usage(0, 0)),
    (openai(total_tokens=15), Usage(10, 5)),
    (openai(total_tokens=None), Usage(10, 5)),
    (openai(**given_details(cached_tokens=4, cache_write_tokens=2)), Usage(10, 5, cached=4, cache_write=2)),
    (openai(prompt_cache_hit_tokens=4), Usage(10, 5, cached=4)),
    (openai(**made_details(reasoning_tokens=5)), Usage(10, 5, reasoning=5)),
    (openai(prompt_tokens_details=None, completion_tokens_details=None), Usage(10, 5)),
    # Reasoning left out of the completion, told by the total (Gemini's endpoint, xAI).
    (openai(total_tokens=25, **made_details(reasoning_tokens=10)), Usage(10, 15, reasoning=10)),
    (openai(total_tokens=25), Usage(10, 15)),
    (openai(MOST, 0), Usage(MOST, 0)),
]
DOUBTED: list[tuple[dict[str, Any], Usage]] = [
    (openai(total_tokens=14), Usage(10, 5, estimated=True)),
    (openai(total_tokens="15"), Usage(10, 5, estimated=True)),
    (openai(total_tokens=-1), Usage(10, 5, estimated=True)),
    (openai(**made_details(reasoning_tokens=9)), Usage(10, 14, reasoning=9, estimated=True)),
    (openai(**given_details(cached_tokens=11)), Usage(10, 5, estimated=True)),
    (openai(**given_details(cached_tokens=6, cache_write_tokens=6)), Usage(10, 5, estimated=True)),
    (openai(**given_details(cached_tokens=-1)), Usage(10, 5, estimated=True)),
    (openai(**given_details(cached_tokens=True)), Usage(10, 5, estimated=True)),
    (openai(**given_details(cached_tokens=1.5)), Usage(10, 5, estimated=True)),
    (openai(**made_details(reasoning_tokens="5")), Usage(10, 5, estimated=True)),
]
UNKNOWN: list[Any] = [None, 5, "many", [], {}, True]
WRONG: list[Any] = [None, -1, MOST + 1, 10**30, 1.0, "5", True, False, [], {}, float("nan")]


@pytest.mark.parametrize(("figures", "usage"), BELIEVED + DOUBTED)
def test_openai(figures: dict[str, Any], usage: Usage) -> None:
    assert of_openai(figures) == usage


@pytest.mark.parametrize(
    ("told", "service"),
    [("priority", "priority"), ("flex", "flex"), ("default", ""), (None, ""), (5, ""), ("x" * 40, ""), ("a b", "")],
)
def test_the_service_tier_stands_beside_the_figures(told: Any, service: str) -> None:
    assert of_openai(openai(), told) == Usage(10, 5, service=service)


@pytest.mark.parametrize("figures", UNKNOWN)
def test_no_figures_are_unknown(figures: Any) -> None:
    assert of_openai(figures) is None
    assert of_anthropic(figures) is None


@pytest.mark.parametrize("wrong", WRONG)
def test_input_and_output_are_believed_or_unknown(wrong: Any) -> None:
    assert of_openai(openai(prompt=wrong)) is None
    assert of_openai(openai(completion=wrong)) is None
    assert of_anthropic(anthropic(fresh=wrong)) is None
    assert of_anthropic(anthropic(output=wrong)) is None


@pytest.mark.parametrize("name", ["prompt_tokens_details", "completion_tokens_details"])
@pytest.mark.parametrize("wrong", [5, "x", [1], True])
def test_details_of_the_wrong_type_are_left_out(name: str, wrong: Any) -> None:
    assert of_openai(openai(**{name: wrong})) == Usage(10, 5)


def test_absurd_by_addition() -> None:
    assert of_anthropic(anthropic(iterations=[anthropic(MOST), anthropic(MOST)])) is None
    assert of_openai(openai(0, MOST, **made_details(reasoning_tokens=MOST))) == Usage(0, MOST, reasoning=MOST)
    assert of_openai(openai(0, 1, **made_details(reasoning_tokens=MOST))) is None
    assert of_anthropic(anthropic(MOST, 1, cache_read_input_tokens=1)) is None


@pytest.mark.parametrize(
    ("figures", "usage"),
    [
        (anthropic(), Usage(10, 5)),
        (anthropic(cache_read_input_tokens=3, cache_creation_input_tokens=4), Usage(17, 5, cached=3, cache_write=4)),
        (anthropic(cache_read_input_tokens=None, cache_creation_input_tokens=None), Usage(10, 5)),
        (anthropic(output_tokens_details={"thinking_tokens": 2}), Usage(10, 5, reasoning=2)),
        (anthropic(output_tokens_details={"thinking_tokens": 6}), Usage(10, 5, estimated=True)),
        (
            anthropic(cache_creation_input_tokens=9, cache_creation={"ephemeral_1h_input_tokens": 4}),
            Usage(19, 5, cache_write=9, cache_write_hour=4),
        ),
        (
            anthropic(cache_creation_input_tokens=3, cache_creation={"ephemeral_1h_input_tokens": 4}),
            Usage(13, 5, cache_write=3, estimated=True),
        ),
        (anthropic(cache_creation=None, service_tier="standard"), Usage(10, 5)),
        (anthropic(service_tier="priority"), Usage(10, 5, service="priority")),
        (anthropic(service_tier="standard", speed="fast"), Usage(10, 5, service="fast")),
        (anthropic(service_tier="priority", speed="standard"), Usage(10, 5, service="priority")),
        (anthropic(speed=["fast"]), Usage(10, 5)),
        (anthropic(iterations=None), Usage(10, 5)),
        (anthropic(iterations=[anthropic()]), Usage(10, 5)),
        (anthropic(iterations=[anthropic(), anthropic(2, 3, cache_read_input_tokens=4)]), Usage(16, 8, cached=4)),
        (anthropic(iterations=[anthropic(1, 1), anthropic(1, 1)]), Usage(10, 5)),
        (
            anthropic(0, 1, cache_read_input_tokens=10, iterations=[anthropic(0, 1), anthropic(10, 0)]),
            Usage(10, 1, cached=10),
        ),
        (anthropic(iterations=[anthropic(), {"input_tokens": -1}]), Usage(10, 5, estimated=True)),
        (anthropic(iterations=[anthropic(), "x"]), Usage(10, 5, estimated=True)),
    ],
)
def test_anthropic(figures: dict[str, Any], usage: Usage) -> None:
    assert of_anthropic(figures) == usage


@pytest.mark.parametrize("name", ["cache_read_input_tokens", "cache_creation_input_tokens"])
@pytest.mark.parametrize("wrong", [-1, MOST + 1, 1.5, "5", True])
def test_input_is_unknown_where_a_part_of_it_is(name: str, wrong: Any) -> None:
    assert of_anthropic(anthropic(**{name: wrong})) is None


def test_members_are_those_of_the_sdks() -> None:
    assert {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"} <= set(
        CompletionUsage.model_fields
    )
    assert {"cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens_details"} <= set(
        AnthropicUsage.model_fields
    )


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "cached_tokens",
                "cache_write_tokens", "completion_tokens_details", "reasoning_tokens", "input_tokens", "output_tokens",
                "cache_read_input_tokens", "cache_creation_input_tokens", "iterations", "output_tokens_details",
                "thinking_tokens", "prompt_cache_hit_tokens",
            ]
        ),
        inner,
    ),
    max_leaves=12,
)  # fmt: skip


@given(anything)
def test_whatever_is_told_usage_is_consistent_or_unknown(figures: Any) -> None:
    for usage in (of_openai(figures), of_anthropic(figures)):
        if usage is not None:
            numbers = (usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning)
            assert all(type(number) is int and 0 <= number <= MOST for number in numbers)
            assert usage.cached + usage.cache_write <= usage.input
            assert usage.reasoning <= usage.output


def responses(input_: Any = 10, output: Any = 5, **rest: Any) -> dict[str, Any]:
    return {"input_tokens": input_, "output_tokens": output, **rest}


RESPONSES: list[tuple[Any, Usage | None]] = [
    (responses(), Usage(10, 5)),
    (responses(total_tokens=15), Usage(10, 5)),
    (
        responses(
            input_tokens_details={"cached_tokens": 4, "cache_write_tokens": 2},
            output_tokens_details={"reasoning_tokens": 5},
        ),
        Usage(10, 5, cached=4, cache_write=2, reasoning=5),
    ),
    (responses(input_tokens_details=None, output_tokens_details=[]), Usage(10, 5)),
    (responses(total_tokens=14), Usage(10, 5, estimated=True)),
    (responses(total_tokens=20), Usage(10, 10)),
    (responses(output_tokens_details={"reasoning_tokens": 9}), Usage(10, 14, reasoning=9, estimated=True)),
    (responses(input_tokens_details={"cached_tokens": 11}), Usage(10, 5, estimated=True)),
    (responses(input_tokens_details={"cached_tokens": -1}), Usage(10, 5, estimated=True)),
    *((unknown, None) for unknown in UNKNOWN),
    *((responses(wrong), None) for wrong in WRONG),
    *((responses(10, wrong), None) for wrong in WRONG),
    (openai(), None),
]


@pytest.mark.parametrize(("figures", "expected"), RESPONSES)
def test_figures_of_responses(figures: Any, expected: Usage | None) -> None:
    assert of_openai_responses(figures) == expected


@given(
    st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "prompt_tokens", "total_tokens"]), st.integers(-1, MOST)
    )
)
def test_figures_of_the_further_operations_never_contradict_themselves(figures: dict[str, Any]) -> None:
    for usage in (of_openai_responses(figures), of_openai_embeddings(figures)):
        if usage is not None:
            assert 0 <= usage.cached + usage.cache_write <= usage.input <= MOST
            assert 0 <= usage.reasoning <= usage.output <= MOST


def gemini(prompt: Any = 10, said: Any = 5, **rest: Any) -> dict[str, Any]:
    return {"promptTokenCount": prompt, "candidatesTokenCount": said, **rest}


GEMINI: list[tuple[Any, Usage | None]] = [
    (gemini(), Usage(10, 5)),
    (gemini(0, 0), Usage(0, 0)),
    (gemini(totalTokenCount=15), Usage(10, 5)),
    (gemini(thoughtsTokenCount=3, totalTokenCount=18), Usage(10, 8, reasoning=3)),
    (gemini(toolUsePromptTokenCount=4, totalTokenCount=19), Usage(14, 5)),
    (gemini(cachedContentTokenCount=4), Usage(10, 5, cached=4)),
    (gemini(totalTokenCount=40), Usage(10, 30)),
    (gemini(serviceTier="priority"), Usage(10, 5, service="priority")),
    (gemini(serviceTier="FLEX"), Usage(10, 5, service="flex")),
    (gemini(serviceTier="standard"), Usage(10, 5)),
    (gemini(trafficType="ON_DEMAND"), Usage(10, 5)),
    (gemini(trafficType="ON_DEMAND_PRIORITY"), Usage(10, 5, service="priority")),
    (gemini(trafficType="ON_DEMAND_FLEX"), Usage(10, 5, service="flex")),
    (gemini(trafficType=["ON_DEMAND_FLEX"]), Usage(10, 5)),
    ({"promptTokenCount": 10, "totalTokenCount": 10}, Usage(10, 0)),
    ({"promptTokenCount": 10, "totalTokenCount": 12}, Usage(10, 2)),
    (gemini(totalTokenCount=14), Usage(10, 5, estimated=True)),
    (gemini(totalTokenCount="15"), Usage(10, 5, estimated=True)),
    (gemini(cachedContentTokenCount=11), Usage(10, 5, estimated=True)),
    (gemini(cachedContentTokenCount=-1), Usage(10, 5, estimated=True)),
    ({"promptTokenCount": 10}, None),
    ({"candidatesTokenCount": 10, "totalTokenCount": 10}, None),
    ({"trafficType": "ON_DEMAND"}, None),
    (gemini(MOST, 5, toolUsePromptTokenCount=1), None),
    (gemini(thoughtsTokenCount=-1), None),
    (gemini(toolUsePromptTokenCount=1.5), None),
]


@pytest.mark.parametrize(("figures", "expected"), GEMINI)
def test_figures_of_the_gemini_dialect(figures: Any, expected: Usage | None) -> None:
    assert of_gemini(figures) == expected


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_figures_of_the_gemini_dialect_are_unknown(wrong: Any) -> None:
    assert of_gemini(wrong) is None
    assert of_gemini(gemini(prompt=wrong)) is None
    assert of_gemini(gemini(said=wrong)) is None


def test_embeddings_have_no_output() -> None:
    assert of_gemini({"promptTokenCount": 10}, answers=False) == Usage(10, 0)
    assert of_gemini({}, answers=False) is None


def test_gemini_figures_are_named_as_the_sdk_names_them() -> None:
    known = {field.alias for field in GenerateContentResponseUsageMetadata.model_fields.values()}
    read = {"promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"}
    assert read | {"cachedContentTokenCount", "totalTokenCount", "trafficType"} <= known


@given(st.dictionaries(st.sampled_from(sorted(gemini(thoughtsTokenCount=1, totalTokenCount=1))), st.integers(-5, 50)))
def test_gemini_figures_are_never_less_than_told(figures: dict[str, int]) -> None:
    usage = of_gemini(figures)
    if usage is not None:
        assert usage.input == figures["promptTokenCount"]
        assert usage.output >= figures.get("candidatesTokenCount", 0) + figures.get("thoughtsTokenCount", 0)
        assert usage.reasoning <= usage.output
