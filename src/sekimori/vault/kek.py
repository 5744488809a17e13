"""Where the key-encryption key (KEK) comes from: a file, a value handed in, or a command.

All three give the same text: one or more keys of 32 random bytes in base64, separated by white space. The first is
the current one; those after it are on their way out and only open what has not been re-wrapped yet. A KEK's version
is its id, a fingerprint: it stands in every envelope it wraps, so a wrong key is named instead of tried.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sekimori.errors import Refused
from sekimori.vault import durable
from sekimori.vault.durable import Disk, VaultFault
from sekimori.vault.envelope import KEY_BYTES

MOST_KEYS: Final = 4
COMMAND_SECONDS: Final = 10.0
_LARGEST_TEXT: Final = 4096
_ID_DOMAIN: Final = b"sekimori/kek-id/1"
_MAKE_ONE: Final = "Make one with `head -c 32 /dev/urandom | base64`."


class Kek:
    """One key-encryption key. Shows its id only."""

    __slots__ = ("aead", "id")

    def __init__(self, key: bytes) -> None:
        # 64 bits of a hash over 256 random bits: names the key, tells nothing of it.
        self.id: Final = "kek-" + hashlib.sha256(_ID_DOMAIN + key).hexdigest()[:16]
        self.aead: Final = AESGCM(key)

    def __repr__(self) -> str:
        return f"Kek({self.id})"

    def __reduce__(self) -> str:
        raise TypeError("a key is not serialised")


class Ring:
    """The current KEK and those on their way out."""

    __slots__ = ("_keks", "current")

    def __init__(self, keks: Sequence[Kek]) -> None:
        self.current: Final = keks[0]
        self._keks: Final = {kek.id: kek for kek in keks}

    def get(self, id: str) -> Kek | None:
        return self._keks.get(id)

    @property
    def ids(self) -> list[str]:
        """Current first."""
        return list(self._keks)


def parse(text: bytes, where: str) -> Ring:
    """The keys of a text. Raises VaultFault, which names `where` and never quotes the text."""
    words = text.split()
    if not words:
        raise VaultFault(f"There is no key-encryption key in {where}.", _MAKE_ONE)
    if len(words) > MOST_KEYS:
        raise VaultFault(f"{where} holds more than {MOST_KEYS} keys.", "Keep the current one, first.")
    keks = []
    for word in words:
        try:
            key = base64.b64decode(word, validate=True)
        except binascii.Error:
            key = b""
        # Canonical only: two texts for one key would be two ids to whoever compares files.
        if len(key) != KEY_BYTES or base64.b64encode(key) != word:
            raise VaultFault(f"{where} does not hold {KEY_BYTES} bytes in base64.", _MAKE_ONE)
        if len(set(key)) < KEY_BYTES // 4:
            raise VaultFault(f"The key-encryption key in {where} is not random.", _MAKE_ONE)
        keks.append(Kek(key))
    return Ring(keks)


class Source(Protocol):
    """A place a KEK comes from."""

    where: str
    """How error texts name the place."""
    writable: bool
    """Whether `stage` and `settle` can change what the place holds."""

    def load(self) -> Ring:
        """What the place holds now. Raises VaultFault naming the fix."""
        ...

    def stage(self, random: Callable[[int], bytes]) -> None:
        """Put a new KEK before the present ones; durable on return. Refused `wrong_use` where only a person can."""
        ...

    def settle(self) -> None:
        """Keep the current KEK alone; durable on return. Nothing to do where only a person can."""
        ...


class KekFile:
    """A file of mode 0600 (or stricter) that belongs to this user."""

    writable = True

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self.where = str(path)
        self._disk = disk or Disk()

    def create(self, random: Callable[[int], bytes]) -> None:
        """Write a new KEK unless there is one. A KEK is never replaced: without it everything is lost."""
        try:
            self.load()
        except FileNotFoundError:
            durable.write(self._disk, self.path, base64.b64encode(random(KEY_BYTES)) + b"\n")

    def load(self) -> Ring:
        """Raises VaultFault; FileNotFoundError where there is none."""
        return parse(durable.read(self.path, follow=True), self.where)

    def stage(self, random: Callable[[int], bytes]) -> None:
        self._replaceable()
        present = durable.read(self.path)
        if len(present.split()) >= MOST_KEYS:
            raise VaultFault(f"{self.where} is full of keys.", "Finish the rotation that was begun first.")
        durable.write(self._disk, self.path, base64.b64encode(random(KEY_BYTES)) + b"\n" + present)

    def settle(self) -> None:
        self._replaceable()
        words = durable.read(self.path).split()
        if len(words) > 1:
            durable.write(self._disk, self.path, words[0] + b"\n")

    def _replaceable(self) -> None:
        if self.path.is_symlink():
            raise _by_hand(self.where)


class KekGiven:
    """A text that the caller read, e.g. from the environment."""

    writable = False

    def __init__(self, text: bytes, where: str) -> None:
        self._text = text
        self.where = where

    def __repr__(self) -> str:
        return f"KekGiven({self.where})"

    def load(self) -> Ring:
        return parse(self._text, self.where)

    def stage(self, random: Callable[[int], bytes]) -> None:
        raise _by_hand(self.where)

    def settle(self) -> None:
        """A person removes the old key."""


class KekCommand:
    """The standard output of a command, run without a shell and within bounds of time and size."""

    writable = False

    def __init__(self, argv: Sequence[str], seconds: float = COMMAND_SECONDS) -> None:
        if not argv:
            raise ValueError("a command has a program")
        self._argv = tuple(argv)
        self._seconds = seconds
        self.where = f"the output of `{argv[0]}`"  # without arguments: they may hold a token

    def load(self) -> Ring:
        return parse(_output(self._argv, self._seconds, self.where), self.where)

    def stage(self, random: Callable[[int], bytes]) -> None:
        raise _by_hand(self.where)

    def settle(self) -> None:
        """A person removes the old key."""


def source(setting: str, home: Path, values: Mapping[str, str], disk: Disk | None = None) -> Source:
    """The source a setting names: `file:PATH` (relative to the home), `env:NAME` or `command:PROGRAM ARGUMENTS`.

    `values` holds the values of the environment that settings name; this module reads none itself.
    Raises Refused `wrong_use`, or VaultFault where the named value is not set.
    """
    kind, _, rest = setting.partition(":")
    if kind == "file" and rest:
        return KekFile(home / Path(rest).expanduser(), disk)
    if kind == "env" and rest:
        if rest not in values:
            raise VaultFault(f"The variable {rest}, which holds the key-encryption key, is not set.", f"Set {rest}.")
        # Not ASCII is not base64; the replacement keeps it so without quoting the value in an error.
        return KekGiven(values[rest].encode("ascii", "replace"), f"the variable {rest}")
    if kind == "command" and rest.strip():
        try:
            return KekCommand(shlex.split(rest))
        except ValueError as error:
            raise Refused(
                "wrong_use", "The command of `vault.key_encryption_key` cannot be read.", advice="Close its quotes."
            ) from error
    raise Refused(
        "wrong_use",
        "`vault.key_encryption_key` must say where the key comes from.",
        advice="Write `file:PATH`, `env:NAME` or `command:PROGRAM ARGUMENTS`.",
    )


def _by_hand(where: str) -> Refused:
    return Refused(
        "wrong_use",
        f"The key-encryption key comes from {where}, which cannot be written here.",
        advice="Let it hold the new key first and the old one after a space, restart, and rotate again; "
        "then remove the old one.",
    )


def _output(argv: Sequence[str], seconds: float, where: str) -> bytes:
    """Standard output of a command, at most 4 KiB. Kills its whole process group when it is too slow or too loud."""
    try:
        # Standard error may repeat the key or a token: it is dropped, and the exit status says enough.
        process = subprocess.Popen(  # noqa: S603 - argv comes from the operator's own settings, and there is no shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise VaultFault(
            f"The command for the key-encryption key, `{argv[0]}`, cannot be run: {error.strerror}.",
            "Correct `vault.key_encryption_key`.",
        ) from error
    deadline = time.monotonic() + seconds
    out = b""
    assert process.stdout is not None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise _slow(where, seconds)
                piece = os.read(process.stdout.fileno(), _LARGEST_TEXT)
                if not piece:
                    break
                out += piece
                if len(out) > _LARGEST_TEXT:
                    raise VaultFault(f"{where} is longer than keys are.", "Let it print the base64 key alone.")
        try:
            status = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise _slow(where, seconds) from None
    except BaseException:
        # The whole group, and before the leader is reaped: until then its number cannot be anyone else's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        process.stdout.close()
    if status != 0:
        raise VaultFault(
            f"The command for the key-encryption key, `{argv[0]}`, ended with status {status}.",
            "Run it by hand to see why.",
        )
    return out


def _slow(where: str, seconds: float) -> VaultFault:
    return VaultFault(f"{where} did not come within {seconds:g} s.", "Run the command by hand to see why.")
