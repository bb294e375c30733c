"""HTML whose escaping cannot be forgotten: whatever is no `Markup` is text."""

from __future__ import annotations

import html
import re

_VOID = frozenset({"br", "col", "hr", "meta"})
# Control characters, and those that reorder the text around them (https://trojansource.codes).
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | bool | None) -> Markup:
    """An element. Underscores in attributes' names are dashes, one at the end is dropped.

    Attributes that are None or False are left out; True gives a bare one.
    """
    head = name
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            head += f" {key}"
        elif value is not None and value is not False:
            head += f' {key}="{html.escape(visible(value))}"'
    if name in _VOID:
        return Markup(f"<{head}>")
    return Markup(f"<{head}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Children one after the other."""
    return Markup(
        "".join(c if isinstance(c, Markup) else html.escape(visible(c)) for c in children)
    )


def visible(text: str) -> str:
    """Text in which characters that cannot be seen, or mislead the eye, are spelled out."""
    text = _UNSEEN.sub(lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # lone surrogates
