"""Where the key-encryption key comes from, and everything that can be wrong with it."""

from __future__ import annotations

import base64
import contextlib
import os
import pickle
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.errors import Refusal, Refused
from sekimori.vault import kek
from sekimori.vault.durable import VaultFault
from sekimori.vault.kek import KekCommand, KekFile, KekGiven, source

KEY = bytes(range(32))
TEXT = base64.b64encode(KEY)
OTHER = base64.b64encode(bytes(range(1, 33)))


def test_several_keys_the_current_one_first() -> None:
    ring = kek.parse(TEXT + b"\n" + OTHER + b" \n", "here")
    assert len(ring.ids) == 2
    assert ring.current.id == ring.ids[0] == kek.Kek(KEY).id
    assert ring.get(ring.ids[1]) is not None
    assert ring.get("kek-0000000000000000") is None


def test_an_id_is_the_specified_fingerprint() -> None:
    # printf 'sekimori/kek-id/1\x00\x01…\x1f' | sha256sum
    assert kek.Kek(KEY).id == "kek-e11edf6e57602e73"


def test_a_kek_shows_its_id_alone() -> None:
    assert repr(kek.Kek(KEY)) == f"Kek({kek.Kek(KEY).id})"
    assert TEXT.decode() not in repr(KekGiven(TEXT, "the variable X"))
    with pytest.raises(TypeError):
        pickle.dumps(kek.Kek(KEY))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "no key"),
        (b" \n", "no key"),
        (b"password", "32 bytes in base64"),
        (KEY, "32 bytes in base64"),
        (TEXT[:-1], "32 bytes in base64"),
        (TEXT[:-2] + b"9=", "32 bytes in base64"),  # stray bits in the last digit
        (TEXT.replace(b"/", b"_") + b"!", "32 bytes in base64"),
        (base64.b64encode(bytes(31)), "32 bytes in base64"),
        (base64.b64encode(bytes(33)), "32 bytes in base64"),
        (base64.b64encode(bytes(32)), "not random"),
        (base64.b64encode(b"password" * 4), "not random"),
        (TEXT + b" " + b"canary", "32 bytes in base64"),
        ((TEXT + b" ") * 5, "more than 4"),
    ],
)
def test_what_is_no_key(text: bytes, says: str) -> None:
    with pytest.raises(VaultFault) as caught:
        kek.parse(text, "the variable X")
    assert says in caught.value.text
    assert "the variable X" in caught.value.text
    for word in text.split():
        assert word.decode("latin-1") not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_text_is_keys_or_a_fault(text: bytes) -> None:
    with contextlib.suppress(VaultFault):
        assert 1 <= len(kek.parse(text, "here").ids) <= kek.MOST_KEYS


# -- file --------------------------------------------------------------------------------------------------------------


def test_a_file_is_made_once(tmp_path: Path) -> None:
    file = KekFile(tmp_path / "kek")
    with pytest.raises(FileNotFoundError):
        file.load()
    file.create(os.urandom)
    first = (tmp_path / "kek").read_bytes()
    assert (tmp_path / "kek").stat().st_mode & 0o777 == 0o600
    file.create(os.urandom)
    assert (tmp_path / "kek").read_bytes() == first


def test_a_damaged_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "kek").write_bytes(b"")
    (tmp_path / "kek").chmod(0o600)
    with pytest.raises(VaultFault):
        KekFile(tmp_path / "kek").create(os.urandom)
    assert (tmp_path / "kek").read_bytes() == b""


def test_a_file_for_everyone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kek").write_bytes(TEXT)
    (tmp_path / "kek").chmod(0o644)
    with pytest.raises(VaultFault, match="chmod 600"):
        KekFile(tmp_path / "kek").load()


def test_a_mounted_file_is_read_and_never_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(TEXT)
    (tmp_path / "data").chmod(0o400)
    (tmp_path / "kek").symlink_to("data")
    file = KekFile(tmp_path / "kek")
    assert file.load().current.id == kek.Kek(KEY).id
    with pytest.raises(Refused, match="new key first"):
        file.stage(os.urandom)
    assert (tmp_path / "kek").is_symlink()


def test_stage_and_settle(tmp_path: Path) -> None:
    file = KekFile(tmp_path / "kek")
    file.create(os.urandom)
    old = file.load().current.id
    file.stage(os.urandom)
    new = file.load().current.id
    assert file.load().ids == [new, old] != [old, old]
    file.settle()
    assert file.load().ids == [new]
    file.settle()
    assert file.load().ids == [new]


# -- value and command -------------------------------------------------------------------------------------------------


def test_a_given_value(tmp_path: Path) -> None:
    given_value = source("env:THE_KEK", tmp_path, {"THE_KEK": TEXT.decode() + "\n"})
    assert given_value.load().current.id == kek.Kek(KEY).id
    assert not given_value.writable
    with pytest.raises(Refused, match="new key first"):
        given_value.stage(os.urandom)


@pytest.mark.parametrize("setting", ["", "file", "file:", "env:", "command:", "command:  ", "vault:x", "kek",
                                     "command:cat 'x"])  # fmt: skip
def test_a_setting_that_names_no_source(setting: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        source(setting, tmp_path, {})
    assert caught.value.reason == "wrong_use"


@pytest.mark.parametrize("value", ["", "ü" * 20, "\udcff", "x\0y"])
def test_a_value_that_is_no_key(value: str, tmp_path: Path) -> None:
    with pytest.raises(VaultFault):
        source("env:THE_KEK", tmp_path, {"THE_KEK": value}).load()
    with pytest.raises(VaultFault, match="THE_KEK"):
        source("env:THE_KEK", tmp_path, {})


def python(code: str) -> KekCommand:
    return KekCommand([sys.executable, "-c", code], seconds=10.0)


def test_a_command_is_run_without_a_shell(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(TEXT)
    command = source(f"command:cat '{tmp_path}/a b'", tmp_path, {})
    assert command.load().current.id == kek.Kek(KEY).id
    with pytest.raises(VaultFault):
        source("command:echo $(id)", tmp_path, {}).load()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; sys.exit(3)", "status 3"),
        (f"import sys; print({TEXT.decode()!r}); sys.exit(1)", "status 1"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "status -9"),
        ("print('canary')", "base64"),
        ("pass", "no key"),
        ("while True: print('x' * 1000)", "longer"),
    ],
)
def test_a_command_that_gives_no_key(code: str, says: str) -> None:
    with pytest.raises(VaultFault) as caught:
        python(code).load()
    assert says in caught.value.text
    assert "canary" not in str(caught.value)


def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(VaultFault, match="cannot be run"):
        KekCommand(["/nonexistent/program", "token"]).load()


@pytest.mark.parametrize("last", ["wait", "exit 0"], ids=["hangs", "is done, but its child keeps the output open"])
def test_a_command_that_hangs_is_killed_with_all_it_started(tmp_path: Path, last: str) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; echo {TEXT.decode()}; {last}"
    with pytest.raises(VaultFault, match="did not come within"):
        KekCommand(["sh", "-c", script], seconds=1.5).load()
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    deadline = time.monotonic() + 10
    while child.exists() and ") Z " not in child.read_text():
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.01)


def test_error_texts_name_the_program_and_not_its_arguments() -> None:
    with pytest.raises(VaultFault) as caught:
        KekCommand(["false", "--token=canary"]).load()
    assert "canary" not in str(caught.value)


def test_every_source_fault_is_one_of_ours(tmp_path: Path) -> None:
    with pytest.raises(Refusal):
        KekFile(tmp_path).load()
