"""Settings: `<home>/settings.toml`, overlaid by `SEKIMORI_<SECTION>_<NAME>`; the only reader of the environment.

What a deployment *does* (tenants, agents, routes, limits) is documents; what the *process* needs to run is here.
No setting turns a control off. Every setting is described in docs/settings.md, and a test fails on one that is not.
A misspelt setting is refused, in the file and in the environment alike: a limit that silently does not hold is worse
than a process that does not start.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from sekimori.errors import Refused

PREFIX: Final = "SEKIMORI_"
HOME_VARIABLE: Final = "SEKIMORI_HOME"
FILE: Final = "settings.toml"

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1024, le=1 << 40)]
ClientCertificates = Literal["off", "optional", "required"]


class Gateway(Struct, frozen=True, forbid_unknown_fields=True):
    """The listener that agents call."""

    host: str = "127.0.0.1"
    port: Port = 8080
    tls_certificate: str = ""
    tls_key: str = ""
    client_ca: str = ""
    client_certificates: ClientCertificates = "off"
    max_connections: Count = 10_000
    max_body_bytes: Bytes = 32 * 1024 * 1024
    drain_seconds: Seconds = 30.0


class Control(Struct, frozen=True, forbid_unknown_fields=True):
    """The listener for people and monitoring; never shared with the gateway's."""

    host: str = "127.0.0.1"
    port: Port = 8081
    tls_certificate: str = ""
    tls_key: str = ""
    client_ca: str = ""
    client_certificates: ClientCertificates = "off"


class Upstream(Struct, frozen=True, forbid_unknown_fields=True):
    """Connections to providers."""

    connect_seconds: Seconds = 10.0
    first_byte_seconds: Seconds = 120.0
    idle_seconds: Seconds = 60.0
    total_seconds: Seconds = 900.0
    ca_bundle: str = ""
    client_certificate: str = ""
    client_key: str = ""
    forward_proxy: str = ""
    entra_authority: str = "https://login.microsoftonline.com"
    google_token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
    google_sts_url: str = "https://sts.googleapis.com/v1/token"
    google_iam_url: str = "https://iamcredentials.googleapis.com"
    subject_tokens: str = ""
    subject_token_urls: str = ""


