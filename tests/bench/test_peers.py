"""Other gateways: what is compared with them is a right answer, and what cannot be had is said."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from bench import traffic
from bench.load import Round as Shared
from bench.load import Task, Wrong
from bench.measures import PEERS as MEASURES
from bench.measures import Measure
from bench.peers import LOCKS, PEERS, Peer
from bench.process import Load, Upstream
from bench.rounds import Runner
from bench.targets import NotRun

NUMBER = traffic.nonce(42)


def written_anew(kind: traffic.Kind) -> bytes:
    """The reply with other spelling: members in another order, one more, other spacing."""

    def anew(text: bytes) -> bytes:
        return msgspec.json.format(msgspec.json.encode({"more": None, **msgspec.json.decode(text)}), indent=0)

    reply = traffic.reply(kind, NUMBER)
    if kind == "plain":
        return anew(reply)
    *events, end, rest = reply.split(b"\n\n")
    return b"\n\n".join([*(b"data: " + anew(event.removeprefix(b"data: ")) for event in events), end, rest])


def shared(kind: traffic.Kind, *, exact: bool) -> Shared:
    return Shared(Task(kind, 1, "x", 1, 1, 0, 0, 1.0, exact=exact))


@pytest.mark.parametrize("kind", traffic.KINDS)
def test_a_reply_that_is_written_anew_is_right_only_where_that_is_allowed(kind: traffic.Kind) -> None:
    body = written_anew(kind)
    assert body != traffic.reply(kind, NUMBER)
    shared(kind, exact=False).check(body, NUMBER)
    shared(kind, exact=True).check(traffic.reply(kind, NUMBER), NUMBER)
    with pytest.raises(Wrong):
        shared(kind, exact=True).check(body, NUMBER)


@pytest.mark.parametrize("kind", traffic.KINDS)
@pytest.mark.parametrize("exact", [True, False])
def test_other_words_another_call_and_half_a_reply_are_wrong(kind: traffic.Kind, exact: bool) -> None:
    body = traffic.reply(kind, NUMBER)
    word = b"Revenue" if kind == "plain" else b"word07"
    for wrong in (
        body.replace(word, word.swapcase(), 1),
        traffic.reply(kind, traffic.nonce(43)),
        body[: len(body) // 2],
        body.replace(b"data: [DONE]\n\n", b"") if kind != "plain" else b"{}",
        b"",
        b"[1]",
    ):
        with pytest.raises(Wrong):
            shared(kind, exact=exact).check(wrong, NUMBER)


def test_locks_are_pinned_by_hash_and_name_no_registry() -> None:
    package = msgspec.json.decode((LOCKS / "package-lock.json").read_bytes())["packages"]
    pinned = {name: one for name, one in package.items() if name}
    assert all(one["integrity"].startswith("sha512-") and "resolved" not in one for one in pinned.values())
    text = (LOCKS / "litellm.txt").read_text()
    assert text.count("--hash=sha256:") > 100
    assert not re.search("https?:", text)
    assert {measure.name for measure in MEASURES} == set(PEERS)
    assert f"Portkey {pinned['node_modules/@portkey-ai/gateway']['version']}" in {one.title for one in MEASURES}
    assert MEASURES[1].title.replace(" ", "==").lower() in text


def test_what_cannot_be_installed_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere(Peer):
        name = "nowhere"
        locks = ("package.json",)

        @classmethod
        def installation(cls) -> list[list[str]]:
            return [["python3", "-c", "import sys; sys.exit('no such distribution')"]]

    monkeypatch.setattr("bench.peers.INSTALLED", tmp_path / ".scratch")
    monkeypatch.setattr("bench.peers.ROOT", tmp_path)
    with pytest.raises(NotRun, match="no such distribution"):
        Nowhere.install()
    assert not Nowhere.installed()
    monkeypatch.setattr(Nowhere, "installation", lambda: [["a-program-that-nobody-has"]])
    with pytest.raises(NotRun, match="there is no a-program"):
        Nowhere.install()
    monkeypatch.setattr(Nowhere, "installation", lambda: [["true"]])
    Nowhere.install()
    assert Nowhere.installed()


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_a_peer_starts_answers_rightly_and_stops(peer: type[Peer], tmp_path: Path) -> None:
    if not peer.installed():
        pytest.skip(f"NOT RUN: {peer.name} is not installed; `python -m bench --peers {peer.name}` installs it")
    with Upstream(tmp_path) as upstream, Load(tmp_path) as load:
        runner = Runner(load, upstream, say=print)
        with peer(tmp_path, upstream.port) as target:
            for kind in traffic.KINDS:
                outcome, count = runner.round(target, Measure("x", "x", kind, 4, 8, 1.0, None), 8)
                assert (outcome.failures, outcome.requests) == (0, count)
            pid = target.child.pid
        assert not Path(f"/proc/{pid}").exists()
