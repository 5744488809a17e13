"""What a secret may be, and that no message repeats one."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.errors import Fault, Refused
from sekimori.terms import CredentialKind
from sekimori.vault.credentials import Aws, Entra, ServiceAccount, checked, hidden, read, word

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SMALL = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
CURVE = (
    ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
)
LOCKED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"zq-marker")).decode()
ACCOUNT = {"type": "service_account", "client_email": "a@b.example", "private_key": PEM, "project_id": "p"}
ENTRA = {"tenant_id": "contoso.example", "client_id": "app", "client_secret": "zq-marker"}
EXTERNAL = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/x",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "/var/run/token"},
}
AWS = {"access_key_id": "EXAMPLEACCESSKEY0001", "secret_access_key": "zq-marker"}


def test_what_is_kept_says_what_it_is() -> None:
    kept = checked("google_service_account", json.dumps(ACCOUNT, indent=2).encode())
    form = read("google_service_account", kept)
    assert isinstance(form, ServiceAccount)
    assert (form.client_email, form.private_key) == ("a@b.example", PEM)
    assert json.loads(kept).keys() == {"type", "client_email", "private_key", "private_key_id", "token_uri"}
    assert isinstance(read("entra", checked("entra", json.dumps(ENTRA).encode())), Entra)
    aws = read("aws", checked("aws", json.dumps({**AWS, "session_token": "zq-session"}).encode()))
    assert isinstance(aws, Aws)
    assert hidden(aws) == ["zq-marker", "zq-session"]
    assert "zq" not in f"{aws!r}{read('entra', checked('entra', json.dumps(ENTRA).encode()))!r}"
    assert PEM[40:60] not in repr(form)


@pytest.mark.parametrize(
    ("credential", "secret"),
    [
        ("entra", "not json"),
        ("entra", ""),
        ("entra", "[]"),
        ("entra", "null"),
        ("entra", "[" * 20_000),
        ("entra", json.dumps({**ENTRA, "client_secret": 1})),
        ("entra", json.dumps({**ENTRA, "client_secret": "zq marker"})),
        ("entra", json.dumps({**ENTRA, "authority": "https://evil.example"})),
        ("entra", json.dumps({k: v for k, v in ENTRA.items() if k != "client_id"})),
        *(
            ("entra", json.dumps({**ENTRA, "tenant_id": tenant}))
            for tenant in ("../x", "a/b", "a?b", "a#b", "a%2fb", "..", ".", "a..b", "", "a\nb", "a" * 200, "ü")
        ),
        ("google_service_account", json.dumps({**ACCOUNT, "type": "external_account"})),
        ("google_service_account", json.dumps({**ACCOUNT, "type": "authorized_user"})),
        *(
            ("google_service_account", json.dumps({**ACCOUNT, "token_uri": uri}))
            for uri in (
                "https://evil.example/token",
                "http://oauth2.googleapis.com/token",
                "https://oauth2.googleapis.com.evil.example/token",
                "https://oauth2.googleapis.com@evil.example/token",
                "https://oauth2.googleapis.com/token?x=https://evil.example",
                "https://oauth2.googleapis.com:8443/token",
                "",
            )
        ),
        *(
            ("google_service_account", json.dumps({**ACCOUNT, "private_key": key}))
            for key in ("zq-marker", SMALL, CURVE, LOCKED, "")
        ),
        ("aws", json.dumps({**AWS, "access_key_id": "short"})),
        ("aws", json.dumps({**AWS, "access_key_id": "EXAMPLE/us-east-1/s3/aws4"})),
        ("aws", json.dumps({**AWS, "secret_access_key": "zq\nmarker"})),
        ("aws", json.dumps({**AWS, "session_token": "zq marker"})),
        ("aws", json.dumps({**AWS, "role_arn": "x"})),
        ("aws", json.dumps({**AWS, "session_token": "z" * 20_000})),
        ("api_key", json.dumps(AWS, separators=(",", ":"))),
        ("api_key", "two words"),
        ("api_key", ""),
        ("api_key", "a\nb"),
    ],
)
def test_what_is_no_such_secret(credential: CredentialKind, secret: str) -> None:
    with pytest.raises(Refused, match="wrong_use") as caught:
        checked(credential, secret.encode())
    assert "zq" not in str(caught.value)
    assert "evil" not in str(caught.value)


def test_a_secret_is_read_as_what_it_was_put_as_and_nothing_else() -> None:
    kept = {
        "entra": checked("entra", json.dumps(ENTRA).encode()),
        "google_service_account": checked("google_service_account", json.dumps(ACCOUNT).encode()),
        "google_external_account": checked("google_external_account", json.dumps(EXTERNAL).encode()),
        "aws": checked("aws", json.dumps(AWS).encode()),
        "api_key": checked("api_key", b"sk-1"),
    }
    for put, value in kept.items():
        for asked in ("entra", "google_service_account", "google_external_account", "aws"):
            if asked != put:
                with pytest.raises(Fault, match="key_unavailable"):
                    read(asked, value)  # type: ignore[arg-type]
        if put != "api_key":
            with pytest.raises(Fault, match="key_unavailable"):
                word(value)


@settings(deadline=None)
@given(
    st.sampled_from(get_args(CredentialKind)),
    st.binary(max_size=300),
)
def test_any_bytes_are_taken_or_refused(credential: CredentialKind, value: bytes) -> None:
    try:
        kept = checked(credential, value)
    except Refused:
        return
    assert kept == value if credential == "api_key" else read(credential, kept)
