"""Steps in which calls are refused: what policy does not list, what is another client's, too many, a revoked key."""

from __future__ import annotations

import time

import anthropic
import openai

from sekimori.demo import cast
from sekimori.demo.answers import QUESTION
from sekimori.demo.clients import Seen
from sekimori.demo.show import Step, excerpt
from sekimori.demo.world import World, openai_tokens, recorded


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
