"""Which URLs a provider may be had to fetch for an agent. Pure.

What a provider fetches for an agent is egress of the agent, though not a byte of it passes through us: a URL is a way
to send things out, and a way to have somebody else's network looked into. So the capability (`images_by_url`,
`remote_mcp`) only opens the door; each URL must also be on a list that an Egress document keeps. The narrowest
document counts, alone: the agent's own, else its tenant's, else the operator's for the tenant's vertical. Without one
nothing is allowed.

The provider resolves the name, in a network that we do not see. Whoever lists a host vouches for its DNS.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from sekimori.egress.address import Denied, Fetched, Host, parse_fetched, parse_host
from sekimori.errors import Refused
from sekimori.policy.kinds import Allowed

ALLOWED: Final = "allowed"
NOT_LISTED: Final = "not_listed"
NO_DOCUMENT: Final = "no_document"
USUAL_PORTS: Final = {"https": 443, "http": 80}
_STANDARD_PORTS: Final = frozenset({443, 8443})


class Verdict(Struct, frozen=True):
    """What is said of one URL."""

    allowed: bool
    reason: str
    """`allowed`, or a word that says why not: one of egress/address, `not_listed`, or `no_document`."""
    text: str = ""
    """A sentence that is safe to show and to record: it holds the host at most, never path or query."""
    advice: str = ""


class Rule(Struct, frozen=True):
    """One line of an Egress document, compiled."""

    host: str
    """Canonical; a name that begins with a dot stands for every name with one label more."""
    schemes: frozenset[str]
    ports: frozenset[int]
    """Empty: the usual port of the scheme."""
    paths: tuple[str, ...]
    """Without trailing slash; empty: any."""

    def admits(self, url: Fetched) -> bool:
        if url.scheme not in self.schemes:
            return False
        if url.port not in (self.ports or (USUAL_PORTS[url.scheme],)):
            return False
        name = url.host.name
        if self.host.startswith("."):
            # One label, as in a certificate: whoever lists `*.example.com` has not seen what is below its names.
            if url.host.address is not None or name.partition(".")[2] != self.host[1:]:
                return False
        elif name != self.host:
            return False
        return not self.paths or _below(url.path, self.paths)


class Policy(Struct, frozen=True):
    """The list that counts for an agent."""

    rules: tuple[Rule, ...] = ()
    source: str = ""
    """The document, as people name it; empty where there is none."""


NOTHING: Final = Policy()


def compiled(allow: Iterable[Allowed], source: str) -> Policy:
    """A document's list. A line whose host is none is left out: it allows nothing."""
    return Policy(tuple(rule for line in allow if (rule := rule_of(line)) is not None), source)


def rule_of(line: Allowed) -> Rule | None:
    host = host_of(line.host)
    if isinstance(host, Denied):
        return None
    return Rule(
        ("." if line.host.startswith("*.") else "") + host.name,
        frozenset(line.schemes),
        frozenset(line.ports),
        tuple(path.rstrip("/") for path in line.paths),
    )


def host_of(pattern: str) -> Host | Denied:
    """The host of a line, `*.` set aside, where a provider may be sent to it at all."""
    if not pattern.startswith("*."):
        found = parse_fetched(f"https://{_bracketed(pattern)}/")
        return found if isinstance(found, Denied) else found.host
    host = parse_host(pattern[2:])
    if isinstance(host, Denied):
        return host
    if host.address is not None or "." not in host.name:
        # `*.com` lists what anyone can register.
        return Denied("wildcard", "A wildcard stands for one label before a name of at least two.")
    found = parse_fetched(f"https://{host.name}/")
    return found if isinstance(found, Denied) else host


def judge(url: str, policy: Policy) -> Verdict:
    """Whether the provider may be had to fetch the URL. Total."""
    parsed = parse_fetched(url)
    if isinstance(parsed, Denied):
        return Verdict(False, parsed.reason, parsed.text, parsed.advice)
    if any(rule.admits(parsed) for rule in policy.rules):
        return Verdict(True, ALLOWED)
    at = f"`{parsed.scheme}`, host `{parsed.host.name}`, port {parsed.port}"
    if not policy.source:
        return Verdict(False, NO_DOCUMENT, f"No Egress document allows this agent any URL ({at}).", WRITE_ONE)
    return Verdict(False, NOT_LISTED, f"{policy.source} does not allow {at}, or not this path.", "Add it to `allow`.")


WRITE_ONE: Final = "Write an Egress document that allows the host for this agent or its tenant."


def form(url: str) -> Verdict:
    """Whether anyone could have the URL fetched, whatever is listed: https, the usual ports, a public host. Total."""
    parsed = parse_fetched(url)
    if isinstance(parsed, Denied):
        return Verdict(False, parsed.reason, parsed.text, parsed.advice)
    if parsed.scheme != "https":
        return Verdict(False, "plaintext", "The URL is not https.", "A line of an Egress document can allow http.")
    if parsed.port not in _STANDARD_PORTS:
        text = f"Port {parsed.port} is not one of 443 and 8443."
        return Verdict(False, "port_forbidden", text, "A line of an Egress document can allow it.")
    return Verdict(True, ALLOWED)


def require(fetches: Iterable[tuple[str, str]], policy: Policy) -> None:
    """Passes where every (URL, place) may be fetched. Raises Refused `url_forbidden` naming the first place that may
    not; of the URL it says the host at most, for paths and queries hold what is nobody's business."""
    for url, place in fetches:
        said = judge(url, policy)
        if not said.allowed:
            raise Refused(
                "url_forbidden",
                f"`{place}` names a URL that the provider may not fetch for this agent: {said.text}",
                advice=said.advice,
            )


def _below(path: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a path is one of the prefixes or below it. Dot segments were refused; an escaped slash is a
    slash to some servers, an empty segment nothing to others, an escaped escape both: none is below anything."""
    lowered = path.lower()
    if "%2f" in lowered or "%25" in lowered or "//" in path:
        return False
    return any(path == prefix or path.startswith(prefix + "/") for prefix in prefixes)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
