"""Steps in which calls are refused: what policy does not list, what is another client's, too many, a revoked key."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import anthropic
import openai

from sekimori.demo import cast
from sekimori.demo.answers import QUESTION
from sekimori.demo.clients import Seen
from sekimori.demo.show import Step, excerpt
from sekimori.demo.world import World, anthropic_tokens, openai_tokens, recorded, responses_tokens

ROOM: Final = 150
"""Tokens that acme/y is given on top of what it has used today: enough for a few calls."""
KEY_PER_MINUTE: Final = 200
"""Tokens that acme's key for Claude may serve in any minute, while the step lasts."""
SHORT: Final[Any] = {"model": "smollm2", "max_tokens": 12, "messages": [{"role": "user", "content": QUESTION}]}
"""What both agents ask until they are refused, in either dialect."""
AMPLE: Final = 1_000_000
AT_MOST: Final = 15
"""Calls after which a budget that has not refused one is taken not to bite."""


def not_allowed(world: World, step: Step) -> None:
    step.table("agent", "asks for", "the SDK raises", "which says")
    try:
        world.openai("acme/y").chat.completions.create(
            model=cast.LISTED_NOWHERE, messages=[{"role": "user", "content": QUESTION}]
        )
    except openai.PermissionDeniedError as error:
        refused = error
    else:
        step.holds("acme/y is refused", False, expected="openai.PermissionDeniedError", seen="an answer")
        return
    recorded(step, "the refusal", refused.response.headers)
    says = str(refused.response.json()["error"]["message"])
    step.row("acme/y", cast.LISTED_NOWHERE, f"PermissionDeniedError ({refused.status_code})", says)
    step.check("a model that the agent's document does not list is refused with 403", refused.status_code, 403)
    step.check("the SDK is told not to try again", refused.response.headers.get("x-should-retry"), "false")
    listed = [model.id for model in world.openai("acme/y").models.list()]
    step.holds(
        "GET /v1/models lists what this agent may use, and only that",
        "smollm2" in listed and cast.LISTED_NOWHERE not in listed and cast.FOREIGN_MODEL not in listed,
        expected="smollm2, no other plain model",
        seen=", ".join(listed),
    )


def foreign(world: World, step: Step) -> None:
    step.table("asked by acme", cast.FOREIGN_MODEL + " (globex has it)", cast.NO_MODEL + " (nobody has it)", "replies")
    key = world.api_keys["acme/y"]
    ask = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 10}
    url = world.deployment.url

    def post(door: str, model: str) -> Seen:
        return world.tape.post(url + door, key, {**ask, "model": model})

    def look(door: str, model: str) -> Seen:
        return world.tape.get(f"{url}{door}/{model}", key)

    for made, door in ((post, "/v1/chat/completions"), (post, "/v1/messages"), (look, "/v1/models")):
        theirs, nobodys = made(door, cast.FOREIGN_MODEL), made(door, cast.NO_MODEL)
        what = f"{'POST' if made is post else 'GET'} {door}"
        same = theirs.without(cast.FOREIGN_MODEL) == nobodys.without(cast.NO_MODEL)
        step.row(what, theirs.status, nobodys.status, "same bytes" if same else "different")
        step.check(
            f"{what}: 404, and the same headers and bytes but for ids and the name",
            theirs.without(cast.FOREIGN_MODEL),
            nobodys.without(cast.NO_MODEL),
        )
        step.holds(f"{what} is not found", theirs.status == 404, expected="404", seen=theirs.status)
        step.checks.pop()  # said in the line before
    try:
        world.anthropic("acme/x").messages.create(
            model=cast.FOREIGN_MODEL, max_tokens=10, messages=[{"role": "user", "content": QUESTION}]
        )
    except anthropic.NotFoundError as error:
        step.check("the anthropic SDK raises its NotFoundError", error.status_code, 404)
    else:
        step.holds("acme/x is refused", False, expected="anthropic.NotFoundError", seen="an answer")


