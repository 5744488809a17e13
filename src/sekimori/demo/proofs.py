"""Steps that look at what is left behind: usage, the record after a crash, the ledger, and no key bytes anywhere."""

from __future__ import annotations

import base64
import shutil
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import anthropic
import httpx2

from sekimori.demo import cast
from sekimori.demo.answers import STEADY
from sekimori.demo.deployment import Deployment
from sekimori.demo.show import Step, excerpt
from sekimori.demo.world import World, anthropic_tokens, recorded

INPUT_NANO: Final = int(Decimal(cast.INPUT_PRICE) * 1000)
OUTPUT_NANO: Final = int(Decimal(cast.OUTPUT_PRICE) * 1000)
"""10^-9 dollars per token: a thousandth of dollars per million."""
PRICED: Final = (cast.ACME_CLAUDE, cast.OPERATOR_OPENAI)
COUNTED: Final = {"requests": "uses", "input": "input", "output": "output"}
"""What the sandbox provider counts -> what the report calls it."""
BREAK_AFTER: Final = 5
"""Pieces of the stream after which the server is killed."""
LONG_STORY: Final = "Write a long story about a lighthouse."


def usage(world: World, step: Step) -> None:
    step.table("client", "agent", "key", "calls", "tokens in", "tokens out", "cost (USD)")
    lines = world.json("usage", "--by", "agent", "--by", "key")
    seen: Counter[tuple[str, str, str]] = Counter()
    priced: dict[str, int] = {}
    due: dict[str, int] = {}
    due_there: Counter[tuple[str, str]] = Counter()
    """What the sandbox provider must have seen: hops that gave way to another are requests, too."""
    for line in sorted(lines, key=lambda line: (line["tenant"], line["agent"], line["key"])):
        at = (f"{line['tenant']}/{line['agent']}", line["key"])
        seen[*at, "calls"] += line["answered"]
        seen[*at, "input"] += line["input"]
        seen[*at, "output"] += line["output"]
        due_there.update({(line["key"], there): line[here] for there, here in COUNTED.items()})
        cost = f"{line['cost_nano'] // 10**9}.{line['cost_nano'] % 10**9:09d}"
        cost = "no price known" if line["unpriced"] else cost
        if line["key"] in PRICED:
            priced[line["key"]] = line["cost_nano"]
            due[line["key"]] = line["input"] * INPUT_NANO + line["output"] * OUTPUT_NANO
        step.row(line["tenant"], line["agent"], line["key"], line["uses"], line["input"], line["output"], cost)
    step.check(
        "every call and token that the SDKs were told of is in the report, and no other",
        {" ".join(at): count for at, count in sorted(seen.items()) if count},
        {" ".join(at): count for at, count in sorted(world.used.items()) if count},
    )
    step.check("costs are tokens times the agreed price, exact to 10^-9 dollars", priced, due)
    totals = world.sandbox_totals()
    step.check(
        f"the sandbox provider's own count says the same of its {len(cast.AT_SANDBOX)} keys, in requests and tokens",
        {key: {name: total[name] for name in COUNTED} for key, total in totals.items()},
        {key: {name: due_there[key, name] for name in COUNTED} for key in cast.AT_SANDBOX},
    )


def crash(world: World, step: Step) -> None:
    step.table("what happens", "seen")
    deployment = world.deployment
    pieces: list[str] = []
    whole = False
    record = ""
    broken: Exception | None = None
    try:
        with world.anthropic("acme/x").messages.stream(
            model="smollm2", max_tokens=600, messages=[{"role": "user", "content": LONG_STORY}], extra_body=STEADY
        ) as stream:
            record = recorded(step, "the stream", stream.response.headers)
            for piece in stream.text_stream:
                pieces.append(piece)
                if len(pieces) == BREAK_AFTER:
                    deployment.server.kill()
            whole = stream.get_final_message().stop_reason is not None
    except (anthropic.APIError, httpx2.HTTPError) as error:
        broken = error
    step.row("acme/x hears the model", excerpt("".join(pieces), 70))
    step.row("kill -9 of the server, in mid-stream", f"the SDK raises {type(broken).__name__}")
    step.holds(
        "the agent is told that the stream broke off; nothing is passed off as whole",
        broken is not None and not whole,
        expected="an error of the SDK",
        seen=f"a whole reply of {len(pieces)} pieces",
    )

    began = time.monotonic()
    with world.show.working("starting the server again"):
        deployment.serve()
    step.row("the same home is served again", f"ready after {time.monotonic() - began:.1f} s")
    entries = world.entries_of_call("acme", record)
    settled = next((entry for entry in entries if entry["kind"] == "Settled"), None)
    outcome = settled["payload"]["outcome"] if settled is not None else None
    step.row("its ledger, of the broken call", ", ".join(_kinds(entries)))
    step.check("the pair that the crash left open is closed, as interrupted", outcome, "interrupted")

    message = world.anthropic("acme/x").messages.create(
        model="smollm2", max_tokens=20, messages=[{"role": "user", "content": "Say hello."}], extra_body=STEADY
    )
    words = "".join(block.text for block in message.content if block.type == "text")
    world.tally("acme/x", cast.ACME_CLAUDE, anthropic_tokens(message.usage))
    step.row("acme/x calls again, with the same API key", excerpt(words, 70))
    step.holds("policy, keys and API keys are all there: the agent is answered", bool(words), expected="words", seen="")


