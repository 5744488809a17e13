"""Base URLs of providers: where they lead, or why they may not be used."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sekimori.policy.kinds import HostPort, Provider
from sekimori.terms import OPERATOR, Origin
from sekimori.upstream.catalog import ENTRIES


class Base(Struct, frozen=True):
    """A base URL that may be dialled."""

    origin: Origin
    path: str
    """As written, without trailing slash."""
    private: bool
    """Whether the operator allows this exact host and port whatever its address."""


def base_of(provider: Provider, allowed: Iterable[HostPort]) -> Base | str:
    """Where a provider's document leads, or the reason why it leads nowhere."""
    text = provider.base_url or ENTRIES[provider.catalog].base_url
    if text is None:
        return f"the catalogue entry {provider.catalog} has no address of its own"
    allows = frozenset((item.host, item.port) for item in allowed)
    return _parsed(text, allows, provider.tenant or OPERATOR)


def _parsed(text: str, allows: frozenset[tuple[str, int]], owner: str) -> Base | str:
    from urllib.parse import urlsplit

    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        return "it is not a plain http or https URL"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    private = (parts.hostname, port) in allows
    if parts.scheme == "http" and not private:
        return "it is not https, and the operator does not allow this host and port"
    origin = Origin("https" if parts.scheme == "https" else "http", parts.hostname, port)
    return Base(origin, parts.path.rstrip("/"), private)
