"""The look that all pages share: one frame, one style sheet, templates and static files by package.

A package that shows pages has a folder ``templates`` and, where it needs more than the portal's style, a folder
``static``; their names are unique over all of them. A static file's address carries a hash of its content, so that it
may be kept for ever.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from typing import Final

from tornado.template import DictLoader

__all__ = ["POLICY", "TYPES", "address_of", "render", "static_files"]

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""Content-Types of static files by the end of their names."""

POLICY: Final = (
    "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'"
)
"""What a page without a script may load: pictures and the style sheet of this host, which its forms ask."""

_PACKAGES: Final = ("sodalake.server.portal", "sodalake.server.jobs")


@functools.cache
def _templates() -> DictLoader:
    texts = {
        entry.name: entry.read_text("utf-8")
        for package in _PACKAGES
        for entry in (resources.files(package) / "templates").iterdir()
        if entry.name.endswith(".html")
    }
    return DictLoader(texts, whitespace="single")  # autoescape is Tornado's default: xhtml_escape


@functools.cache
def static_files() -> dict[str, tuple[bytes, str]]:
    """Return name → content and the version that its address carries."""
    contents = {
        entry.name: entry.read_bytes()
        for package in _PACKAGES
        for entry in (resources.files(package) / "static").iterdir()
        if entry.name.rpartition(".")[2] in TYPES
    }
    return {name: (data, hashlib.sha256(data).hexdigest()[:12]) for name, data in contents.items()}


def address_of(name: str, base: str) -> str:
    """Return the address of a static file; `base` is the service's root, without a slash at its end."""
    return f"{base}/portal/{name}?v={static_files()[name][1]}"


def render(template: str, base: str, **values: object) -> bytes:
    """Return a page.

    Parameters
    ----------
    template
        Its name.
    base
        The service's root as the reader sees it, without a slash at its end.
    """
    return (
        _templates()
        .load(template)
        .generate(base=base, address_of=lambda name: address_of(name, base), **values)
    )
