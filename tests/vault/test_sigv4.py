"""The signature: AWS's own example, and the clock."""

from __future__ import annotations

import hashlib
import hmac

from sekimori.terms import Origin
from sekimori.vault.clock import SIGNATURE_S, skew
from sekimori.vault.credentials import Aws
from sekimori.vault.sigv4 import load, signature

FORM = Aws("EXAMPLEACCESSKEY0001", "secret/access+key", "session-token")
ORIGIN = Origin("https", "bedrock-runtime.us-east-1.amazonaws.com", 443)


async def test_a_signature_covers_the_request_as_it_is_sent() -> None:
    """Made again by hand from the published algorithm, over a path whose quoting is the difficult part."""
    await load()
    target, body = "/model/anthropic.claude%3A0/invoke", b'{"a":1}'
    headers = [(b"content-type", b"application/json")]
    made = dict(signature(FORM, "bedrock", "us-east-1", "POST", ORIGIN, target, headers, body))
    assert made.keys() == {b"authorization", b"x-amz-date", b"x-amz-security-token"}
    assert b"secret/access" not in b"".join(made.values())
    stamp = made[b"x-amz-date"].decode()
    canonical = "\n".join(
        [
            "POST",
            "/model/anthropic.claude%253A0/invoke",
            "",
            "content-type:application/json",
            f"host:{ORIGIN.host}",
            f"x-amz-date:{stamp}",
            "x-amz-security-token:session-token",
            "",
            "content-type;host;x-amz-date;x-amz-security-token",
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{stamp[:8]}/us-east-1/bedrock/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4secret/access+key"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    assert made[b"authorization"].decode() == (
        f"AWS4-HMAC-SHA256 Credential=EXAMPLEACCESSKEY0001/{scope}, "
        f"SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature={expected}"
    )


async def test_what_changes_the_request_changes_the_signature() -> None:
    await load()
    base = ("bedrock", "us-east-1", "POST", ORIGIN, "/a", [(b"content-type", b"application/json")], b"x")

    def made(*changed: object) -> bytes:
        arguments = [*changed, *base[len(changed) :]]
        return dict(signature(FORM, *arguments))[b"authorization"].rpartition(b"=")[2]  # type: ignore[arg-type]

    plain = made()
    others = {
        made("bedrock-mantle"),
        made("bedrock", "us-west-2"),
        made("bedrock", "us-east-1", "GET"),
        made("bedrock", "us-east-1", "POST", Origin("https", ORIGIN.host, 8443)),
        made("bedrock", "us-east-1", "POST", ORIGIN, "/b"),
        made("bedrock", "us-east-1", "POST", ORIGIN, "/a", [(b"content-type", b"text/plain")]),
        made(*base[:-1], b"y"),
    }
    assert len(others) == 7
    assert plain not in others


def test_only_a_clock_that_spoils_a_signature_is_told() -> None:
    at = 1_795_600_000
    date = [(b"date", b"Wed, 25 Nov 2026 09:46:40 GMT")]
    assert skew(date, at * 1000, SIGNATURE_S) == 0
    assert skew(date, (at + 299) * 1000, SIGNATURE_S) == 0
    assert skew(date, (at + 3600) * 1000, SIGNATURE_S) == 3600
    assert skew(date, (at - 3600) * 1000, SIGNATURE_S) == -3600
    for odd in (b"", b"yesterday", b"\xff", b"Wed, 25 Nov 1026 09:46:40 GMT", b"Wed, 99 Nov 2026 09:46:40 GMT"):
        assert skew([(b"date", odd)], at * 1000, SIGNATURE_S) == 0
    assert skew([], at * 1000, SIGNATURE_S) == 0
