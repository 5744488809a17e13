"""`external_account` files: what is kept of one, and everything in one that could lead us astray is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.errors import Refused
from sekimori.vault.credentials import checked, hidden, read
from sekimori.vault.federated import ExternalAccount, exchange, impersonation, read_file

AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x"
ACTED = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com"
FILE: dict[str, Any] = {
    "universe_domain": "googleapis.com",
    "type": "external_account",
    "audience": AUDIENCE,
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "token_info_url": "https://sts.googleapis.com/v1/introspect",
    "credential_source": {"file": "/var/run/tokens/operator/..data/token", "format": {"type": "text"}},
    "service_account_impersonation_url": f"{ACTED}:generateAccessToken",
}


def source(**more: Any) -> dict[str, Any]:
    return {**FILE, "credential_source": more}


def test_what_google_gives_out_is_kept() -> None:
    kept = checked("google_external_account", json.dumps(FILE, indent=2).encode())
    form = read("google_external_account", kept)
    assert isinstance(form, ExternalAccount)
    assert form == ExternalAccount(
        audience=AUDIENCE,
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        file="/var/run/tokens/operator/..data/token",
        account="a@p.iam.gserviceaccount.com",
    )
    assert hidden(form) == []
    asked = source(
        url="https://idp.example/token?audience=x",
        headers={"Metadata-Flavor": "Other"},
        format={"type": "json", "subject_token_field_name": "id_token"},
    )
    del asked["service_account_impersonation_url"]
    form = read_file(asked)
    assert (form.url, form.headers) == ("https://idp.example/token?audience=x", (("metadata-flavor", "Other"),))
    assert (form.member, form.account, form.file) == ("id_token", None, None)
    assert read_file({**FILE, "service_account_impersonation": {"token_lifetime_seconds": 900}}).lifetime == 900


def test_what_a_file_sends_to_be_let_in_is_not_shown() -> None:
    """Some identity providers are asked with a bearer token, which then stands in the file."""
    asked = source(url="https://idp.example/token", headers={"Authorization": "Bearer zq-marker"})
    form = read("google_external_account", checked("google_external_account", json.dumps(asked).encode()))
    assert "zq" not in repr(form)


def test_what_is_asked_with_it() -> None:
    form = read_file(FILE)
    assert exchange(form, "subject", "scope") == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": AUDIENCE,
        "scope": "scope",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": "subject",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }
    assert impersonation("a@b.example") == "/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken"


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        *(
            ({**FILE, "token_url": url}, "token endpoint")
            for url in (
                "https://sts.googleapis.com.zq.example/v1/token",
                "https://zq.example/v1/token",
                "http://sts.googleapis.com/v1/token",
                "https://sts.googleapis.com/v1/token?x=zq",
                "https://sts.googleapis.com@zq.example/v1/token",
                "https://sts.googleapis.com:8443/v1/token",
                "https://127.0.0.1/v1/token",
                "",
            )
        ),
        *(
            ({**FILE, "service_account_impersonation_url": url}, "service account")
            for url in (
                "https://zq.example/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken",
                "http://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken",
                f"{ACTED}:signJwt",
                f"{ACTED}/../../x:generateAccessToken",
                f"{ACTED}?zq=1:generateAccessToken",
                f"{ACTED}%2fzq:generateAccessToken",
                "",
            )
        ),
        *(
            (source(file=path), "not absolute or climbs")
            for path in (
                "token",
                "./token",
                "/etc/../etc/shadow",
                "/var/run/tokens/operator/../../../zq",
                "/..",
                "/a//b",
                "/a/./b",
                "/a/",
                "/",
                "/a\0b",
                "/a\nb",
                "/" + "a" * 300,
            )
        ),
        (source(file=""), "not absolute or climbs"),
        (source(url="file:///etc/passwd"), "not fit"),
        (source(url="ftp://zq.example/"), "not fit"),
        (source(url="https://zq.example/ x"), "not fit"),
        (source(file="/a", url="https://zq.example/"), "from a file and from a URL"),
        (source(), "neither from a file nor from a URL"),
        (source(executable={"command": "/bin/zq"}), "neither from a file nor from a URL"),
        (source(environment_id="aws1", region_url="http://169.254.169.254/"), "neither from a file nor from a URL"),
        (source(certificate={"use_default_certificate_config": True}), "neither from a file nor from a URL"),
        (source(file="/a", executable={"command": "/bin/zq"}), "not carried"),
        (source(file="/a", headers={"x": "y"}), "header fields"),
        *(
            (source(url="https://h.example/", headers={name: "zq"}), "header fields")
            for name in ("Host", "content-length", "Transfer-Encoding", "connection", "Proxy-Authorization")
        ),
        (source(url="https://h.example/", headers={f"x-{n}": "zq" for n in range(9)}), "header fields"),
        (source(url="https://h.example/", headers={"x": "a\r\nhost: zq"}), "not fit"),
        (source(url="https://h.example/", headers={"x y": "zq"}), "not fit"),
        (source(file="/a", format={"type": "json"}), "format"),
        (source(file="/a", format={"type": "xml"}), "format"),
        ({**FILE, "type": "service_account"}, "another type"),
        ({**FILE, "type": "external_account_authorized_user"}, "another type"),
        ({**FILE, "universe_domain": "zq.example"}, "not Google's"),
        ({**FILE, "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request"}, "not fit"),
        ({**FILE, "audience": "a\r\nb"}, "not fit"),
        ({**FILE, "audience": 1}, "not fit"),
        ({**FILE, "client_secret": "zq"}, "not carried"),
        ({**FILE, "workforce_pool_user_project": "zq"}, "not carried"),
        ({**FILE, "quota_project_id": "zq"}, "not carried"),
        ({**FILE, "service_account_impersonation": {"token_lifetime_seconds": 10**9}}, "not fit"),
        ({name: value for name, value in FILE.items() if name != "credential_source"}, "lacks a member"),
    ],
)
def test_what_leads_elsewhere_is_refused_and_not_repeated(odd: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match="wrong_use") as caught:
        checked("google_external_account", json.dumps(odd).encode())
    assert said in caught.value.text
    assert "zq" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_account_stays_one_segment_of_its_path(text: str) -> None:
    odd = {**FILE, "service_account_impersonation_url": f"{ACTED.rpartition('/')[0]}/{text}:generateAccessToken"}
    try:
        account = read_file(odd).account
    except ValueError:
        return
    assert account is not None
    path = impersonation(account)
    assert path.count("/") == 5
    assert path.isascii()
    assert not set(path) & set("?#% \r\n")
