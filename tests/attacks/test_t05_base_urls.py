"""T05: a client's base URL reaches the inside of the network, and the key travels along."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.control.arguments import Nothing, Put
from sekimori.control.owner import Failed
from sekimori.dialects.openai import read_ask
from sekimori.egress.address import Denied
from sekimori.egress.dial import Dialer
from sekimori.errors import Refused
from sekimori.identity.names import uid
from sekimori.ledger import entry
from sekimori.policy.bases import base_of
from sekimori.policy.checks import check
from sekimori.policy.decide import decide
from sekimori.policy.documents import Documents, Invalid, parse
from sekimori.policy.snapshot import compile, uid_names
from sekimori.terms import Origin, Principal
from tests.attacks.attacker import code_of, hostile, lead_house_to
from tests.flows.clouds import cloudy, external, subject_token
from tests.flows.place import JSON, SECRETS, Place, chat, place, status
from tests.http.wire import Wire

TABLE = """
http://169.254.169.254/latest/meta-data            https://169.254.169.254/v1
https://[fd00:ec2::254]/v1                         https://[::ffff:169.254.169.254]/v1
https://[64:ff9b::a9fe:a9fe]/v1                    https://[2002:a9fe:a9fe::1]/v1
https://[2001:0:a9fe:a9fe::1]/v1                   https://127.0.0.1/v1
https://127.1/v1                                   https://127.0.1/v1
https://2130706433/v1                              https://0x7f000001/v1
https://0x7f.1/v1                                  https://0177.0.0.1/v1
https://127.0.0.1./v1                              https://127.000.000.001/v1
https://0/v1                                       https://0.0.0.0/v1
https://[::]/v1                                    https://[::1]/v1
https://[0:0:0:0:0:ffff:7f00:1]/v1                 https://[::127.0.0.1]/v1
https://[fe80::1]/v1                               https://[fe80::1%25eth0]/v1
https://[fc00::1]/v1                               https://[ff02::1]/v1
https://10.0.0.1/v1                                https://172.16.0.1/v1
https://172.31.255.255/v1                          https://192.168.1.1/v1
https://100.64.0.1/v1                              https://192.0.0.1/v1
https://198.18.0.1/v1                              https://203.0.113.1/v1
https://224.0.0.1/v1                               https://240.0.0.1/v1
https://255.255.255.255/v1                         https://localhost/v1
https://LOCALHOST/v1                               https://localhost./v1
https://a.localhost/v1                             https://metadata.google.internal/v1
https://metadata/v1                                https://vault.service.consul.internal/v1
https://printer.local/v1                           https://db.corp/v1
https://１２７.0.0.1/v1                             https://①②⑦.0.0.1/v1
https://127。0。0。1/v1                             https://ⓛocalhost/v1
https://example.com@127.0.0.1/v1                   https://127.0.0.1#@example.com/v1
https://example.com\\@127.0.0.1/v1                 https://example.com:443@127.0.0.1/v1
https://example.com%2f@127.0.0.1/v1                https://[example.com]/v1
https://example.com:22/v1                          https://example.com:6379/v1
https://example.com:0/v1                           https://example.com:99999/v1
https://example.com:443:22/v1                      http://example.com/v1
http://api.openai.com:443/v1                       https://example.com/v1?x=http://127.0.0.1
https://example.com/../v1                          https://example.com/%2e%2e/v1
https://example.com//v1                            file:///etc/passwd
gopher://127.0.0.1:6379/_                          unix:///run/docker.sock
ftp://example.com/v1                               //127.0.0.1/v1
https:/127.0.0.1/v1                                https:127.0.0.1
https://                                           javascript:alert(1)
"""
INSIDE = TABLE.split()


def provider(url: str, name: str = "mine") -> str:
    return f"kind: Provider\ntenant: acme\nname: {name}\ncatalog: compatible\nbaseUrl: {url!r}\nmodels: [mine]\n"


MINE = (
    "---\nkind: Key\npath: clients/acme/mine\nprovider: mine\n"
    "---\nkind: Route\ntenant: acme\nprovider: mine\nkey: clients/acme/mine\n"
    "---\nkind: Agent\ntenant: acme\nname: x\nmodels: [tiny, small, acme-only, mine]\n"
)


async def test_no_spelling_of_an_inner_address_becomes_a_tenants_provider(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        before = await here.verb("export", Nothing())
        assert len(INSIDE) >= 60
        for url in INSIDE:
            with pytest.raises(Failed) as caught:
                await here.apply(provider(url))
            problem = caught.value.problem
            assert problem.reason == "document_invalid", url
            assert any(one["field"] == "baseUrl" and one["fix"] for one in problem.detail), url
        for newline in ("https://example.com/v1\\nx: y", "https://example.com/v1\\u0000", " https://127.0.0.1/v1"):
            with pytest.raises(Failed):
                await here.apply(provider("URL").replace("'URL'", f'"{newline}"'))
        assert await here.verb("export", Nothing()) == before


async def test_what_the_operator_allows_is_one_host_and_port_and_nothing_beside(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        port = here.provider_port
        for url in (
            f"http://127.0.0.1:{port + 1}/v1",
            "http://127.0.0.1/v1",
            f"http://127.0.0.2:{port}/v1",
            f"http://localhost:{port}/v1",
            f"http://[::ffff:127.0.0.1]:{port}/v1",
            f"http://2130706433:{port}/v1",
            f"http://127.1:{port}/v1",
        ):
            with pytest.raises(Failed):
                await here.apply(provider(url))
        for forever in ("169.254.169.254", "fd00:ec2::254", "0.0.0.0", "169.254.170.2"):
            with pytest.raises(Failed):  # not even the operator can allow these
                await here.apply(f"kind: Operator\nallowPrivate: [{{host: '{forever}', port: 80}}]\n")
                await here.apply(provider(f"http://[{forever}]/v1" if ":" in forever else f"http://{forever}/v1"))


@contextmanager
def dialled(here: Place, answers: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names resolve as told, one list of addresses after the other; every address that is dialled is noted."""
    connect: Any = here.running.pool.connect
    dialer: Dialer = connect.__self__
    reached: list[str] = []

    async def open_socket(address: Any, port: int) -> socket.socket:
        reached.append(f"{address}:{port}")
        raise OSError(111, "refused")

    def getaddrinfo(host: str, port: int, *arguments: Any, **named: Any) -> list[Any]:
        told = answers[host]
        addresses = told.pop(0) if len(told) > 1 else told[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    with monkeypatch.context() as patched:
        patched.setattr(dialer, "_open_socket", open_socket)
        patched.setattr(socket, "getaddrinfo", getaddrinfo)
        yield reached


async def test_a_name_that_leads_inside_is_never_dialled_whenever_it_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path) as here:
        await here.apply(provider("https://llm.attacker.example/v1") + MINE)
        await here.verb("key put", Put(path="clients/acme/mine", secret=SECRETS["clients/acme/own"].encode()))
        inside = ["127.0.0.1", "169.254.169.254", "10.0.0.7", "::1", "::ffff:10.0.0.7", "fd00:ec2::254", "0.0.0.0",
                  "100.64.0.1", "fe80::1%eth0", "64:ff9b::7f00:1", "not an address"]  # fmt: skip
        for address in inside:
            with dialled(here, {"llm.attacker.example": [[address]]}, monkeypatch) as reached:
                code, _, body = await here.post("acme/x", chat("mine"))
            assert (code, code_of(body)) == (502, "upstream_address_forbidden"), address
            assert address.encode() not in body, "the reply tells what the name resolves to here"
            assert reached == []
        # One good answer among bad ones, before and behind, is refused whole.
        for answers in (["93.184.216.34", "10.0.0.7"], ["10.0.0.7", "93.184.216.34"]):
            with dialled(here, {"llm.attacker.example": [answers]}, monkeypatch) as reached:
                assert code_of((await here.post("acme/x", chat("mine")))[2]) == "upstream_address_forbidden"
            assert reached == []
        # Rebinding: good for the first look-up, inner for every later one. The address that was judged is dialled.
        with dialled(here, {"llm.attacker.example": [["93.184.216.34"], ["127.0.0.1"]]}, monkeypatch) as reached:
            assert code_of((await here.post("acme/x", chat("mine")))[2]) == "upstream_unreachable"
            assert reached == ["93.184.216.34:443"]
            assert code_of((await here.post("acme/x", chat("mine")))[2]) == "upstream_address_forbidden"
            assert reached == ["93.184.216.34:443"]
        settled = await here.of_kind("acme", entry.SETTLED)
        assert {one.outcome for one in settled} == {"not_sent"}
        assert await here.of_kind("acme", entry.KEY_USED) == [], "a key was used though nothing was reached"


