"""TAP 1.1: ``/tap`` and what is below it. `engine` asks the workers, `jobs` makes queries jobs, the rest is HTTP."""

from __future__ import annotations
