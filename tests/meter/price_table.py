"""Keeps src/sekimori/meter/prices_listed.toml current: what LiteLLM's price file says, in the form of this house.

    python -m tests.meter.price_table FILE --edition 'litellm 1.110.2' --date 2026-11-20 --day 2026-11-25 [--write]

FILE is `litellm/model_prices_and_context_window_backup.json` of the package litellm, `--date` the day on which that
edition was published, `--day` today. It prints what would change against the table that is shipped and where the file
contradicts a price that was read at the provider's own site (prices.toml, which stands), and writes only when told to.

An entry is taken when its provider has a catalogue entry here, its operation is one that is served, its figures are
whole, the page it names is the provider's own, and the model can still be called. Everything else stays without a
price. Nothing of this is needed at run time.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from sekimori.meter.prices import Rate, built_in, read

LISTED: Final = Path(__file__).parents[2] / "src" / "sekimori" / "meter" / "prices_listed.toml"
READ: Final = LISTED.with_name("prices.toml")

SITES: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("platform.claude.com", "docs.anthropic.com"),
    "azure": ("azure.microsoft.com", "prices.azure.com", "learn.microsoft.com"),
    "bedrock": ("aws.amazon.com", "docs.aws.amazon.com", "pricing.us-east-1.amazonaws.com"),
    "bedrock_mantle": ("aws.amazon.com", "docs.aws.amazon.com", "pricing.us-east-1.amazonaws.com"),
    "gemini": ("ai.google.dev", "aistudio.google.com"),
    "groq": ("console.groq.com", "groq.com"),
    "mistral": ("docs.mistral.ai", "mistral.ai"),
    "openai": ("developers.openai.com", "platform.openai.com", "openai.com"),
    "openrouter": ("openrouter.ai",),
    "vertex": ("cloud.google.com", "docs.cloud.google.com", "ai.google.dev"),
    "xai": ("api.x.ai", "docs.x.ai", "x.ai"),
}
"""Where a provider publishes its own prices: nobody else's page is a source."""

MODES: Final = frozenset({"chat", "responses", "embedding"})
SERVICES: Final = ("flex", "priority", "ultrafast")
RETIRED_DAYS: Final = 30
"""Days after its retirement for which a model keeps its price: until then some can still call it."""
EARLIEST_DAYS: Final = 90
"""The same where the date is the earliest on which it may be retired."""

_OTHER_MEDIA: Final = re.compile(
    r"audio|image|tts|live|omni|robotics|realtime|lyria|transcri|voxtral|search|deep-research|computer-use|veo|imagine"
    r"|vision-(preview|exp)|guard|gemma|learnlm|-exp|experimental|beta|-gv2|twelvelabs|multimodal-emb|container"
)
"""Models that are chiefly for what is not priced by tokens of text, and trials."""
_CLOUD: Final = re.compile(
    r"((us|eu|apac|au|jp|in|ca|global|us-gov)\.)?"
    r"(amazon\.nova|anthropic\.claude|meta\.llama|mistral|deepseek|qwen|openai|moonshotai|minimax|nvidia|xai|zai)"
    r"[a-z0-9.:_-]*"
)
_OLD: Final = re.compile(
    r"claude-(3|v|instant)|llama[23]-|llama3-[12]|mistral-(7b|tiny)|codestral-mamba|mixtral|-24\d\d|open-|moonshot\."
    r"|^ada$|^o1-mini|^gpt-4-turbo|^model-router"
)
"""Models that are no longer sold, though the file names no day on which that was so."""
_EMBEDS: Final = frozenset({"openai", "azure", "gemini", "mistral"})
"""Catalogue entries that offer embeddings."""
_AZURE_OWN: Final = re.compile(r"(claude|grok|deepseek|kimi|mistral|codestral|llama)[a-z0-9._-]*", re.IGNORECASE)


class Entry(NamedTuple):
    """One price as the file has it, in decimal dollars per million tokens."""

    catalog: str
    model: str
    figures: tuple[tuple[str, str], ...]
    tiers: tuple[tuple[int, tuple[tuple[str, str], ...]], ...]
    services: tuple[tuple[str, tuple[tuple[str, str], ...], tuple[tuple[int, tuple[tuple[str, str], ...]], ...]], ...]
    source: str


