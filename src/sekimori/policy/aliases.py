"""What an alias means: which of its targets count, with which share, and whether its name may stand for them at all.

An alias is a name, not a permission: a call of it is judged target by target as if the target had been called, and
targets that the agent may not call are left out. The rules of its name protect who calls a model by that name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from sekimori.policy.kinds import Alias
from sekimori.policy.pattern import matches


def taken(alias: Alias, models: Mapping[str, Iterable[str]]) -> str:
    """The provider (of `models`: provider -> names and patterns it serves) that has a model of the alias' name; empty
    where none has, or where that model is one of the targets, at one provider or another.

    Otherwise who asks for a model would be given anything but it. A bare `*` names no model and takes no name.
    """
    if any(target.model.partition("/")[2] == alias.name for target in alias.targets):
        return ""
    for provider in sorted(models):
        if any(matches(pattern, alias.name) for pattern in models[provider] if pattern.strip("*")):
            return provider
    return ""


def shares(targets: Sequence[tuple[int, Sequence[int]]]) -> list[list[int]]:
    """Weights of all keys of all targets on one scale: a target's share is split among its keys by their weights.

    `targets` holds each target's weight and its keys' weights, at least one. Exact: in whole numbers, as small as
    they can be; a single target's keys keep the weights they have.
    """
    if len(targets) == 1:
        return [list(targets[0][1])]
    scale = math.lcm(*(sum(keys) for _, keys in targets))
    scaled = [[weight * key * (scale // sum(keys)) for key in keys] for weight, keys in targets]
    divisor = math.gcd(*(share for keys in scaled for share in keys))
    return [[share // divisor for share in keys] for keys in scaled]