def _kinds(entries: list[dict[str, Any]]) -> list[str]:
    return [
        entry["kind"] + (f" ({entry['payload']['outcome']})" if "outcome" in entry["payload"] else "")
        for entry in entries
    ]


def ledger(world: World, step: Step) -> None:
    step.table("log", "entries", "origin", "while serving", "at rest", wide="origin")
    serving = _verified(world, step, "while the gateway serves")
    world.tape.get(f"{world.deployment.control_url}/metrics")  # for the sweep: metrics are said aloud, too
    status = world.deployment.server.stop()
    step.check("SIGTERM: the server lets calls end, closes its books and exits with 0", status, 0)
    for log, one in _verified(world, step, "at rest, every run closed").items():
        step.row(log, one["size"], one["origin"], "ok" if serving[log]["ok"] else "BAD", "ok" if one["ok"] else "BAD")

    copy = Deployment(world.deployment.folder / "tampered", world.deployment.name)
    shutil.copytree(world.deployment.home, copy.home, ignore=shutil.ignore_patterns("*.sock"))
    tile = _flip_one_bit(copy.home)
    with world.show.working("sekimori ledger verify"):
        said = copy.run("ledger", "verify", expect=1)
    where = "/".join(tile.relative_to(copy.home).parts[2:])
    step.row("a copy", "", f"one bit flipped in {where}", "", "BAD")
    step.holds(
        "a single bit flipped in a copy is found: exit status 1",
        "BAD" in said,
        expected="`sekimori ledger verify` says BAD",
        seen=said,
    )


def _verified(world: World, step: Step, when: str) -> dict[str, dict[str, Any]]:
    logs = {log["log"]: log for log in sorted(world.json("ledger", "verify"), key=lambda log: str(log["log"]))}
    step.check(
        f"{when}, each log verifies: every hash, signature, run and pair",
        {name: log["problems"] or log["ok"] for name, log in logs.items()},
        {"acme": True, "globex": True, "operator": True},
    )
    return logs


def _flip_one_bit(home: Path) -> Path:
    """Flip a bit in the middle of the largest entry tile; returns its path."""
    tiles = [path for path in home.rglob("*") if path.is_file() and "entries" in path.parts]
    tile = max(tiles, key=lambda path: path.stat().st_size)
    data = bytearray(tile.read_bytes())
    data[len(data) // 2] ^= 1
    tile.chmod(0o600)
    tile.write_bytes(data)
    return tile


def sweep(world: World, step: Step) -> None:
    step.table("searched", "bytes", "keys found")
    folder = world.deployment.folder
    places: dict[str, bytes] = {
        f"home: {sum(1 for path in world.deployment.home.rglob('*') if path.is_file())} files": _bytes_of(
            sorted(path for path in world.deployment.home.rglob("*") if path.is_file())
        ),
        "logs of the server, the model and the sandbox": _bytes_of(sorted(folder.glob("*.log"))),
        "every reply, heads included, and the metrics": bytes(world.tape.heard),
        "what the commands printed": "".join(world.said).encode(),
    }
    api_keys = [*world.api_keys.values(), *world.other_api_keys]
    provider_keys = [*world.secrets.values(), *(secret for former in world.former.values() for secret in former)]
    keys = [*provider_keys, *api_keys]
    counts: dict[str, object] = {}
    for place, data in places.items():
        counts[place] = len(found(data, keys)) if data else "nothing was written"
        step.row(place, f"{len(data):,}", counts[place])
    step.check(
        f"{len(provider_keys)} provider keys and {len(api_keys)} API keys, in 5 spellings each, stand nowhere",
        counts,
        dict.fromkeys(places, 0),
    )
    planted = places["what the commands printed"] + base64.b64encode(b"a key: " + keys[-1].encode())
    step.check("the search itself is sound: a planted key is found", found(planted, keys), [keys[-1]])


def _bytes_of(paths: list[Path]) -> bytes:
    return b"\n".join(path.read_bytes() for path in paths)


def found(data: bytes, keys: list[str]) -> list[str]:
    """Those of the keys that stand in the data: as they are, in hex, or within base64 at any offset."""
    return [key for key in keys if any(spelling in data for spelling in spellings(key.encode()))]


def spellings(key: bytes) -> list[bytes]:
    """A key as it is, in hex, and the part of its base64 that does not depend on its neighbours, at each offset."""
    inner = []
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + key)
        # The first group mixes with what stands before, the last with what follows.
        inner.append(encoded[4 if offset else 0 : -4])
    return [key, key.hex().encode(), *inner]
