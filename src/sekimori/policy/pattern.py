"""Model patterns: names in which `*` stands for any characters, none included. Case counts.

Matching is linear in the length of the name for each fixed part of the pattern (leftmost placement, no backtracking),
so a hostile name costs no more than a long one.
"""

from __future__ import annotations


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern stands for the name."""
    head, *parts = pattern.split("*")
    if not parts:
        return pattern == name
    tail = parts.pop()
    if not name.startswith(head) or not name.endswith(tail) or len(name) < len(head) + len(tail):
        return False
    at, end = len(head), len(name) - len(tail)
    for part in parts:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def overlap(one: str, other: str) -> bool:
    """Whether some name is matched by both patterns. Cost: the product of their lengths where both hold a `*`."""
    if "*" not in other:
        return matches(one, other)
    if "*" not in one:
        return matches(other, one)
    # below[j]: whether the rests one[i+1:] and other[j:] can stand for a common text; rows from the end.
    below = [set(other[j:]) <= {"*"} for j in range(len(other) + 1)]
    for letter in reversed(one):
        row = [letter == "*" and below[-1]]
        for j in range(len(other) - 1, -1, -1):
            if letter == "*" or other[j] == "*":
                row.append(below[j] or row[-1])
            else:
                row.append(letter == other[j] and below[j + 1])
        below = row[::-1]
    return below[0]