def foreign_response(world: World, step: Step) -> None:
    step.table("agent", "goes on from", "is answered", wide="is answered")
    responses = world.openai("acme/y").responses
    raw = responses.with_raw_response.create(
        model=cast.STORING_MODEL, input="Order 1714 is for Ada.", store=True, max_output_tokens=50
    )
    stored = raw.parse()
    world.tally("acme/y", cast.ACME_OPENAI, responses_tokens(stored.usage))
    step.row("acme/y", "nothing", f"a response that its provider keeps, {stored.id[:18]}…")
    step.check("acme/y has a response kept, with its client's own key", raw.headers["x-sekimori-key"], cast.ACME_OPENAI)

    # As long as the other, so that not even the length of a reply may differ.
    nobodys = stored.id[: -len("0" * 16)] + secrets.token_hex(8)
    before = world.sandbox_calls(cast.GLOBEX_PRACTICE)

    def named(id: str) -> Seen:
        ask = {"model": cast.SANDBOX, "input": "Who is it for?", "previous_response_id": id}
        return world.tape.post(f"{world.deployment.url}/v1/responses", world.api_keys["globex/z"], ask)

    theirs, never = named(stored.id), named(nobodys)
    said = theirs.json()["error"]
    step.row("globex/z", "acme's response", f"{theirs.status} {said['code']}")
    step.row("globex/z", "an id that never was", f"{never.status} {never.json()['error']['code']}")
    step.check(
        "globex/z may have responses kept, too, and gets the same headers and bytes but for the id",
        theirs.without(stored.id),
        never.without(nobodys),
    )
    try:
        world.openai("globex/z").responses.create(
            model=cast.SANDBOX, input="Who is it for?", previous_response_id=stored.id
        )
    except openai.BadRequestError as error:
        step.check("the openai SDK raises its BadRequestError", error.code, "previous_response_not_found")
    else:
        step.holds("globex/z is refused", False, expected="openai.BadRequestError", seen="an answer")
    step.check("no provider was asked", world.sandbox_calls(cast.GLOBEX_PRACTICE), before)

    following = responses.create(model=cast.STORING_MODEL, input="Who is it for?", previous_response_id=stored.id)
    world.tally("acme/y", cast.ACME_OPENAI, responses_tokens(following.usage))
    heard = following.output_text.partition(" It received ")[2].partition(";")[0]
    step.row("acme/y", "its own response", excerpt(heard))
    step.holds(
        "acme/y goes on from it: its provider has all three messages",
        "3 messages" in following.output_text,
        expected="3 messages",
        seen=following.output_text,
    )


def rate_limit(world: World, step: Step) -> None:
    step.table("agent", "made in the last 60 s", "then", "Retry-After", "x-ratelimit-limit-requests", wide="then")
    client = world.openai("globex/z")
    made = 0
    refused: openai.RateLimitError | None = None
    while refused is None and made <= cast.PER_MINUTE:
        try:
            reply = client.chat.completions.create(
                model=cast.FOREIGN_MODEL, max_tokens=1, messages=[{"role": "user", "content": "Hi"}]
            )
        except openai.RateLimitError as error:
            refused = error
        else:
            made += 1
            world.tally("globex/z", cast.GLOBEX_LLM, openai_tokens(reply.usage))
    if refused is None:
        step.holds("globex/z is limited", False, expected=f"at most {cast.PER_MINUTE} answers", seen=f"{made} answers")
        return
    headers = refused.response.headers
    wait, limit = headers.get("retry-after", ""), headers.get("x-ratelimit-limit-requests", "")
    recent = world.made_since("globex/z", time.monotonic() - 60)
    step.row("globex/z", f"{recent - made} before, {made} now", f"{type(refused).__name__} (429)", f"{wait} s", limit)
    step.holds(
        f"it was let make {cast.PER_MINUTE}, calls of the steps before counted, and not one more",
        recent >= cast.PER_MINUTE >= made,
        expected=str(cast.PER_MINUTE),
        seen=f"{recent} in the last minute, {made} of them now",
    )
    step.holds(
        "429 says when to come back (Retry-After)",
        wait.isdigit() and 0 < int(wait) <= 60,
        expected="1 to 60 seconds",
        seen=repr(wait),
    )
    step.check("and what the limit is, in the dialect's own header", limit, str(cast.PER_MINUTE))
    reply = world.openai("acme/y").chat.completions.create(
        model="smollm2", max_tokens=1, messages=[{"role": "user", "content": "Hi"}]
    )
    world.tally("acme/y", cast.OPERATOR_OPENAI, openai_tokens(reply.usage))
    step.check("the other client is not slowed: acme/y is answered", reply.object, "chat.completion")


def budget(world: World, step: Step) -> None:
    step.table("budget of", "tokens", "answered", "then the SDK raises", "it opens", wide="tokens")
    used = _used_today(world, "y")
    world.apply("budgets.yaml", cast.budgets(used + ROOM, KEY_PER_MINUTE))
    spent = _of_an_agent(world, step, used)
    step.check(
        "the budget balances: by the record, acme/y has used what the SDK was told, to the token",
        _used_today(world, "y"),
        used + spent,
    )
    _of_a_key(world, step)
    world.apply("budgets.yaml", cast.budgets(AMPLE, AMPLE))
    reply = world.openai("acme/y").chat.completions.create(**SHORT)
    world.tally("acme/y", cast.OPERATOR_OPENAI, openai_tokens(reply.usage))
    step.check("a raised budget holds at once: acme/y is answered", reply.object, "chat.completion")


