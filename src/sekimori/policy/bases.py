"""Where a provider's document leads: its base URL, or why that may not be used, and its place inside a cloud."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sekimori.egress.address import BaseUrl, Denied, check_base_url
from sekimori.policy.documents import Located
from sekimori.policy.guards import Judge
from sekimori.policy.kinds import Guard, HostPort, Provider
from sekimori.policy.problems import Problem
from sekimori.terms import OPERATOR, Dialect, Placement
from sekimori.upstream.catalog import ENTRIES, usual_base

_WRITTEN: Final[dict[str, str]] = {
    "project": "project",
    "location": "location",
    "organization": "organization",
    "api_version": "apiVersion",
    "deployments": "deployments",
}
"""Fields of a placement as documents write them."""
_EXPRESS: Final[frozenset[Dialect]] = frozenset({"gemini"})


def base_of(provider: Provider, allowed: Iterable[HostPort]) -> BaseUrl | Denied:
    """Where a provider's document leads, or why it leads nowhere. `allowed` is the operator's `allowPrivate`."""
    text = provider.base_url or usual_base(provider.catalog, provider.location or "")
    if text is None:
        advice = "Write baseUrl as the provider's SDK takes it, e.g. https://host/v1."
        if "location" in ENTRIES[provider.catalog].needs:
            advice = "Write location, e.g. us-east-1."
        return Denied("no_base_url", f"The catalogue has no address for {provider.catalog}.", advice)
    allows = frozenset((item.host, item.port) for item in allowed)
    return check_base_url(text, operator_allows=allows, owner=provider.tenant or OPERATOR)


def placement_of(provider: Provider) -> Placement:
    """Where inside its cloud a provider's document leads."""
    return Placement(
        project=provider.project or "",
        location=provider.location or "",
        organization=provider.organization or "",
        api_version=provider.api_version or "",
        deployments=tuple((one.model, one.deployment) for one in provider.deployments),
    )


def misplaced(located: Located, document: Provider) -> Iterator[Problem]:
    """What a document says of its place in a cloud that does not fit its kind of provider."""
    entry, placement = ENTRIES[document.catalog], placement_of(document)
    written = {name for name in _WRITTEN if getattr(placement, name)}
    for name in sorted(written - entry.takes):
        yield located.problem(_WRITTEN[name], f"means nothing to {entry.title}.", "Remove the line.")
    for name in sorted(entry.needs - written):
        yield located.problem(_WRITTEN[name], f"is missing: {entry.title} needs it.", "Write it.")
    if entry.express and bool(placement.project) and not placement.location:
        yield located.problem("location", "is missing: a project has one.", "Write it, e.g. global.")
    if entry.express and not placement.project and any(name not in _EXPRESS for name in document.dialects or ()):
        yield located.problem("project", "is missing: without one only the gemini dialect is there.", "Write it.")
    seen: set[str] = set()
    for number, one in enumerate(document.deployments):
        if "*" in one.model or one.model in seen:
            text = f"{one.model} is a pattern, or named twice."
            yield located.problem(f"deployments[{number}].model", text, "Write each model once, by its exact name.")
        seen.add(one.model)


def judge_of(judge: Judge, allowed: Iterable[HostPort]) -> BaseUrl | Denied:
    """Where a judge listens, or why it is not asked: only what the operator allows by `allowPrivate` is in the cell."""
    allows = frozenset((item.host, item.port) for item in allowed)
    base = check_base_url(judge.url, operator_allows=allows, owner=OPERATOR)
    if isinstance(base, Denied) or base.private:
        return base
    return Denied(
        "judge_outside",
        f"{base.origin} is not an address inside the cell.",
        "Use one that the Operator document allows by allowPrivate: what a judge reads must not leave the cell.",
    )


def misjudged(located: Located, document: Guard, allowed: Iterable[HostPort]) -> Iterator[Problem]:
    """What a Guard says of a judge that may not be asked."""
    if document.judge is not None:
        base = judge_of(document.judge, allowed)
        if isinstance(base, Denied):
            yield located.problem("judge.url", base.text, base.advice)
