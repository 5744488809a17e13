"""Where a provider's document leads: its base URL, or why that may not be used, and its place inside a cloud."""

from __future__ import annotations

from collections.abc import Iterable

from sekimori.egress.address import BaseUrl, Denied, check_base_url
from sekimori.policy.kinds import HostPort, Provider
from sekimori.terms import OPERATOR, Placement
from sekimori.upstream.catalog import ENTRIES, usual_base


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
