"""Leaves and payloads: any bytes are the one canonical form of what they say, or are refused."""

from __future__ import annotations

import json

from sekimori.ledger import entry

_LEAF = (
    b'{"actor":"sekimori","agent":null,"call":null,"class":1,"commit":"6uBEYFpgrOpeaoWpo7i50iZBAvlCz5i3+22YA55u/Pc=",'
    b'"daykey":"dk-1-2026-10-01","generation":0,"hop":null,"id":"01890a5d-ac97-7002-8123-00000000000b","kind":1,"n":0,'
    b'"run":"01890a5d-ac95-7000-8000-000000000001","schema":1,"tenant":"operator","time":1790000000000,"v":1}'
)

SEEDS: list[bytes] = [
    _LEAF,
    _LEAF.replace(b"null", b"0"),
    _LEAF.replace(b'"v":1', b'"v":1.0'),
    _LEAF.replace(b"u/Pc=", b"u/Pd="),
    b'{"deployment":"gw.example","software":"sekimori/0.1.0"}',
    b'{"outcome":"interrupted","status":null,"usage":{"input":1}}',
    b'{"by":"recovery","interrupted":2,"later":[[[]]]}',
    b"[" * 2000,
]


def target(data: bytes) -> None:
    try:
        leaf = entry.parse_leaf(data)
    except entry.Malformed:
        leaf = None
    if leaf is not None:
        assert entry.leaf_bytes(leaf) == data, "two byte strings are one leaf"
        canonical = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert canonical == data, "not canonical"
        assert leaf.tenant.isascii()
        assert "/" not in leaf.id
    for kind, schema in entry.SCHEMAS:
        try:
            payload = entry.parse_payload(kind, schema, data)
        except entry.Malformed:
            continue
        assert payload is not None
        assert entry.parse_payload(kind, schema, entry.payload_bytes(payload)) == payload
