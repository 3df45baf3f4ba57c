"""What the folders of HiPS are called: after their bands, and one in colour."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

__all__ = ["COLOUR", "folder_name"]

COLOUR: Final = "colour"
"""Name of the HiPS in colour, where others have that of their band."""


def folder_name(band: str) -> str:
    """Return the name of a band's folder, which stands in addresses as well; never one that is hidden."""
    if band == COLOUR:
        return f"band_{band}"
    return quote(band, safe="").replace(".", "%2E").replace("%", "_")
