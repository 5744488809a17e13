"""What stands in deploy/: every line that hardens is there, explained in docs/running.md, and nothing loosens it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sekimori import config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
CONTAINERFILE = (DEPLOY / "container" / "Containerfile").read_text(encoding="utf-8")
UNITS = ("sekimori.service", "sekimori-init@.service")


def table(heading: str) -> list[str]:
    """The first cells of the table below a heading of the page."""
    part = PAGE.split(f"### {heading}\n", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in part.splitlines() if line.startswith("| `")]


def terms(heading: str) -> set[str]:
    return {term for cell in table(heading) for term in re.findall(r"`([^`]+)`", cell)}


# -- the compose file --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))


def test_the_compose_file_hardens_what_it_runs(compose: Any) -> None:
    assert list(compose["services"]) == ["sekimori"]
    service = compose["services"]["sekimori"]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    (temporary,) = service["tmpfs"]
    assert temporary.startswith("/tmp:size=16m")
    assert {"noexec", "nosuid", "nodev", "mode=0700"} <= set(temporary.split(":", 1)[1].split(","))
    assert service["volumes"] == ["home:/var/lib/sekimori"]
    assert service["ulimits"] == {"nofile": {"soft": 65536, "hard": 65536}, "core": 0}
    assert {"mem_limit", "cpus", "pids_limit"} <= set(service)
    for loosened in ("privileged", "cap_add", "pid", "ipc", "network_mode", "devices", "userns_mode", "env_file"):
        assert loosened not in service


def test_the_control_listener_and_the_network_are_not_published(compose: Any) -> None:
    service = compose["services"]["sekimori"]
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert "SEKIMORI_CONTROL_HOST" not in service["environment"]
    assert "SEKIMORI_CONTROL" not in CONTAINERFILE
    assert config.Control().host == "127.0.0.1"


def test_the_key_encryption_key_comes_as_a_file_and_no_secret_as_a_variable(compose: Any) -> None:
    service = compose["services"]["sekimori"]
    assert service["secrets"] == ["kek"]
    assert set(compose["secrets"]["kek"]) == {"file"}
    assert service["environment"]["SEKIMORI_VAULT_KEY_ENCRYPTION_KEY"] == "file:/run/secrets/kek"


def test_what_the_compose_file_sets_is_settings(compose: Any) -> None:
    given = {name: str(value) for name, value in compose["services"]["sekimori"]["environment"].items()}
    settings = config.load(Path("/nonexistent"), given)
    assert settings.gateway.host == "0.0.0.0"
    grace = compose["services"]["sekimori"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > settings.gateway.drain_seconds


def test_every_line_of_the_compose_file_is_explained(compose: Any) -> None:
    service = compose["services"]["sekimori"]
    told = " ".join(table("What the compose file says"))
    plain = {"image", "build", "command", "restart", "environment"}
    for name in set(service) - plain:
        assert f"`{name}" in told, name
    for name in service["environment"]:
        assert f"`{name}`" in told, name


# -- the units ---------------------------------------------------------------------------------------------------------


def unit(name: str) -> dict[str, list[str]]:
    """Lines of the [Service] section: name -> values in order."""
    found: dict[str, list[str]] = {}
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
    for line in text.split("[Service]\n", 1)[1].split("\n[", 1)[0].splitlines():
        if line:
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", UNITS)
def test_every_line_that_the_page_explains_is_in_the_unit(name: str) -> None:
    lines = {f"{key}={value}" for key, values in unit(name).items() for value in values}
    for term in terms("What the unit says"):
        if name == UNITS[1] and term.startswith(("TimeoutStopSec=", "RestrictAddressFamilies=")):
            continue  # made once, and without a network
        if "=" in term:
            assert term in lines, term


@pytest.mark.parametrize("name", UNITS)
def test_every_line_of_the_unit_is_explained(name: str) -> None:
    plain = {"Type", "ExecStart", "Restart", "RestartSec", "KillMode", "Environment", "EnvironmentFile"}
    told = terms("What the unit says")
    for key, values in unit(name).items():
        for value in values:
            if key in plain or (name == UNITS[1] and key in {"PrivateNetwork", "RestrictAddressFamilies"}):
                continue
            assert f"{key}={value}" in told, f"{key}={value}"


def test_both_units_run_as_the_same_account_on_the_same_home() -> None:
    serve, init = unit(UNITS[0]), unit(UNITS[1])
    assert {key: serve[key] for key in ("User", "StateDirectory", "Environment", "LoadCredential", "UMask")} == {
        key: init[key] for key in ("User", "StateDirectory", "Environment", "LoadCredential", "UMask")
    }
    assert init["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert init["PrivateNetwork"] == ["yes"]


def test_what_the_unit_sets_is_settings() -> None:
    given = dict(value.strip('"').split("=", 1) for value in unit(UNITS[0])["Environment"])
    settings = config.load(None, given)
    assert settings.home == Path("/var/lib/sekimori/home")
    assert settings.vault.key_encryption_key.startswith("command:/usr/bin/cat ")
    assert int(unit(UNITS[0])["TimeoutStopSec"][0]) > settings.gateway.drain_seconds


# -- the image ---------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n(?:\s*#.*\n)*", "", re.sub(r"^\s*#.*\n", "", CONTAINERFILE, flags=re.MULTILINE))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def test_the_image_is_made_of_wheels_with_hashes_and_of_nothing_fetched_otherwise() -> None:
    kinds = [kind for kind, _ in instructions()]
    assert "ADD" not in kinds
    text = " ".join(rest for _, rest in instructions())
    for word in ("curl", "wget", "apt", "git+", "http://", "https://", "index-url"):
        assert word not in text, word
    for command in re.findall(r"pip --python \S+ install [^&]*", text):
        assert ("--require-hashes" in command and "--only-binary :all:" in command) or "--no-index --no-deps" in command
    for name in ("build", "runtime"):
        pinned = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        heads = re.findall(r"^[a-z0-9][^\n]*", pinned, re.MULTILINE)
        assert heads
        assert all("==" in head and head.endswith("\\") for head in heads)
        assert "://" not in pinned


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    users = [rest for kind, rest in instructions() if kind == "USER"]
    assert users == ["10001:10001"]
    assert users[-1].split(":")[0] != "0"
    order = [kind for kind, _ in instructions()]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert "RUN" not in order[order.index("USER") :]


def test_nothing_of_the_image_needs_a_shell_when_it_runs() -> None:
    for kind, rest in instructions():
        if kind in ("ENTRYPOINT", "CMD"):
            assert rest.startswith("["), kind
        if kind == "HEALTHCHECK":
            assert " CMD [" in rest or "CMD [" in rest


def test_only_what_is_copied_is_sent_to_the_build() -> None:
    last = [rest for kind, rest in instructions() if kind == "COPY"]
    from_build = [rest for rest in last if rest.startswith("--from=build")]
    assert len(from_build) == 2, "the last stage takes the program and the empty folder"
    sources = {word for rest in last if rest not in from_build for word in rest.split()[:-1]}
    ignore = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert "*" in ignore
    assert sources == allowed
    assert all((ROOT / source).exists() for source in sources)


def test_the_base_is_an_argument_with_a_name_and_no_address() -> None:
    assert instructions()[0] == ("ARG", "BASE=python:3.11-slim-bookworm")
    assert [rest for kind, rest in instructions() if kind == "FROM"] == ["${BASE} AS build", "${BASE}"]
    assert "`BASE`" in PAGE


# -- the scripts of the image ------------------------------------------------------------------------------------------


def run(script: str, *words: str, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(DEPLOY / "container" / script), *words],
        env={"PATH": "/usr/bin:/bin", "SEKIMORI_HOME": str(home), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_health_check_says_no_where_nobody_answers(tmp_path: Path) -> None:
    done = run("ready.py", home=tmp_path, SEKIMORI_CONTROL_PORT="1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_the_health_check_asks_the_owner_where_the_listener_wants_a_certificate(tmp_path: Path) -> None:
    settings = {
        "SEKIMORI_CONTROL_CLIENT_CERTIFICATES": "required",
        "SEKIMORI_CONTROL_CLIENT_CA": "ca.pem",
        "SEKIMORI_CONTROL_TLS_CERTIFICATE": "c.pem",
        "SEKIMORI_CONTROL_TLS_KEY": "c.key",
    }
    assert run("ready.py", home=tmp_path, **settings).returncode == 1
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(tmp_path / "owner.sock"))
        owner.listen()
        assert run("ready.py", home=tmp_path, **settings).returncode == 0


def test_the_entry_point_never_makes_a_home_and_never_runs_as_root(tmp_path: Path) -> None:
    done = run("enter.py", "serve", home=tmp_path / "home")
    assert done.returncode in (1, 2)
    assert "does not run as root" in done.stderr or "init --name" in done.stderr
    assert not (tmp_path / "home").exists()
