"""A LiteLLM file's `model_list`: each entry's address, key and model."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from sekimori.egress.address import BaseUrl, Denied, check_base_url, parse_host
from sekimori.identity.names import RESERVED, SLUG_LENGTH
from sekimori.migrate import settings
from sekimori.migrate.origins import ORIGINS, Served, origin_of
from sekimori.migrate.report import KeyStep, Verdict
from sekimori.migrate.tree import fields_of, items_of, number_of, text_of
from sekimori.policy.kinds import Fallback, HostPort, ModelPattern, Price
from sekimori.policy.problems import looks_secret, shown
from sekimori.policy.reading import Node
from sekimori.upstream.catalog import offers

_MODES: Final = frozenset(
    {"", "chat", "completion", "responses", "embedding", "moderation", "rerank", "image_generation"}
)
"""Modes of a model for which there is a door; a chat where it does not say."""
MOST: Final = 500
"""Entries that one import carries; each may be a provider, and a check compares those with one another."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOUNDS: Final = frozenset({"rpm", "tpm", "max_budget", "budget_duration"})
_FROM_ENVIRONMENT: Final = "os.environ/"
_URL: Final = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^/:?#@\[\]]+)(?::([1-9][0-9]{0,4}))?(?:/[^?#]*)?", re.I)


class Say(Protocol):
    """Takes a line of the report (report.Note)."""

    def __call__(self, line: int, place: str, verdict: Verdict, text: str, advice: str = "") -> None: ...


class Contract:
    """An address and a key: one Provider, one Key, one Route."""

    def __init__(self, name: str, served: Served, where: settings.Place, step: KeyStep) -> None:
        self.name = name
        self.served = served
        self.where = where
        self.step = step
        """How the key gets into the vault."""
        self.models: dict[str, None] = {}
        """In the order of the file; empty where every entry of it was left out."""
        self.fallback: Fallback | None = None
        self.bounds: list[Bounds] = []
        """Of each entry that is carried."""


class Bounds(Struct):
    """What an entry says of how much may go through it; nothing stands for what cannot be read."""

    place: str
    """Of its `litellm_params`."""
    given: dict[str, Node]
    """`rpm`, `tpm`, `max_budget` and `budget_duration`, those that are there."""


class Deployment(Struct):
    """One entry that is carried."""

    contract: Contract
    model: str
    """As the provider knows it; a pattern where the entry is one."""
    weight: Decimal
    """Of `weight`, else rpm, else tpm; 0 where there is none."""
    id: str
    """`model_info.id`."""
    place: str
    line: int

    @property
    def target(self) -> str:
        return f"{self.contract.name}/{self.model}"