async def test_a_redirect_inside_is_an_error_and_not_followed(tmp_path: Path) -> None:
    reached: list[bytes] = []

    async def inside(end: Wire) -> None:
        reached.append(await end.until(b"\r\n\r\n"))

    async with hostile(inside) as port, place(tmp_path) as here:
        for code in (301, 302, 303, 307, 308):
            for where in (f"http://127.0.0.1:{port}/", f"//127.0.0.1:{port}/x", "http://169.254.169.254/", "/v1/other"):
                here.provider.script = [status(code, "elsewhere", (b"location", where.encode()))]
                answered, headers, body = await here.post("acme/y", chat())
                assert answered == 502
                assert "location" not in headers
                assert where.encode() not in body
        refresh = (b"refresh", f"0; url=http://127.0.0.1:{port}/".encode())
        alternative = (b"alt-svc", f'h2="127.0.0.1:{port}"'.encode())
        here.provider.script = [status(200, "x", refresh, alternative)]
        await here.post("acme/y", chat())
        assert reached == []
        assert len(here.provider.seen) == 21, "a call came twice"


async def test_the_surroundings_name_no_proxy_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[bytes] = []

    async def proxy(end: Wire) -> None:
        reached.append(await end.until(b"\r\n\r\n"))

    async with hostile(proxy) as port:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        async with place(tmp_path) as here:
            assert (await here.post("acme/x", chat()))[0] == 200
            assert len(here.provider.seen) == 1
        assert reached == []


