"""Google's `external_account` files: what is kept of one, and what is asked with it. Pure.

Such a file holds no secret, but perhaps a header field that lets us in. It says where this machine finds a token of
another identity provider (the subject token), and which pool of Google's takes it. That makes it dangerous in another
way: who puts one says what we read and where we send it. So the endpoints are the deployment's settings and the file
may only name Google's own, and what it names to read is judged where it is read (vault/subjects). Sources: RFC 8693;
Google, AIP-4117 and "Workload identity federation"; IAM Service Account Credentials API, generateAccessToken (read on
2026-11-25).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

STS_URL: Final = "https://sts.googleapis.com/v1/token"
"""What a file must name as its token endpoint."""
IAM_SCOPE: Final = "https://www.googleapis.com/auth/iam"
"""What a token must be good for to ask for an account's."""
LIFETIME_S: Final = 3600
"""Seconds that an account's token is asked for unless the file says: Google's own default."""
MOST_HEADERS: Final = 8

_ACCOUNT: Final = re.compile(
    r"https://iamcredentials\.googleapis\.com/v1/projects/-/serviceAccounts/"
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,127}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}|[0-9]{1,30}):generateAccessToken",
    re.ASCII,
)
_SEGMENT: Final = r"(?!\.{1,2}(?:/|\Z))[^/\x00-\x1f\x7f]{1,255}"
_FRAMING: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_READ: Final = frozenset({"token_info_url"})
"""Of a file, what nothing here asks."""

Field = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}\Z")]
Value = Annotated[str, Meta(pattern=r"^[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?\Z")]


class ExternalAccount(Struct, frozen=True, tag="google_external_account", omit_defaults=True):
    """One `external_account` file."""

    audience: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,1024}\Z")]
    """The provider of a workload identity pool."""
    subject_token_type: Annotated[str, Meta(pattern=r"^urn:ietf:params:oauth:token-type:(?:jwt|id_token|saml2)\Z")]
    file: Annotated[str, Meta(max_length=1024, pattern=rf"^(?:/{_SEGMENT}){{1,32}}\Z")] | None = None
    """Where the subject token lies: an absolute path that climbs nowhere."""
    url: Annotated[str, Meta(pattern=r"^https?://[\x21-\x7e]{1,1024}\Z")] | None = None
    """Where it is asked for; one of `file` and `url` is there."""
    headers: tuple[tuple[Field, Value], ...] = ()
    """Sent to the URL and nowhere else; a bearer token may be among them."""
    member: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """The member of a JSON object that holds it; None where the token stands there alone."""
    account: str | None = None
    """The service account to act as, by address or number."""
    lifetime: Annotated[int, Meta(ge=600, le=43_200)] = LIFETIME_S

    def __repr__(self) -> str:
        return "ExternalAccount([secret])"


class _Format(Struct, frozen=True, forbid_unknown_fields=True):
    type: str = "text"
    subject_token_field_name: str | None = None


class _Source(Struct, forbid_unknown_fields=True):
    file: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    format: _Format = _Format()


class _Impersonation(Struct, forbid_unknown_fields=True):
    token_lifetime_seconds: int = LIFETIME_S


class _File(Struct, forbid_unknown_fields=True):
    """What is understood of a file. A member that is not here would change what is asked, and is refused."""

    type: str
    audience: str
    subject_token_type: str
    token_url: str
    credential_source: _Source
    service_account_impersonation_url: str | None = None
    service_account_impersonation: _Impersonation | None = None
    universe_domain: str = "googleapis.com"


def read_file(members: dict[str, Any]) -> ExternalAccount:
    """What is kept of a file. Raises ValueError with what is wrong, in words that follow "it" and quote nothing."""
    source = members.get("credential_source")
    if isinstance(source, dict) and not ({"file", "url"} & source.keys()):
        raise ValueError("takes its subject token neither from a file nor from a URL")
    try:
        given = msgspec.convert({name: members[name] for name in members if name not in _NOT_READ}, _File)
    except msgspec.ValidationError:
        raise ValueError("lacks a member, has one that is not carried here, or one does not fit") from None
    if given.type != "external_account":
        raise ValueError('is of another type than "external_account"')
    if given.token_url != STS_URL or given.universe_domain != "googleapis.com":
        raise ValueError("names a token endpoint that is not Google's")
    account = None
    if given.service_account_impersonation_url is not None:
        found = _ACCOUNT.fullmatch(given.service_account_impersonation_url)
        if found is None:
            raise ValueError("names an endpoint for its service account that is not Google's")
        account = found[1]
    where = given.credential_source
    if (where.file is None) == (where.url is None):
        raise ValueError("takes its subject token from a file and from a URL")
    if where.format.type not in ("text", "json") or (where.format.type == "json") != bool(
        where.format.subject_token_field_name
    ):
        raise ValueError("names a format of the subject token that is none")
    headers = tuple((name.lower(), value) for name, value in where.headers.items())
    if len(headers) > MOST_HEADERS or _FRAMING & {name for name, _ in headers} or (headers and where.url is None):
        raise ValueError("sends header fields that cannot be sent")
    lifetime = LIFETIME_S if given.service_account_impersonation is None else given.service_account_impersonation
    kept = {
        "type": "google_external_account",
        "audience": given.audience,
        "subject_token_type": given.subject_token_type,
        "file": where.file,
        "url": where.url,
        "headers": headers,
        "member": where.format.subject_token_field_name,
        "account": account,
        "lifetime": lifetime if isinstance(lifetime, int) else lifetime.token_lifetime_seconds,
    }
    try:
        return msgspec.convert(kept, ExternalAccount)
    except msgspec.ValidationError:
        raise ValueError("has a member that does not fit, or a path that is not absolute or climbs") from None


def exchange(form: ExternalAccount, subject: str, scope: str) -> dict[str, str]:
    """The fields of a token exchange (RFC 8693 section 2.1)."""
    return {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": form.audience,
        "scope": scope,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": subject,
        "subject_token_type": form.subject_token_type,
    }


def impersonation(account: str) -> str:
    """The path at which a token of the account is asked for."""
    return f"/v1/projects/-/serviceAccounts/{quote(account, safe='@')}:generateAccessToken"
