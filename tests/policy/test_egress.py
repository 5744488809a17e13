"""Which URLs a provider may be had to fetch: what passes, what never does, and where in an ask one is found."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import anthropic, openai
from sekimori.errors import Refused
from sekimori.policy import egress
from sekimori.policy.checks import check
from sekimori.policy.decide import again, decide
from sekimori.policy.documents import Documents, parse
from sekimori.policy.egress import Policy, compiled, form, judge, require
from sekimori.policy.kinds import Allowed
from tests.policy.worlds import principal, right, snapshot

LISTED = compiled(
    [
        Allowed(host="images.example.com"),
        Allowed(host="*.cdn.example.net"),
        Allowed(host="xn--bcher-kva.example.com"),
        Allowed(host="93.184.216.34"),
        Allowed(host="2606:2800:220:1:248:1893:25c8:1946"),
        Allowed(host="plain.example.com", schemes=("http",), ports=(8080,)),
        Allowed(host="paths.example.com", paths=("/public/img", "/other/")),
        Allowed(host="ports.example.com", ports=(443, 9443)),
        # Lines that no document can have, for `check` refuses them: they allow nothing.
        Allowed(host="localhost"),
        Allowed(host="127.0.0.1"),
        Allowed(host="*.com"),
        Allowed(host="*"),
    ],
    "The Egress document acme",
)

PASS = [
    "https://images.example.com/x.png",
    "https://images.example.com",
    "https://images.example.com/",
    "HTTPS://IMAGES.example.COM/x.png",
    "https://images.example.com./x.png",
    "https://images.example.com:443/x.png",
    "https://images.example.com/a%20b.png?sig=a%2Fb&x=1#page=2",
    "https://images.example.com/@user/pkg@1.0/x.png",
    "https://images.example.com/a//b",
    "https://images.example.com/.hidden/...",
    "https://a.cdn.example.net/x",
    "https://A-1.cdn.example.net/x",
    "https://xn--bcher-kva.example.com/x",
    "https://bücher.example.com/x",
    "https://93.184.216.34/x",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/x",
    "https://[2606:2800:0220:0001:0248:1893:25C8:1946]:443/x",
    "http://plain.example.com:8080/x",
    "https://paths.example.com/public/img",
    "https://paths.example.com/public/img/a/b.png?x",
    "https://paths.example.com/other/x",
    "https://ports.example.com/x",
    "https://ports.example.com:9443/x",
]

STOP = [
    # Not on the list.
    ("https://example.com/x", "not_listed"),
    ("https://evil.example.com/x", "not_listed"),
    ("https://images.example.com.evil.example/x", "not_listed"),
    ("https://evil-images.example.com/x", "not_listed"),
    ("https://images.example.comevil/x", "not_listed"),
    ("https://cdn.example.net/x", "not_listed"),
    ("https://a.b.cdn.example.net/x", "not_listed"),
    ("https://acdn.example.net/x", "not_listed"),
    ("https://a.com/x", "not_listed"),
    ("https://8.8.8.8/x", "not_listed"),
    ("https://[2606:4700:4700::1111]/x", "not_listed"),
    ("https://images.example.com:8443/x", "not_listed"),
    ("https://images.example.com:80/x", "not_listed"),
    ("http://images.example.com/x", "not_listed"),
    ("http://images.example.com:443/x", "not_listed"),
    ("http://plain.example.com/x", "not_listed"),
    ("https://plain.example.com:8080/x", "not_listed"),
    ("https://ports.example.com:444/x", "not_listed"),
    ("https://paths.example.com/", "not_listed"),
    ("https://paths.example.com/public", "not_listed"),
    ("https://paths.example.com/public/imgx", "not_listed"),
    ("https://paths.example.com/Public/img/x", "not_listed"),
    ("https://paths.example.com//public/img/x", "not_listed"),
    ("https://paths.example.com/public/img//x", "not_listed"),
    ("https://paths.example.com/public/img/%2f../x", "not_listed"),
    ("https://paths.example.com/public%2Fimg/x", "not_listed"),
    ("https://paths.example.com/public/img/%252e%252e/x", "not_listed"),
    ("https://paths.example.com/%70ublic/img/x", "not_listed"),
    # Dot segments, in every spelling.
    ("https://paths.example.com/public/img/../../secret", "bad_path"),
    ("https://paths.example.com/public/img/./x", "bad_path"),
    ("https://paths.example.com/public/img/%2e%2e/x", "bad_path"),
    ("https://paths.example.com/public/img/.%2E/x", "bad_path"),
    ("https://paths.example.com/public/img/%2E/x", "bad_path"),
    ("https://paths.example.com/public/img/..;a=b/x", "bad_path"),
    ("https://paths.example.com/public/img/..%3Bx/x", "bad_path"),
    ("https://images.example.com/..", "bad_path"),
    # Schemes.
    ("", "scheme"),
    ("images.example.com/x", "scheme"),
    ("//images.example.com/x", "scheme"),
    ("/x.png", "scheme"),
    ("https:images.example.com/x", "scheme"),
    ("https:/images.example.com/x", "scheme"),
    ("ftp://images.example.com/x", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("gopher://images.example.com/_x", "scheme"),
    ("gs://bucket/x", "scheme"),
    ("s3://bucket/x", "scheme"),
    ("jar:https://images.example.com/x!/y", "scheme"),
    ("url:https://images.example.com/x", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("data:image/png;base64,AA==", "scheme"),
    ("https+unix://images.example.com/x", "scheme"),
    ("hTTps", "scheme"),
    # Characters that parsers disagree on.
    (" https://images.example.com/x", "forbidden_character"),
    ("https://images.example.com/x ", "forbidden_character"),
    ("\thttps://images.example.com/x", "forbidden_character"),
    ("https://images.example.com/x\n", "forbidden_character"),
    ("https://images.exam\nple.com/x", "forbidden_character"),
    ("https://images.example.com\r\nHost: evil/x", "forbidden_character"),
    ("https://images.example.com\x00.evil.example/x", "forbidden_character"),
    ("https://evil.example\\@images.example.com/x", "forbidden_character"),
    ("https://images.example.com\\.evil.example/x", "forbidden_character"),
    ("https:\\\\images.example.com/x", "forbidden_character"),
    ("https://images.example.com/a b", "forbidden_character"),
    ("https://images.example.com/<x>", "forbidden_character"),
    ("https://images.example.com/ü", "forbidden_character"),
    ("https://images.example.com/x?q=ü", "forbidden_character"),
    ("https://images.example.com/{x}", "forbidden_character"),
    ("https://images.example.com/x%", "bad_escape"),
    ("https://images.example.com/x%2", "bad_escape"),
    ("https://images.example.com/x%zz", "bad_escape"),
    ("https://images.example.com/x%00", "bad_escape"),
    ("https://images.example.com/x%0d%0aHost:evil", "bad_escape"),
    ("https://images.example.com/x?a=%0a", "bad_escape"),
    ("https://images.example.com/%5c..%5cx", "bad_escape"),
    # User names, and what follows the host without a slash.
    ("https://user@images.example.com/x", "userinfo"),
    ("https://user:pass@images.example.com/x", "userinfo"),
    ("https://images.example.com@evil.example/x", "userinfo"),
    ("https://images.example.com:443@evil.example/x", "userinfo"),
    ("https://@images.example.com/x", "userinfo"),
    ("https://evil.example#@images.example.com/x", "no_path"),
    ("https://images.example.com#@evil.example/", "no_path"),
    ("https://images.example.com?@evil.example/", "no_path"),
    ("https://evil.example?x=https://images.example.com/", "no_path"),
    # Ports.
    ("https://images.example.com:/x", "bad_port"),
    ("https://images.example.com:0/x", "bad_port"),
    ("https://images.example.com:65536/x", "bad_port"),
    ("https://images.example.com:+443/x", "bad_port"),
    ("https://images.example.com:0443/x", "bad_port"),
    ("https://images.example.com:443:443/x", "bad_port"),
    ("https://images.example.com:x/x", "bad_port"),
    ("https://images.example.com:443.evil.example/x", "bad_port"),
    ("https://images.example.com:４４３/x", "bad_port"),
    # Hosts that are none.
    ("https:///x", "empty_host"),
    ("https://./x", "bad_name"),
    ("https://.images.example.com/x", "bad_name"),
    ("https://images..example.com/x", "bad_name"),
    ("https://images.example.com../x", "bad_name"),
    ("https://images.example.com%2eevil.example/x", "bad_name"),
    ("https://%69mages.example.com/x", "bad_name"),
    ("https://images.example.com,evil.example/x", "bad_name"),
    ("https://*.cdn.example.net/x", "bad_name"),
    ("https://-images.example.com/x", "bad_name"),
    ("https://" + "a" * 64 + ".example.com/x", "bad_name"),
    ("https://" + "a." * 130 + "example.com/x", "host_too_long"),
    ("https://images.example.com/" + "x" * 8200, "url_too_long"),
    ("https://[::1/x", "bad_address"),
    ("https://[images.example.com]/x", "bad_address"),
    ("https://[fe80::1%25eth0]/x", "bad_address"),
    # Letters that become others.
    ("https://ｉmages.example.com/x", "ambiguous_host"),
    ("https://images。example。com/x", "ambiguous_host"),
    ("https://images．example．com/x", "ambiguous_host"),
    ("https://images｡example.com/x", "ambiguous_host"),
    ("https://ⓘmages.example.com/x", "ambiguous_host"),
    ("https://images.example.com／x", "bad_name"),
    ("https://imagesß.example.com/x", "bad_name"),
    ("https://images\u200d.example.com/x", "bad_name"),
    ("https://images\u00ad.example.com/x", "bad_name"),
    ("https://１２７.0.0.1/x", "ambiguous_host"),
    ("https://іmages.example.com/x", "not_listed"),  # a Cyrillic letter: another name
    # Numbers that stand for addresses.
    ("https://2130706433/x", "ambiguous_number"),
    ("https://0x7f000001/x", "ambiguous_number"),
    ("https://0x7f.0.0.1/x", "ambiguous_number"),
    ("https://0177.0.0.1/x", "ambiguous_number"),
    ("https://127.1/x", "ambiguous_number"),
    ("https://127.0.1/x", "ambiguous_number"),
    ("https://017700000001/x", "ambiguous_number"),
    ("https://0/x", "ambiguous_number"),
    ("https://127.0.0.1.1/x", "ambiguous_number"),
    ("https://93.184.216.034/x", "ambiguous_number"),
    ("https://256.1.1.1/x", "ambiguous_number"),
    # Addresses that no provider is sent to, whatever the list says.
    ("https://127.0.0.1/x", "loopback"),
    ("https://127.0.0.1./x", "loopback"),
    ("https://0.0.0.0/x", "this_network"),
    ("https://10.0.0.1/x", "private"),
    ("https://172.16.0.1/x", "private"),
    ("https://192.168.1.1/x", "private"),
    ("https://100.64.0.1/x", "shared"),
    ("https://169.254.1.1/x", "link_local"),
    ("https://169.254.169.254/latest/meta-data/", "cloud_metadata"),
    ("https://169.254.170.2/x", "cloud_metadata"),
    ("https://100.100.100.200/x", "cloud_metadata"),
    ("https://192.0.0.192/x", "cloud_metadata"),
    ("https://168.63.129.16/x", "cloud_metadata"),
    ("https://198.18.0.1/x", "benchmarking"),
    ("https://192.88.99.1/x", "six_to_four_relay"),
    ("https://203.0.113.1/x", "documentation"),
    ("https://224.0.0.1/x", "multicast"),
    ("https://240.0.0.1/x", "reserved"),
    ("https://255.255.255.255/x", "broadcast"),
    ("https://[::1]/x", "loopback"),
    ("https://[::]/x", "unspecified"),
    ("https://[::127.0.0.1]/x", "ipv4_compatible"),
    ("https://[::ffff:127.0.0.1]/x", "ipv4_mapped"),
    ("https://[::ffff:8.8.8.8]/x", "ipv4_mapped"),
    ("https://[::ffff:0:127.0.0.1]/x", "ipv4_translated"),
    ("https://[64:ff9b::7f00:1]/x", "nat64"),
    ("https://[64:ff9b:1::7f00:1]/x", "nat64"),
    ("https://[2001:0:1::1]/x", "teredo"),
    ("https://[2002:7f00:1::]/x", "six_to_four"),
    ("https://[2606:4700::5efe:7f00:1]/x", "isatap"),
    ("https://[fc00::1]/x", "unique_local"),
    ("https://[fd00:ec2::254]/x", "cloud_metadata"),
    ("https://[fe80::1]/x", "link_local"),
    ("https://[fec0::1]/x", "site_local"),
    ("https://[3fff::1]/x", "documentation"),
    ("https://[5f00::1]/x", "segment_routing"),
    ("https://[ff02::1]/x", "multicast"),
    # Names of networks that are not the public one.
    ("https://localhost/x", "single_label"),
    ("https://LOCALHOST./x", "single_label"),
    ("https://metadata/x", "single_label"),
    ("https://a.localhost/x", "special_name"),
    ("https://metadata.google.internal/x", "special_name"),
    ("https://printer.local/x", "special_name"),
    ("https://kubernetes.default.svc/x", "special_name"),
    ("https://wiki.corp/x", "special_name"),
    ("https://x.onion/x", "special_name"),
    ("https://1.0.0.127.in-addr.arpa/x", "special_name"),
]


def test_there_are_enough() -> None:
    assert len(STOP) >= 120
    assert len({url for url, _ in STOP}) == len(STOP)


@pytest.mark.parametrize("url", PASS)
def test_passes(url: str) -> None:
    assert judge(url, LISTED) == egress.Verdict(True, "allowed")


@pytest.mark.parametrize(("url", "reason"), STOP)
def test_stops(url: str, reason: str) -> None:
    said = judge(url, LISTED)
    assert (said.allowed, said.reason) == (False, reason)
    with pytest.raises(Refused, match="url_forbidden"):
        require([(url, "messages[0]")], LISTED)


@pytest.mark.parametrize("url", PASS)
def test_without_a_document_nothing_passes(url: str) -> None:
    said = judge(url, egress.NOTHING)
    assert (said.allowed, said.reason) == (False, "no_document")
    assert "Egress document" in said.advice


@pytest.mark.parametrize(("url", "reason"), STOP)
def test_the_form_alone_stops_what_no_list_can_allow(url: str, reason: str) -> None:
    if reason == "not_listed":
        return
    assert form(url) == egress.Verdict(False, reason, form(url).text, form(url).advice)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.com/", "allowed"),
        ("https://example.com:8443/", "allowed"),
        ("http://example.com/", "plaintext"),
        ("https://example.com:22/", "port_forbidden"),
    ],
)
def test_the_form_alone(url: str, reason: str) -> None:
    assert form(url).reason == reason


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    for url in (text, "https://" + text, f"https://images.example.com{text}", f"https://{text}images.example.com/"):
        said = judge(url, LISTED)
        assert said.allowed or said.text


@given(
    st.text(st.sampled_from("abc.@:/#?%[]\\;,1207xe-_*~\u3002\uff0e\uff20"), max_size=14),
    st.text(st.sampled_from("abc.@:/#?%[]\\;,1207xe-_*~\u3002\uff0e\uff20"), max_size=14),
)
def test_what_passes_goes_to_a_listed_host_by_another_parser_too(before: str, after: str) -> None:
    url = f"https://{before}images.example.com{after}"
    if judge(url, LISTED).allowed:
        parts = urlsplit(url)
        assert (parts.hostname or "").rstrip(".") == "images.example.com"
        assert (parts.port or 443, parts.username, parts.password) == (443, None, None)


@given(st.sampled_from([url for url, _ in STOP]), st.text(min_size=1, max_size=40))
def test_a_refusal_does_not_repeat_path_or_query(url: str, secret: str) -> None:
    whole = f"{url}/?token=SECRET-{secret.encode().hex()}"
    with pytest.raises(Refused) as caught:
        require([(whole, "messages[0].content[1].image_url.url")], LISTED)
    assert "SECRET" not in str(caught.value)
    assert "`messages[0].content[1].image_url.url`" in caught.value.text


# Where in an ask a URL can stand.

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def said(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def tool(**more: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", **more}}}]}


def in_openai(url: str) -> list[dict[str, Any]]:
    return [
        said({"type": "image_url", "image_url": {"url": url}}),
        said({"type": "text", "text": "x"}, {"type": "image_url", "image_url": url}),
        said({"type": "video_url", "video_url": {"url": url}}),
        said({"type": "audio_url", "audio_url": {"url": url}}),
        said({"type": "file", "file": {"file_data": url}}),
        said({"type": "input_audio", "input_audio": {"data": url, "format": "wav"}}),
        {"prediction": {"type": "content", "content": [{"type": "image_url", "image_url": {"url": url}}]}},
        tool(properties={"a": {"$ref": url}}),
        tool(anyOf=[{}, {"$dynamicRef": url}]),
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"$ref": url}}}},
        {"functions": [{"name": "f", "parameters": {"$ref": url}}]},
        {"guided_json": {"$ref": url}},
        {"tools": [{"type": "mcp", "server_label": "s", "server_url": url}]},
    ]


def in_anthropic(url: str) -> list[dict[str, Any]]:
    image = {"type": "image", "source": {"type": "url", "url": url}}
    page = {"type": "document", "source": {"type": "url", "url": url}}
    fetch = {"type": "server_tool_use", "id": "s", "name": "web_fetch", "input": {"url": url}}
    fetched = {"type": "web_fetch_result", "url": "https://elsewhere.example/", "content": page}
    return [
        said(image),
        said(page),
        {"system": [image]},
        said({"type": "tool_result", "tool_use_id": "t", "content": [image]}),
        said({"type": "search_result", "source": "s", "title": "t", "content": [image]}),
        said({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}, image]}}),
        said(
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{**page, "source": {"type": "content", "content": [image]}}],
            }
        ),
        said({"type": "web_fetch_tool_result", "tool_use_id": "t", "content": fetched}),
        {"messages": [{"role": "assistant", "content": [fetch]}]},
        {"tools": [{"name": "f", "input_schema": {"$ref": url}}]},
        {"output_config": {"format": {"type": "json_schema", "schema": {"$ref": url}}}},
        {"mcp_servers": [{"type": "url", "name": "n", "url": url}]},
    ]


def asks(url: str) -> list[Any]:
    found = [openai.read_ask("chat", json.dumps({**HELLO, **more}).encode(), []) for more in in_openai(url)]
    beta = {**HELLO, "max_tokens": 9}
    return found + [anthropic.read_ask("chat", json.dumps({**beta, **more}).encode(), []) for more in in_anthropic(url)]


INSIDE = [
    "https://10.0.0.1/x",
    "https://127.0.0.1:6443/x",
    "http://169.254.169.254/latest/meta-data/",
    "https://[::ffff:169.254.169.254]/x",
    "https://metadata.google.internal/x",
    "https://0x7f.1/x",
    "//10.0.0.1/x",
    "gopher://10.0.0.1/x",
]


@pytest.mark.parametrize("url", INSIDE)
def test_a_url_is_found_wherever_it_stands(url: str) -> None:
    for ask in asks(url):
        assert url in dict(ask.fetches), ask.members
        assert ask.needs & {"images_by_url", "remote_mcp", "web_fetch"}
        with pytest.raises(Refused, match="url_forbidden") as caught:
            require(ask.fetches, LISTED)
        assert f"`{dict(ask.fetches)[url]}`" in caught.value.text


def test_a_listed_url_passes_wherever_it_stands() -> None:
    for ask in asks("https://images.example.com/x.png"):
        require(ask.fetches, LISTED)


@pytest.mark.parametrize("url", ["data:image/png;base64,AA==", "DATA:image/png;base64,AA=="])
def test_what_is_inline_is_fetched_by_nobody(url: str) -> None:
    for more in (said({"type": "image_url", "image_url": {"url": url}}), said({"type": "image_url", "image_url": url})):
        assert openai.read_ask("chat", json.dumps({**HELLO, **more}).encode(), []).fetches == ()


def test_a_fetch_that_has_its_result_is_not_made_again() -> None:
    fetch = {"type": "server_tool_use", "id": "s", "name": "web_fetch", "input": {"url": "https://elsewhere.example/"}}
    result = {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": {"type": "web_fetch_result"}}
    body = {**HELLO, "max_tokens": 9, "messages": [{"role": "assistant", "content": [fetch, result]}]}
    assert anthropic.read_ask("chat", json.dumps(body).encode(), []).fetches == ()


def test_an_ask_names_a_bounded_number_of_urls() -> None:
    parts = [{"type": "image_url", "image_url": {"url": f"https://images.example.com/{n}"}} for n in range(257)]
    with pytest.raises(Refused, match="bad_request"):
        openai.read_ask("chat", json.dumps({**HELLO, **said(*parts)}).encode(), [])
    body = json.dumps({**HELLO, **said(*(parts[:1] * 300))}).encode()
    assert len(openai.read_ask("chat", body, []).fetches) == 1


# Which document counts.

AGENT = b"{kind: Agent, tenant: acme, name: x, models: [gpt-4o], capabilities: [images_by_url]}"
OWN = b"{kind: Egress, tenant: acme, agent: x, allow: [{host: own.example.com}]}"
TENANTS = b"{kind: Egress, tenant: acme, allow: [{host: tenant.example.com}]}"
VERTICALS = b"{kind: Egress, vertical: retail, allow: [{host: retail.example.com}]}"
HOSTS = ["own", "tenant", "retail"]


def world(*more: bytes) -> Documents:
    return right().merged(Documents(parse(b"\n---\n".join([AGENT, *more]), "test")))


def reaches(documents: Documents, host: str) -> bool:
    body = {**HELLO, "model": "gpt-4o", **said({"type": "image_url", "image_url": f"https://{host}.example.com/x"})}
    ask = openai.read_ask("chat", json.dumps(body).encode(), [])
    try:
        at = snapshot(documents)
        grant = decide(at, principal("acme", "x"), ask)
        again(at, principal("acme", "x"), ask, grant.routes[0])
    except Refused as refused:
        assert refused.reason == "url_forbidden"
        return False
    return True


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([], None),
        ([VERTICALS], "retail"),
        ([VERTICALS, TENANTS], "tenant"),
        ([VERTICALS, TENANTS, OWN], "own"),
        ([VERTICALS, OWN], "own"),
        ([VERTICALS, b"{kind: Egress, tenant: acme, allow: []}"], None),
        ([b"{kind: Egress, vertical: banking, allow: [{host: retail.example.com}]}"], None),
        ([b"{kind: Egress, tenant: globex, allow: [{host: tenant.example.com}]}"], None),
        ([b"{kind: Egress, tenant: acme, agent: y, allow: [{host: own.example.com}]}"], None),
    ],
)
def test_the_narrowest_document_counts_alone(documents: list[bytes], expected: str | None) -> None:
    assert {host: reaches(world(*documents), host) for host in HOSTS} == {host: host == expected for host in HOSTS}


def test_a_document_that_goes_is_gone_for_the_next_hop() -> None:
    body = {**HELLO, "model": "gpt-4o", **said({"type": "image_url", "image_url": "https://own.example.com/x"})}
    ask = openai.read_ask("chat", json.dumps(body).encode(), [])
    who = principal("acme", "x")
    grant = decide(snapshot(world(OWN)), who, ask)
    with pytest.raises(Refused, match="url_forbidden"):
        again(snapshot(world()), who, ask, grant.routes[0])


def test_the_capability_is_asked_for_first() -> None:
    documents = right().merged(Documents(parse(TENANTS, "test")))
    body = {**HELLO, "model": "gpt-4o", **said({"type": "image_url", "image_url": "https://tenant.example.com/x"})}
    with pytest.raises(Refused, match="capability_missing"):
        decide(snapshot(documents), principal("acme", "x"), openai.read_ask("chat", json.dumps(body).encode(), []))


WRONG = [
    (b"{kind: Egress, allow: []}", "is for nobody"),
    (b"{kind: Egress, tenant: acme, vertical: retail, allow: []}", "not for both"),
    (b"{kind: Egress, vertical: retail, agent: x, allow: []}", "without its tenant"),
    (b"{kind: Egress, tenant: nobody, allow: []}", "there is no tenant nobody"),
    (b"{kind: Egress, tenant: acme, agent: nobody, allow: []}", "acme has no agent nobody"),
    (b"{kind: Egress, tenant: acme, allow: [{host: localhost}]}", "not a public DNS name"),
    (b"{kind: Egress, tenant: acme, allow: [{host: x.internal}]}", "private network"),
    (b"{kind: Egress, tenant: acme, allow: [{host: 10.0.0.1}]}", "not a public address"),
    (b"{kind: Egress, tenant: acme, allow: [{host: '169.254.169.254'}]}", "not a public address"),
    (b"{kind: Egress, tenant: acme, allow: [{host: 'fd00:ec2::254'}]}", "not a public address"),
    (b"{kind: Egress, tenant: acme, allow: [{host: '*.com'}]}", "wildcard"),
    (b"{kind: Egress, tenant: acme, allow: [{host: '*'}]}", "not a DNS name"),
    (b"{kind: Egress, tenant: acme, allow: [{host: 'a.*.example.com'}]}", "not a DNS name"),
    (b"{kind: Egress, tenant: acme, allow: [{host: Example.COM}]}", "not the canonical form"),
    (b"{kind: Egress, tenant: acme, allow: [{host: a.example.com/x}]}", "canonical form"),
    (b"{kind: Egress, tenant: acme, allow: [{host: 'a.example.com:443'}]}", "not an IPv6 address"),
    (b"{kind: Egress, tenant: acme, allow: [{host: a.example.com, schemes: []}]}", "no scheme"),
]


@pytest.mark.parametrize(("document", "words"), WRONG)
def test_documents_that_mean_nothing_are_refused(document: bytes, words: str) -> None:
    errors = [problem for problem in check(world(document)) if problem.level == "error"]
    assert len(errors) == 1, errors
    assert words in str(errors[0])
    assert errors[0].fix


def test_a_capability_that_is_of_no_use_is_told() -> None:
    before = [str(problem) for problem in check(world(TENANTS))]
    [warning] = [problem for problem in check(world()) if str(problem) not in before]
    assert (warning.level, warning.field) == ("warning", "capabilities[0]")
    assert "no Egress document" in warning.text
    for document in (OWN, VERTICALS):
        assert [str(problem) for problem in check(world(document))] == before


def test_a_policy_without_a_document_is_the_same_for_all() -> None:
    assert snapshot(right()).agent(principal("acme", "x")).egress == Policy()
