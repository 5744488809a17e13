"""Which addresses may be called, which names may be asked for, which base URLs may be configured. Pure and total.

The table is our own, from the IANA special-purpose registries (IPv4, IPv6; read November 2026) and the metadata
services of the clouds: `ipaddress.is_global` passes a third of the addresses that must not be reached. Whatever
carries an IPv4 address inside an IPv6 one (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) is refused
even if the inner address is public: which machine it reaches is decided by a translator that we do not know.

A host is first normalised (NFKC, IDNA), then a name whose last label is a number must be a strict dotted quad,
because `getaddrinfo` reads `0177.0.0.1`, `2130706433`, `0x7f.1` and `127.1` as 127.0.0.1.

Names are not resolved here. `egress/dial` classifies every address a name resolves to and dials only one that was
classified; a base URL that passes here is merely not wrong by itself.
"""

from __future__ import annotations

import re
import unicodedata
from encodings import idna
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from msgspec import Struct

from sekimori.terms import OPERATOR, Origin

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AddressClass(Struct, frozen=True):
    """What an address is."""

    allowed: bool
    """Whether anyone may have it called."""
    reason: str
    """`global` where allowed; else what it is, a word of the table below."""
    allowable: bool = False
    """Whether the operator may allow it by exact host and port. Metadata services, translators and what is no
    host's address are not: nothing that serves a model listens there."""


# Networks, what they are, and whether the operator may allow a host there.
_TABLE: Final[tuple[tuple[str, str, bool], ...]] = (
    # Cloud metadata and control services: first, so that the reason is exact. They hand out credentials.
    ("169.254.169.254/32", "cloud_metadata", False),  # AWS, Google, Azure, DigitalOcean, OpenStack
    ("169.254.169.253/32", "cloud_metadata", False),  # AWS resolver
    ("169.254.169.123/32", "cloud_metadata", False),  # AWS time service
    ("169.254.170.2/32", "cloud_metadata", False),  # AWS ECS task credentials
    ("169.254.170.23/32", "cloud_metadata", False),  # AWS EKS pod identity
    ("169.254.0.23/32", "cloud_metadata", False),  # Tencent
    ("169.254.10.10/32", "cloud_metadata", False),  # Tencent
    ("100.100.100.200/32", "cloud_metadata", False),  # Alibaba
    ("192.0.0.192/32", "cloud_metadata", False),  # Oracle Classic
    ("168.63.129.16/32", "cloud_metadata", False),  # Azure wire server: a public address by registry
    ("fd00:ec2::254/128", "cloud_metadata", False),  # AWS
    ("fd00:ec2::23/128", "cloud_metadata", False),  # AWS EKS pod identity
    ("fd00:ec2::253/128", "cloud_metadata", False),  # AWS resolver
    ("fd00:ec2::123/128", "cloud_metadata", False),  # AWS time service
    ("fd20:ce::254/128", "cloud_metadata", False),  # Google
    ("fd00:42::42/128", "cloud_metadata", False),  # Scaleway
    ("fd00:c1::a9fe:a9fe/128", "cloud_metadata", False),  # Oracle
    # IPv4 special-purpose registry.
    ("0.0.0.0/8", "this_network", False),  # Linux connects 0.0.0.0 to itself
    ("10.0.0.0/8", "private", True),
    ("100.64.0.0/10", "shared", True),  # carrier-grade NAT, RFC 6598
    ("127.0.0.0/8", "loopback", True),
    ("169.254.0.0/16", "link_local", True),
    ("172.16.0.0/12", "private", True),
    ("192.0.0.0/24", "ietf_protocol", False),  # also its anycast parts: no provider lives there
    ("192.0.2.0/24", "documentation", False),
    ("192.31.196.0/24", "as112", False),
    ("192.52.193.0/24", "amt", False),
    ("192.88.99.0/24", "six_to_four_relay", False),
    ("192.168.0.0/16", "private", True),
    ("192.175.48.0/24", "as112", False),
    ("198.18.0.0/15", "benchmarking", True),
    ("198.51.100.0/24", "documentation", False),
    ("203.0.113.0/24", "documentation", False),
    ("224.0.0.0/4", "multicast", False),
    ("255.255.255.255/32", "broadcast", False),
    ("240.0.0.0/4", "reserved", False),
    # IPv6 special-purpose registry.
    ("::/128", "unspecified", False),
    ("::1/128", "loopback", True),
    ("::/96", "ipv4_compatible", False),
    ("::ffff:0:0/96", "ipv4_mapped", False),
    ("::ffff:0:0:0/96", "ipv4_translated", False),  # SIIT, RFC 2765
    ("64:ff9b::/96", "nat64", False),
    ("64:ff9b:1::/48", "nat64", False),  # RFC 8215
    ("100::/64", "discard", False),
    ("100:0:0:1::/64", "dummy", False),
    ("2001::/32", "teredo", False),
    ("2001:db8::/32", "documentation", False),
    ("2001::/23", "ietf_protocol", False),  # benchmarking, ORCHID, DRIP, AMT, AS112 and what will come
    ("2002::/16", "six_to_four", False),
    ("2620:4f:8000::/48", "as112", False),
    ("3ffe::/16", "unallocated", False),  # 6bone, returned
    ("3fff::/20", "documentation", False),
    ("5f00::/16", "segment_routing", False),
    ("fc00::/7", "unique_local", True),
    ("fe80::/10", "link_local", False),  # needs a zone, which no host of a URL can name
    ("fec0::/10", "site_local", False),
    ("ff00::/8", "multicast", False),
)
_GLOBAL: Final = AddressClass(allowed=True, reason="global")
_NOT_AN_ADDRESS: Final = AddressClass(allowed=False, reason="not_an_address")
_CLASSES: Final = tuple(
    (network.version, int(network.network_address), int(network.netmask), AddressClass(False, reason, allowable))
    for network, reason, allowable in ((ip_network(text), reason, allowable) for text, reason, allowable in _TABLE)
)
_ISATAP: Final = AddressClass(allowed=False, reason="isatap")
_UNALLOCATED: Final = AddressClass(allowed=False, reason="unallocated")