def _of_an_agent(world: World, step: Step, before: int) -> int:
    """acme/y calls until its day's budget is spent; returns the tokens that it used here."""
    client = world.openai("acme/y")

    def call() -> int:
        tokens = openai_tokens(client.chat.completions.create(**SHORT, temperature=0).usage)
        world.tally("acme/y", cast.OPERATOR_OPENAI, tokens)
        return tokens.input + tokens.output

    used, refused = _until_refused(call, openai.RateLimitError)
    if refused is None:
        step.holds("the budget bites", False, expected="openai.RateLimitError", seen=f"{len(used)} answers")
    error = refused.response.json()["error"]
    opens = re.search(r"\d{4}-\d\d-\d\dT00:00:00Z", error["message"])
    asked = re.search(r"this call may use (\d+) tokens", error["message"])
    most, left = int(asked[1]) if asked else 0, ROOM - sum(used)
    step.row(
        "acme/y",
        f"{before + ROOM} a day, {before} used",
        len(used),
        f"{type(refused).__name__} ({refused.status_code})",
        opens[0] if opens else "",
    )
    step.holds(
        f"acme/y had {ROOM} tokens left; its call {len(used) + 1} is the first that may use more: {most} > {left}",
        bool(used) and left < most <= left + used[-1],
        expected=f"refused as soon as less than {most} tokens are left",
        seen=f"{left} left after calls that used {used}",
    )
    step.check(
        "429 budget_exhausted, in the dialect's own shape: it names the day and says not to retry",
        (error["type"], error["code"], bool(opens), refused.response.headers.get("x-should-retry")),
        ("rate_limit_error", "budget_exhausted", True, "false"),
    )
    return sum(used)


def _of_a_key(world: World, step: Step) -> None:
    """acme/x calls until its client's key has served what it may in a minute."""
    client = world.anthropic("acme/x")

    def call() -> int:
        tokens = anthropic_tokens(client.messages.create(**SHORT).usage)
        world.tally("acme/x", cast.ACME_CLAUDE, tokens)
        return tokens.input + tokens.output

    used, refused = _until_refused(call, anthropic.RateLimitError)
    if refused is None:
        step.holds("the key's budget bites", False, expected="anthropic.RateLimitError", seen=f"{len(used)} answers")
    wait = refused.response.headers.get("retry-after", "")
    step.row(
        cast.ACME_CLAUDE,
        f"{KEY_PER_MINUTE} a minute",
        len(used),
        f"{type(refused).__name__} ({refused.status_code})",
        f"Retry-After: {wait}",
    )
    step.check(
        "429 in the Anthropic dialect, for a key's budget in any minute",
        refused.response.json()["error"]["type"],
        "rate_limit_error",
    )
    step.holds(
        "that one is worth waiting for: Retry-After says how long",
        wait.isdigit() and 0 < int(wait) <= 61,
        expected="1 to 61 seconds in Retry-After",
        seen=repr(wait),
    )


def _until_refused(call: Callable[[], int], refusal: type[Exception]) -> tuple[list[int], Any]:
    """Call until it is refused: the tokens of each call, and the refusal; None where AT_MOST calls were answered."""
    used: list[int] = []
    for _ in range(AT_MOST):
        try:
            used.append(call())
        except refusal as refused:
            return used, refused
    return used, None


def _used_today(world: World, agent: str) -> int:
    """Tokens of an agent of acme in this UTC day, by the record."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    lines = world.json("usage", "--by", "agent", "--tenant", "acme", "--since", today)
    return sum(line["input"] + line["output"] for line in lines if line["agent"] == agent)


def revoked(world: World, step: Step) -> None:
    step.table("acme/y calls with", "before", "after `sekimori apikey revoke`")
    deployment = world.deployment
    with world.show.working("sekimori apikey"):
        id, key = deployment.issue("acme", "y")
    world.other_api_keys.append(key)
    client = world.tape.openai(deployment.url, key)

    def call() -> str:
        try:
            reply = client.chat.completions.create(
                model="smollm2", max_tokens=1, messages=[{"role": "user", "content": "Hi"}]
            )
        except openai.AuthenticationError as error:
            return (
                f"AuthenticationError ({error.status_code}): {excerpt(str(error.response.json()['error']['message']))}"
            )
        world.tally("acme/y", cast.OPERATOR_OPENAI, openai_tokens(reply.usage))
        return "answered"

    before = call()
    step.check("a new API key is good at once", before, "answered")
    world.run("apikey", "revoke", id)
    after = call()
    step.row(f"API key {id[:12]}…", before, after)
    step.holds(
        "revoked, it is refused on the very next request",
        after.startswith("AuthenticationError (401)"),
        expected="AuthenticationError (401)",
        seen=after,
    )
    client = world.openai("acme/y")
    step.check("the agent's other key is untouched", call(), "answered")
