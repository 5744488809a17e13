"""`sekimori doctor`: what is set up, what is missing, and how to fix it. Changes nothing.

The outer half looks at the machine and the home's folder, which also works where nothing can be opened; the inner half
(control/examine) is asked of the home's owner, or of the home itself where nobody serves it.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

import msgspec

from sekimori import __version__
from sekimori.config import Control, Gateway, Settings
from sekimori.control import arguments
from sekimori.control.client import call
from sekimori.control.examine import Finding
from sekimori.control.owner import Failed, check_private
from sekimori.errors import Refusal

LOW_DISK: Final = 1 << 30
"""Bytes free below which a full disk, and with it every call refused, is near."""
CERTIFICATE_DAYS: Final = 14


async def examine(settings: Settings) -> list[Finding]:
    """Everything that was looked at, in the order in which to fix it."""
    version = ".".join(map(str, sys.version_info[:3]))
    findings = [Finding("ok", "software", f"sekimori {__version__}, Python {version}")]
    try:
        check_private(settings.home)
    except Refusal as refusal:
        absent = refusal.reason == "not_found"
        return [*findings, Finding("missing" if absent else "fault", "home", refusal.text, refusal.advice)]
    findings.append(Finding("ok", "home", str(settings.home)))
    findings += _disk(settings)
    served = False
    try:
        inner = await call(settings, "doctor", arguments.Nothing())
        served = bool(inner["served"])
        findings += [msgspec.convert(one, Finding) for one in inner["findings"]]
    except Failed as failed:
        findings.append(Finding("fault", "home", failed.problem.text, failed.problem.advice))
    findings.append(
        Finding("ok", "server", "serves this home")
        if served
        else Finding("note", "server", "nobody serves this home", "Start it with `sekimori serve`.")
    )
    for name, listener in (("gateway", settings.gateway), ("control", settings.control)):
        findings += _listener(settings, name, listener, served)
    return findings


def _disk(settings: Settings) -> Iterator[Finding]:
    usage = shutil.disk_usage(settings.home)
    free = f"{usage.free / (1 << 30):.1f} GiB free"
    if usage.free < LOW_DISK:
        yield Finding(
            "fault", "disk", free, "Free space: on a full disk every call is refused, for none is unrecorded."
        )
    else:
        yield Finding("ok", "disk", free)


def _listener(settings: Settings, name: str, listener: Gateway | Control, served: bool) -> Iterator[Finding]:
    where = f"{listener.host}:{listener.port}"
    if not listener.tls_certificate and not _loopback(listener.host):
        fix = f"Set `{name}.tls_certificate` and `{name}.tls_key`, or keep it behind something that speaks TLS."
        yield Finding("note", f"{name} listener", f"{where} is reachable by others without TLS", fix)
    if listener.tls_certificate:
        yield from _certificate(settings, name, listener)
    if not served and listener.port and not _free(listener.host, listener.port):
        yield Finding("fault", f"{name} listener", f"{where} is taken", f"Stop what uses it, or set `{name}.port`.")


def _certificate(settings: Settings, name: str, listener: Gateway | Control) -> Iterator[Finding]:
    certificate, key = settings.path(listener.tls_certificate), settings.path(listener.tls_key)
    assert certificate is not None
    assert key is not None
    what = f"{name} certificate"
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
        from cryptography.x509 import load_pem_x509_certificate

        ends = load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError) as error:
        yield Finding("fault", what, f"{certificate}: {error}", "Give a PEM chain and its own private key.")
        return
    days = (ends - time.time()) / 86_400
    if key.stat().st_mode & 0o077:
        yield Finding("fault", what, f"{key} can be read by others", f"Run `chmod 600 {key}`.")
    elif days < CERTIFICATE_DAYS:
        yield Finding("fault" if days < 0 else "note", what, f"ends in {days:.0f} days", "Renew it; it is read again.")
    else:
        yield Finding("ok", what, f"ends in {days:.0f} days")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
