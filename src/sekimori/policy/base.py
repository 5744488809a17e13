"""What all documents and their parts share."""

from __future__ import annotations

from msgspec import Struct


class Base(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel", tag_field="kind"):
    """A document: immutable, no field that is not declared."""


class Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """A group of fields within a document."""
