"""API keys and authentication: any bytes get an answer, and only the one key that was issued gets in."""

from __future__ import annotations

from sekimori.errors import Refused
from sekimori.identity import apikey
from sekimori.identity.authenticate import Credential, KeyIndex, authenticate

_PEPPER = apikey.Pepper(1, bytes(range(32)))
_KEY = apikey.mint(bytes(range(32))).encode()
_INDEX = KeyIndex([_PEPPER])
_INDEX.put(Credential("id", "acme", "t", "mail", "a", frozenset(), _PEPPER.hash(_KEY), 1))
_NAMES = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie")

SEEDS: list[bytes] = [
    _KEY,
    _KEY[:-1] + b"0",
    b"\x01" + _KEY,
    b"\x00Bearer " + _KEY,
    b"\x00Bearer " + _KEY + b"\n\x01" + _KEY,
    b"\x01" + _KEY + b"\n\x01" + _KEY,
    b"\x04key=1\n\x02" + _KEY,
    b"?key=" + _KEY,
    b"",
]


def target(data: bytes) -> None:
    wrong = apikey.fault(data)
    assert wrong in ("form", "checksum", None)
    if wrong is None:
        text = data.decode("ascii")
        assert text[-6:] == apikey.checksum(text[:-6])
    head, _, rest = data.partition(b"?")
    headers = [(_NAMES[line[0] % len(_NAMES)], line[1:].strip(b" \t")) for line in head.split(b"\n") if line]
    refused: Refused | None = None
    try:
        authenticate(headers, rest.decode("latin-1"), _INDEX, 0)
    except Refused as error:
        refused = error
    if refused is not None:
        assert refused.status == 401
        assert refused.reason.startswith("credential_")
        assert _KEY.decode() not in str(refused)
        return
    carried = [(name, value) for name, value in headers if name != b"cookie"]
    assert {value.split(b" ")[-1] for _, value in carried} == {_KEY}, "let in without the key, or with two"
    assert len({name for name, _ in carried}) == len(carried), "a name came twice"
