"""Ask a home: its owner where it is served, else ourselves, with the home opened under its lock. The same verbs."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

import msgspec
from msgspec import Struct

from sekimori.config import Settings
from sekimori.control import owner
from sekimori.control.owner import Failed, NotServed, Progress, check_private, problem_of
from sekimori.errors import Fault, Refusal

STARTING_SECONDS: Final = 15.0
"""How long to wait for a server that holds the home and does not answer yet, or not any more."""


async def call(settings: Settings, verb: str, args: Struct, progress: Progress = lambda text: None) -> Any:
    """The answer of a verb as plain JSON values. Raises `Failed`; its problem says what, and what to do."""
    try:
        check_private(settings.home)
        deadline = asyncio.get_running_loop().time() + STARTING_SECONDS
        while True:
            try:
                return await owner.ask(settings.home, verb, args, progress)
            except NotServed:
                try:
                    return await _alone(settings, verb, args, progress)
                except Fault as fault:
                    late = asyncio.get_running_loop().time() >= deadline
                    if fault.reason != "home_in_use" or late:
                        raise
            progress("waiting for the server of this home")
            await asyncio.sleep(0.1)
    except Refusal as refusal:
        raise Failed(problem_of(refusal)) from refusal


async def _alone(settings: Settings, verb: str, args: Struct, progress: Progress) -> Any:
    # Here and not above: who only asks an owner loads neither database nor cryptography.
    from sekimori.control.home import open_home
    from sekimori.control.verbs import answer

    async with open_home(settings, role=verb) as home:
        result = await answer(home, verb, msgspec.json.encode(args), os.geteuid(), progress)
    return msgspec.json.decode(msgspec.json.encode(result))
