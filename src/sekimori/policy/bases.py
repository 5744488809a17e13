"""Base URLs of providers: where they lead, or why they may not be used."""

from __future__ import annotations

from collections.abc import Iterable

from sekimori.egress.address import BaseUrl, Denied, check_base_url
from sekimori.policy.kinds import HostPort, Provider
from sekimori.terms import OPERATOR
from sekimori.upstream.catalog import ENTRIES


def base_of(provider: Provider, allowed: Iterable[HostPort]) -> BaseUrl | Denied:
    """Where a provider's document leads, or why it leads nowhere. `allowed` is the operator's `allowPrivate`."""
    text = provider.base_url or ENTRIES[provider.catalog].base_url
    if text is None:
        advice = "Write baseUrl as the provider's SDK takes it, e.g. https://host/v1."
        return Denied("no_base_url", f"The catalogue has no address for {provider.catalog}.", advice)
    allows = frozenset((item.host, item.port) for item in allowed)
    return check_base_url(text, operator_allows=allows, owner=provider.tenant or OPERATOR)
