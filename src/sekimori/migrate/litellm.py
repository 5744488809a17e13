"""A LiteLLM proxy's config.yaml, as Sekimori's documents and a report of what they do not carry.

    import_litellm(data, "config.yaml", today="2026-11-25").text

What a file says once for all callers becomes one tenant with one agent; whoever runs the gateway parts them later.
Each deployment (address and key) becomes a Provider with a Key of its own; a `model_name` that means something else
than its plain model becomes an Alias.

No secret is carried or quoted: a key that stands in the file is counted, and the report says how to put it. Pure: the
day is an argument. What is written has passed the same checks as an apply; else nothing is, and the report says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, Literal

from sekimori.identity.names import slug_fault
from sekimori.migrate import settings
from sekimori.migrate.deployments import Contract, Deployment, Deployments
from sekimori.migrate.report import Imported, Note, Verdict
from sekimori.migrate.tree import fields_of, items_of, leaves_of, number_of, text_of
from sekimori.policy.checks import check
from sekimori.policy.documents import Documents, export, parse, subject
from sekimori.policy.kinds import KINDS, Agent, Document, Fallback, Key, Limit, Operator, Provider, Route, Tenant
from sekimori.policy.problems import Invalid, Problem, shown
from sekimori.policy.reading import Node, read
from sekimori.terms import Condition
from sekimori.upstream.catalog import ENTRIES

Mode = Literal["agency", "vpc"]
LISTED: Final = 200
"""Models that the agent's document lists one by one; beyond, it lists providers."""
NOTES: Final = 2000
"""Lines of a report."""
MOST_COUNT: Final = 1_000_000_000
"""What a Limit can hold."""

_PERIODS: Final = {"1d": "money_per_day", "30d": "money_per_month", "1mo": "money_per_month"}
"""Durations that LiteLLM counts from midnight, or from the first of a month (`30d` as well), UTC: as a Limit does."""
_WHEN: Final[tuple[Condition, ...]] = ("rate_limited", "overloaded", "server_error", "connect_failed")


def import_litellm(
    data: bytes, file: str, *, today: str, tenant: str = "default", agent: str = "default", mode: Mode = "agency"
) -> Imported:
    """Documents and report of a config.yaml. `file` is for messages; `today` dates prices, YYYY-MM-DD.

    `mode` agency keeps the keys as the operator's, vpc as the tenant's own. Raises `Invalid` where the file is not such
    a configuration, and ValueError, which says why, where `tenant` or `agent` cannot be a name.
    """
    for name in (tenant, agent):
        fault = slug_fault(name)
        if fault is not None:
            raise ValueError(fault)
    trees = read(data, file, foreign=True)
    if len(trees) != 1 or not isinstance(trees[0].value, dict):
        what = "is not the configuration of a LiteLLM proxy."
        raise Invalid([Problem(file, 1, "", "", what, "Name its config.yaml: one document with a `model_list`.")])
    return _Import(trees[0].value, tenant, agent, mode, today).done()


