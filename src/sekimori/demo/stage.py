"""The demo from curtain to curtain: a scratch folder, a real model, a sandbox, a deployment; then each step in turn."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from sekimori.demo import cast
from sekimori.demo.deployment import Deployment
from sekimori.demo.model import ModelUnavailable, model_server
from sekimori.demo.show import Show, Step, Surprise

if TYPE_CHECKING:
    from sekimori.demo.world import World

STEPS: Final = 18
SDKS: Final = {"openai": "openai", "anthropic": "anthropic", "google-genai": "google.genai"}
"""Package -> the module that it brings."""
TERMINALS: Final = 4
"""Commands that are typed at once where their order says nothing."""
TAIL: Final = 1500
"""Characters of the server's log that are shown when something fails."""

INTRODUCTION: Final = (
    "Sekimori stands between AI agents and the providers of their models. It decides whose key pays for a call, "
    "records the call before a byte leaves, and hands no agent a provider key. Here it serves two clients and three "
    "agents, through the real SDKs of OpenAI, Anthropic and Google, with a real (small) language model and a sandbox "
    "provider behind it. Nothing leaves this machine."
)


def run(*, serve: bool, keep: bool, as_json: bool) -> int:
    """As `sekimori.demo.run`."""
    show = Show(as_json=as_json, steps=STEPS)
    for package, module in SDKS.items():
        if not _found(module):
            why = f"The SDK `{package}` is not installed: `make setup` installs it (requirements/develop.txt)."
            return _unable(show, why)
    # SIGINT, too: who is started in the background of a shell script inherits that it is ignored.
    previous = {number: signal.signal(number, _interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    folder = Path(tempfile.mkdtemp(prefix="sekimori-demo-"))
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            world = _raise_curtain(show, folder, stack)
            if serve:
                return _stay(world, show, keep)
            _play(world)
        seconds = time.monotonic() - began
        said = f"{show.checks} checks in {show.done} steps, {seconds:.0f} s"
        show.json(demo="ok", checks=show.checks, steps=show.done, seconds=round(seconds, 1))
        show.text(f"\ndemo: ok, {said}" + (f"; kept in {folder}" if keep else ""))
        return 0
    except Surprise as surprise:
        show.text(f"\ndemo: failed, {surprise.what}", style="bold red")
        _say_log(show, folder, keep)
        return 1
    except ModelUnavailable as missing:
        return _unable(show, str(missing))
    except (RuntimeError, subprocess.TimeoutExpired) as failed:
        show.json(demo="failed", what=str(failed))
        show.text(f"\ndemo: failed, what stands behind it did not start\n{failed}", style="bold red")
        _say_log(show, folder, keep)
        return 1
    except KeyboardInterrupt:
        show.text("\ndemo: stopped")
        return 130
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package above it
        return False


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Ends the demo: what was started is stopped, what was made is removed."""
    raise KeyboardInterrupt


def _unable(show: Show, why: str) -> int:
    show.json(demo="unable", what=why)
    show.text(f"demo: cannot run. {why}", style="bold red")
    return 3


def _say_log(show: Show, folder: Path, keep: bool) -> None:
    log = folder / "serve.log"
    if log.exists():
        show.text("The server's log ends:", style="dim")
        show.raw(log.read_text(encoding="utf-8", errors="replace")[-TAIL:])
    show.text(f"Kept for a look: {folder}" if keep else "Run it with --keep to look at what it leaves.")


def _raise_curtain(show: Show, folder: Path, stack: ExitStack) -> World:
    """Start what stands behind the demo. What the steps have to show begins afterwards."""
    show.text(INTRODUCTION)
    # Loading the SDKs takes seconds, which the model needs to start, too. An error of it comes again below.
    threading.Thread(target=importlib.import_module, args=("sekimori.demo.world",)).start()
    with show.working("starting the language model (SmolLM2, 135 million parameters, on this machine's CPU)"):
        model_url = stack.enter_context(model_server(folder / "model.log"))
    deployment = stack.enter_context(Deployment(folder))
    with show.working("starting the sandbox provider"):
        deployment.serve_sandbox()
    with show.working("loading the SDKs"):
        from sekimori.demo.world import World  # waits for the thread
    return World(deployment, show, cast.make_secrets(), model_url)


def _build(world: World, step: Step) -> None:
    """A deployment from nothing, as a person would make it."""
    deployment = world.deployment
    step.table("command", "what it did")
    with world.show.working("sekimori init"):
        deployment.init()
    step.row("sekimori init", "made the home: vault, ledger, database")
    documents = deployment.folder / "documents.yaml"
    documents.write_text(cast.documents(world.model_url, deployment.sandbox_url), encoding="utf-8")
    with world.show.working("sekimori serve"):
        deployment.serve()
    step.row(
        "sekimori serve",
        f"gateway on {deployment.url.removeprefix('http://')}, control on {deployment.control_url.removeprefix('http://')}",
    )
    said = world.run("apply", "-f", str(documents))
    step.row("sekimori apply -f documents.yaml", said.strip().splitlines()[-1])
    with ThreadPoolExecutor(TERMINALS) as typing:
        with world.show.working("sekimori key"):
            world.said += typing.map(
                lambda put: deployment.run("key", "put", put[0], stdin=put[1] + "\n"), world.secrets.items()
            )
        with world.show.working("sekimori apikey"):
            issued = list(typing.map(lambda agent: deployment.issue(*agent)[1], cast.AGENTS))
    world.api_keys.update({"/".join(agent): key for agent, key in zip(cast.AGENTS, issued, strict=True)})
    step.row(f"sekimori key put ({len(world.secrets)} times)", _by_owner(world.secrets))
    step.row(f"sekimori apikey issue ({len(cast.AGENTS)} times)", ", ".join(world.api_keys))
    exported = deployment.folder / "exported.yaml"
    exported.write_text(world.run("export"), encoding="utf-8")
    step.check(
        "what `sekimori export` prints is the whole policy: applying it changes nothing",
        world.json("diff", "--prune", "-f", str(exported))["changes"],
        [],
    )


def _by_owner(paths: Iterable[str]) -> str:
    """Paths of keys in short: `clients/acme: claude, gemini; operator: openai`."""
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        owner, _, name = path.rpartition("/")
        owners[owner].append(name)
    return "; ".join(f"{owner}: {', '.join(names)}" for owner, names in owners.items())


def _play(world: World) -> None:
    import anthropic
    import httpx2
    import openai
    from google.genai.errors import APIError

    from sekimori.demo import answers, proofs, providers, refusals

    steps: list[tuple[Callable[[World, Step], None], str, str]] = [
        (
            _build,
            "A deployment from nothing",
            "acme (agency mode) has the agents x and y, globex (VPC mode) has z. Keys go in and never come out.",
        ),
        (
            answers.plain,
            "A plain call",
            "x pays with its client's own key, y with the operator's; z has its client's own endpoint and key.",
        ),
        (
            answers.streamed,
            "A streamed call",
            "Words arrive as the model finds them; only the last event waits for the record.",
        ),
        (
            providers.azure,
            "Azure's client, and a contract at Azure",
            "globex/z changes AzureOpenAI's endpoint and key, and nothing else. The sandbox plays its Azure.",
        ),
        (
            providers.gemini,
            "Google's SDK",
            "acme/x changes google-genai's base URL and key, and nothing else. The sandbox plays Google.",
        ),
        (
            answers.tools,
            "Tool calls",
            "They pass in both dialects. The sandbox provider answers here: so small a model uses no tools.",
        ),
        (
            answers.fallback,
            "Fallback, and where policy forbids it",
            "Both clients' keys are over their limit. The operator's steps in for acme, and never for globex.",
        ),
        (
            providers.pair,
            "Two keys by weight, and one that rests",
            "A document gives acme/x a second key at Google; rotated, that key is over its limit there.",
        ),
        (
            refusals.not_allowed,
            "A model that is not allowed",
            "What an agent's document does not list, the agent may not call.",
        ),
        (
            refusals.foreign,
            "A model that only another client has",
            "acme learns nothing of globex: it is answered exactly as for a model that no one has.",
        ),
        (
            refusals.foreign_response,
            "A response that only another client has",
            "A response that acme's provider keeps is there for acme alone: globex is told that it never was.",
        ),
        (
            refusals.rate_limit,
            "A rate limit",
            f"globex/z may make {cast.PER_MINUTE} requests in any 60 seconds; no client slows another.",
        ),
        (
            refusals.budget,
            "A budget that bites",
            "Tokens are reserved before a call and settled after it: what may not fit in what is left is refused.",
        ),
        (
            refusals.revoked,
            "A revoked API key",
            "Revocation bites on the next request, without a restart.",
        ),
        (
            proofs.usage,
            "Usage by agent and by key",
            "Summed from the ledger; compared here with what the SDKs were told, call by call.",
        ),
        (
            proofs.crash,
            "kill -9 in mid-stream",
            "A crash loses no record: what was open is closed on restart, and says so.",
        ),
        (
            proofs.ledger,
            "The ledger, verified",
            "A Merkle log for each client and one for the operator, with signed checkpoints.",
        ),
        (
            proofs.sweep,
            "No key bytes anywhere",
            "Searched: every file of the home, every log, every reply, and what the commands printed.",
        ),
    ]
    assert len(steps) == world.show.steps
    for play, title, point in steps:
        with world.show.step(title, point) as step:
            try:
                with world.show.working(f"{step.number}/{len(steps)} {title}"):
                    play(world, step)
            except (openai.OpenAIError, anthropic.AnthropicError, APIError, httpx2.HTTPError) as error:
                raise Surprise(
                    "every call of this step ends as it should", "no error of an SDK", _told(error)
                ) from error
            except (RuntimeError, subprocess.TimeoutExpired) as failed:  # a command, or a server that did not come up
                raise Surprise("every command of this step does as it should", "a good end in time", failed) from failed


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _stay(world: World, show: Show, keep: bool) -> int:
    """Leave the deployment running, with commands to try it, until Ctrl-C."""
    _build(world, Step(1, "", ""))
    key = world.api_keys["acme/y"]
    snippets = _snippets(world.deployment.url, key, world.api_keys["acme/x"])
    command = shlex.join([str(Path(sys.executable).parent / "sekimori"), "--home", str(world.deployment.home)])
    show.json(
        demo="serving",
        gateway=world.deployment.url,
        control=world.deployment.control_url,
        home=str(world.deployment.home),
        api_keys=world.api_keys,
        snippets=snippets,
    )
    show.text(
        f"\nThe demo deployment is up: gateway {world.deployment.url}, metrics {world.deployment.control_url}/metrics"
    )
    for title, text in snippets.items():
        show.text(f"\n# {title}", style="bold")
        show.raw(text)
    show.text("\n# What happened", style="bold")
    for verb in ("usage --by agent --by key", "ledger show --log acme", "ledger verify"):
        show.raw(f"{command} {verb}")
    show.text(f"\nCtrl-C stops it{'' if keep else ' and removes its home'}.")
    try:
        while True:
            time.sleep(1.0)
            if not world.deployment.server.alive:
                raise Surprise("the server stays up", "a running process", "it ended")
    except KeyboardInterrupt:
        with show.working("stopping"):
            world.deployment.server.stop()
        show.text("demo: stopped" + (f"; kept in {world.deployment.folder}" if keep else ""))
        return 0


def _snippets(url: str, openai_key: str, anthropic_key: str) -> dict[str, str]:
    """Commands that work when pasted into a shell."""
    python = shlex.quote(sys.executable)
    return {
        "curl, as acme/y in the OpenAI dialect": f"""\
curl -sS -w '\\n' {url}/v1/chat/completions \\
  -H 'authorization: Bearer {openai_key}' -H 'content-type: application/json' \\
  -d '{{"model": "smollm2", "messages": [{{"role": "user", "content": "Name the capital of France."}}]}}'""",
        "the openai SDK, streamed": f"""\
{python} - <<'END'
from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="{openai_key}")
for chunk in client.chat.completions.create(
    model="smollm2", stream=True, messages=[{{"role": "user", "content": "Tell me about a lighthouse."}}]
):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
END""",
        "the anthropic SDK, as acme/x": f"""\
{python} - <<'END'
from anthropic import Anthropic
client = Anthropic(base_url="{url}", api_key="{anthropic_key}")
reply = client.messages.create(
    model="smollm2", max_tokens=60, messages=[{{"role": "user", "content": "Name the capital of France."}}]
)
print(reply.content[0].text)
END""",
    }