def entries(file: Mapping[str, Mapping[str, Any]], day: datetime.date) -> Iterator[Entry]:
    """What is taken of a file, by catalogue entry and model."""
    found: dict[tuple[str, str], Entry] = {}
    for key, values in file.items():
        for catalog, model in names(key, str(values.get("litellm_provider"))):
            if values.get("mode") not in MODES or (values["mode"] == "embedding" and catalog not in _EMBEDS):
                continue
            if _OTHER_MEDIA.search(model) or _OLD.search(model) or _retired(values, day):
                continue
            source = _page(catalog, str(values.get("source") or ""))
            if source and (entry := _entry(catalog, model, source, values)) is not None:
                found.setdefault((catalog, model), entry)
    yield from (found[at] for at in sorted(found))


def names(key: str, provider: str) -> Iterator[tuple[str, str]]:
    """The catalogue entry and model that a key of the file stands for: (`gemini`, …) for `gemini/gemini-3.8-flash`."""
    head, _, rest = key.partition("/")
    if provider in ("openai", "anthropic"):
        if not rest and ":" not in key:
            yield provider, key
    elif provider in ("gemini", "mistral", "xai", "groq"):
        if head == provider:
            yield provider, rest
    elif provider == "azure" or (provider == "azure_ai" and _AZURE_OWN.fullmatch(rest)):
        if head == provider and "/" not in rest:
            yield "azure", rest
    elif provider == "bedrock_mantle":
        if head == provider and "/" not in rest:
            yield provider, rest
    elif provider in ("bedrock", "bedrock_converse"):
        if not rest and _CLOUD.fullmatch(key):
            yield "bedrock", key
    elif provider.startswith("vertex_ai"):
        model = key.removeprefix("vertex_ai/")
        if provider == "vertex_ai-mistral_models" or provider == "vertex_ai-ai21_models":
            return  # served by paths that this gateway does not know
        if model.startswith("gemini-"):
            yield "vertex", model
            yield "vertex", f"google/{model}"  # as the OpenAI dialect's path calls it
        elif "/" in model or model.startswith("claude-"):
            yield "vertex", model


def _retired(values: Mapping[str, Any], day: datetime.date) -> bool:
    told = str(values.get("deprecation_date") or "")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", told):
        return False
    earliest = values["litellm_provider"] == "vertex_ai-anthropic_models"
    grace = datetime.timedelta(days=EARLIEST_DAYS if earliest else RETIRED_DAYS)
    return datetime.date.fromisoformat(told) + grace < day


def _page(catalog: str, source: str) -> str:
    """The page without its query; empty where it is not the provider's own."""
    parts = urlsplit(source.split()[0] if source else "")
    return f"https://{parts.netloc}{parts.path.rstrip('/')}" if parts.netloc in SITES[catalog] else ""


def _entry(catalog: str, model: str, source: str, values: Mapping[str, Any]) -> Entry | None:
    figures = _figures(values, "", "")
    tiers = _tiers(values, figures, "")
    if figures is None or tiers is None or Decimal(figures["input"]) == 0:
        return None
    if "claude" in model and "cache_write_hour" not in figures:
        return None  # Anthropic's models have it wherever they are sold: without it an hour would be too cheap
    services = []
    for service in SERVICES:
        of = _figures(values, "", f"_{service}")
        above = _tiers(values, of, f"_{service}")
        # A cheaper service with a figure missing would be too cheap or not cheaper. A dearer one is taken as it is:
        # what has no price of its own there costs what its input does, and longer prompts are not sold at it.
        whole = of is not None and above is not None and figures.keys() <= of.keys() and len(above) == len(tiers)
        if of is not None and above is not None and (whole or service != "flex"):
            services.append((service, _sorted(of), above))
    fast = (values.get("provider_specific_entry") or {}).get("fast")
    if fast and not tiers:
        services.append(("fast", _sorted({name: _times(value, fast) for name, value in figures.items()}), ()))
    return Entry(catalog, model, _sorted(figures), tiers, tuple(services), source)


def _figures(values: Mapping[str, Any], above: str, service: str) -> dict[str, str] | None:
    """Input, output and what there is of the cache; None where a figure is missing that must be there."""
    told = {
        "input": values.get(f"input_cost_per_token{above}{service}"),
        "output": values.get(
            f"output_cost_per_token{above}{service}", 0 if values.get("mode") == "embedding" else None
        ),
        "cached": values.get(f"cache_read_input_token_cost{above}{service}"),
        "cache_write": values.get(f"cache_creation_input_token_cost{above}{service}"),
        "cache_write_hour": values.get(f"cache_creation_input_token_cost_above_1hr{above}{service}"),
    }
    if told["input"] is None or told["output"] is None:
        return None
    figures = {name: _dollars(value) for name, value in told.items() if value is not None}
    # A cache that takes nothing to write is one whose writing is not charged apart: it costs what input does.
    return {name: value for name, value in figures.items() if name in ("input", "output") or Decimal(value)}


