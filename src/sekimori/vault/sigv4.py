"""AWS Signature Version 4, by botocore's own signer, over the request as it is sent.

botocore is AWS's implementation of its own algorithm; it is loaded when the first key that needs it is lent, in a
thread, for loading takes longer than a call may hold the event loop.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sekimori.terms import Headers, Origin
from sekimori.vault.credentials import Aws

_loaded: list[Any] = []


async def load() -> None:
    """Load the signer, once."""
    if not _loaded:
        found = await asyncio.to_thread(_load)
        if not _loaded:
            _loaded.extend(found)


def _load() -> tuple[Any, ...]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    return SigV4Auth, AWSRequest, Credentials


def signature(
    form: Aws, service: str, region: str, method: str, origin: Origin, target: str, headers: Headers, body: bytes
) -> Headers:
    """The header fields that sign the request; `load` was awaited before. What the client adds later is not signed,
    but for `host`, which both make alike: it has the port where that is not the scheme's own."""
    signer, request, credentials = _loaded
    default = 443 if origin.scheme == "https" else 80
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    host = host if origin.port == default else f"{host}:{origin.port}"
    given = {name.decode(): value.decode("latin-1") for name, value in headers}
    made = request(method=method, url=f"{origin.scheme}://{host}{target}", headers={**given, "host": host}, data=body)
    signer(credentials(form.access_key_id, form.secret_access_key, form.session_token), service, region).add_auth(made)
    return [
        (name.lower().encode(), value.encode())
        for name, value in made.headers.items()
        if name.lower() in ("authorization", "x-amz-date", "x-amz-security-token")
    ]