class Deployments:
    """The `model_list` of a file, read when made.

    An address and a key make a contract together: a key is never written beside an address that it did not stand with.
    """

    def __init__(self, sections: dict[str, Node], keys: str, today: str, say: Say) -> None:
        """`keys` is what key paths begin with, `operator` or `clients/TENANT`; `today` dates prices."""
        self._keys = keys
        self._today = today
        self._say = say
        self._contracts: dict[tuple[settings.Place, str], Contract] = {}
        self._names: set[str] = set()
        self._sections = sections
        self._credentials = {
            text_of(fields_of(item).get("credential_name")): fields_of(fields_of(item).get("credential_values"))
            for item in items_of(sections.get("credential_list"))
        }
        self.groups: dict[str, list[Deployment]] = {}
        """By `model_name`, without those that are patterns."""
        self.wild: list[Deployment] = []
        self.private: dict[tuple[str, int], HostPort] = {}
        """What the operator must allow."""
        self.prices: dict[tuple[str, str], Price] = {}
        items = items_of(sections.get("model_list"))
        for number, item in enumerate(items[:MOST]):
            self._entry(item, f"model_list[{number}]")
        if len(items) > MOST:
            text = f"Only the first {MOST} entries are carried."
            say(items[MOST].line, f"model_list[{MOST}]", "left_out", text, "Import the rest as a file of its own.")

    @property
    def contracts(self) -> list[Contract]:
        """Those that serve a model."""
        return [contract for contract in self._contracts.values() if contract.models]

    def _entry(self, item: Node, place: str) -> None:
        fields = fields_of(item)
        given = fields_of(fields.get("litellm_params"))
        info = fields_of(fields.get("model_info"))
        named = text_of(given.get("litellm_credential_name"))
        if named and named not in self._credentials:
            text = "The credential that it names is not in credential_list."
            self._say(item.line, place, "left_out", text, "Add it there, and import again.")
            return
        if named:
            given = {**self._credentials[named], **given}
        group, model = text_of(fields.get("model_name")), text_of(given.get("model"))
        if not group or not model:
            text = "The entry has no model_name or no litellm_params.model."
            self._say(item.line, place, "left_out", text, "Complete it, or leave it.")
            return
        at, where = given["model"].line, f"{place}.litellm_params.model"
        found = origin_of(model, text_of(given.get("custom_llm_provider")))
        if found is None:
            text = f"Nothing says who serves {shown(model)}."
            self._say(at, where, "left_out", text, "Write it as provider/model, and import again.")
            return
        prefix, inner = found
        if not self._has_door(info, place) or not self._named_well(prefix, inner, at, where):
            return
        contract = self._contract(prefix, given, place, at)
        if contract is None:
            return
        models: tuple[str, ...] = (inner,)
        if inner == "*" and contract.served.families != ("*",):
            models = contract.served.families
            text = f"The wildcard became {', '.join(models)}: a provider lists what it serves."
            self._say(at, where, "changed", text, f"Widen `models` of the Provider {contract.name} where needed.")
        contract.models.update(dict.fromkeys(models))
        if text_of(info.get("mode")) == "embedding" and not offers(contract.where.catalog, "openai", "embeddings"):
            text = "This version serves no embeddings; the model is listed all the same."
            self._say(info["mode"].line, f"{place}.model_info.mode", "note", text, "Calls to it are refused so far.")
        self._price(given, info, contract, inner, place)
        for name, node in given.items():
            said = settings.parameter(name, contract.where.catalog)
            if said is not None:
                self._say(node.line, f"{place}.litellm_params.{shown(name)}", *said)
        rate = number_of(given.get("rpm"))
        bounds = {name: node for name, node in given.items() if name in _BOUNDS}
        contract.bounds.append(Bounds(f"{place}.litellm_params", bounds))
        weight = number_of(given.get("weight")) or rate or number_of(given.get("tpm")) or Decimal(0)
        made = Deployment(contract, inner, weight, text_of(info.get("id")), place, item.line)
        if "*" not in group and "*" not in inner:
            self.groups.setdefault(group, []).append(made)
            return
        self.wild.append(made)
        if group != f"{contract.name}/*":
            text = f"Callers write {contract.name}/MODEL, or a plain name that one provider alone serves."
            self._say(item.line, f"{place}.model_name", "changed", text, "It stood for every name before.")

    def _has_door(self, info: dict[str, Node], place: str) -> bool:
        mode = text_of(info.get("mode"))
        if mode in _MODES:
            return True
        text = f"Sekimori has no door for the mode {shown(mode)}."
        self._say(info["mode"].line, f"{place}.model_info.mode", "left_out", text, "Call the provider as before.")
        return False

    def _named_well(self, prefix: str, inner: str, line: int, where: str) -> bool:
        if inner == "*" and prefix not in ORIGINS:
            text = "A wildcard over every provider is not carried."
            self._say(line, where, "left_out", text, "Write one entry for each provider: provider/*.")
            return False
        try:
            msgspec.convert(inner, ModelPattern)
            msgspec.convert(f"{_slug(prefix)}/{inner}" + "-" * SLUG_LENGTH, ModelPattern)  # with the longest name
        except msgspec.ValidationError:
            text = f"The model's name {shown(inner)} is too long, or has characters that a document may not hold."
            self._say(line, where, "left_out", text, "Give it another name at the provider.")
            return False
        if looks_secret(inner):
            text = "The model's name looks like a key."
            self._say(line, where, "left_out", text, "Give it another name at the provider.")
            return False
        return True

    # -- address and key -----------------------------------------------------------------------------------------------

    def _contract(self, prefix: str, given: dict[str, Node], place: str, line: int) -> Contract | None:
        """The contract of an entry; None, with a note, where it cannot be carried."""
        written = given.get("api_base") or given.get("base_url")
        at = f"{place}.litellm_params." + (
            "model" if written is None else "api_base" if "api_base" in given else "base_url"
        )
        line = line if written is None else written.line
        base = self._resolved(text_of(written))
        served = ORIGINS.get(prefix)
        trouble: tuple[str, str] | None = None
        if served is not None and served.reason:
            trouble = f"{prefix} is not carried: {served.reason}.", "Keep it there, or use it at another provider."
        elif base.startswith(_FROM_ENVIRONMENT):
            trouble = (
                "The address comes from a variable of the environment, which an import does not read.",
                "Write the address, or the variable under environment_variables, and import again.",
            )
        elif served is None and not base:
            trouble = (
                f"The provider {shown(prefix)} is not known here, and the entry has no api_base.",
                "If it speaks OpenAI's dialect, add its api_base and import again.",
            )
        if trouble is not None:
            self._say(line, at, "left_out", *trouble)
            return None
        served = served or Served(own=True)
        where = settings.place_of(prefix, served, base, self._plain(given))
        if where.trouble is not None:
            self._say(line, at, "left_out", *where.trouble)
            return None
        if where.base_url and not self._dialled(where.base_url, at, line):
            return None
        source, held = _key_of(served, given)
        identity = where, source
        if identity not in self._contracts:
            name = self._name(prefix, where.base_url)
            step = _step(f"{self._keys}/{name}", source, held, where.credential)
            self._contracts[identity] = Contract(name, served, where, step)
        return self._contracts[identity]

    def _plain(self, given: dict[str, Node]) -> dict[str, str]:
        return {name: self._resolved(text_of(node)) for name, node in given.items()}

    def _resolved(self, text: str) -> str:
        """A value of the environment that the file itself gives, where that is no secret."""
        if text.startswith(_FROM_ENVIRONMENT):
            name = text.removeprefix(_FROM_ENVIRONMENT)
            value = text_of(fields_of(self._sections.get("environment_variables")).get(name))
            if value and not settings.is_secret(name, value):
                return value
        return text

    def _dialled(self, base: str, at: str, line: int) -> bool:
        """Whether a base URL may stand in a document. What only the operator can allow is written down as allowed."""
        found = check_base_url(base)
        if isinstance(found, BaseUrl):
            return True
        allowed = _host_port(base)
        again = found if allowed is None else check_base_url(base, operator_allows=frozenset({allowed}))
        if isinstance(again, Denied) or allowed is None:
            denied = again if isinstance(again, Denied) else found
            advice = denied.advice or "Write the address that the provider gives."
            if denied.reason == "this_network":
                advice = "0.0.0.0 is where a server listens, not where it is called: write 127.0.0.1."
            text = f"The address cannot be called ({denied.reason.replace('_', ' ')})."
            self._say(line, at, "left_out", text, advice)
            return False
        if allowed not in self.private:
            self.private[allowed] = HostPort(host=allowed[0], port=allowed[1])
            text = f"{allowed[0]}:{allowed[1]} is private or unencrypted; the Operator document allows exactly it."
            self._say(line, at, "changed", text, "Is it meant? Merge it with the Operator document in force, if any.")
        return True

    def _name(self, prefix: str, base: str) -> str:
        """A provider's name: the prefix that callers know, where it is free."""
        stem = _slug(prefix)
        host = _host_port(base)
        if stem in self._names and host:
            stem = _slug(f"{stem}-{host[0].split('.')[0]}")
        name, number = stem, 1
        while name in self._names:
            number += 1
            name = f"{stem[: SLUG_LENGTH - 5].rstrip('-')}-{number}"
        self._names.add(name)
        return name

    # -- price ---------------------------------------------------------------------------------------------------------

    def _price(self, given: dict[str, Node], info: dict[str, Node], contract: Contract, model: str, place: str) -> None:
        found = {**info, **given}
        per_token = [number_of(found.get(f"{side}_cost_per_token")) for side in ("input", "output")]
        if per_token[0] is None or per_token[1] is None:
            return
        line = found["input_cost_per_token"].line
        costs = [_dollars(cost) for cost in per_token if cost is not None]
        if costs[0] is None or costs[1] is None or "*" in model:
            text = "The price cannot be carried: it is for a pattern, or has more digits than a document holds."
            self._say(line, place, "left_out", text, "Write it under `prices` of the Operator document.")
            return
        price = Price(
            catalog=contract.where.catalog,  # type: ignore[arg-type]
            model=model,
            input=costs[0],
            output=costs[1],
            source="imported from a LiteLLM configuration",
            date=self._today,
        )
        if self.prices.setdefault((contract.where.catalog, model), price) != price:
            text = f"{shown(model)} has another price than above; a price holds for a catalogue entry and a model."
            self._say(line, place, "left_out", text, "Keep the right one in the Operator document.")