class _Import:
    def __init__(self, sections: dict[str, Node], tenant: str, agent: str, mode: Mode, today: str) -> None:
        self._sections = sections
        self._tenant = tenant
        self._agent = agent
        self._mode = mode
        self._notes: list[Note] = []
        self._aliases: dict[str, Document] = {}
        self._aliased: dict[str, tuple[int, str, str]] = {}
        """Of each alias: line and place in the file, and what it stands for first."""
        self._limited: tuple[Limit, ...] = ()
        self._secrets = self._count_secrets()
        keys = "operator" if mode == "agency" else f"clients/{tenant}"
        self._found = Deployments(sections, keys, today, self._say)

    def _say(self, line: int, place: str, verdict: Verdict, text: str, advice: str = "") -> None:
        if len(self._notes) < NOTES:
            self._notes.append(Note(line, place, verdict, text, advice))

    def done(self) -> Imported:
        self._name_groups()
        self._fallbacks()
        self._settings()
        self._limited = tuple(self._limits())
        documents, text = self._checked()
        steps = tuple(contract.step for contract in self._found.contracts)
        notes = tuple(sorted(self._notes, key=lambda note: note.line))
        return Imported(documents, text, steps if documents else (), notes, self._secrets)

    def _checked(self) -> tuple[tuple[Document, ...], str]:
        """The documents and their YAML, as `check` takes them. An alias that it refuses is left out; where it refuses
        anything else nothing is written: half a policy misleads."""
        if not self._found.contracts:
            text = "No model could be carried, so there is nothing to write."
            self._say(0, "model_list", "left_out", text, "Name a file whose model_list has models that can be.")
            return (), ""
        documents = tuple(self._documents())
        while True:
            text = export(documents)
            try:
                problems = check(Documents(parse(text.encode(), "import")))
            except Invalid as invalid:
                problems = list(invalid.problems)
            errors = [problem for problem in problems if problem.level == "error"]
            refused = {subject(alias): alias for alias in self._aliases.values()}
            aliases = [problem for problem in errors if problem.subject in refused]
            if not aliases:
                break
            for problem in aliases:
                alias = refused[problem.subject]
                line, place, target = self._aliased[problem.subject]
                text = f"Callers write {target}; the alias is not written: {problem.text}"
                self._say(line, place, "changed", text, problem.fix)
                self._aliases = {name: one for name, one in self._aliases.items() if one is not alias}
            documents = tuple(self._documents())
        for problem in errors or problems[:20]:
            place = ": ".join(part for part in (problem.subject, problem.field) if part)
            self._say(0, place, "left_out" if errors else "note", problem.text, problem.fix)
        return ((), "") if errors else (documents, text)

    # -- names ---------------------------------------------------------------------------------------------------------

    def _name_groups(self) -> None:
        groups = self._found.groups
        for group, members in groups.items():
            self._alias(group, members, members[0].line, f"{members[0].place}.model_name")
        router = fields_of(self._sections.get("router_settings"))
        for name, node in fields_of(router.get("model_group_alias")).items():
            meant = text_of(node) or text_of(fields_of(node).get("model"))
            place = f"router_settings.model_group_alias.{shown(name)}"
            if name in groups:
                text = "The name is one of model_list as well, which comes first."
                self._say(node.line, place, "left_out", text, "Remove one of them.")
            elif meant in groups:
                self._alias(name, groups[meant], node.line, place)
            else:
                text = "The group that it stands for is not carried."
                self._say(node.line, place, "left_out", text, "See what is said of that group.")

    def _alias(self, name: str, members: list[Deployment], line: int, place: str) -> None:
        """An Alias, where callers could not go on writing `name` without one."""
        targets: dict[str, Decimal] = {}
        for one in members:
            targets[one.target] = targets.get(one.target, Decimal(0)) + one.weight
        first = members[0]
        if len(targets) == 1 and (name == first.target or (name == first.model and not self._shared(first))):
            return
        made = settings.alias(self._tenant, name, _weights(targets)) if "Alias" in KINDS else None
        if made is not None:
            self._aliases[name] = made
            self._aliased[subject(made)] = line, place, first.target
            return
        why = "it cannot be an alias's name" if "Alias" in KINDS else "this version has no aliases"
        text = f"Callers write {first.target} instead of {shown(name)}: {why}."
        self._say(line, place, "changed", text, "Change the model's name in the agent.")
        for other in members[1:]:
            if other.contract is not first.contract:
                self._second(first, other, line, place)

    def _shared(self, one: Deployment) -> bool:
        """Whether more than one provider serves a model of that plain name, so that it alone would be ambiguous."""
        members = [other for group in self._found.groups.values() for other in group if other.model == one.model]
        names = {other.contract.name for other in (*members, *self._found.wild)}
        return len(names | {one.contract.name}) > 1

    # -- fallbacks -----------------------------------------------------------------------------------------------------

    def _fallbacks(self) -> None:
        for section in ("litellm_settings", "router_settings"):
            fields = fields_of(self._sections.get(section))
            for number, item in enumerate(items_of(fields.get("fallbacks"))):
                for group, node in fields_of(item).items():
                    for meant in items_of(node):
                        self._fallback(group, text_of(meant), node.line, f"{section}.fallbacks[{number}]")

    def _fallback(self, group: str, meant: str, line: int, place: str) -> None:
        groups = self._found.groups
        seconds = groups.get(meant) or [one for some in groups.values() for one in some if one.id and one.id == meant]
        if group not in groups or not seconds:
            text = "One of the two groups is not carried."
            self._say(line, place, "left_out", text, "See what is said of the groups.")
            return
        for first in groups[group]:
            others = [one for one in seconds if one.contract is not first.contract]
            if others:
                self._second(first, others[0], line, place)
            else:
                text = f"{shown(group)} and {shown(meant)} are at one provider with one key."
                advice = "A second key helps when the first is at its limit; another model is for the agent to name."
                self._say(line, place, "left_out", text, advice)

    def _second(self, first: Deployment, second: Deployment, line: int, place: str) -> None:
        """A route's fallback: another key or provider for the same model in the same dialect."""
        one, other = first.contract, second.contract
        wanted = Fallback(key=other.step.path, provider=other.name, when=_WHEN)
        if first.model != second.model:
            text = f"A call for {shown(first.model)} is not answered by {shown(second.model)}: it was not asked for."
            self._say(line, place, "left_out", text, "Let the agent ask for the other model when it is refused.")
        elif not ENTRIES[one.where.catalog].usual & ENTRIES[other.where.catalog].usual:
            text = f"{one.name} and {other.name} speak different dialects, and nothing is translated."
            self._say(line, place, "left_out", text, "Let the agent call the other in its own dialect.")
        elif one.fallback is None:
            one.fallback = wanted
            text = f"{one.name} falls back to {other.name}, before a byte was answered, for every model both serve."
            self._say(line, place, "changed", text, "See `fallback.when` of the Route for the answers that let it.")
        elif one.fallback != wanted:
            text = f"The route to {one.name} has a fallback already; there is one second key."
            self._say(line, place, "left_out", text, "Choose which in `fallback` of the Route.")

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _count_secrets(self) -> int:
        count = 0
        for place, name, node in leaves_of(self._sections):
            if settings.is_secret(name, text_of(node)):
                count += 1
                text = "A secret stands in the file; it is not carried."
                self._say(node.line, place, "secret", text, "Replace it where it was issued: files are copied.")
        return count

    def _settings(self) -> None:
        for section, node in self._sections.items():
            if section in ("model_list", "credential_list"):
                continue
            known = settings.SETTINGS.get(section)
            if known is None:
                self._say(node.line, shown(section), *settings.section(section))
                continue
            for name, value in fields_of(node).items():
                said = known.get(name, settings.UNKNOWN)
                if said is not None:
                    self._say(value.line, f"{section}.{shown(name)}", *said)

    # -- bounds --------------------------------------------------------------------------------------------------------

    def _limits(self) -> Iterator[Limit]:
        """The Limits of the tenant as a whole, and of each key for what its entries may have through them."""
        field = "global_max_parallel_requests"
        node = fields_of(self._sections.get("general_settings")).get(field)
        most = number_of(node)
        concurrency = int(most) if most and 1 <= most <= MOST_COUNT else None
        if node is not None and concurrency is not None:
            self._say(node.line, f"general_settings.{field}", "note", "It became a Limit of the tenant.")
        whole = fields_of(self._sections.get("litellm_settings"))
        money = self._money(whole, "litellm_settings", "of the tenant", text_of(whole.get("timezone")))
        if concurrency is not None or money:
            yield Limit(tenant=self._tenant, concurrency=concurrency, **money)
        for contract in self._found.contracts:
            bound: dict[str, Any] = {}
            for name, member in (("rpm", "requests_per_minute"), ("tpm", "tokens_per_minute")):
                rate = self._rate(contract, name)
                if rate is not None:
                    bound[member] = rate
            bound |= self._spent(contract)
            if bound:
                yield Limit(tenant=self._tenant, key=contract.step.path, **bound)

    def _rate(self, contract: Contract, name: str) -> int | None:
        """What all entries of one key may have in a minute together; None, and why, where that cannot be said."""
        given = [(one, one.given[name]) for one in contract.bounds if name in one.given]
        if not given:
            return None
        rates = [number_of(node) for _, node in given]
        whole = sum((rate for rate in rates if rate is not None), Decimal(0))
        said = all(rate is not None and rate == rate.to_integral_value() for rate in rates)
        carried = said and len(given) == len(contract.bounds) and 1 <= whole <= MOST_COUNT
        verdict: Verdict = "changed" if carried else "left_out"
        if carried:
            text = f"It became a Limit of the key {contract.step.path}, {whole} a minute"
            text += " for all its entries together." if len(given) > 1 else "."
            advice = "It is kept exactly: beyond it another key of the model is tried, or the call is refused."
        else:
            text = "It bounds nothing here: not every entry with that key and address has one that can be read."
            advice = f"Write a Limit for the key {contract.step.path}."
        for one, node in given:
            self._say(node.line, f"{one.place}.{name}", verdict, text, advice)
        return int(whole) if carried else None

    def _spent(self, contract: Contract) -> dict[str, Any]:
        """The budget of a key that one entry alone uses: of several, each has its own, and a key has one."""
        for one in contract.bounds:
            if len(contract.bounds) == 1:
                return self._money(one.given, one.place, f"of the key {contract.step.path}", "")
            if "max_budget" in one.given:
                text = "Several entries share that key and address, and a Limit bounds the key as a whole."
                advice = f"Write a Limit for the key {contract.step.path}."
                self._say(one.given["max_budget"].line, f"{one.place}.max_budget", "left_out", text, advice)
        return {}

    def _money(self, given: dict[str, Node], place: str, whose: str, zone: str) -> dict[str, Any]:
        """A budget as a member of a Limit, where it is counted from the same moment here."""
        node = given.get("max_budget")
        if node is None:
            return {}
        amount, duration = number_of(node), text_of(given.get("budget_duration"))
        member = _PERIODS.get(duration)
        text = "" if amount is None else _dollars(amount)
        if not text or member is None or zone not in ("", "UTC"):
            why = (
                "It cannot be read as US dollars."
                if not text
                else "Its days do not begin at midnight UTC."
                if member is not None
                else f"A Limit counts by the UTC day or the calendar month, and not {_counted(duration)}."
            )
            advice = "Write a Limit with moneyPerDay or moneyPerMonth."
            self._say(node.line, f"{place}.max_budget", "left_out", why, advice)
            return {}
        period = "a UTC day" if member == "money_per_day" else "a calendar month, UTC"
        said = f"It became a Limit {whose}: {text} USD in {period}, reserved before a call and settled after it."
        advice = "A model without a price is refused under it: price it in the Operator document."
        self._say(node.line, f"{place}.max_budget", "changed", said, advice)
        return {member: text}

    def _documents(self) -> Iterator[Document]:
        contracts = self._found.contracts
        if self._found.private or self._found.prices:
            private, prices = self._found.private.values(), self._found.prices.values()
            yield Operator(allow_private=tuple(private), prices=tuple(prices))
        yield Tenant(name=self._tenant, mode=self._mode)
        for one in contracts:
            more: dict[str, Any] = dict(one.where.fields)
            catalog: Any = one.where.catalog
            base = one.where.base_url or None
            yield Provider(name=one.name, catalog=catalog, base_url=base, models=tuple(one.models), **more)
        for one in contracts:
            more = {"credential": one.where.credential} if one.where.credential else {}
            yield Key(path=one.step.path, provider=one.name, **more)
        yield Agent(tenant=self._tenant, name=self._agent, models=tuple(self._models()))
        for one in contracts:
            yield Route(tenant=self._tenant, provider=one.name, key=one.step.path, fallback=one.fallback)
        yield from self._aliases.values()
        yield from self._limited

    def _models(self) -> list[str]:
        """What the agent may call: models, and aliases by their names."""
        contracts = self._found.contracts
        models = [f"{one.name}/{model}" for one in contracts for model in one.models]
        models = models if len(models) <= LISTED else [f"{one.name}/*" for one in contracts]
        return list(dict.fromkeys([*models, *self._aliases]))


def _dollars(amount: Decimal) -> str:
    """An amount as a Limit holds it; empty where it cannot."""
    if amount >= 10**9 or amount != amount.quantize(Decimal("1.000000000")):
        return ""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _counted(duration: str) -> str:
    return f"in {shown(duration)}" if duration else "for ever"


def _weights(targets: dict[str, Decimal]) -> list[tuple[str, int]]:
    """Whole weights from 1 to 1000 in the same proportion; all 1 where the file gives none, or only some."""
    if not all(targets.values()):
        return [(target, 1) for target in targets]
    if all(weight == weight.to_integral_value() and weight <= 1000 for weight in targets.values()):
        return [(target, int(weight)) for target, weight in targets.items()]
    most = max(targets.values())
    return [(target, max(1, round(weight * 1000 / most))) for target, weight in targets.items()]
