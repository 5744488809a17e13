"""Ways in which an attack is hidden from a reader that does not decode."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable


def _each(form: Callable[[str], str], between: str = "") -> Callable[[str], str]:
    return lambda text: between.join(form(character) for character in text)


ENCODERS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "hex": lambda text: text.encode().hex(),
    "url": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "entities": _each(lambda character: f"&#{ord(character)};"),
    "escapes": _each(lambda character: f"\\u{ord(character):04x}" if ord(character) < 0x10000 else character),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "leet": lambda text: text.translate(str.maketrans("aeiost", "43105" + "7")),
    "spaced letters": lambda text: "   ".join(" ".join(word) for word in text.split()),
    "comment": lambda text: f"<!-- {text} -->",
    "hidden element": lambda text: f'<span style="display:none">{text}</span>',
    "zero width": _each(lambda character: character, "\u200b"),
    "tag characters": lambda text: "".join(chr(0xE0000 + ord(c)) for c in text if ord(c) < 0x7F),
    "homoglyphs": lambda text: text.translate(str.maketrans("aeopcxi", "аеорсхі")),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if 0x20 < ord(c) < 0x7F else c for c in text),
}
"""By name. Each takes a text and gives it encoded."""