def _tiers(
    values: Mapping[str, Any], base: Mapping[str, str] | None, service: str
) -> tuple[tuple[int, tuple[tuple[str, str], ...]], ...] | None:
    """Prices of longer prompts; None where one lacks a figure that the shorter ones have."""
    tiers = []
    pattern = re.compile(rf"input_cost_per_token_above_(\d+)k_tokens{service}")
    for thousand in sorted(int(match[1]) for name in values if (match := pattern.fullmatch(name))):
        figures = _figures(values, f"_above_{thousand}k_tokens", service)
        if base is None or figures is None or not base.keys() <= figures.keys():
            return None
        tiers.append((1000 * thousand, _sorted({name: figures[name] for name in base})))
    return tuple(tiers)


def _dollars(per_token: float) -> str:
    """Dollars per million tokens of a figure per token, without the noise of its float."""
    return _plain(round(Decimal(repr(float(per_token))).scaleb(6), 7))


def _times(dollars: str, factor: float) -> str:
    return _plain(Decimal(dollars) * Decimal(repr(factor)))


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _sorted(figures: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    order = ("input", "output", "cached", "cache_write", "cache_write_hour")
    return tuple((name, figures[name]) for name in order if name in figures)


def text(listed: list[Entry], edition: str, date: str) -> str:
    """The table, models of one price together."""
    groups: dict[Entry, list[str]] = {}
    for entry in listed:
        groups.setdefault(entry._replace(model=""), []).append(entry.model)
    lines = [
        f"# List prices that {edition} had of the providers' own pages when it was published ({date}). Made by",
        "# tests/meter/price_table.py, which says what is taken and what is not: not to be edited by hand. The form is",
        "# that of prices.toml, which holds what was read at the providers' own sites and comes first.",
    ]
    for entry, models in groups.items():
        quoted = ", ".join(f'"{model}"' for model in models)
        lines += ["", "[[price]]", f'catalog = "{entry.catalog}"', f"models = [{quoted}]"]
        lines += [f'{name} = "{value}"' for name, value in entry.figures]
        if entry.tiers:
            lines.append(f"tiers = [{', '.join(_tier(*tier) for tier in entry.tiers)}]")
        if entry.services:
            lines.append("services = [")
            for name, figures, tiers in entry.services:
                above = f", tiers = [{', '.join(_tier(*tier) for tier in tiers)}]" if tiers else ""
                lines.append(f'    {{name = "{name}", {_inline(figures)}{above}}},')
            lines.append("]")
        lines += [f'source = "{entry.source} via {edition}"', f'date = "{date}"']
    return "\n".join(lines) + "\n"


def _tier(above: int, figures: tuple[tuple[str, str], ...]) -> str:
    return f"{{above = {above}, {_inline(figures)}}}"


def _inline(figures: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f'{name} = "{value}"' for name, value in figures)


def _said(rate: Rate) -> str:
    per_million = [f"{tier.input / 10**9:g}/{tier.output / 10**9:g}/{tier.cached / 10**9:g}" for tier in rate.tiers]
    return " then ".join(per_million) + "".join(f" +{name}" for name, _ in rate.services)


def changes(made: str) -> Iterator[str]:
    """What a newly made table changes, a line for each model, and where it contradicts what was read by hand."""
    new, old, own = read(made), built_in(), read(READ.read_text(encoding="utf-8"))
    for at in sorted(new.keys() | old.keys()):
        name = f"{at[0]} {at[1]}"
        if at in own:
            if at in new and new[at][0].tiers != own[at][0].tiers:
                yield f"contradicted  {name}: read {_said(own[at][0])}, listed {_said(new[at][0])}"
        elif at not in old:
            yield f"new           {name}: {_said(new[at][0])}"
        elif at not in new:
            yield f"gone          {name}: {_said(old[at][0])}"
        elif (new[at][0].tiers, new[at][0].services) != (old[at][0].tiers, old[at][0].services):
            yield f"changed       {name}: {_said(old[at][0])} -> {_said(new[at][0])}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.meter.price_table", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--edition", required=True)
    parser.add_argument("--date", required=True, type=datetime.date.fromisoformat)
    parser.add_argument("--day", required=True, type=datetime.date.fromisoformat)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    own = read(READ.read_text(encoding="utf-8"))
    found = list(entries(json.loads(given.file.read_text(encoding="utf-8")), given.day))
    for line in changes(text(found, given.edition, str(given.date))):
        print(line)
    if given.write:
        kept = [entry for entry in found if (entry.catalog, entry.model) not in own]
        LISTED.write_text(text(kept, given.edition, str(given.date)), encoding="utf-8")


if __name__ == "__main__":
    main()