async def test_addresses_in_a_call_are_refused_before_a_provider_could_fetch_them(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        urls = ["http://169.254.169.254/x.png", "file:///etc/passwd", "https://example.com/x.png", "//127.0.0.1/x"]
        for url in urls:
            for part in (
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "image_url", "image_url": url},
                {"type": "file", "file": {"file_data": url}},
                {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}},
            ):
                body = chat(messages=[{"role": "user", "content": [part]}])
                code, _, reply = await here.post("acme/x", body)
                assert (code, code_of(reply)) == (403, "capability_missing"), part
        for tool in ({"type": "mcp", "server_url": urls[0]}, {"type": "web_search"}, {"type": "web_fetch_20260101"}):
            code, _, _ = await here.post("acme/x", chat(tools=[tool]))
            assert code in (400, 403), tool
        assert here.provider.seen == []
        inline = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
        assert (await here.post("acme/x", chat(messages=[{"role": "user", "content": [inline]}])))[0] == 200


async def test_a_base_url_that_moves_takes_no_connection_and_no_key_of_the_old_place_along(tmp_path: Path) -> None:
    """The operator's provider moves; what was pooled for the old origin is never used for the new one."""
    heads: list[bytes] = []

    async def newcomer(end: Wire) -> None:
        while True:
            heads.append(await end.until(b"\r\n\r\n"))
            length = next(
                int(row[15:]) for row in heads[-1].lower().split(b"\r\n") if row.startswith(b"content-length:")
            )
            await end.exactly(length)
            end.send(b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n")

    async with hostile(newcomer) as port, place(tmp_path) as here:
        assert (await here.post("acme/y", chat()))[0] == 200
        await lead_house_to(here, port)
        assert (await here.post("acme/y", chat()))[0] == 502
        assert len(here.provider.seen) == 1
        assert len(heads) == 1
        assert b"host: 127.0.0.1:%d\r\n" % port in heads[0]
        origins = {connection.key[0] for connection in here.running.pool.open}
        assert Origin("http", "127.0.0.1", port) in origins
        assert JSON[0] in heads[0]


NAMES = ["../x", "..", "a/b", "a?b", "a#b", "a%2fb", "a b", "a@evil.example", "a\\b", "evil.example/", "", "a" * 200]


@pytest.mark.parametrize("name", [*NAMES, "us-east-1.evil.example", "us-east-1:443", "US-EAST-1", "us-east-1-", "-us"])
def test_a_location_names_no_other_host(name: str) -> None:
    with pytest.raises(Invalid):
        parse(f"kind: Provider\nname: p\ncatalog: bedrock\nmodels: [m]\nlocation: {json.dumps(name)}".encode(), "a")


@pytest.mark.parametrize(
    ("field", "name"),
    [
        *(("project", name) for name in NAMES),
        *(("organization", name) for name in [*NAMES, "a\r\nx-evil: 1"]),
        *(("apiVersion", name) for name in [*NAMES, "2024-10-21&x=y", "2024-10-21#", "latest"]),
    ],
)
def test_a_place_in_a_cloud_does_not_climb_out_of_its_segment(field: str, name: str) -> None:
    with pytest.raises(Invalid):
        parse(f"kind: Provider\nname: p\ncatalog: vertex\nmodels: [m]\n{field}: {json.dumps(name)}".encode(), "a")


@pytest.mark.parametrize("name", NAMES)
def test_a_deployment_is_one_segment(name: str) -> None:
    written = "kind: Provider\nname: p\ncatalog: azure\nmodels: [m]\ndeployments: [{model: m, deployment: "
    with pytest.raises(Invalid):
        parse(f"{written}{json.dumps(name)}}}]".encode(), "a")


@settings(deadline=None)
@given(st.text(max_size=40))
def test_whatever_documents_let_through_stays_at_the_clouds_host(location: str) -> None:
    text = f"kind: Provider\nname: p\ncatalog: bedrock\nmodels: [m]\nlocation: {json.dumps(location)}"
    try:
        (located,) = parse(text.encode(), "a")
    except Invalid:
        return
    base = base_of(located.document, ())  # type: ignore[arg-type]
    assert not isinstance(base, Denied)
    assert base.origin.host.startswith(f"bedrock-runtime.{location}.amazonaws.")


def test_a_client_cannot_have_its_cloud_key_sent_elsewhere_by_its_key_file() -> None:
    """The token endpoint is the deployment's: neither a document nor a secret has a field that could name another."""
    written = {"token_uri", "tokenUrl", "tokenUri", "authority", "scope", "audience", "authUri", "tokenEndpoint"}
    for field in written:
        for kind in (
            "kind: Provider\nname: p\ncatalog: vertex\nmodels: [m]",
            "kind: Key\npath: operator/k\nprovider: p",
        ):
            with pytest.raises(Invalid):
                parse(f"{kind}\n{field}: https://evil.example/token".encode(), "a")


CLOUD = """
kind: Tenant
name: acme
mode: agency
---
kind: Agent
tenant: acme
name: x
models: ["*"]
---
kind: Provider
name: house
catalog: azure
baseUrl: https://house.openai.azure.com
models: [gpt-x]
---
kind: Provider
tenant: acme
name: theirs
catalog: azure
baseUrl: https://theirs.openai.azure.com
models: [gpt-y]
---
kind: Provider
tenant: acme
name: other
catalog: compatible
baseUrl: https://other.example
models: [gpt-z]
---
"""


@pytest.mark.parametrize(
    ("key", "route", "said"),
    [
        (
            "kind: Key\npath: operator/k\nprovider: house\ncredential: entra",
            "kind: Route\ntenant: acme\nprovider: theirs\nkey: operator/k",
            "never sent to theirs",
        ),
        (
            "kind: Key\npath: clients/acme/k\nprovider: other\ncredential: entra",
            "kind: Route\ntenant: acme\nprovider: other\nkey: clients/acme/k",
            "takes no key whose credential is entra",
        ),
        (
            "kind: Key\npath: clients/acme/k\nprovider: theirs\ncredential: google_service_account",
            "kind: Route\ntenant: acme\nprovider: theirs\nkey: clients/acme/k",
            "takes no key whose credential is google_service_account",
        ),
    ],
)
def test_a_token_goes_to_its_own_cloud_and_owner(key: str, route: str, said: str) -> None:
    """Refused when written, and by the decision itself, which asks nobody whether that was done."""
    located = parse(f"{CLOUD}{key}\n---\n{route}".encode(), "a")
    assert any(said in problem.text for problem in check(Documents(located)))
    documents = [one.document for one in located]
    names = uid_names(documents)
    uids = {name: uid(name.encode()[-16:].rjust(16, b".")) for name in names}
    snapshot = compile(documents, uids, 1)
    principal = Principal("acme", uids["tenant/acme"], "x", uids["agent/acme/x"], "c", frozenset({"write"}))
    for model in ("gpt-x", "gpt-y", "gpt-z"):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "a"}]}).encode()
        with pytest.raises(Refused):
            decide(snapshot, principal, read_ask("chat", body, []))


