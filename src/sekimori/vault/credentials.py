"""What a provider key's secret may be, and whether what was put is that. Pure.

| credential | secret, as it is put |
|---|---|
| `api_key` | one word of visible ASCII |
| `entra` | JSON: `tenant_id`, `client_id`, `client_secret` of an app registration |
| `google_service_account` | the JSON key file that Google gives out |
| `google_external_account` | the `external_account` JSON file that Google gives out (vault/federated) |
| `aws` | JSON: `access_key_id`, `secret_access_key`, `session_token` where there is one |

All but the first are kept as the JSON of the structs below, whose `type` says what they are: a secret is never used as
something else than what it was put as, and what is JSON is never sent as a word.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from sekimori.errors import Fault, Refused
from sekimori.terms import CredentialKind
from sekimori.vault.federated import ExternalAccount, read_file

LONGEST_SECRET: Final = 16 * 1024
"""Bytes of a provider key."""
GOOGLE_TOKEN_URIS: Final = frozenset(
    {
        "https://oauth2.googleapis.com/token",
        "https://accounts.google.com/o/oauth2/token",
        "https://www.googleapis.com/oauth2/v4/token",
    }
)
"""What a key file of Google's may name. An assertion that is signed for another's endpoint is a stolen key."""
_SMALLEST_RSA: Final = 2048

_Word = Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,4096}\Z")]


class Entra(Struct, frozen=True, tag="entra"):
    """An app registration (RFC 6749 section 4.4)."""

    tenant_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9-]|\.(?!\.)){0,126}\Z")]
    """A GUID or a domain; it stands in the token endpoint's path."""
    client_id: _Word
    client_secret: _Word

    def __repr__(self) -> str:
        return "Entra([secret])"


class ServiceAccount(Struct, frozen=True, tag="google_service_account"):
    """A key of a Google service account (RFC 7523)."""

    client_email: _Word
    private_key: Annotated[str, Meta(min_length=1, max_length=LONGEST_SECRET)]
    """PEM."""
    private_key_id: _Word | None = None
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address

    def __repr__(self) -> str:
        return "ServiceAccount([secret])"


class Aws(Struct, frozen=True, tag="aws"):
    """An access key (AWS Signature Version 4)."""

    access_key_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{16,128}\Z")]
    secret_access_key: _Word
    session_token: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,8192}\Z")] | None = None

    def __repr__(self) -> str:
        return "Aws([secret])"


Form = Entra | ServiceAccount | ExternalAccount | Aws
_FORMS: Final[dict[str, Any]] = {
    "entra": Entra,
    "google_service_account": ServiceAccount,
    "google_external_account": ExternalAccount,
    "aws": Aws,
}
_read: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(Form)
_members: Final = msgspec.json.Decoder(dict[str, Any]).decode
_MEMBERS: Final = {
    "entra": 'JSON with "tenant_id", "client_id" and "client_secret"',
    "google_service_account": "the JSON key file of a service account, as Google gives it out",
    "google_external_account": "the external_account JSON file of a workload identity pool, as Google gives it out",
    "aws": 'JSON with "access_key_id", "secret_access_key" and perhaps "session_token"',
}


def checked(credential: CredentialKind, value: bytes) -> bytes:
    """The secret as it is kept. Raises Refused `wrong_use`; the message never quotes it."""
    if credential == "api_key":
        return _word(value)
    if not 0 < len(value) <= LONGEST_SECRET:
        raise _wrong(credential, "is empty or too long")
    try:
        members = _members(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _wrong(credential, "is not a JSON object") from None
    if credential == "google_external_account":
        try:
            return msgspec.json.encode(read_file(members))
        except ValueError as error:
            raise _wrong(credential, str(error)) from None
    if credential == "google_service_account" and members.get("type") != "service_account":
        raise _wrong(credential, 'is of another type than "service_account"')
    shape = _FORMS[credential]
    known = {name: members[name] for name in shape.__struct_fields__ if name in members}
    if credential != "google_service_account" and members.keys() - known.keys():
        raise _wrong(credential, "has members that are none of its")
    try:
        form = msgspec.convert(known, shape)
    except msgspec.ValidationError:
        raise _wrong(credential, "lacks a member, or one does not fit") from None
    if isinstance(form, ServiceAccount):
        _check_account(form)
    return msgspec.json.encode(form)


def _word(value: bytes) -> bytes:
    # It becomes a header's value: a line break in it would become another header.
    if not 0 < len(value) <= LONGEST_SECRET or any(not 0x21 <= byte <= 0x7E for byte in value):
        raise Refused(
            "wrong_use",
            "This is not a provider key: it is empty, too long, or has white space or other characters in it.",
            advice='Give the key alone, e.g. `printf %s "$KEY" | sekimori key put PATH`; of JSON the Key document says'
            " which `credential` it is.",
        )
    if value.startswith(b"{"):
        raise Refused(
            "wrong_use",
            "This is JSON, and the Key document says that the secret is a plain key.",
            advice="Write `credential` into the Key document, apply it, and put the secret again.",
        )
    return value


def _check_account(form: ServiceAccount) -> None:
    if form.token_uri not in GOOGLE_TOKEN_URIS:
        raise _wrong("google_service_account", "names a token endpoint that is not Google's")
    try:
        private_key(form)
    except ValueError:
        raise _wrong("google_service_account", f"has no RSA key of {_SMALLEST_RSA} bits or more") from None


def private_key(form: ServiceAccount) -> Any:
    """The account's RSA key. Raises ValueError. Costs milliseconds."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(form.private_key.encode(), None)
    except (TypeError, UnsupportedAlgorithm):  # encrypted, or of a kind that is not known
        raise ValueError("not a plain RSA key") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _SMALLEST_RSA:
        raise ValueError("not an RSA key of this size")
    return key


def read(credential: CredentialKind, value: bytes) -> Form:
    """What `checked` made of such a secret. Raises Fault `key_unavailable` where it was put as something else."""
    try:
        form = _read.decode(value)
    except (msgspec.MsgspecError, ValueError):
        form = None
    if not isinstance(form, _FORMS[credential]):
        raise _other()
    assert isinstance(form, Entra | ServiceAccount | ExternalAccount | Aws)
    return form


def word(value: bytes) -> bytes:
    """The secret as a plain key. Raises Fault `key_unavailable` where it was put as something else."""
    if value.startswith(b"{"):
        raise _other()
    return value


def hidden(form: Form) -> list[str]:
    """What of a secret nobody may be told."""
    match form:
        case Entra():
            return [form.client_secret]
        case ServiceAccount():
            return [form.private_key, form.private_key.replace("\n", "\\n"), form.private_key.replace("\n", "")]
        case ExternalAccount():
            return []  # it says where to look, and nothing that would be of use to who reads it
        case Aws():
            return [form.secret_access_key, *([] if form.session_token is None else [form.session_token])]


def _other() -> Fault:
    return Fault(
        "key_unavailable",
        "The secret of the key for this call is not what its Key document says.",
        advice="Put it again with `sekimori key rotate`, or mend `credential` in the document.",
    )


def _wrong(credential: CredentialKind, what: str) -> Refused:
    return Refused(
        "wrong_use",
        f"This is no secret for a key whose credential is {credential}: it {what}.",
        advice=f"Give {_MEMBERS[credential]}, e.g. `sekimori key put PATH < FILE`.",
    )
