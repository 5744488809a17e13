"""Subject tokens: read below the folder of the key's own owner, or asked of a listed URL; all else is one refusal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sekimori.errors import Fault, Refused
from sekimori.http.client import Pool
from sekimori.http.server import Reply, Request, Server
from sekimori.terms import Origin
from sekimori.vault.federated import ExternalAccount
from sekimori.vault.subjects import TOKEN_LIMIT, Subjects, endpoint

JWT = "urn:ietf:params:oauth:token-type:jwt"


def of_file(path: Path | str, member: str | None = None) -> ExternalAccount:
    return ExternalAccount(audience="a", subject_token_type=JWT, file=str(path), member=member)


def of_url(url: str, **more: object) -> ExternalAccount:
    return ExternalAccount(audience="a", subject_token_type=JWT, url=url, **more)  # type: ignore[arg-type]


async def connect(
    origin: Origin, factory: Callable[[], asyncio.Protocol]
) -> tuple[asyncio.Transport, asyncio.Protocol]:
    return await asyncio.get_running_loop().create_connection(factory, origin.host, origin.port)


async def refused(asked: Awaitable[str]) -> str:
    with pytest.raises(Fault, match="key_unavailable") as caught:
        await asked
    return f"{caught.value.text} {caught.value.advice}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokens = tmp_path / "tokens"
    for owner in ("operator", "clients/acme", "clients/globex"):
        (tokens / owner).mkdir(parents=True)
        (tokens / owner / "token").write_text(f"ey.{owner.rpartition('/')[2]}\n")
    (tmp_path / "outside").write_text("zq-outside")
    return tokens


async def test_a_token_is_read_anew_each_time_through_the_links_of_a_projected_volume(folder: Path) -> None:
    subjects = Subjects(Pool(connect), folder=folder)
    own = folder / "operator"
    for number in (1, 2):
        version = own / f"..2026_{number}"
        version.mkdir()
        (version / "jwt").write_text(f"ey.{number}")
        link = own / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(own / "..data")
        if number == 1:
            (own / "jwt").symlink_to("..data/jwt")
        assert await subjects.token(of_file(own / "jwt"), "operator/vertex", 1) == f"ey.{number}"
    (own / "json").write_text('{"id_token": "ey.member", "other": 1}')
    assert await subjects.token(of_file(own / "json", "id_token"), "operator/vertex", 1) == "ey.member"
    assert await subjects.token(of_file(folder / "clients/acme/token"), "clients/acme/vertex", 1) == "ey.acme"


async def test_no_key_reads_what_belongs_to_another_owner_or_lies_outside(folder: Path) -> None:
    subjects = Subjects(Pool(connect), folder=folder)
    acme = folder / "clients" / "acme"
    (acme / "out").symlink_to(folder.parent / "outside")
    (acme / "up").symlink_to("..")
    (acme / "theirs").symlink_to("../globex/token")
    os.mkfifo(acme / "pipe")
    (acme / "folder").mkdir()
    (acme / "long").write_text("a" * (TOKEN_LIMIT + 1))
    (acme / "empty").write_text(" \n")
    (acme / "odd").write_text("ey.a\r\nauthorization: x")
    (acme / "binary").write_bytes(b"\xff\xfe")
    (folder / "clients" / "acme-2").mkdir()
    (folder / "clients" / "acme-2" / "token").write_text("ey.acme2")
    said = set()
    for key, path, member in [
        ("clients/acme/k", folder / "operator/token", None),
        ("clients/acme/k", folder / "clients/globex/token", None),
        ("clients/acme/k", folder / "clients/acme-2/token", None),
        ("clients/acme/k", folder / "token", None),
        ("operator/k", acme / "token", None),
        ("", folder / "operator/token", None),
        ("k", folder / "operator/token", None),
        ("clients/acme/k", "/etc/passwd", None),
        ("clients/acme/k", f"{acme}/../globex/token", None),
        ("clients/acme/k", acme / "out", None),
        ("clients/acme/k", acme / "theirs", None),
        ("clients/acme/k", acme / "up/globex/token", None),
        ("clients/acme/k", acme / "pipe", None),
        ("clients/acme/k", acme / "folder", None),
        ("clients/acme/k", acme / "long", None),
        ("clients/acme/k", acme / "empty", None),
        ("clients/acme/k", acme / "odd", None),
        ("clients/acme/k", acme / "binary", None),
        ("clients/acme/k", acme / "absent", None),
        ("clients/acme/k", acme / "token", "member"),
        ("clients/acme/k", acme, None),
    ]:
        async with asyncio.timeout(10):
            said.add(await refused(subjects.token(of_file(path, member), key, 1)))
    assert len(said) == 1, "nobody learns what lies on this machine"


async def test_without_the_setting_nothing_is_read_or_asked(folder: Path) -> None:
    subjects = Subjects(Pool(connect))
    await refused(subjects.token(of_file(folder / "operator/token"), "operator/k", 1))
    await refused(subjects.token(of_url("https://idp.example/token"), "operator/k", 1))


async def test_a_listed_url_is_asked_for_keys_of_the_operator_alone() -> None:
    seen: list[tuple[str, str, bytes | None]] = []
    answers = [(200, b'{"value": "ey.url"}')]

    async def handler(request: Request, reply: Reply) -> None:
        seen.append((request.method, request.target, request.header(b"x-flavor")))
        status, body = answers[-1]
        await reply.send(status, [(b"location", b"/other")] if status == 302 else [], body)

    server = Server(handler, refuse=lambda refusal, target: (refusal.status, [], b""))
    port = await server.start("127.0.0.1", 0)
    pool = Pool(connect)
    url = f"http://127.0.0.1:{port}/token?audience=x"
    subjects = Subjects(pool, urls=f"https://other.example/ {url}")
    form = of_url(url, member="value", headers=(("x-flavor", "F"),))
    try:
        assert await subjects.token(form, "operator/k", 1) == "ey.url"
        assert seen == [("GET", "/token?audience=x", b"F")]
        for key, asked in [
            ("clients/acme/k", form),
            ("operator", form),
            ("operator/k", of_url(f"{url}&more=1")),
            ("operator/k", of_url(url.upper())),
            ("operator/k", of_url(f"http://127.0.0.1:{port}/secret")),
            ("operator/k", of_url("http://169.254.169.254/latest/meta-data/")),
        ]:
            await refused(subjects.token(asked, key, 1))
        assert len(seen) == 1, "what is not listed is not asked"
        for answer in ((302, b'{"value": "a"}'), (500, b'{"value": "a"}'), (200, b"[]"), (200, b"x" * 40_000)):
            answers.append(answer)
            await refused(subjects.token(form, "operator/k", 1))
        assert len(seen) == 5, "no redirect is followed"
    finally:
        await pool.aclose()
        await server.drain(0.0)


@pytest.mark.parametrize(
    "url", ["login.example", "ftp://h/", "https://", "https://u@h/", "https://h:x", "https://h/#f"]
)
def test_a_setting_that_is_no_url(url: str) -> None:
    with pytest.raises(Refused, match=r"upstream\.subject_token_urls"):
        Subjects(Pool(connect), urls=url)
    with pytest.raises(Refused, match="setting"):
        endpoint("https://h/?x=y", "setting", query=False)
