"""The address table, hosts and base URLs: a table of what must not be reached, and properties over everything else."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sekimori.egress.address import BaseUrl, Denied, Host, check_base_url, classify, parse_host
from sekimori.terms import OPERATOR, Origin

# address, what it is. None of these may be called.
FORBIDDEN: list[tuple[str, str]] = [
    # metadata and control services of clouds
    ("169.254.169.254", "cloud_metadata"),
    ("169.254.169.253", "cloud_metadata"),
    ("169.254.169.123", "cloud_metadata"),
    ("169.254.170.2", "cloud_metadata"),
    ("169.254.170.23", "cloud_metadata"),
    ("169.254.0.23", "cloud_metadata"),
    ("169.254.10.10", "cloud_metadata"),
    ("100.100.100.200", "cloud_metadata"),
    ("192.0.0.192", "cloud_metadata"),
    ("168.63.129.16", "cloud_metadata"),
    ("fd00:ec2::254", "cloud_metadata"),
    ("fd00:ec2::23", "cloud_metadata"),
    ("fd00:ec2::253", "cloud_metadata"),
    ("fd00:ec2::123", "cloud_metadata"),
    ("fd20:ce::254", "cloud_metadata"),
    ("fd00:42::42", "cloud_metadata"),
    ("fd00:c1::a9fe:a9fe", "cloud_metadata"),
    # IPv4: first and last of each network
    ("0.0.0.0", "this_network"),
    ("0.0.0.1", "this_network"),
    ("0.255.255.255", "this_network"),
    ("10.0.0.0", "private"),
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.0", "shared"),
    ("100.64.0.1", "shared"),
    ("100.127.255.255", "shared"),
    ("127.0.0.0", "loopback"),
    ("127.0.0.1", "loopback"),
    ("127.0.1.1", "loopback"),
    ("127.0.0.53", "loopback"),
    ("127.255.255.255", "loopback"),
    ("169.254.0.0", "link_local"),
    ("169.254.1.1", "link_local"),
    ("169.254.255.255", "link_local"),
    ("172.16.0.0", "private"),
    ("172.16.0.1", "private"),
    ("172.17.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.0", "ietf_protocol"),
    ("192.0.0.1", "ietf_protocol"),
    ("192.0.0.8", "ietf_protocol"),
    ("192.0.0.9", "ietf_protocol"),
    ("192.0.0.10", "ietf_protocol"),
    ("192.0.0.170", "ietf_protocol"),
    ("192.0.0.171", "ietf_protocol"),
    ("192.0.0.255", "ietf_protocol"),
    ("192.0.2.0", "documentation"),
    ("192.0.2.255", "documentation"),
    ("192.31.196.0", "as112"),
    ("192.31.196.1", "as112"),
    ("192.52.193.0", "amt"),
    ("192.52.193.1", "amt"),
    ("192.88.99.0", "six_to_four_relay"),
    ("192.88.99.1", "six_to_four_relay"),
    ("192.168.0.0", "private"),
    ("192.168.0.1", "private"),
    ("192.168.255.255", "private"),
    ("192.175.48.0", "as112"),
    ("192.175.48.1", "as112"),
    ("198.18.0.0", "benchmarking"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.0", "documentation"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.0", "documentation"),
    ("203.0.113.255", "documentation"),
    ("224.0.0.0", "multicast"),
    ("224.0.0.1", "multicast"),
    ("233.252.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.0", "reserved"),
    ("240.0.0.1", "reserved"),
    ("254.255.255.255", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    # IPv6
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("0:0:0:0:0:0:0:1", "loopback"),
    ("::2", "ipv4_compatible"),
    ("::127.0.0.1", "ipv4_compatible"),
    ("::8.8.8.8", "ipv4_compatible"),
    ("::ffff:127.0.0.1", "ipv4_mapped"),
    ("::ffff:7f00:1", "ipv4_mapped"),
    ("::ffff:10.0.0.1", "ipv4_mapped"),
    ("::ffff:169.254.169.254", "ipv4_mapped"),
    ("::ffff:8.8.8.8", "ipv4_mapped"),
    ("::FFFF:127.0.0.1", "ipv4_mapped"),
    ("::ffff:0:127.0.0.1", "ipv4_translated"),
    ("::ffff:0:8.8.8.8", "ipv4_translated"),
    ("64:ff9b::7f00:1", "nat64"),
    ("64:ff9b::127.0.0.1", "nat64"),
    ("64:ff9b::8.8.8.8", "nat64"),
    ("64:ff9b:1::7f00:1", "nat64"),
    ("64:ff9b:1:ffff::1", "nat64"),
    ("64:ff9b:2::1", "unallocated"),
    ("100::", "discard"),
    ("100::1", "discard"),
    ("100:0:0:1::1", "dummy"),
    ("2001::", "teredo"),
    ("2001:0:7f00:1::", "teredo"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "teredo"),
    ("2001:1::1", "ietf_protocol"),
    ("2001:1::2", "ietf_protocol"),
    ("2001:2::1", "ietf_protocol"),
    ("2001:3::1", "ietf_protocol"),
    ("2001:4:112::1", "ietf_protocol"),
    ("2001:10::1", "ietf_protocol"),
    ("2001:20::1", "ietf_protocol"),
    ("2001:30::1", "ietf_protocol"),
    ("2001:1ff:ffff::1", "ietf_protocol"),
    ("2001:db8::", "documentation"),
    ("2001:db8::1", "documentation"),
    ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
    ("2002::", "six_to_four"),
    ("2002:7f00:1::", "six_to_four"),
    ("2002:a00:1::1", "six_to_four"),
    ("2002:808:808::1", "six_to_four"),
    ("2620:4f:8000::1", "as112"),
    ("3ffe::1", "unallocated"),
    ("3fff::", "documentation"),
    ("3fff::1", "documentation"),
    ("3fff:fff:ffff::1", "documentation"),
    ("3fff:1000::1", "unallocated"),
    ("3000::1", "unallocated"),
    ("2d00::1", "unallocated"),
    ("2e00::1", "unallocated"),
    ("2f00::1", "unallocated"),
    ("4000::1", "unallocated"),
    ("5f00::1", "segment_routing"),
    ("5f01::1", "unallocated"),
    ("200::1", "unallocated"),
    ("400::1", "unallocated"),
    ("1fff::1", "unallocated"),
    ("8000::1", "unallocated"),
    ("fbff::1", "unallocated"),
    ("fc00::", "unique_local"),
    ("fc00::1", "unique_local"),
    ("fd00::1", "unique_local"),
    ("fd12:3456:789a::1", "unique_local"),
    ("fdff:ffff::1", "unique_local"),
    ("fe00::1", "unallocated"),
    ("fe80::", "link_local"),
    ("fe80::1", "link_local"),
    ("febf::1", "link_local"),
    ("fec0::1", "site_local"),
    ("feff::1", "site_local"),
    ("ff00::1", "multicast"),
    ("ff02::1", "multicast"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
    # ISATAP under a public prefix, both forms of the interface identifier
    ("2a00:1450:4001:80b:0:5efe:7f00:1", "isatap"),
    ("2a00:1450:4001:80b:200:5efe:c0a8:1", "isatap"),
    ("2600::5efe:10.0.0.1", "isatap"),
    # no address at all
    ("", "not_an_address"),
    ("localhost", "not_an_address"),
    ("127.1", "not_an_address"),
    ("0177.0.0.1", "not_an_address"),
    ("0x7f.0.0.1", "not_an_address"),
    ("2130706433", "not_an_address"),
    ("127.0.0.01", "not_an_address"),
    ("127.0.0.1.", "not_an_address"),
    (" 127.0.0.1", "not_an_address"),
    ("8.8.8.8%1", "not_an_address"),
    ("１.1.1.1", "not_an_address"),
    ("fe80::1%eth0", "not_an_address"),
    ("2606:4700::1%1", "not_an_address"),
    ("[::1]", "not_an_address"),
    ("1.1.1.1/32", "not_an_address"),
]
GLOBAL = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
    "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.31.197.1", "192.52.194.1", "192.88.98.1", "192.88.100.1",
    "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.101.0", "203.0.114.0", "223.255.255.255",
    "2001:200::1", "2001:4860:4860::8888", "2003::1", "2400::1", "2606:4700::1111", "2620:4f:8001::1", "2a00:1450::1",
    "2c0f:fff0::1", "2a00:1450:4001:80b:5efe::1",
]  # fmt: skip


@pytest.mark.parametrize(("address", "reason"), FORBIDDEN)
def test_what_must_not_be_reached(address: str, reason: str) -> None:
    found = classify(address)
    assert (found.allowed, found.reason) == (False, reason)


def test_the_table_is_long_enough() -> None:
    assert len(FORBIDDEN) >= 120
    assert len({address for address, _ in FORBIDDEN}) == len(FORBIDDEN)


@pytest.mark.parametrize("address", GLOBAL)
def test_the_neighbours_are_public(address: str) -> None:
    assert classify(address).allowed


@pytest.mark.parametrize(
    ("address", "allowable"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.1.1", True),
        ("172.20.0.2", True),
        ("100.64.1.1", True),
        ("169.254.171.1", True),
        ("::1", True),
        ("fd12::1", True),
        ("169.254.169.254", False),
        ("fd00:ec2::254", False),
        ("100.100.100.200", False),
        ("168.63.129.16", False),
        ("0.0.0.0", False),
        ("::", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("fe80::1", False),
        ("localhost", False),
    ],
)
def test_what_the_operator_may_allow(address: str, allowable: bool) -> None:
    found = classify(address)
    assert not found.allowed
    assert found.allowable is allowable


def test_networks_of_this_site() -> None:
    own_nat64 = (ipaddress.ip_network("2a01:4f8:64::/96"), ipaddress.ip_network("93.184.0.0/16"))
    assert classify("2a01:4f8:64::7f00:1").allowed
    assert classify("2a01:4f8:64::7f00:1", own_nat64).reason == "site_forbidden"
    assert classify("93.184.216.34", own_nat64).reason == "site_forbidden"
    assert classify("1.1.1.1", own_nat64).allowed


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(addresses)
def test_nothing_that_the_library_calls_private_is_allowed(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    found = classify(address)
    assert found == classify(str(address))
    if found.allowed:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4), st.sampled_from(["::", "::ffff:", "::ffff:0:", "64:ff9b::", "64:ff9b:1::"]))
def test_an_ipv4_address_inside_is_never_allowed(inner: ipaddress.IPv4Address, prefix: str) -> None:
    assert not classify(prefix + str(inner)).allowed


@given(st.ip_addresses(v=4), st.integers(0, 2**80 - 1))
def test_six_to_four_is_never_allowed(inner: ipaddress.IPv4Address, rest: int) -> None:
    assert not classify(ipaddress.IPv6Address(0x2002 << 112 | int(inner) << 80 | rest)).allowed


# -- hosts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("api.openai.com", "api.openai.com"),
        ("API.OpenAI.com.", "api.openai.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("[2001:DB8:0:0::1]", "2001:db8::1"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("例え.example", "xn--r8jz45g.example"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("①②⑦。⓪．０｡1", "127.0.0.1"),
        ("ⓛocalhost", "localhost"),
        ("my_service", "my_service"),
        ("a1.1a", "a1.1a"),
    ],
)
def test_hosts_have_one_form(text: str, name: str) -> None:
    found = parse_host(text)
    assert isinstance(found, Host)
    assert found.name == name
    assert parse_host(found.name) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty_host"),
        (".", "bad_name"),
        ("a..b", "bad_name"),
        ("a.", None),
        ("a..", "bad_name"),
        ("0177.0.0.1", "ambiguous_number"),
        ("2130706433", "ambiguous_number"),
        ("0x7f000001", "ambiguous_number"),
        ("0x7f.1", "ambiguous_number"),
        ("0X7F.1", "ambiguous_number"),
        ("127.1", "ambiguous_number"),
        ("127.0.1", "ambiguous_number"),
        ("017700000001", "ambiguous_number"),
        ("0", "ambiguous_number"),
        ("0x", "ambiguous_number"),
        ("1.2.3.4.5", "ambiguous_number"),
        ("256.1.1.1", "ambiguous_number"),
        ("1.1.1.01", "ambiguous_number"),
        ("a.0x10", "ambiguous_number"),
        ("example.1", "ambiguous_number"),
        ("４２", "ambiguous_number"),
        ("[127.0.0.1]", "bad_address"),
        ("[::1", "bad_address"),
        ("::1]", "bad_address"),
        ("[fe80::1%eth0]", "bad_address"),
        ("fe80::1%25eth0", "bad_address"),
        ("[v1.fe80]", "bad_address"),
        ("1:2", "bad_address"),
        ("a b", "bad_name"),
        ("a\x00b", "bad_name"),
        ("a\r\nb", "bad_name"),
        ("a/b", "bad_name"),
        ("a\\b", "bad_name"),
        ("a@b", "bad_name"),
        ("a%2eb", "bad_name"),
        ("a#b", "bad_name"),
        ("-a.b", "bad_name"),
        ("a-.b", "bad_name"),
        ("℀.example", "bad_name"),  # NFKC: a/c
        ("a／b.example", "bad_name"),
        ("a＠b.example", "bad_name"),
        ("a：80", "bad_name"),
        ("exam\u00adple.com", "bad_name"),  # soft hyphen: nameprep drops it
        ("exam\u200bple.com", "bad_name"),
        ("straße.example", "bad_name"),
        ("a\u200db.example", "bad_name"),
        ("x" * 64 + ".example", "bad_name"),
        ("ü" * 64 + ".example", "bad_name"),
        ("a." * 127, None),
        ("x" * 300, "host_too_long"),
    ],
)
def test_what_is_no_host_or_only_just_one(text: str, reason: str | None) -> None:
    found = parse_host(text)
    assert (found.reason if isinstance(found, Denied) else None) == reason


@given(st.text(max_size=80))
@example("١٢٧.٠.٠.١")
@example("0x7f。1")
def test_a_name_is_never_a_number_to_the_system(text: str) -> None:
    """What we call a name, the C library must not read as an address: it would be dialled without a look at it."""
    found = parse_host(text)
    if isinstance(found, Host) and found.address is None:
        assert found.name.isascii()
        with pytest.raises(OSError):
            socket.inet_aton(found.name)
        with pytest.raises(OSError):
            socket.inet_pton(socket.AF_INET6, found.name)


@given(st.text(max_size=80))
def test_every_text_is_a_host_or_denied(text: str) -> None:
    found = parse_host(text)
    if isinstance(found, Host):
        assert parse_host(found.name) == found
    else:
        assert found.reason
        assert found.text


# -- base URLs ---------------------------------------------------------------------------------------------------------

PUBLIC = Origin("https", "api.example.com", 443)


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://api.example.com", PUBLIC, ""),
        ("https://api.example.com/", PUBLIC, ""),
        ("HTTPS://API.example.COM.:443/v1/", PUBLIC, "/v1"),
        ("https://api.example.com/openai/deployments/gpt-4.1", PUBLIC, "/openai/deployments/gpt-4.1"),
        ("https://api.example.com:8443/v1", Origin("https", "api.example.com", 8443), "/v1"),
        ("https://1.1.1.1/v1", Origin("https", "1.1.1.1", 443), "/v1"),
        ("https://[2606:4700::1111]/v1", Origin("https", "2606:4700::1111", 443), "/v1"),
        ("https://münchen.example/v1", Origin("https", "xn--mnchen-3ya.example", 443), "/v1"),
    ],
)
def test_base_urls_of_a_tenant(url: str, origin: Origin, path: str) -> None:
    assert check_base_url(url, owner="acme") == BaseUrl(origin, path, private=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "scheme"),
        ("api.example.com", "scheme"),
        ("//api.example.com", "scheme"),
        ("ftp://api.example.com", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://api.example.com", "scheme"),
        ("https:api.example.com", "scheme"),
        ("https:/api.example.com", "scheme"),
        ("https:///v1", "empty_host"),
        ("https://", "empty_host"),
        ("http://api.example.com", "plaintext"),
        ("https://key@api.example.com", "userinfo"),
        ("https://api.example.com:pw@evil.example", "userinfo"),
        ("https://api.example.com\\@evil.example", "forbidden_character"),
        ("https://api.example.com\r\nHost: x", "forbidden_character"),
        ("https://api.example.com\x00", "forbidden_character"),
        (" https://api.example.com", "forbidden_character"),
        ("https://api.example.com/v1 ", "forbidden_character"),
        ("https://api.example.com/%2e%2e", "forbidden_character"),
        ("https://127.0.0.1%2f@api.example.com", "forbidden_character"),
        ("https://api.example.com?x=1", "query"),
        ("https://api.example.com/?", "query"),
        ("https://api.example.com#", "query"),
        ("https://api.example.com/v1#@127.0.0.1", "query"),
        ("https://api.example.com//v1", "bad_path"),
        ("https://api.example.com/./v1", "bad_path"),
        ("https://api.example.com/v1/../..", "bad_path"),
        ("https://api.example.com/v1;x", "bad_path"),
        ("https://api.example.com/ü", "bad_path"),
        ("https://api.example.com:0/", "bad_port"),
        ("https://api.example.com:65536/", "bad_port"),
        ("https://api.example.com:0443/", "bad_port"),
        ("https://api.example.com:+443/", "bad_port"),
        ("https://api.example.com:４４３/", "bad_port"),
        ("https://api.example.com:/", "bad_port"),
        ("https://api.example.com:443:443/", "bad_port"),
        ("https://::1/", "bad_port"),
        ("https://[::1]x/", "bad_port"),
        ("https://[::1/", "bad_address"),
        ("https://api.example.com:22/", "port_forbidden"),
        ("https://api.example.com:80/", "port_forbidden"),
        ("https://api.example.com:6379/", "port_forbidden"),
        ("https://127.0.0.1/", "loopback"),
        ("https://0.0.0.0/", "this_network"),
        ("https://10.1.2.3/", "private"),
        ("https://[::1]/", "loopback"),
        ("https://[::ffff:127.0.0.1]/", "ipv4_mapped"),
        ("https://169.254.169.254/", "cloud_metadata"),
        ("https://１２７.0.0.1/", "loopback"),
        ("https://0x7f.1/", "ambiguous_number"),
        ("https://2130706433/", "ambiguous_number"),
        ("https://localhost/", "single_label"),
        ("https://ⓛocalhost/", "single_label"),
        ("https://gateway/", "single_label"),
        ("https://x.localhost/", "special_name"),
        ("https://metadata.google.internal/", "special_name"),
        ("https://METADATA.google.internal./", "special_name"),
        ("https://printer.local/", "special_name"),
        ("https://kubernetes.default.svc/", "special_name"),
        ("https://vault.cluster.local/", "special_name"),
        ("https://router.home.arpa/", "special_name"),
        ("https://x.onion/", "special_name"),
        ("https://api.example.com/" + "a" * 3000, "url_too_long"),
    ],
)
def test_base_urls_that_a_tenant_may_not_have(url: str, reason: str) -> None:
    found = check_base_url(url, owner="acme")
    assert isinstance(found, Denied)
    assert found.reason == reason
    assert found.text


def test_the_operator_allows_an_exact_host_and_port() -> None:
    allows = frozenset({("127.0.0.1", 9000), ("models.internal", 8080), ("::1", 443), ("169.254.169.254", 80)})
    for owner in (OPERATOR, "acme"):
        found = check_base_url("http://127.0.0.1:9000/v1", operator_allows=allows, owner=owner)
        assert found == BaseUrl(Origin("http", "127.0.0.1", 9000), "/v1", private=True)
        found = check_base_url("http://models.internal:8080", operator_allows=allows, owner=owner)
        assert isinstance(found, BaseUrl)
        assert isinstance(check_base_url("https://[0::1]/", operator_allows=allows, owner=owner), BaseUrl)
        for near in ("http://127.0.0.1:9001", "https://127.0.0.1", "http://127.0.0.2:9000", "http://models.internal"):
            assert isinstance(check_base_url(near, operator_allows=allows, owner=owner), Denied)
        metadata = check_base_url("http://169.254.169.254", operator_allows=allows, owner=owner)
        assert isinstance(metadata, Denied)
        assert metadata.reason == "cloud_metadata"


def test_the_operator_may_use_any_port_of_a_public_host() -> None:
    assert isinstance(check_base_url("https://api.example.com:4000/v1"), BaseUrl)
    assert isinstance(check_base_url("https://10.0.0.1/v1"), Denied)


@given(st.one_of(st.text(max_size=60), st.text(max_size=40).map(lambda text: "https://" + text)))
@example("https://1.1.1.1\u3002/")
def test_what_passes_names_a_public_host_in_one_form(url: str) -> None:
    found = check_base_url(url, owner="acme")
    if isinstance(found, BaseUrl):
        host = parse_host(found.origin.host)
        assert isinstance(host, Host)
        assert host.name == found.origin.host
        assert host.address is None or classify(host.address).allowed
        assert found.origin.scheme == "https"
        assert check_base_url(f"{found.origin}{found.path}", owner="acme") == found