NAME_LENGTH: Final = 253
URL_LENGTH: Final = 2048
FETCHED_LENGTH: Final = 8192
"""Characters of a URL that a provider is to fetch: signed ones are long."""
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# What `inet_aton` would read as a number, and what the URL standard calls a host that ends in a number.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
# IDNA 2003 and 2008 make different names of these (RFC 5894 §7.2): ß ẞ ς and the zero-width joiners.
_DEVIATIONS: Final = frozenset("ßẞς\u200c\u200d")
_WRITE_ASCII: Final = "Write it in its ASCII form, which begins with `xn--`."
_FULL_STOPS: Final = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})

# Never public DNS: RFC 6761, 6762, 7686, 9476, home.arpa, ICANN's `internal`, and what private networks squat on.
_SPECIAL_SUFFIXES: Final = frozenset(
    {
        *("localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "svc"),
        *("arpa", "onion", "alt", "test", "invalid"),
    }
)
_TENANT_PORTS: Final = frozenset({443, 8443})
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(/[^?#]*)?(\?[^#]*)?(#.*)?", re.DOTALL)
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~:@-]+)*/?")
_ESCAPE: Final = re.compile(r"%(?:[0-9A-Fa-f]{2})?")
_DOTS: Final = re.compile(r"(?:\.|%2[Ee]){1,2}(?:(?:;|%3[Bb]).*)?")  # some servers drop what follows a `;`


class Host(Struct, frozen=True):
    """A host in its canonical form."""

    name: str
    """DNS name in lower-case ASCII without a trailing dot, or an IP literal without brackets."""
    address: IPv4Address | IPv6Address | None = None
    """The address, where the host is a literal."""


class Denied(Struct, frozen=True):
    """Why a host or URL is refused. `text` and `advice` are for who wrote it."""

    reason: str
    text: str
    advice: str = ""


class BaseUrl(Struct, frozen=True):
    """A base URL that may stand in a provider's document."""

    origin: Origin
    path: str
    """Without trailing slash; empty for none."""
    private: bool
    """The operator allows this exact host and port, whatever its address."""


class Fetched(Struct, frozen=True):
    """A URL that somebody else is to fetch, in parts that every parser reads alike."""

    scheme: str
    host: Host
    port: int
    path: str
    """As written, escapes kept; `/` where the URL has none."""


def classify(address: str | Address, forbidden: tuple[Network, ...] = ()) -> AddressClass:
    """What an address is, and whether it may be called. Total: what is no address is refused.

    `forbidden` are further networks of this site, e.g. its own NAT64 prefix (RFC 6052), which no table can know.
    """
    if isinstance(address, str):
        parsed = _literal(address)
        if parsed is None:
            return _NOT_AN_ADDRESS
        address = parsed
    number = int(address)
    for version, network, mask, found in _CLASSES:
        if version == address.version and number & mask == network:
            return found
    if address.version == 6:
        if getattr(address, "scope_id", None) is not None:
            return _NOT_AN_ADDRESS
        # ISATAP (RFC 5214) hides an IPv4 address in the interface identifier under any prefix.
        if (number >> 32) & 0xFDFF_FFFF == 0x0000_5EFE:
            return _ISATAP
        # IANA has given out parts of 2000::/3 only; 2d00::/8, 2e00::/7 and 3000::/4 are still reserved.
        if number >> 125 != 1 or number >> 120 in (0x2D, 0x2E, 0x2F) or number >> 124 == 0x3:
            return _UNALLOCATED
    if any(address in network for network in forbidden):
        return AddressClass(allowed=False, reason="site_forbidden")
    return _GLOBAL


def parse_host(text: str) -> Host | Denied:
    """The canonical form of a host, bracketed or not. Total."""
    if not text:
        return Denied("empty_host", "The host is missing.")
    if len(text) > NAME_LENGTH + 1:
        return Denied("host_too_long", f"The host has more than {NAME_LENGTH} characters.")
    if ":" in text or text[0] == "[":
        inner = text[1:-1] if text[0] == "[" and text[-1] == "]" else text
        address = _literal(inner)
        if not isinstance(address, IPv6Address):
            return Denied("bad_address", "The host is not an IPv6 address.", "Write it as `[2001:db8::1]`, no zone.")
        return Host(str(address), address)
    if not text.isascii():
        name = _to_ascii(text)
        if isinstance(name, Denied):
            return name
    else:
        name = text.lower()
    name = name.removesuffix(".")
    labels = name.split(".")
    if len(name) > NAME_LENGTH:
        return Denied("host_too_long", f"The host has more than {NAME_LENGTH} characters.")
    for label in labels:
        if _LABEL.fullmatch(label) is None:
            return Denied("bad_name", "The host is not a DNS name.", "Use letters, digits, hyphens and single dots.")
    if _NUMBER.fullmatch(labels[-1]):
        address = _literal(name)
        if not isinstance(address, IPv4Address):
            return Denied(
                "ambiguous_number",
                "The host ends in a number and is not a dotted quad: resolvers disagree on what it means.",
                "Write the address as four decimal numbers without leading zeros, e.g. `192.0.2.1`.",
            )
        return Host(str(address), address)
    return Host(name)


def check_base_url(
    text: str, *, operator_allows: frozenset[tuple[str, int]] = frozenset(), owner: str = OPERATOR
) -> BaseUrl | Denied:
    """Whether a base URL may stand in a provider's document of `owner` (`operator` or a tenant). Total.

    `operator_allows` holds (canonical host, port) that the operator's own configuration names; such a host may be
    private and may be plain http. Nothing makes a metadata service or a translator's address allowed.
    """
    parts = _split(text)
    if isinstance(parts, Denied):
        return parts
    scheme, host, port, path = parts
    exact = (host.name, port) in operator_allows
    at = f"[{host.name}]:{port}" if ":" in host.name else f"{host.name}:{port}"
    allow_it = f"If it is meant, the operator lists host `{host.name}`, port {port} under `allowPrivate`."
    if host.address is not None:
        found = classify(host.address)
        if not (found.allowed or (exact and found.allowable)):
            return Denied(
                found.reason,
                f"{at} is not a public address ({found.reason.replace('_', ' ')}).",
                allow_it if found.allowable else "Use the provider's public host name.",
            )
    elif not exact and (special := _special(host.name)) is not None:
        return Denied(special.reason, special.text, allow_it)
    if scheme == "http" and not exact:
        return Denied("plaintext", "The provider's key would travel unencrypted.", f"Use https. {allow_it}")
    if owner != OPERATOR and not exact and port not in _TENANT_PORTS:
        # Else a tenant could have us knock at any port of the internet.
        return Denied("port_forbidden", f"Port {port} is not one of 443 and 8443.", allow_it)
    return BaseUrl(Origin("https" if scheme == "https" else "http", host.name, port), path.rstrip("/"), exact)


def parse_fetched(text: str) -> Fetched | Denied:
    """A URL that a provider is to fetch, where it can mean one place only and that place can be public. Total.

    The provider is sent the caller's own bytes and reads them with a parser that we do not know: what parsers are
    known to disagree on is refused, not mended. Names are not resolved: the provider resolves them in its own network,
    so our answer would say nothing of where it goes; what a name alone can tell (no public DNS name) is told.
    """
    if len(text) > FETCHED_LENGTH:
        return Denied("url_too_long", f"The URL has more than {FETCHED_LENGTH} characters.")
    if any(ord(character) < 0x21 or ord(character) == 0x7F or character in '\\<>"^`{|}' for character in text):
        return Denied(
            "forbidden_character",
            'The URL has white space, a control character, a backslash, or one of <>"^`{|}.',
            "Write the URL plainly, with other characters escaped.",
        )
    url = _URL.fullmatch(text)
    if url is None or url[1].lower() not in ("https", "http"):
        return Denied("scheme", "The URL does not begin with `https://`.", "Write `https://HOST/PATH`.")
    scheme, authority, path, query, fragment = url[1].lower(), url[2], url[3], url[4] or "", url[5] or ""
    if path is None and (query or fragment):
        # `https://one#@other/`: some take what follows the `@` for the host.
        return Denied("no_path", "The URL has `?` or `#` right after its host.", "Write `/` after the host.")
    path = path or "/"
    parts = _authority(scheme, authority)
    if isinstance(parts, Denied):
        return parts
    host, port = parts
    shown = authority.rpartition(":")[0] or authority
    if not authority.isascii() and (
        unicodedata.normalize("NFKC", shown) != shown or not _FULL_STOPS.keys().isdisjoint(map(ord, shown))
    ):
        # Full-width letters and other stops become ASCII in some parsers and nothing in others.
        return Denied("ambiguous_host", "The host has characters that not every parser folds alike.", _WRITE_ASCII)
    if host.address is not None:
        found = classify(host.address)
        if not found.allowed:
            return Denied(found.reason, f"{host.name} is not a public address ({found.reason.replace('_', ' ')}).")
    elif (special := _special(host.name)) is not None:
        return special
    if not (path + query + fragment).isascii():
        return Denied("forbidden_character", "The URL has characters outside ASCII after its host.", "Escape them.")
    for escape in _ESCAPE.findall(path + query):
        if len(escape) == 1 or int(escape[1:], 16) < 0x20 or escape[1:].lower() in ("7f", "5c"):
            return Denied("bad_escape", "The URL has an escape of a control character or backslash, or half an escape.")
    if any(_DOTS.fullmatch(segment) for segment in path.split("/")):
        return Denied("bad_path", "The path has a dot segment.", "Write the path that is meant.")
    return Fetched(scheme, host, port, path)


def _special(name: str) -> Denied | None:
    """Why a name cannot be one of the public DNS; None where it can."""
    labels = name.split(".")
    if len(labels) == 1:
        return Denied("single_label", f"`{name}` is not a public DNS name.")
    if labels[-1] in _SPECIAL_SUFFIXES:
        return Denied("special_name", f"`{name}` is a name of a private network.")
    return None


def _split(text: str) -> tuple[str, Host, int, str] | Denied:
    """Scheme, host, port and path of a URL in the one form that every parser reads alike."""
    if len(text) > URL_LENGTH:
        return Denied("url_too_long", f"The URL has more than {URL_LENGTH} characters.")
    if any(ord(character) < 0x21 or ord(character) == 0x7F or character in '\\<>"^`{|}%' for character in text):
        # Parsers disagree about each of these: white space is stripped or not, `\` is `/`, `%` is decoded or not.
        return Denied(
            "forbidden_character",
            'The URL has white space, a control character, a backslash, `%` or one of <>"^`{|}.',
            "Write the host and path plainly.",
        )
    url = _URL.fullmatch(text)
    if url is None or url[1].lower() not in ("https", "http"):
        return Denied("scheme", "The URL does not begin with `https://`.", "Write `https://HOST/PATH`.")
    scheme, authority, path, query, fragment = url[1].lower(), url[2], url[3] or "", url[4], url[5]
    if "@" in authority:
        return Denied("userinfo", "The URL has a user name.", "Remove it; the key is put with `sekimori key put`.")
    if query is not None or fragment is not None:
        return Denied("query", "A base URL has neither `?` nor `#`.", "Remove what follows the path.")
    parts = _authority(scheme, authority)
    if isinstance(parts, Denied):
        return parts
    host, port = parts
    if _PATH.fullmatch(path) is None or any(segment in (".", "..") for segment in path.split("/")):
        return Denied(
            "bad_path",
            "The path has an empty segment, a dot segment or a character that would need encoding.",
            "Write a plain path, e.g. `/v1`.",
        )
    return scheme, host, port, path


def _authority(scheme: str, authority: str) -> tuple[Host, int] | Denied:
    """Host and port of an authority, the port by the scheme where none is written."""
    if "@" in authority:
        return Denied("userinfo", "The URL has a user name.", "Remove it.")
    if authority.startswith("["):
        literal, bracket, rest = authority.partition("]")
        shown = literal + bracket
    else:
        shown, colon, rest = authority.partition(":")
        rest = colon + rest
    port = 443 if scheme == "https" else 80
    if rest:
        if not rest.startswith(":") or _PORT.fullmatch(rest[1:]) is None or int(rest[1:]) > 65535:
            return Denied("bad_port", "The port is not a number from 1 to 65535.", "Write `HOST:PORT`.")
        port = int(rest[1:])
    host = parse_host(shown)
    return host if isinstance(host, Denied) else (host, port)


def _literal(text: str) -> Address | None:
    """An address in a strict form: four decimal numbers without leading zeros, or RFC 4291 without a zone."""
    if "%" in text or not text.isascii():
        return None
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        return None


def _to_ascii(text: str) -> str | Denied:
    """NFKC, then each label to its A-label (RFC 3490). What the two IDNAs read differently is refused."""
    wrong = Denied("bad_name", "The host is not a name that IDNA accepts.", _WRITE_ASCII)
    if not _DEVIATIONS.isdisjoint(text):
        return wrong
    # NFKC may make slashes, dots, digits and brackets of characters that are none: all checks come after it.
    normal = unicodedata.normalize("NFKC", text.translate(_FULL_STOPS)).translate(_FULL_STOPS).lower()
    labels = []
    for label in normal.split("."):
        if label.isascii():
            labels.append(label)
            continue
        if len(label) > 63:
            return wrong
        try:
            encoded = idna.ToASCII(label).decode("ascii")
        except UnicodeError:
            return wrong
        if not encoded.startswith("xn--"):
            return wrong  # invisible characters that nameprep drops: two spellings of one name
        labels.append(encoded)
    return ".".join(labels)
