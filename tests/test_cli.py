"""The command line: its words, its exit statuses, what it shows and what it never shows."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sekimori import cli
from sekimori.cli import commands
from sekimori.identity import apikey
from tests.control.world import ACME, CANARY, SHARED

DOCUMENT = Path(__file__).parent.parent / "docs" / "cli.md"


class Done(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`sekimori --home HOME …` with the given standard input."""
    for name in ("SEKIMORI_HOME",):
        monkeypatch.delenv(name, raising=False)

    def one(*words: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as caught:
            cli.main(["--home", str(tmp_path / "home"), *words])
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Done(caught.value.code, captured.out, captured.err)

    return one


@pytest.fixture
def home(run: Run, tmp_path: Path) -> Path:
    """A home with a tenant, and its documents beside it."""
    (tmp_path / "documents.yaml").write_text(SHARED + "---" + ACME)
    assert run("init", "--name", "gw.example").status == 0
    assert run("apply", "-f", str(tmp_path / "documents.yaml")).status == 0
    return tmp_path / "home"


# -- init --------------------------------------------------------------------------------------------------------------


def test_init_makes_a_private_home_and_says_what_to_keep(run: Run, tmp_path: Path) -> None:
    done = run("init", "--name", "gw.example")
    assert done.status == 0
    assert "Keep a copy of kek" in done.out
    home = tmp_path / "home"
    assert home.stat().st_mode & 0o777 == 0o700
    for path in home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (home / "kek").stat().st_mode & 0o777 == 0o600
    assert run("--json", "export").json == {"generation": 0, "text": ""}


def test_init_refuses_what_is_there_already(run: Run, tmp_path: Path) -> None:
    assert run("init", "--name", "gw.example").status == 0
    before = {path: path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()}
    again = run("init", "--name", "other.example")
    assert again.status == 1
    assert "There is a home at" in again.err
    assert {path: path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()} == before


def test_init_refuses_a_folder_of_other_things(run: Run, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "thesis.tex").write_text("precious")
    done = run("init", "--name", "gw.example")
    assert done.status == 1
    assert "thesis.tex" in done.err
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["thesis.tex"]


def test_init_keeps_settings_that_were_prepared(run: Run, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "settings.toml").write_text("[gateway]\nport = 9999\n")
    (tmp_path / "home" / "settings.toml").chmod(0o600)
    assert run("init", "--name", "gw.example").status == 0
    assert (tmp_path / "home" / "settings.toml").read_text() == "[gateway]\nport = 9999\n"


@pytest.mark.parametrize(
    "name", ["", "UPPER.example", "a b", "-a.example", "a..b", "a/b", "a\n", "x" * 300, "ä.example"]
)
def test_init_wants_a_dns_name(run: Run, tmp_path: Path, name: str) -> None:
    assert run("init", "--name", name).status == 2
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("missing", ["vault", "tenants", "deployment.sqlite", "kek"])
def test_init_that_was_cut_off_is_taken_up(run: Run, tmp_path: Path, missing: str) -> None:
    """Everything an interrupted `init` can leave: what comes before the database, and not the database."""
    import shutil

    assert run("init", "--name", "gw.example").status == 0
    home = tmp_path / "home"
    order = ["kek", "vault", "tenants", "deployment.sqlite"]
    for name in order[order.index(missing) :]:
        for path in home.glob(f"{name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run("init", "--name", "gw.example").status == 0
    assert run("export").status == 0


# -- documents ---------------------------------------------------------------------------------------------------------


def test_check_diff_apply_export(run: Run, home: Path, tmp_path: Path) -> None:
    exported = run("export")
    (tmp_path / "export.yaml").write_text(exported.out)
    for words in (("diff",), ("apply",), ("apply", "--prune"), ("check",)):
        done = run("--json", *words, "-f", str(tmp_path / "export.yaml"))
        assert (done.status, done.json["changes"], done.json["generation"]) == (0, [], 1)
    (tmp_path / "more.yaml").write_text("kind: Tenant\nname: globex\nmode: vpc\n")
    assert "+ Tenant globex" in run("diff", "-f", str(tmp_path / "more.yaml")).out
    assert run("--json", "export").json["generation"] == 1
    assert "Generation 2 is in force" in run("apply", "-f", str(tmp_path / "more.yaml")).out
    assert run("apply", "-f", "-", stdin=exported.out).out == "No change.\n"


def test_wrong_documents_name_file_line_field_and_fix(run: Run, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("kind: Tenant\nname: globex\nmodus: vpc\n")
    for verb in ("check", "diff", "apply"):
        done = run(verb, "-f", str(file))
        assert done.status == 1
        assert f"{file}:3" in done.err
        assert "modus" in done.err
        assert "mode" in done.err
        problem = json.loads(run("--json", verb, "-f", str(file)).err)["error"]
        assert problem["reason"] == "document_invalid"
        assert problem["detail"][0]["line"] == 3
    assert run("--json", "export").json["generation"] == 1


def test_a_file_that_cannot_be_read_is_wrong_use(run: Run, home: Path, tmp_path: Path) -> None:
    done = run("apply", "-f", str(tmp_path / "none.yaml"))
    assert done.status == 2
    assert "none.yaml" in done.err
    (tmp_path / "latin.yaml").write_bytes(b"kind: Tenant\nname: \xe4\n")
    assert run("apply", "-f", str(tmp_path / "latin.yaml")).status == 1


# -- importing ---------------------------------------------------------------------------------------------------------

LITELLM = """
model_list:
  - {model_name: m, litellm_params: {model: openai/gpt-5-mini, api_key: sk-canary1234567890abc, timeout: 3}}
  - {model_name: n, litellm_params: {model: anthropic/claude-sonnet-5, api_key: os.environ/ANTHROPIC_API_KEY}}
"""


def test_an_import_can_be_checked_and_applied_and_shows_no_secret(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(LITELLM)
    words = ("import", "litellm", str(tmp_path / "config.yaml"), "--tenant", "moved")
    done = run(*words, "--agent", "old", "--out", str(tmp_path / "policy.yaml"))
    assert done.status == 0
    for said in ("timeout", "SECRET", "sekimori key put operator/openai", "sekimori apikey issue moved old"):
        assert said in done.out
    assert "canary" not in done.out + done.err + (tmp_path / "policy.yaml").read_text()
    for verb in ("check", "apply"):
        assert run(verb, "-f", str(tmp_path / "policy.yaml")).status == 0
    piped = run(*words)
    assert run("check", "-f", "-", stdin=piped.out).status == 0, "documents alone on standard output"
    assert "SECRET" in piped.err
    found = run("--json", *words).json
    assert found["secrets"] == 1
    assert [step["path"] for step in found["keys"]] == ["operator/openai", "operator/anthropic"]
    assert {note["verdict"] for note in found["notes"]} >= {"secret", "left_out"}
    assert run("import", "litellm", "-", stdin=LITELLM).out.startswith("---\nkind: Tenant")


def test_an_import_replaces_no_file_and_says_what_is_wrong(run: Run, tmp_path: Path) -> None:
    file, out = tmp_path / "config.yaml", tmp_path / "out.yaml"
    file.write_text(LITELLM)
    out.write_text("precious")
    assert run("import", "litellm", str(file), "--out", str(out)).status == 2
    assert out.read_text() == "precious"
    assert run("import", "litellm", str(file), "--tenant", "Operator").status == 2
    assert run("import", "litellm", str(tmp_path / "none.yaml")).status == 2
    file.write_text("model_list: [")
    broken = run("import", "litellm", str(file), "--out", str(tmp_path / "new.yaml"))
    assert broken.status == 1
    assert re.search(rf"{re.escape(str(file))}:[12]: ", broken.err)
    file.write_text("model_list: [{model_name: m, litellm_params: {model: sagemaker/m}}]")
    nothing = run("import", "litellm", str(file), "--out", str(tmp_path / "new.yaml"))
    assert nothing.status == 1
    assert "Nothing was written" in nothing.err
    assert not (tmp_path / "new.yaml").exists()


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_a_secret_comes_from_standard_input_and_is_never_shown(run: Run, home: Path) -> None:
    shown = [run("key", "put", "clients/acme/own", stdin=CANARY + "\n")]
    shown += [run("key", "put", "clients/acme/own", stdin=CANARY)]
    shown += [run("--json", "key", "rotate", "clients/acme/own", stdin=CANARY + "\r\n")]
    shown += [run("key", "list"), run("--json", "key", "list"), run("ledger", "show"), run("doctor")]
    assert [done.status for done in shown] == [0, 1, 0, 0, 0, 0, 1]
    assert "canary" not in "".join(done.out + done.err for done in shown)
    for path in home.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ("key", "put", "clients/acme/own", CANARY),
        ("key", "put", f"--secret={CANARY}", "clients/acme/own"),
        ("key", "rotate", "clients/acme/own", "--value", CANARY),
        ("--json", "key", "put", "clients/acme/own", CANARY),
        ("apikey", "revoke", "sk-sek_" + "canary" * 6),
        ("apikey", "issue", "acme", "analyst", CANARY),
        ("key", "freeze", CANARY),
        ("key", "put", CANARY),
    ],
)
def test_a_secret_among_the_words_is_refused_and_not_repeated(run: Run, home: Path, words: tuple[str, ...]) -> None:
    done = run(*words, stdin="sk-other")
    assert done.status in (1, 2)
    assert "canary" not in done.out + done.err


def test_an_api_key_is_shown_once(run: Run, home: Path) -> None:
    done = run("--json", "apikey", "issue", "acme", "analyst", "--scope", "read", "--expires-in", "90d", "--note", "ci")
    assert done.status == 0
    assert apikey.fault(done.json["key"].encode()) is None
    assert done.json["scopes"] == ["read"]
    listed = run("--json", "apikey", "list")
    assert [(one["id"], one["state"], one["note"]) for one in listed.json] == [(done.json["id"], "active", "ci")]
    plain = run("apikey", "issue", "acme", "analyst")
    assert apikey.fault(plain.out.strip().encode()) is None, "the key alone on standard output"
    for later in (listed, run("apikey", "list"), run("ledger", "show"), run("--json", "ledger", "show")):
        assert done.json["key"][7:] not in later.out + later.err
    assert run("apikey", "revoke", done.json["id"]).out.endswith("is revoked.\n")
    assert [one["state"] for one in run("--json", "apikey", "list").json] == ["revoked", "active"]


# -- questions and the record ------------------------------------------------------------------------------------------


def test_explain_answers_without_calling_anyone(run: Run, home: Path) -> None:
    yes = run("--json", "route", "explain", "acme", "analyst", "m-1")
    assert (yes.status, yes.json["granted"], yes.json["routes"][0]["key"]) == (0, True, "clients/acme/own")
    no = run("policy", "explain", "acme", "analyst", "m-2")
    assert no.status == 1
    assert "model_not_found" in no.out
    assert "NO" in no.out
    assert run("route", "explain", "acme", "nobody", "m-1").status in (1, 2)


def test_explain_shows_shares_of_equals_and_what_an_alias_leaves_out(run: Run, home: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text(
        "kind: Agent\ntenant: acme\nname: analyst\nmodels: [m-1, swift]\n---\n"
        "kind: Alias\ntenant: acme\nname: swift\ntargets: [{model: m-1}]\n"
    )
    applied = run("apply", "-f", str(more))
    assert applied.status == 0, applied.err
    shown = run("route", "explain", "acme", "analyst", "swift")
    assert shown.status == 0
    assert "clients/acme/own" in shown.out
    assert "share" not in shown.out, "a single key has no share"
    assert "m-1" in run("export").out


def test_the_record_is_shown_proven_and_verified(run: Run, home: Path) -> None:
    shown = run("--json", "ledger", "show", "--log", "acme").json
    record = next(one for one in shown if one["kind"] == "Applied")["leaf"]["id"]
    assert "Applied" in run("ledger", "show", record).out
    proof = run("ledger", "proof", record, "--log", "acme")
    assert proof.out.startswith("c2sp.org/tlog-proof@v1\nindex ")
    verified = run("--json", "ledger", "verify")
    assert verified.status == 0
    assert {one["log"]: one["ok"] for one in verified.json} == {"acme": True, "operator": True}
    for words in (("proof", "nonsense"), ("show", record[:-1] + "0", "--log", "operator"), ("verify", "--log", "none")):
        assert run("ledger", *words).status in (1, 2)


def test_a_flipped_bit_is_found(run: Run, home: Path) -> None:
    bundle = next(
        path for path in (home / "ledger" / "operator").rglob("*") if "entries" in str(path) and path.is_file()
    )
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    done = run("ledger", "verify")
    assert done.status in (1, 3)
    assert "operator" in done.out + done.err


def test_usage_in_all_its_forms(run: Run, home: Path) -> None:
    assert run("usage", "--by", "agent", "--by", "day").status == 0
    assert run("--json", "usage").json == []
    assert run("usage", "--csv").out.startswith("tenant,day,agent,key,")
    assert run("usage", "--by", "colour").status == 2
    assert run("usage", "--tenant", "none").status == 1


# -- wrong use and faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("key", "nonsense"),
        ("apply",),
        ("init",),
        ("usage", "--nonsense"),
        ("apikey", "issue", "acme"),
        ("serve", "--plane", "nonsense"),
        ("serve", "--plane", "egress"),
        ("apikey", "issue", "acme", "analyst", "--expires-in", "soon"),
        ("apikey", "issue", "acme", "analyst", "--scope", "root"),
        ("ledger", "show", "--last", "0"),
    ],
)
def test_wrong_use_exits_2_with_advice(run: Run, home: Path, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.status == 2
    assert done.err.startswith("sekimori: ")
    assert len(done.err.splitlines()) >= 2
    problem = json.loads(run("--json", *words).err)["error"]
    assert (problem["reason"], bool(problem["advice"])) == ("wrong_use", True)


def test_without_a_home_the_first_word_is_init(run: Run) -> None:
    done = run("key", "list")
    assert done.status == 1
    assert "sekimori init" in done.err


def test_a_damaged_home_is_a_fault_with_the_file_and_the_fix(run: Run, home: Path) -> None:
    (home / "deployment.sqlite").write_bytes(b"\0" * 8192)
    done = run("key", "list")
    assert done.status == 3
    assert str(home / "deployment.sqlite") in done.err
    assert "backup" in done.err
    found = run("doctor")
    assert found.status == 3
    assert "deployment.sqlite" in found.out


def test_a_lost_key_encryption_key_is_a_fault(run: Run, home: Path) -> None:
    (home / "kek").unlink()
    done = run("export")
    assert done.status == 3
    assert "kek" in done.err
    assert done.err.count("\n") == 2


def test_settings_that_are_wrong_are_wrong_use(run: Run, home: Path) -> None:
    (home / "settings.toml").write_text("[gateway]\nprot = 1\n")
    done = run("key", "list")
    assert done.status == 2
    assert "settings.toml:2" in done.err
    assert "`port`" in done.err


def test_doctor_says_what_is_missing(run: Run, home: Path) -> None:
    found = {one["what"]: one for one in run("--json", "doctor").json}
    assert found["key clients/acme/own"]["state"] == "missing"
    assert "sekimori key put" in found["key clients/acme/own"]["fix"]
    assert found["agent acme/analyst"]["state"] == "missing"
    assert found["server"]["state"] == "note"
    assert found["database"]["state"] == "ok"
    run("key", "put", "clients/acme/own", stdin="sk-x")
    run("apikey", "issue", "acme", "analyst")
    assert run("doctor").status == 0


def test_nothing_in_a_document_plays_with_the_terminal(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "styled.yaml").write_text(
        "kind: Tenant\nname: globex\nmode: vpc\nvertical: '[red]bold[/red] :smile:'\n"
    )
    assert run("apply", "-f", str(tmp_path / "styled.yaml")).status == 0
    assert "[red]bold[/red] :smile:" in run("export").out
    (tmp_path / "note.yaml").write_text("kind: Key\npath: operator/k\nprovider: sandbox\nnote: '[blink]x[/blink]'\n")
    run("apply", "-f", str(tmp_path / "note.yaml"))
    assert "[blink]x[/blink]" in run("key", "list").out
    assert "\x1b" not in cli.show.clean("\x1b]0;title\x07")


def test_what_nobody_expected_is_a_fault_said_readably(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError(f"with {CANARY}\n and more")

    monkeypatch.setattr(commands, "_ask", breaks)
    done = run("key", "list")
    assert done.status == 3
    assert "RuntimeError at" in done.err
    assert "canary" not in done.err
    assert "Traceback" not in done.err
    assert json.loads(run("--json", "key", "list").err)["error"]["reason"] == "internal"


# -- as a program ------------------------------------------------------------------------------------------------------


def test_help_is_quick_because_nothing_heavy_is_loaded() -> None:
    heavy = ("sqlalchemy", "cryptography", "prometheus_client", "yaml", "uvloop", "httptools")
    script = f"import sys, sekimori.cli.commands; sys.exit(str([m for m in {heavy} if m in sys.modules] or '') or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    helped = subprocess.run(
        [sys.executable, "-m", "sekimori.cli", "--help"], capture_output=True, text=True, timeout=60
    )
    assert helped.returncode == 0
    for word in ("init", "serve", "doctor", "apply", "ledger", "apikey"):
        assert word in helped.stdout


def test_whoever_reads_may_stop_reading() -> None:
    script = "import sekimori.cli; sekimori.cli.main(['--help'])"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def words_of(app: Any, before: str = "") -> list[str]:
    found = []
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        inner = words_of(command, f"{before}{name} ")
        found += inner or [f"{before}{name}"]
    return found


def test_every_command_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    documented = set(re.findall(r"^### `sekimori ([a-z]+(?: [a-z]+)?)", text, re.MULTILINE))
    assert documented == set(words_of(commands.app))


def test_a_server_does_not_load_what_reads_the_other_commands(tmp_path: Path) -> None:
    script = (
        "import sys, sekimori.cli\n"
        "try:\n    sekimori.cli.main(['--home', sys.argv[1], 'serve'])\n"
        "except SystemExit as error:\n    assert error.code == 1, error.code\n"
        "sys.exit(str([m for m in ('cyclopts', 'rich', 'prometheus_client') if m in sys.modules] or '') or 0)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "sekimori init" in done.stderr) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["serve"], (None, "all")),
        (["--home", "/h", "serve", "--plane", "gateway"], (Path("/h"), "gateway")),
        (["serve", "--plane=gateway", "--home=/h", "--json"], (Path("/h"), "gateway")),
        (["serve", "--help"], None),
        (["serve", "--plane", "egress"], None),
        (["serve", "--home"], None),
        (["serve", "--home", "a", "--home", "b"], None),
        (["serve", "more"], None),
        (["key", "list"], None),
        ([], None),
    ],
)
def test_the_words_of_serve_are_read_exactly_or_the_common_way(words: list[str], expected: object) -> None:
    assert cli._serve(words) == expected


def test_egress_check_answers_a_line_for_each_url(run: Run) -> None:
    """Without a tenant it asks nobody, and needs no home."""
    done = run("egress", "check", "https://example.com/x", "https://10.0.0.1/x", "https://example.com/\u202e\x1b")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(one["allowed"], one["reason"]) for one in lines] == [
        (True, "allowed"),
        (False, "private"),
        (False, "forbidden_character"),
    ]
    assert (done.status, done.out.isascii(), lines[0]["url"]) == (1, True, "https://example.com/x")
    read = run("egress", "check", stdin="https://example.com/a\r\nhttps://example.com/b\n")
    assert (read.status, len(read.out.splitlines())) == (0, 2)
    assert run("egress", "check", "--tenant", "acme", "https://example.com/").status == 2


def test_egress_check_by_an_agents_document(run: Run, home: Path, tmp_path: Path) -> None:
    words = (
        "egress",
        "check",
        "--tenant",
        "acme",
        "--agent",
        "analyst",
        "https://a.example.com/x",
        "https://b.example.com/x",
    )
    before = run(*words)
    assert [json.loads(line)["reason"] for line in before.out.splitlines()] == ["no_document", "no_document"]
    (tmp_path / "egress.yaml").write_text("{kind: Egress, tenant: acme, allow: [{host: a.example.com}]}")
    assert run("apply", "-f", str(tmp_path / "egress.yaml")).status == 0
    after = run(*words)
    assert [json.loads(line)["reason"] for line in after.out.splitlines()] == ["allowed", "not_listed"]
    assert (before.status, after.status) == (1, 1)
