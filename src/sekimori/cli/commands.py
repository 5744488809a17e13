"""The commands. Every verb is the owner's verb (control/verbs); this reads words and shows answers.

Exit status: 0 well; 1 the answer is no (refused, verification failed); 2 wrong use; 3 a fault. With `--json` the answer
is one JSON document on standard output, an error one on standard error. Secrets are read from standard input alone.
Everything heavy is imported where it is used, so that `sekimori --help` is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from cyclopts import App, CycloptsError, Parameter

from sekimori import __version__, config
from sekimori.cli import show
from sekimori.cli.screening import screen
from sekimori.control import arguments
from sekimori.control.arguments import By
from sekimori.control.owner import Failed, Problem, exit_status
from sekimori.errors import Refused
from sekimori.terms import Dialect, Operation, Scope

LONGEST_INPUT: Final = 64 * 1024
"""Bytes of a secret on standard input; the vault's own bound is lower."""

app = App(
    name="sekimori",
    help="A zero-trust gateway for AI agents. `sekimori init` makes a home, `sekimori serve` serves it.",
    version=__version__,
    result_action="return_value",
)
_key = App(name="key", help="Provider keys. A secret is read from standard input, never from an argument.")
_apikey = App(name="apikey", help="API keys of agents.")
_route = App(name="route", help="Which key a call would use.")
_policy = App(name="policy", help="What a call would be allowed.")
_object = App(name="object", help="What providers keep: files, conversations, stores.")
_egress = App(name="egress", help="Which URLs a provider may be had to fetch.")
_ledger = App(name="ledger", help="The record: verify it, read it, take proofs from it.")
_kek = App(name="kek", help="The key-encryption key.")
_import = App(name="import", help="Documents from the configuration of another gateway.")
for _group in (_key, _object, _apikey, _route, _policy, _egress, _ledger, _kek, _import):
    app.command(_group)

app.command(screen)

_STDIN: Final = "/dev/stdin"
Documents = Annotated[list[Path], Parameter(name=["--file", "-f"], consume_multiple=True, negative="")]
Flag = Parameter(negative="")


class _Said:
    """The words that every verb takes."""

    home: Path | None = None
    json = False


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    home: Path | None = None,
    json: Annotated[bool, Flag] = False,
) -> Any:
    """
    Parameters
    ----------
    home
        The home to work on [default: SEKIMORI_HOME, else ~/.sekimori].
    json
        Answer in JSON.
    """
    _Said.home, _Said.json = home, json
    return app(tokens, exit_on_error=False, print_error=False)


