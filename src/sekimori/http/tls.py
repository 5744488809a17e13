"""TLS contexts for both sides of the edge: 1.2 or newer, HTTP/1.1 by ALPN, nothing read from the environment.

    tls = Certificate(cert, key, client_ca=ca, client="required")
    server = Server(handler, refuse=words, tls=tls.context)
    ...
    if tls.changed(): server.tls = tls.reload()      # the next handshake uses it; open connections live on

Contexts are built anew on reload, never edited: certificate authorities can only be added to a context, and the
sessions that an old one resumed must not outlive the authority that let them in.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal

from sekimori.errors import Fault

ClientCertificates = Literal["off", "optional", "required"]


def server_context(
    certificate: Path, key: Path, *, client_ca: Path | None = None, client: ClientCertificates = "off"
) -> ssl.SSLContext:
    """A listener's context from PEM files. With `client`, certificates are verified against `client_ca`.

    Raises Fault('internal') with advice naming the file that is wrong.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _common(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    _load_pair(context, certificate, key)
    if client != "off":
        if client_ca is None:
            raise Fault("internal", "Client certificates need an authority.", advice="Name the PEM file of its CA.")
        _load_authorities(context, client_ca)
        # OPTIONAL verifies what is presented just the same: a wrong certificate ends the handshake.
        context.verify_mode = ssl.CERT_REQUIRED if client == "required" else ssl.CERT_OPTIONAL
    return context


def client_context(
    *, authorities: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """A caller's context: host name and chain are always verified, against `authorities` or the system's.

    `certificate` and `key` are shown to a provider that asks for them. Raises Fault('internal') with advice.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies host name and chain
    _common(context)
    if authorities is not None:
        _load_authorities(context, authorities)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if certificate is not None:
        _load_pair(context, certificate, key or certificate)
    return context


class Certificate:
    """A listener's files and the context made from them."""

    def __init__(
        self, certificate: Path, key: Path, *, client_ca: Path | None = None, client: ClientCertificates = "off"
    ) -> None:
        self._files = (certificate, key, client_ca)
        self._client = client
        self._seen = self._stamp()
        self.context = self._build()

    def changed(self) -> bool:
        """Whether a file differs from what was last loaded or tried."""
        return self._stamp() != self._seen

    def reload(self) -> ssl.SSLContext:
        """Load the files again. Raises Fault and keeps the context in use when they do not fit together."""
        self._seen = self._stamp()
        self.context = self._build()
        return self.context

    def _build(self) -> ssl.SSLContext:
        certificate, key, client_ca = self._files
        return server_context(certificate, key, client_ca=client_ca, client=self._client)

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        stamps: list[tuple[int, int, int] | None] = []
        for path in self._files:
            try:
                status = path.stat() if path is not None else None
            except OSError:  # missing counts as a state of its own; loading says what is wrong
                status = None
            stamps.append((status.st_mtime_ns, status.st_size, status.st_ino) if status is not None else None)
        return tuple(stamps)


def _common(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        # An encrypted key would make OpenSSL ask on the terminal; answering nothing turns that into an error.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise Fault(
            "internal",
            f"The certificate {certificate} and the key {key} cannot be used together.",
            advice="Both must be readable PEM files, the key unencrypted and belonging to the first certificate.",
        ) from error


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:
        raise Fault(
            "internal",
            f"The certificate authorities in {path} cannot be read.",
            advice="The file must hold one or more PEM certificates.",
        ) from error