FEDERATED = """
kind: Provider
tenant: acme
name: fed
catalog: vertex
baseUrl: http://127.0.0.1:{port}
models: [m]
project: my-project
location: europe-west4
---
kind: Key
path: clients/acme/fed
provider: fed
credential: google_external_account
---
kind: Route
tenant: acme
provider: fed
key: clients/acme/fed
"""


@pytest.mark.parametrize(
    "source",
    [
        {"file": "HERE/tokens/operator/token"},
        {"file": "HERE/tokens/clients/globex/token"},
        {"file": "HERE/home/settings.toml"},
        {"file": "/etc/hostname"},
        {"file": "/proc/self/environ"},
        {"url": "http://169.254.169.254/computeMetadata/v1/token"},
        {"url": "https://idp.example/token"},
        {"url": "http://127.0.0.1:8081/metrics"},
    ],
)
async def test_a_place_that_a_tenants_credential_names_is_not_read(tmp_path: Path, source: dict[str, str]) -> None:
    """Neither a file of this machine or of another owner, nor an address: this process would read it as itself."""
    async with cloudy(tmp_path) as (here, sandbox):
        for owner in ("operator", "clients/globex", "clients/acme"):
            (tmp_path / "tokens" / owner).mkdir(parents=True)
            (tmp_path / "tokens" / owner / "token").write_text(subject_token())
        await here.apply(FEDERATED.format(port=here.provider_port))
        named = {name: value.replace("HERE", str(tmp_path)) for name, value in source.items()}
        secret = external("", credential_source=named)
        await here.verb("key put", Put(path="clients/acme/fed", secret=secret))
        body = {"contents": [{"parts": [{"text": "x"}]}]}
        answered, _, answer = await here.post("acme/cloudy", body, "/v1beta/models/fed/m:generateContent")
        assert answered == 503, answer
        assert json.loads(answer)["error"]["message"].startswith("The subject token for the key")
        assert not any(value.encode() in answer for value in named.values())
        assert (sandbox.clouds.bought, sandbox.totals, here.provider.seen) == (0, {}, []), "nobody was asked"


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_url": "https://evil.example/v1/token"},
        {"token_url": "http://169.254.169.254/v1/token"},
        {"service_account_impersonation_url": "https://evil.example/v1/projects/-/serviceAccounts/a:signJwt"},
        {"credential_source": {"executable": {"command": "/bin/evil"}}},
        {"credential_source": {"file": "../../evil"}},
        {"universe_domain": "evil.example"},
    ],
)
async def test_a_credential_that_names_another_token_endpoint_is_not_kept(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    async with cloudy(tmp_path) as (here, _):
        await here.apply(FEDERATED.format(port=here.provider_port))
        with pytest.raises(Failed, match="wrong_use") as caught:
            await here.verb("key put", Put(path="clients/acme/fed", secret=external("/tokens/x", **wrong)))
        assert "evil" not in str(caught.value)
