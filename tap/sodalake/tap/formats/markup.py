"""Text that may stand in XML: escaped, and without the characters that XML 1.0 has no way to write."""

from __future__ import annotations

import re

__all__ = ["attribute", "content"]

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def content(text: str) -> str:
    """Return `text` as an element's content."""
    text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def attribute(name: str, value: str) -> str:
    """Return ``' name="value"'``, or nothing where the value is empty."""
    if not value:
        return ""
    # A reader makes blanks of white space in an attribute, unless it is written so.
    escaped = content(value).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return f' {name}="{escaped}"'
