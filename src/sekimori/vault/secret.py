"""`Secret`: bytes that do not show themselves.

Its repr, str and format are `[secret]` and it refuses to be pickled or serialised, so that a secret that strays into
a log line, a traceback with locals, an f-string, a queue or a reply is not in there. `reveal` is the only way out; who
may call it is listed in the architecture test. What this cannot do: wipe memory. CPython copies and frees bytes as it
likes, and who can read this process's memory has the key; that is why plaintext lives shortly, not why it is wiped.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Final, NoReturn, final

SHOWN: Final = "[secret]"


@final
class Secret:
    """Holds the given bytes without copying. Unhashable: as a dictionary key use the uid and version."""

    __slots__ = ("__value",)

    def __init__(self, value: bytes) -> None:
        # Not `isinstance`: a subclass of bytes may have a telling repr.
        if type(value) is not bytes:
            raise TypeError(f"a secret is made of bytes, not {type(value).__name__}")
        self.__value = value

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("a secret is not extended: a subclass could show it")

    def reveal(self) -> bytes:
        """The plaintext, the same object that was given."""
        return self.__value

    def __repr__(self) -> str:
        return SHOWN

    def __str__(self) -> str:
        return SHOWN

    def __format__(self, format_spec: str) -> str:
        # Any spec: `{secret:>20}` must not fail in a log call and take the log line with it.
        return SHOWN

    def __eq__(self, other: object) -> bool:
        """Equal bytes, compared in time that depends on the length alone. Never equal to bare bytes."""
        return isinstance(other, Secret) and compare_digest(self.__value, other.__value)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not serialised")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self
