"""Where subject tokens come from: files and addresses that the operator has named, and nothing else.

What a credential says here was written by whoever put the key, a tenant perhaps, and is read by this process with its
rights. Three rules, each of which refuses where its setting is empty:

- a file is read only below the folder of the setting, in the part that mirrors the key's own path: a key of a tenant
  cannot name the operator's tokens, nor another tenant's, for whoever borrows an identity acts as its owner;
- an address is asked only for a key of the operator, and only where the setting lists that URL, letter by letter;
- whatever fails, the words are the same, so that nobody learns what lies on this machine.

Tokens are read anew each time: what writes them (a kubelet, say) replaces them before they end.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from sekimori.errors import Fault, Refused, Upstream
from sekimori.http.client import Deadlines, Pool
from sekimori.terms import OPERATOR, Origin
from sekimori.vault.federated import ExternalAccount

TOKEN_LIMIT: Final = 32 * 1024
"""Bytes of a file or reply with a subject token."""
_DEADLINES: Final = Deadlines(connect=5.0, first_byte=5.0, idle=5.0, total=10.0)
_VISIBLE: Final = bytes(range(0x21, 0x7F))
_members: Final = msgspec.json.Decoder(dict[str, object]).decode


class Subjects:
    """Reads subject tokens. `folder` and `urls` are settings of the deployment."""

    def __init__(self, pool: Pool, *, folder: Path | None = None, urls: str = "") -> None:
        """`urls` are separated by white space. Raises Refused `wrong_use` where one is no URL."""
        self._pool = pool
        self._folder = folder
        self._urls = {url: endpoint(url, "upstream.subject_token_urls") for url in urls.split()}

    async def token(self, form: ExternalAccount, key: str, connection: Hashable) -> str:
        """The subject token for the key at this path (`operator/NAME` or `clients/TENANT/NAME`).

        Raises Fault `key_unavailable`, which says neither what was asked for nor what was found.
        """
        try:
            if form.file is not None:
                data = await asyncio.to_thread(self._read, form.file, key)
            else:
                data = await self._ask(form, key, connection)
            return _word(data, form.member)
        except (OSError, ValueError, Upstream):
            raise Fault(
                "key_unavailable",
                "The subject token for the key that serves this call is not to be had.",
                advice="The operator looks at `upstream.subject_tokens` and `upstream.subject_token_urls`;"
                " docs/providers.md says which keys may name what.",
                retry_after=5.0,
            ) from None

    def _read(self, file: str, key: str) -> bytes:
        """The file's bytes. Raises OSError, ValueError. Blocks."""
        owner = key.rpartition("/")[0]
        if self._folder is None or not owner:
            raise ValueError("no file is read")
        own = self._folder / owner
        # By the letter first: nothing outside is so much as looked at.
        if not file.startswith(f"{own}/"):
            raise ValueError("not a file of this key's owner")
        # Then by what it is: projected tokens are links, and must not lead out of their owner's folder.
        root, path = os.path.realpath(own, strict=True), os.path.realpath(file, strict=True)
        if not path.startswith(f"{root}/"):
            raise ValueError("leads out of the folder")
        # Not blocking: a pipe would hold the thread.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("not a plain file")
            return opened.read(TOKEN_LIMIT + 1)

    async def _ask(self, form: ExternalAccount, key: str, connection: Hashable) -> bytes:
        listed = self._urls.get(form.url or "")
        if listed is None or not key.startswith(f"{OPERATOR}/"):
            raise ValueError("not an address that is asked for this key")
        origin, target = listed
        headers = [(name.encode(), value.encode()) for name, value in form.headers]
        async with await self._pool.request(
            origin, ("subject", connection), "GET", target, headers, b"", _DEADLINES
        ) as response:
            if response.status != 200:
                raise ValueError("no token came")
            return await response.read_all(TOKEN_LIMIT)


def _word(data: bytes, member: str | None) -> str:
    """The token in what was read. Raises ValueError."""
    if len(data) > TOKEN_LIMIT:
        raise ValueError("too long")
    if member is not None:
        try:
            value = _members(data).get(member)
        except (msgspec.MsgspecError, RecursionError):
            raise ValueError("not JSON") from None
        if not isinstance(value, str):
            raise ValueError("no such member")
        data = value.encode("utf-8", "replace")
    word = data.strip()
    if not word or word.translate(None, _VISIBLE):
        raise ValueError("not a word")
    return word.decode("ascii")


def endpoint(url: str, setting: str, *, query: bool = True) -> tuple[Origin, str]:
    """Origin and target of a setting's URL. Whether it may be dialled is the dialler's to say, as for every address.

    Raises Refused `wrong_use` naming the setting.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    odd = parts.fragment or parts.username is not None or (parts.query and not query)
    if parts.scheme not in ("https", "http") or not parts.hostname or odd:
        raise Refused("wrong_use", f"The setting {setting} is not a URL.", advice="Write `https://HOST/PATH`.")
    scheme: Literal["https", "http"] = "https" if parts.scheme == "https" else "http"
    asked = f"?{parts.query}" if parts.query else ""
    return Origin(scheme, parts.hostname, port or (443 if scheme == "https" else 80)), (parts.path or "/") + asked