def _key_of(served: Served, given: dict[str, Node]) -> tuple[str, str]:
    """(what tells this key from others, where it is for people). The first is for comparing alone: it may hold it."""
    for name in settings.KEY_FIELDS:
        node = given.get(name)
        text = text_of(node)
        if node is None or not text:
            continue
        if text.startswith(_FROM_ENVIRONMENT):
            variable = text.removeprefix(_FROM_ENVIRONMENT)
            return f"variable:{variable}", variable
        if settings.is_placeholder(text):
            return "none:", ""
        return f"file:{text}", f"line {node.line} of the file"
    return (f"variable:{served.variable}", served.variable) if served.variable else ("none:", "")


def _step(path: str, source: str, where: str, credential: str) -> KeyStep:
    kind = source.partition(":")[0]
    if credential == "aws":
        return KeyStep(path, "elsewhere", "your AWS access key, as docs/providers.md says", f"sekimori key put {path}")
    if kind == "variable" and _VARIABLE.fullmatch(where) and not looks_secret(where):
        if where == "GOOGLE_APPLICATION_CREDENTIALS":
            return KeyStep(path, "elsewhere", f"the file that {where} names", f'sekimori key put {path} < "${where}"')
        return KeyStep(path, "variable", f"the variable {where}", f'printf %s "${where}" | sekimori key put {path}')
    if kind == "none":
        return KeyStep(path, "none", "it wants none: any word will do", f"printf %s none | sekimori key put {path}")
    return KeyStep(path, "file", where if kind == "file" else "a variable", f"sekimori key put {path}")


def _dollars(per_token: Decimal) -> str | None:
    """Per million tokens, as a document writes it; None where it does not fit."""
    text = f"{per_token * 1_000_000:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text if re.fullmatch(r"(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,9})?", text) else None


def _slug(text: str) -> str:
    made = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:SLUG_LENGTH].rstrip("-")
    return made if re.match(r"[a-z]", made) and made not in RESERVED and not looks_secret(text) else "provider"


def _host_port(base: str) -> tuple[str, int] | None:
    """(canonical host, port) of a URL, for `allowPrivate`; None where it has none."""
    found = _URL.fullmatch(base)
    host = parse_host(found[2]) if found else None
    if found is None or host is None or isinstance(host, Denied):
        return None
    port = int(found[3]) if found[3] else 443 if found[1].lower() == "https" else 80
    return (host.name, port) if port <= 65535 else None
