"""What does not exist, in the words that the provider itself has for it.

An id of another tenant, one minted with another key and one that nobody ever had are refused alike, byte for byte, and
like the provider refuses what it does not have: a caller learns nothing that the provider would not tell it of a
stranger's object, and an SDK's own handling of a lost conversation works.
"""

from __future__ import annotations

from typing import Final

from sekimori.errors import Refused
from sekimori.terms import Dialect

_SHOWN: Final = 256

# Last step of the place (indices aside) -> what OpenAI calls such an object.
_OPENAI: Final = {
    "conversation": "Conversation",
    "container": "Container",
    "container_id": "Container",
    "vector_store_ids": "Vector store",
    "file_id": "File",
    "file_ids": "File",
    "prompt": "Prompt",
    "response_id": "Response",
}
# Beginning of the id, where the place says too little.
_KINDS: Final = {
    "resp_": "Response",
    "conv_": "Conversation",
    "cntr_": "Container",
    "vs_": "Vector store",
    "file-": "File",
    "file_": "File",
}


class Absent(Refused):
    """Refused `object_not_found`, with what OpenAI's errors say beside the message."""

    def __init__(self, text: str, status: int, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__("object_not_found", text, status=status)
        self.code = code
        self.param = param


def absent(dialect: Dialect, id: str, place: str) -> Absent:
    """The refusal of an ask that names an object which does not exist for its tenant and key."""
    shown = "".join(char if char.isprintable() else "?" for char in id[:_SHOWN])
    if dialect == "anthropic":
        if "container" in place.split(".")[0]:
            return Absent(f"Container not found: {shown}", 404)
        return Absent(f"{'Message' if 'previous_message_id' in place else 'File'} not found: {shown}", 404)
    if dialect == "gemini":
        # This provider says 403 where another would say 404, for the same reason that we have.
        if "cached" in place.lower():
            return Absent("CachedContent not found (or permission denied)", 403)
        return Absent(f"You do not have permission to access the File {shown} or it may not exist.", 403)
    if place == "previous_response_id":
        text = f"Previous response with id '{shown}' not found."
        return Absent(text, 400, code="previous_response_not_found", param="previous_response_id")
    last = place.rpartition(".")[2].partition("[")[0]
    kind = _OPENAI.get(last) or next((kind for start, kind in _KINDS.items() if id.startswith(start)), "Item")
    return Absent(f"{kind} with id '{shown}' not found.", 404)
