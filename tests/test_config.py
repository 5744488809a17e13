"""Settings: what is accepted, what is refused, and that each one is documented."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori import config
from sekimori.errors import Refused

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"


def home(tmp_path: Path, text: str | None = None) -> Path:
    if text is not None:
        file = tmp_path / "settings.toml"
        file.write_text(text)
        file.chmod(0o600)
    return tmp_path


def refused(tmp_path: Path, text: str | None = None, **environ: str) -> Refused:
    with pytest.raises(Refused) as caught:
        config.load(home(tmp_path, text), environ)
    assert caught.value.reason == "wrong_use"
    assert caught.value.advice
    return caught.value


def test_defaults_without_a_file(tmp_path: Path) -> None:
    found = config.load(tmp_path / "none", {})
    assert (found.gateway.host, found.gateway.port) == ("127.0.0.1", 8080)
    assert (found.control.host, found.control.port) == ("127.0.0.1", 8081)
    assert found.ledger.checkpoint_seconds == 5.0


def test_file_then_variable(tmp_path: Path) -> None:
    found = config.load(
        home(tmp_path, "[gateway]\nport = 9000\nhost = '::1'\n[ledger]\ncheckpoint_seconds = 1\n"),
        {"SEKIMORI_GATEWAY_PORT": "9001", "SEKIMORI_LOG_CALLS": "false", "PATH": "/bin"},
    )
    assert (found.gateway.host, found.gateway.port) == ("::1", 9001)
    assert found.ledger.checkpoint_seconds == 1.0
    assert found.log.calls is False


def test_home_comes_from_argument_then_variable_then_home() -> None:
    assert config.load(Path("/a"), {"SEKIMORI_HOME": "/b"}).home == Path("/a")
    assert config.load(None, {"SEKIMORI_HOME": "/b", "HOME": "/c"}).home == Path("/b")
    assert config.load(None, {"HOME": "/c"}).home == Path("/c/.sekimori")


@pytest.mark.parametrize(
    ("text", "said", "fix"),
    [
        ("[gateway]\n\nprot = 1\n", "settings.toml:3: `[gateway]` has no setting `prot`", "`port`"),
        ("[gatway]\nport = 1\n", "no section `[gatway]`", "`gateway`"),
        ("gateway = 3\n", "must be a section", "[gateway]"),
        ("[gateway]\nport = 70000\n", "settings.toml:2: `gateway.port`", "docs/settings.md"),
        ("[gateway]\nport = '8080'\n", "settings.toml:2: `gateway.port`", "docs/settings.md"),
        ("[gateway]\nport = true\n", "`gateway.port`", "docs/settings.md"),
        ("[log]\nlevel = 'loud'\n", "`log.level`", "docs/settings.md"),
        ("[gateway\n", "is not TOML", "line"),
        ("[gateway]\ntls_key = 'k.pem'\n", "need each other", "both"),
        ("[gateway]\nclient_certificates = 'required'\n", "needs `gateway.client_ca`", "gateway.client_ca"),
        ("[gateway]\nport = 8081\n", "share 127.0.0.1:8081", "different ports"),
        ("[vault]\nkey_encryption_key = 'kek'\n", "where the key comes from", "file:PATH"),
        ("[vault]\nkey_encryption_key = 'env:A-B'\n", "not a variable's name", "env:NAME"),
        ("[upstream]\nconnect_seconds = 0\n", "`upstream.connect_seconds`", "docs/settings.md"),
        ("[upstream]\nconnect_seconds = nan\n", "`upstream.connect_seconds`", "docs/settings.md"),
    ],
)
def test_wrong_file_names_place_and_fix(tmp_path: Path, text: str, said: str, fix: str) -> None:
    error = refused(tmp_path, text)
    assert said in error.text
    assert fix in error.advice


def test_wrong_variable_is_named(tmp_path: Path) -> None:
    assert "SEKIMORI_GATEWAY_PROT" in refused(tmp_path, SEKIMORI_GATEWAY_PROT="1").text
    assert "SEKIMORI_GATEWAY_PORT" in refused(tmp_path, SEKIMORI_GATEWAY_PORT="http").text


def test_variable_cannot_land_in_a_section_that_is_none(tmp_path: Path) -> None:
    assert "must be a section" in refused(tmp_path, "gateway = 1\n", SEKIMORI_GATEWAY_PORT="1").text


def test_key_from_a_variable_is_handed_on_and_never_shown(tmp_path: Path) -> None:
    given = {"SEKIMORI_VAULT_KEY_ENCRYPTION_KEY": "env:SEKIMORI_KEK", "SEKIMORI_KEK": "canary-kek"}
    found = config.load(tmp_path, given)
    assert found.secrets == {"SEKIMORI_KEK": "canary-kek"}
    assert "canary" not in repr(found) + str(found)


def test_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    home(tmp_path, "[log]\nlevel = 'info'\n")
    (tmp_path / "settings.toml").chmod(0o620)
    error = refused(tmp_path)
    assert "written by others" in error.text
    assert "chmod go-w" in error.advice


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: needs root to give a file away")
def test_file_of_another_user_is_refused(tmp_path: Path) -> None:
    home(tmp_path, "")
    os.chown(tmp_path / "settings.toml", 4242, 4242)
    assert "not a plain file of yours" in refused(tmp_path).text


@given(st.text(alphabet="[]=\"'\n abcgatewyport0189.#", max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_file_gives_settings_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = home(tmp_path_factory.mktemp("home"), text)
    with suppress(Refused):
        config.load(directory, {"SEKIMORI_GATEWAY_PORT": "1"})


def test_every_setting_is_documented_with_its_default() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| `([^`]*)`", text, re.MULTILINE))
    assert sorted(rows) == sorted(config.names())
    for name, shown in rows.items():
        section, field = name.split(".")
        default = getattr(config.SECTIONS[section](), field)
        written = (
            str(default).lower() if isinstance(default, bool) else f'"{default}"' if default == "" else str(default)
        )
        assert shown == written, name
        assert config.variable(name) == f"SEKIMORI_{name.replace('.', '_').upper()}"


def test_example_of_the_document_loads(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert config.load(home(tmp_path, example), {}).gateway.port == 8443
