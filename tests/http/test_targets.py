"""A path that was authorised has one spelling."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sekimori.http.framing import Lines, Malformed, read_request
from tests.http.wire import Edge, Seen

REFUSED = {
    "absolute-form": b"http://a/v1/models",
    "absolute-form https": b"https://a/v1/models",
    "authority-form": b"a:443",
    "asterisk-form": b"*",
    "no slash": b"v1/models",
    "empty host": b"//v1/models",
    "double slash": b"/v1//models",
    "double slash at the end": b"/v1/models//",
    "dot segment": b"/v1/./models",
    "dot segment at the end": b"/v1/models/.",
    "dot dot segment": b"/v1/../admin",
    "dot dot at the end": b"/v1/..",
    "encoded dot": b"/v1/%2E%2E/admin",
    "encoded dot, lower case": b"/v1/%2e%2e/admin",
    "mixed dot": b"/v1/.%2e/admin",
    "encoded letter": b"/v1/%6Dodels",
    "encoded digit": b"/v%31/models",
    "encoded tilde": b"/%7Euser",
    "lower-case encoding": b"/v1/a%c3%a9",
    "lower-case encoded slash": b"/v1/a%2fb",
    "encoded percent": b"/v1/a%252Fb",
    "encoded backslash": b"/v1/a%5Cb",
    "encoded NUL": b"/v1/a%00",
    "encoded line end": b"/v1/a%0D%0AX:y",
    "encoded delete": b"/v1/a%7F",
    "cut encoding": b"/v1/a%2",
    "bare percent": b"/v1/a%",
    "no hexadecimal": b"/v1/%zz",
    "overlong slash": b"/v1/%C0%AFadmin",
    "backslash": b"/v1\\models",
    "backslash first": b"\\v1/models",
    "fragment": b"/v1/models#x",
    "fragment in the query": b"/v1/models?a#x",
    "backslash in the query": b"/v1/models?a\\b",
    "non-ASCII": "/v1/modèles".encode(),
    "non-ASCII in the query": "/v1/models?q=è".encode(),
    "full width slash": "/v1／models".encode(),
    "space in brackets": b"/v1/<x>",
    "quote": b'/v1/"x"',
    "pipe": b"/v1/a|b",
    "caret": b"/v1/a^b",
    "braces": b"/v1/{a}",
    "square brackets": b"/v1/[a]",
}
ACCEPTED = {
    b"/": ("/", ""),
    b"/v1/chat/completions": ("/v1/chat/completions", ""),
    b"/v1/models/": ("/v1/models/", ""),
    b"/v1/Models": ("/v1/Models", ""),
    b"/v1/models?after=1&limit=2": ("/v1/models", "after=1&limit=2"),
    b"/v1/models?": ("/v1/models", ""),
    b"/v1/models??a//../b": ("/v1/models", "?a//../b"),
    b"/v1/models/gpt-4o.mini_x~1:free@a!$&'()*+,;=": ("/v1/models/gpt-4o.mini_x~1:free@a!$&'()*+,;=", ""),
    b"/v1/models/acme%2Fbig%20one": ("/v1/models/acme%2Fbig%20one", ""),
    b"/v1/models/caf%C3%A9": ("/v1/models/caf%C3%A9", ""),
    b"/v1/models/...": ("/v1/models/...", ""),
    b"/v1/.hidden/..x/x..": ("/v1/.hidden/..x/x..", ""),
    b"/v1beta/models/gemini:generateContent?alt=sse": ("/v1beta/models/gemini:generateContent", "alt=sse"),
}


@pytest.mark.parametrize("target", REFUSED.values(), ids=REFUSED.keys())
async def test_refused(edge: Edge, target: bytes) -> None:
    seen = Seen()
    served = await edge.serve(seen)
    status, fields, body = await served.ask(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == 400
    assert fields[b"x-reason"] == b"bad_request"
    assert target not in body
    assert seen.requests == []


@pytest.mark.parametrize(("target", "parts"), ACCEPTED.items(), ids=[key.decode() for key in ACCEPTED])
def test_accepted_undecoded(target: bytes, parts: tuple[str, str]) -> None:
    head = read_request(b"GET %b HTTP/1.1\r\nHost: a" % target, Lines(), headers=10, target_bytes=1000)
    assert (head.line.path, head.line.query) == parts
    assert head.line.target == target.decode()


def normal(path: str) -> str:
    """RFC 3986 6.2.2: upper-case encoding, unreserved characters bare, no dot segments."""

    def spell(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if re.fullmatch(r"[A-Za-z0-9._~-]", character) else match[0].upper()

    path = re.sub("%([0-9A-Fa-f]{2})", spell, path)
    return posixpath.normpath(path) + ("/" if path.endswith("/") and len(path) > 1 else "")


@given(st.text("/.%2eEfF5cC\\aA~;?#*", min_size=1, max_size=24))
@example("%2A")
def test_an_accepted_path_is_its_own_normal_form(text: str) -> None:
    try:
        head = read_request(f"GET /{text} HTTP/1.1\r\nHost: a".encode(), Lines(), headers=10, target_bytes=1000)
    except Malformed:
        return
    path = head.line.path
    assert path == normal(path)
    # Nor does decoding it once, as a door does with a path parameter, make anything to be decoded or cut again.
    assert not set(unquote(path)) & {"\\", "%", "\0", "\r", "\n"}


async def test_a_host_that_lies_changes_nothing(edge: Edge) -> None:
    seen = Seen()
    served = await edge.serve(seen)
    status, _, _ = await served.ask(
        b"GET /v1/models HTTP/1.1\r\nHost: evil.test:1\r\nX-Forwarded-Host: other\r\nForwarded: host=x\r\n\r\n"
    )
    assert status == 200
    assert seen.requests == [("GET", "/v1/models", b"")]