class Vault(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the key-encryption key comes from."""

    key_encryption_key: str = "file:kek"


class Ledger(Struct, frozen=True, forbid_unknown_fields=True):
    """The record: how often logs are integrated and signed."""

    checkpoint_seconds: Seconds = 5.0
    integrate_entries: Count = 1024


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """What the process writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    calls: bool = True


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a process of this home needs to know before it reads anything else."""

    home: Path
    gateway: Gateway = Gateway()
    control: Control = Control()
    upstream: Upstream = Upstream()
    vault: Vault = Vault()
    ledger: Ledger = Ledger()
    log: Log = Log()
    secrets: dict[str, str] = {}
    """Values of the environment that settings name (only `vault.key_encryption_key = "env:NAME"`). Never shown."""

    def __repr__(self) -> str:
        return f"Settings(home={str(self.home)!r})"

    def path(self, name: str) -> Path | None:
        """A path setting, taken relative to the home; None where it is empty."""
        return (self.home / Path(name).expanduser()) if name else None


SECTIONS: Final[dict[str, type[Struct]]] = {
    "gateway": Gateway,
    "control": Control,
    "upstream": Upstream,
    "vault": Vault,
    "ledger": Ledger,
    "log": Log,
}


def wrong(text: str, advice: str) -> Refused:
    return Refused("wrong_use", text, advice=advice)


def default_home(environ: Mapping[str, str] | None = None) -> Path:
    """`SEKIMORI_HOME`, else `~/.sekimori`; absolute."""
    environ = os.environ if environ is None else environ
    named = environ.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return Path(environ.get("HOME") or Path.home()).absolute() / ".sekimori"


def load(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of a home (which need not exist yet). Raises `Refused('wrong_use')` naming place and fix."""
    environ = os.environ if environ is None else environ
    home = default_home(environ) if home is None else Path(home).expanduser().absolute()
    values, lines = _read_file(home / FILE)
    sources = {name: f"{home / FILE}:{line}" for name, line in lines.items()}
    for section, given in values.items():
        if section not in SECTIONS:
            raise wrong(f"{home / FILE}: there is no section `[{section}]`.", _nearest(section, list(SECTIONS)))
        if not isinstance(given, dict):
            raise wrong(f"{home / FILE}: `{section}` must be a section.", f"Write `[{section}]` on a line of its own.")
    _overlay(values, sources, environ)
    settings: dict[str, Any] = {"home": home}
    for section, kind in SECTIONS.items():
        settings[section] = _convert(section, kind, values.get(section, {}), sources, home / FILE)
    result = Settings(**settings)
    secrets = {}
    source = result.vault.key_encryption_key
    if source.startswith("env:"):
        name = source.removeprefix("env:")
        if name in environ:
            secrets[name] = environ[name]
    result = msgspec.structs.replace(result, secrets=secrets)
    _together(result)
    return result


def names() -> list[str]:
    """Every setting as `section.name`."""
    return [f"{section}.{field}" for section, kind in SECTIONS.items() for field in kind.__struct_fields__]


def variable(name: str) -> str:
    """The environment variable that overlays `section.name`."""
    return PREFIX + name.replace(".", "_").upper()


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}, {}
    except OSError as error:
        raise wrong(f"{path} cannot be read: {error.strerror}.", "Run as the user who owns the home.") from error
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(file.fileno())
        # `vault.key_encryption_key = "command:…"` is executed: who can write this file is who we are.
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (os.geteuid(), 0):
            raise wrong(f"{path} is not a plain file of yours.", f"Run `chown $(id -u) {path}`.")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise wrong(f"{path} can be written by others.", f"Run `chmod go-w {path}`.")
        raw = file.read(1 << 20)
    try:
        text = raw.decode()
        return tomllib.loads(text), _lines(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise wrong(
            f"{path} is not TOML: {error}.", "Correct the line named; docs/settings.md shows the form."
        ) from error


def _lines(text: str) -> dict[str, int]:
    """Where each `section.name` stands, for error texts; a form this misses costs only the line number."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            section = header[1]
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            found[f"{section}.{key[1]}"] = number
    return found


def _overlay(values: dict[str, Any], sources: dict[str, str], environ: Mapping[str, str]) -> None:
    known = {variable(name): name for name in names()}
    key_source = environ.get(
        variable("vault.key_encryption_key"), values.get("vault", {}).get("key_encryption_key", "")
    )
    allowed = {HOME_VARIABLE, str(key_source).removeprefix("env:")}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in allowed:
            continue
        if name not in known:
            raise wrong(f"The environment has {name}, which is no setting.", _nearest(name, list(known)))
        section, field = known[name].split(".")
        values.setdefault(section, {})[field] = environ[name]
        sources[known[name]] = name


def _convert(section: str, kind: type[Struct], given: dict[str, Any], sources: dict[str, str], file: Path) -> Struct:
    fields = list(kind.__struct_fields__)
    for name in given:
        if name not in fields:
            place = sources.get(f"{section}.{name}", str(file))
            raise wrong(f"{place}: `[{section}]` has no setting `{name}`.", _nearest(name, fields))
    made = kind()
    for name, value in given.items():
        place = sources.get(f"{section}.{name}", str(file))
        from_environment = place == variable(f"{section}.{name}")
        try:
            one = msgspec.convert({name: value}, kind, strict=not from_environment)
        except msgspec.ValidationError as error:
            reason = str(error).split(" - at ")[0]
            raise wrong(
                f"{place}: `{section}.{name}`: {reason}.", "docs/settings.md lists what is accepted, with the default."
            ) from error
        made = msgspec.structs.replace(made, **{name: getattr(one, name)})
    return made


def _nearest(name: str, candidates: list[str]) -> str:
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"Did you mean `{close[0]}`?" if close else "The settings are listed in docs/settings.md."


def _together(settings: Settings) -> None:
    """What no single setting can say."""
    for name, listener in (("gateway", settings.gateway), ("control", settings.control)):
        if bool(listener.tls_certificate) != bool(listener.tls_key):
            raise wrong(
                f"`{name}.tls_certificate` and `{name}.tls_key` need each other.",
                "Set both, or neither.",
            )
        if listener.client_certificates != "off" and not (listener.client_ca and listener.tls_certificate):
            raise wrong(
                f"`{name}.client_certificates` needs `{name}.client_ca` and TLS.",
                f"Set `{name}.client_ca`, `{name}.tls_certificate` and `{name}.tls_key`.",
            )
    if bool(settings.upstream.client_certificate) != bool(settings.upstream.client_key):
        raise wrong("`upstream.client_certificate` and `upstream.client_key` need each other.", "Set both, or neither.")
    gateway, control = settings.gateway, settings.control
    if gateway.port and (gateway.host, gateway.port) == (control.host, control.port):
        raise wrong(
            f"The gateway and the control listener share {gateway.host}:{gateway.port}.",
            "Give them different ports: agents must not reach the control plane.",
        )
    source = settings.vault.key_encryption_key
    kind, _, rest = source.partition(":")
    if kind not in ("file", "env", "command") or not rest:
        raise wrong(
            "`vault.key_encryption_key` must say where the key comes from.",
            "Write `file:PATH`, `env:NAME` or `command:PROGRAM ARGUMENTS`.",
        )
    if kind == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
        raise wrong(f"`vault.key_encryption_key`: `{rest}` is not a variable's name.", "Write `env:NAME`.")
