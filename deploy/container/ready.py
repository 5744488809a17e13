"""Health check of the image: exits 0 when the control listener's /readyz answers 200, else 1.

Asked on loopback, inside the container. A certificate is not verified there: it is made out to another name, and who
could answer on this port is in the container already. Where the listener wants a certificate of its callers, which a
health check does not have, what is asked is whether the home's owner takes connections.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys

from sekimori import config


def ready(seconds: float = 3.0) -> bool:
    """Whether the process of this container serves well."""
    settings = config.load()
    control = settings.control
    if control.client_certificates == "required":
        with socket.socket(socket.AF_UNIX) as owner:
            owner.settimeout(seconds)
            return owner.connect_ex(str(settings.home / "owner.sock")) == 0
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(control.host, control.host)  # noqa: S104 - compared, not bound
    connection: http.client.HTTPConnection
    if control.tls_certificate:
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, control.port, timeout=seconds, context=unverified)
    else:
        connection = http.client.HTTPConnection(host, control.port, timeout=seconds)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready() else 1)
