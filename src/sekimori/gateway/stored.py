"""Doors of stored responses, whose paths name the response.

    GET, DELETE /v1/responses/ID      POST /v1/responses/ID/cancel      GET /v1/responses/ID/input_items

An id is one step of the path as it stands, nothing is decoded: dialects/stored says which can be one.
"""

from __future__ import annotations

from typing import Final

from sekimori.terms import Named, Operation

ROOT: Final = "/v1/responses/"
DOORS: Final = "/v1/responses/ID"

_TAKEN: Final = frozenset({"compact", "input_tokens"})
"""Steps that are no ids: doors of their own at the provider, which are shut here."""
_OPERATIONS: Final[dict[str, dict[str, Operation]]] = {
    # What follows the id: the methods that it takes.
    "": {"GET": "response_retrieve", "DELETE": "response_delete"},
    "cancel": {"POST": "response_cancel"},
    "input_items": {"GET": "response_items"},
}


def read_path(method: str, path: str, query: str) -> tuple[Operation, Named, tuple[str, ...]] | None:
    """What method, path and query say of a call, and the methods that the path takes; None where it is no such path.

    The operation of a method that the path does not take is that of its first.
    """
    if not path.startswith(ROOT):
        return None
    id, slash, rest = path.removeprefix(ROOT).partition("/")
    methods = _OPERATIONS.get(rest) if bool(slash) == bool(rest) else None
    if not id or id in _TAKEN or methods is None:
        return None
    operation = methods[method] if method in methods else next(iter(methods.values()))
    return operation, Named(object=id, query=query), tuple(methods)
