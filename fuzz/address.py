"""Hosts and base URLs: whatever passes is one host in one form, and no other parser reads another host in it."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from sekimori.egress.address import BaseUrl, Host, check_base_url, classify, parse_host

SEEDS: list[bytes] = [
    b"https://api.openai.com/v1",
    b"https://127.0.0.1/",
    b"https://0x7f.1/",
    b"https://[::ffff:127.0.0.1]:8443/v1",
    b"https://a@b:443/%2e?x#y",
    "https://１２７。0.0.1/".encode(),
    "https://münchen.example:8443/a/b".encode(),
    "https://℀.example".encode(),
    b"https://api.openai.com\\@evil.example/",
    b"https://metadata.google.internal",
    b"2130706433",
    b"[fe80::1%25eth0]",
    b"xn--mnchen-3ya.example.",
]


def target(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    classify(text)
    host = parse_host(text)
    if isinstance(host, Host):
        _one_form(host)
    for url in (text, f"https://{text}", f"https://api.example{text}"):
        found = check_base_url(url, owner="tenant")
        if isinstance(found, BaseUrl):
            _public(url, found)


def _one_form(host: Host) -> None:
    assert parse_host(host.name) == host, "the canonical form has another canonical form"
    assert host.name.isascii()
    assert host.name == host.name.lower()
    if host.address is None:
        # What the C library would read as an address must not pass as a name: it would be dialled unclassified.
        with suppress(OSError):
            socket.inet_aton(host.name)
            raise AssertionError("a name that is a number")
    elif isinstance(host.address, IPv6Address):
        assert socket.inet_pton(socket.AF_INET6, host.name) == host.address.packed
    else:
        assert socket.inet_aton(host.name) == host.address.packed


def _public(text: str, found: BaseUrl) -> None:
    host = parse_host(found.origin.host)
    assert isinstance(host, Host)
    _one_form(host)
    assert found.origin.scheme == "https"
    assert found.origin.port in (443, 8443)
    assert not found.private
    assert host.address is None or classify(host.address).allowed
    assert not found.path.endswith("/")
    assert check_base_url(f"{found.origin}{found.path}", owner="tenant") == found
    if text.isascii():
        # Another parser of the same text must name the same host and port.
        other = urlsplit(text)
        assert (other.hostname or "").rstrip(".") in (found.origin.host, _canonical(other.hostname or ""))
        assert (other.port or 443) == found.origin.port
        assert other.username is None


def _canonical(name: str) -> str:
    host = parse_host(name)
    return host.name if isinstance(host, Host) else ""
