"""Every way a secret could slip out, and that none of them works."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from rich.console import Console
from rich.traceback import Traceback

from sekimori.vault.secret import Secret

CANARY = "canary-3f9a1c"
SECRET = Secret(CANARY.encode())


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>20}",
        lambda secret: f"{secret:>20}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        lambda secret: "{0} {0!s} {0!r}".format(secret),  # noqa: UP032
        lambda secret: format(secret, "x"),
        lambda secret: repr([secret, {"key": secret}]),
        lambda secret: json.dumps({"key": secret}, default=str),
        lambda secret: msgspec.json.encode({"key": secret}, enc_hook=repr).decode(),
    ],
)
def test_it_shows_itself_as_a_secret(show: Callable[[Secret], str]) -> None:
    shown = show(SECRET)
    assert CANARY not in shown
    assert "[secret]" in shown


@pytest.mark.parametrize(
    "serialise",
    [
        pickle.dumps,
        lambda secret: pickle.dumps(secret, 0),
        lambda secret: pickle.dumps([secret]),
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        msgspec.to_builtins,
        bytes,
        list,
        len,
        iter,
        hash,
        int,
        memoryview,
        vars,
        lambda secret: secret + b"",
        lambda secret: b"".join([secret]),
        lambda secret: secret.__getstate__(),
        lambda secret: secret.__reduce__(),
        lambda secret: secret.__reduce_ex__(4),
        lambda secret: setattr(secret, "extra", 1),
    ],
)
def test_it_is_refused_where_bytes_would_come_out(serialise: Callable[[Any], object]) -> None:
    with pytest.raises((TypeError, AttributeError)) as caught:
        serialise(SECRET)
    assert CANARY not in str(caught.value)


def test_it_stays_out_of_structs_logs_and_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    class Held(msgspec.Struct):
        secret: Secret

    @dataclasses.dataclass
    class Kept:
        secret: Secret

    assert CANARY not in repr(Held(SECRET)) + repr(Kept(SECRET)) + repr(dataclasses.asdict(Kept(SECRET)))
    logging.getLogger("test").warning("key %s", SECRET)
    assert CANARY not in caplog.text

    def fails(secret: Secret) -> None:
        raise RuntimeError(f"with {secret}")

    out = io.StringIO()
    with contextlib.suppress(RuntimeError):
        try:
            fails(SECRET)
        except RuntimeError as error:
            out.write("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
            Console(file=out).print(Traceback(show_locals=True))
            raise
    assert "[secret]" in out.getvalue()
    # The test's own module holds the canary as a constant; only the frames' locals are asked here.
    assert f"secret = {CANARY}" not in out.getvalue()


def test_it_reveals_the_very_bytes_it_was_given() -> None:
    value = CANARY.encode()
    assert Secret(value).reveal() is value
    assert copy.copy(SECRET) is SECRET
    assert copy.deepcopy({"key": SECRET})["key"] is SECRET


def test_it_equals_the_same_secret_only() -> None:
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != Secret(b"aa")
    assert Secret(b"a") != b"a"
    assert Secret(b"a") != b"a"
    assert SECRET  # no length, so no truth but its being there
    assert Secret(b"")


def test_it_is_made_of_bytes_alone() -> None:
    class Telling(bytes):
        def __repr__(self) -> str:
            return self.decode()

    for value in (CANARY, bytearray(CANARY.encode()), Telling(CANARY.encode()), None):
        with pytest.raises(TypeError) as caught:
            Secret(value)  # type: ignore[arg-type]
        assert CANARY not in str(caught.value)
    with pytest.raises(TypeError):
        type("Louder", (Secret,), {"__repr__": Secret.reveal})