def run(given: Sequence[str]) -> int:
    """Run one command; its exit status."""
    # A lone hyphen would be read as an option without a name.
    words = [_STDIN if word == "-" else word for word in given]
    _Said.json = "--json" in words
    try:
        status = app.meta(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        status = _fail(_misuse(words, error))
    except Failed as failed:
        status = _fail(failed.problem)
    except BrokenPipeError:
        sys.stdout = None  # whoever read us has left; nothing more to say
        status = 0
    return status if isinstance(status, int) else 0


def _misuse(words: Sequence[str], error: CycloptsError) -> Problem:
    if "key" in words or "apikey" in words:
        # A secret that was given as an argument must not be repeated on the screen.
        what = "The arguments are wrong. A secret is never one of them: it is read from standard input."
        advice = 'See `--help` of the command; e.g. `printf %s "$KEY" | sekimori key put PATH`.'
        return Problem("wrong_use", what, advice)
    return Problem("wrong_use", " ".join(str(error).split()), "See `sekimori --help`.")


def _fail(problem: Problem) -> int:
    show.error(problem, as_json=_Said.json)
    return exit_status(problem.reason)


def _settings() -> config.Settings:
    return config.load(_Said.home)


def _ask(verb: str, args: msgspec.Struct) -> Any:
    """The answer of the home's owner, or of the home itself."""
    import asyncio

    from sekimori.control.client import call

    async def work() -> Any:
        async with show.Waiting(verb, silent=_Said.json) as waiting:
            return await call(_settings(), verb, args, waiting.say)

    return asyncio.run(work())


def _print(answer: Any, human: Any) -> None:
    """One JSON document, or what `human` makes of it."""
    if _Said.json:
        show.plain(answer)
    else:
        human(answer)


def _files(paths: Sequence[Path], prune: bool) -> arguments.Files:
    files = []
    for path in paths:
        try:
            data = sys.stdin.buffer.read() if str(path) == _STDIN else path.read_bytes()
        except OSError as error:
            raise Refused(
                "wrong_use", f"{path} cannot be read: {error.strerror}.", advice="Name files of documents with `-f`."
            ) from error
        files.append(arguments.File(str(path), data))
    return arguments.Files(files=tuple(files), prune=prune)


def _secret(path: str) -> bytes:
    if sys.stdin.isatty():
        import getpass

        text = getpass.getpass(f"Secret for {path} (not shown): ").encode()
    else:
        text = sys.stdin.buffer.read(LONGEST_INPUT + 1)
    if len(text) > LONGEST_INPUT:
        raise Refused("wrong_use", "This is too long for a provider key.", advice="Give the key alone.")
    return text.removesuffix(b"\n").removesuffix(b"\r")


# -- the home --------------------------------------------------------------------------------------------------------


@app.command
def init(*, name: str) -> None:
    """Make a home: folder, key-encryption key, vault, database.

    Parameters
    ----------
    name
        Of the deployment, a DNS name like `gateway.example.com`. It names the logs and can never be changed.
    """
    import asyncio
    import os

    from sekimori.control.home import init_home

    settings = _settings()
    asyncio.run(init_home(settings, name, f"uid:{os.geteuid()}"))
    key = settings.vault.key_encryption_key
    made = {"home": str(settings.home), "deployment": name, "key_encryption_key": key}
    _print(made, show.made)


@app.command
def serve(*, plane: Literal["gateway", "control", "egress"] | None = None) -> int:
    """Serve the home until SIGTERM; calls in flight are let finish.

    Parameters
    ----------
    plane
        `gateway` opens no control listener [default: gateway and control].
    """
    if plane in ("control", "egress"):
        raise Refused(
            "wrong_use",
            f"This version does not serve the {plane} plane by itself.",
            advice="Leave `--plane` out, or name `gateway`.",
        )
    from sekimori.cli import serve as start

    return start(_Said.home, plane or "all")


@app.command
def doctor() -> int:
    """What is set up, what is missing, and how to fix it."""
    import asyncio

    from sekimori.doctor import examine

    findings = asyncio.run(examine(_settings()))
    _print([msgspec.to_builtins(one) for one in findings], show.findings)
    return max((one.exit_status for one in findings), default=0)


@app.command
def demo(*, serve: Annotated[bool, Flag] = False, keep: Annotated[bool, Flag] = False) -> int:
    """Show the main job, end to end, on loopback and in a scratch home.

    Parameters
    ----------
    serve
        Leave the demo deployment running, with a command to try it.
    keep
        Leave its folder behind, and say where.
    """
    from sekimori.demo import run

    return run(serve=serve, keep=keep, as_json=_Said.json)


# -- documents -------------------------------------------------------------------------------------------------------


@app.command
def check(*, file: Documents, prune: Annotated[bool, Flag] = False) -> None:
    """Whether the documents could be applied; nothing is changed.

    Parameters
    ----------
    file
        Files of documents; `-` is standard input.
    prune
        The files are the whole set: what they do not name would be deleted.
    """
    _print(_ask("check", _files(file, prune)), show.checked)


@app.command
def diff(*, file: Documents, prune: Annotated[bool, Flag] = False) -> None:
    """What applying the documents would change.

    Parameters
    ----------
    file
        Files of documents; `-` is standard input.
    prune
        The files are the whole set: what they do not name would be deleted.
    """
    _print(_ask("diff", _files(file, prune)), show.difference)


@app.command
def apply(*, file: Documents, prune: Annotated[bool, Flag] = False) -> None:
    """Make the documents the policy, all or nothing: one new generation, in force when this returns.

    Parameters
    ----------
    file
        Files of documents; `-` is standard input.
    prune
        The files are the whole set: what they do not name is deleted, and with a Key its secret, with an Agent its
        API keys.
    """
    _print(_ask("apply", _files(file, prune)), show.applied)


@app.command
def export() -> None:
    """The documents in force, as YAML. Applying them changes nothing."""
    _print(_ask("export", arguments.Nothing()), lambda answer: show.raw(answer["text"]))


@_import.command(name="litellm")
def import_litellm(
    file: Path,
    /,
    *,
    out: Path | None = None,
    tenant: str = "default",
    agent: str = "default",
    mode: Literal["agency", "vpc"] = "agency",
) -> int:
    """Write documents from a LiteLLM proxy's config.yaml, and say what could not be carried. Nothing is applied.

    Parameters
    ----------
    file
        The config.yaml; `-` is standard input.
    out
        File to write the documents to; one that exists is not replaced [default: standard output].
    tenant
        Name of the tenant that the callers of that proxy become.
    agent
        Name of its one agent.
    mode
        `agency` keeps the provider keys as the operator's, `vpc` as the tenant's own.
    """
    from sekimori.cli import importing

    answer = importing.litellm(file, out, tenant=tenant, agent=agent, mode=mode)
    _print(answer, importing.show)
    return 0 if answer["documents"] else 1


# -- keys ------------------------------------------------------------------------------------------------------------


@_key.command(name="put")
def key_put(path: str, /) -> None:
    """Store the secret of a key, read from standard input.

    Parameters
    ----------
    path
        operator/NAME or clients/TENANT/NAME; its Key document must be applied.
    """
    _print(_ask("key put", arguments.Put(path=path, secret=_secret(path))), show.key_changed("stored"))


@_key.command(name="rotate")
def key_rotate(path: str, /) -> None:
    """Replace the secret of a key by one read from standard input; the old one is gone at once."""
    _print(_ask("key rotate", arguments.Put(path=path, secret=_secret(path))), show.key_changed("rotated"))


@_key.command(name="freeze")
def key_freeze(path: str, /) -> None:
    """Stop using a key, at once; calls that need it are refused until it is unfrozen."""
    _print(_ask("key freeze", arguments.Path(path=path)), show.key_changed("frozen"))


@_key.command(name="unfreeze")
def key_unfreeze(path: str, /) -> None:
    """Use a frozen key again."""
    _print(_ask("key unfreeze", arguments.Path(path=path)), show.key_changed("unfrozen"))


@_key.command(name="list")
def key_list(*, tenant: str = "") -> None:
    """The provider keys, without their secrets."""
    _print(_ask("key list", arguments.Listing(tenant=tenant)), show.keys)


@_object.command(name="adopt")
def object_adopt(path: str, /, *ids: str) -> None:
    """Let a tenant's key name objects that the provider keeps and that were not made through here.

    Parameters
    ----------
    path
        clients/TENANT/NAME: the key of the account that has them.
    ids
        As the provider lists them, e.g. of files, vector stores or conversations.
    """
    answer = _ask("object adopt", arguments.Adopt(path=path, ids=ids))
    _print(answer, lambda done: show.line(f"{done['path']} may name {', '.join(done['ids'])}."))


@_apikey.command(name="issue")
def apikey_issue(
    tenant: str,
    agent: str,
    /,
    *,
    scope: Annotated[tuple[Scope, ...], Parameter(negative="")] = (),
    expires_in: str = "",
    note: str = "",
) -> None:
    """Issue an API key for an agent. It is shown this once.

    Parameters
    ----------
    scope
        read, write or admin; may be repeated [default: those of the agent's document].
    expires_in
        Lifetime like 90d, 12h or 30m [default: no end].
    note
        For people.
    """
    args = arguments.Issue(tenant=tenant, agent=agent, scopes=scope, expires_in=expires_in, note=note)
    _print(_ask("apikey issue", args), show.issued)


@_apikey.command(name="list")
def apikey_list(*, tenant: str = "") -> None:
    """The API keys that were issued, without their texts."""
    _print(_ask("apikey list", arguments.Listing(tenant=tenant)), show.api_keys)


@_apikey.command(name="revoke")
def apikey_revoke(id: str, /) -> None:
    """Revoke an API key; the next request with it is refused.

    Parameters
    ----------
    id
        The key's id, as `sekimori apikey list` shows it; never the key.
    """
    _print(_ask("apikey revoke", arguments.Revoke(id=id)), show.revoked)


# -- questions -------------------------------------------------------------------------------------------------------


def _explain(
    verb: str, tenant: str, agent: str, model: str, dialect: Dialect, operation: Operation, needs: tuple[str, ...]
) -> Any:
    return _ask(
        verb,
        arguments.Explain(tenant=tenant, agent=agent, model=model, dialect=dialect, operation=operation, needs=needs),
    )


@_route.command(name="explain")
def route_explain(
    tenant: str,
    agent: str,
    model: str,
    /,
    *,
    dialect: Dialect = "openai",
    operation: Operation = "chat",
    needs: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> int:
    """Which key a call of this agent would use, and why. Nobody is called."""
    answer = _explain("route explain", tenant, agent, model, dialect, operation, needs)
    _print(answer, show.route)
    return 0 if answer["granted"] else 1


@_policy.command(name="explain")
def policy_explain(
    tenant: str,
    agent: str,
    model: str,
    /,
    *,
    dialect: Dialect = "openai",
    operation: Operation = "chat",
    needs: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> int:
    """Whether a call of this agent would be granted: every check in order, up to the first no."""
    answer = _explain("policy explain", tenant, agent, model, dialect, operation, needs)
    _print(answer, show.policy)
    return 0 if answer["granted"] else 1


@_egress.command(name="check")
def egress_check(*urls: str, tenant: str = "", agent: str = "") -> int:
    """Whether URLs may be fetched for an agent: one JSON object a line. Nothing is called or resolved.

    Parameters
    ----------
    urls
        The URLs [default: one a line on standard input].
    tenant
        With `--agent`, ask for that agent's Egress document [default: whether anybody's could allow the URL].
    """
    from sekimori.policy import egress

    if bool(tenant) != bool(agent):
        raise Refused("wrong_use", "A tenant and an agent belong together.", advice="Give `--tenant` and `--agent`.")
    if urls:
        given = [url.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for url in urls]
    else:
        given = sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n").split("\n")
        given = [url.removesuffix("\r") for url in given]
    if agent:
        said = _ask("egress check", arguments.EgressCheck(urls=tuple(given), tenant=tenant, agent=agent))
        verdicts = msgspec.convert(said, list[egress.Verdict])
    else:
        verdicts = [egress.form(url) for url in given]
    for url, verdict in zip(given, verdicts, strict=True):
        show.json_line({"url": url, "allowed": verdict.allowed, "reason": verdict.reason})
    return 0 if all(verdict.allowed for verdict in verdicts) else 1


@app.command
def usage(
    *,
    by: Annotated[tuple[By, ...], Parameter(negative="")] = (),
    tenant: str = "",
    since: str = "",
    until: str = "",
    tag: str = "",
    csv: Annotated[bool, Flag] = False,
) -> None:
    """Tokens and cost as the providers counted them, from the record.

    Parameters
    ----------
    by
        agent, key, model, provider, day, tag, user or session; may be repeated [default: one line a tenant].
    since
        First day, YYYY-MM-DD, UTC.
    until
        Last day.
    tag
        Only calls that carry this cost tag.
    csv
        Answer in CSV.
    """
    answer = _ask("usage", arguments.Usage(by=by, tenant=tenant, since=since, until=until or "9999-12-31", tag=tag))
    if csv:
        show.usage_csv(answer)
    else:
        _print(answer, lambda lines: show.usage(lines, by))


# -- the record ------------------------------------------------------------------------------------------------------


@_ledger.command(name="verify")
def ledger_verify(*, log: str = "") -> int:
    """Verify the logs from their files: every hash, signature, run and pair.

    Parameters
    ----------
    log
        `operator`, or a tenant [default: all].
    """
    answer = _ask("ledger verify", arguments.Logs(log=log))
    _print(answer, show.verified)
    return 0 if all(one["ok"] for one in answer) else 1


@_ledger.command(name="show")
def ledger_show(record: str = "", /, *, log: str = "", last: int = 20) -> None:
    """Entries of the record: one by its id, or the last ones of a log.

    Parameters
    ----------
    record
        An entry's id, as the reply header `x-sekimori-record` says it.
    log
        `operator`, or a tenant [default: operator, or wherever the record is].
    last
        How many of the newest.
    """
    _print(_ask("ledger show", arguments.Show(record=record, log=log, last=last)), show.entries)


@_ledger.command(name="proof")
def ledger_proof(record: str, /, *, log: str = "") -> None:
    """The proof that an entry is in its log (C2SP tlog-proof), to be checked offline by anyone.

    Parameters
    ----------
    record
        An entry's id.
    log
        `operator`, or a tenant [default: wherever the record is].
    """
    answer = _ask("ledger proof", arguments.Show(record=record, log=log))
    _print(answer, lambda found: show.raw(found["proof"]))


@_kek.command(name="rotate")
def kek_rotate() -> None:
    """Make a new key-encryption key and wrap every tenant key with it."""
    _print(_ask("kek rotate", arguments.Nothing()), show.kek_rotated)
