"""What an import gives: documents, how the keys get into the vault, and what was not carried. Holds no secret."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from sekimori.policy.kinds import Document

Verdict = Literal["secret", "left_out", "changed", "note"]
"""`secret`: a secret stood in the file. `left_out`: not carried. `changed`: carried, and works otherwise than before.
`note`: carried; something is left to do or to know."""


class Note(Struct, frozen=True):
    """One line of the report."""

    line: int
    """Of the file, from 1; 0 where it is about no line."""
    place: str
    """Where in the file, e.g. `model_list[3].litellm_params.tpm`."""
    verdict: Verdict
    text: str
    advice: str


class KeyStep(Struct, frozen=True):
    """How one provider key gets into the vault."""

    path: str
    """operator/NAME or clients/TENANT/NAME."""
    source: Literal["variable", "file", "none", "elsewhere"]
    """Where the other gateway had it: a variable of the environment, the file itself, a server that wants none, or a
    credential of the cloud that is no text."""
    where: str
    """For people: `the variable OPENAI_API_KEY`, `line 7 of the file`."""
    command: str
    """What puts it. Never holds the secret."""


class Imported(Struct, frozen=True):
    """An import. `documents` is empty exactly when nothing could be written; then a note says why."""

    documents: tuple[Document, ...]
    text: str
    """The documents as YAML."""
    keys: tuple[KeyStep, ...]
    notes: tuple[Note, ...]
    """In the order of the file."""
    secrets: int
    """Secrets that stood in the file as text."""
