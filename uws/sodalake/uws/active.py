"""A job that executes here: what is known of it beside its store."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from .jobs import Job, Progress, UnitRecord
from .kinds import Plan, Work

__all__ = ["Active"]


@dataclass(slots=True)
class Active:
    """A job that executes here."""

    job: Job
    key: str = ""
    work: Work | None = None
    plan: Plan | None = None
    over: bool = False
    fresh: list[UnitRecord] = field(default_factory=list)
    recorded: set[int] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: Counter[int] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    bytes: int = 0
    note: str | None = None
    flying: set[asyncio.Task[None]] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    ending: bool = False

    @property
    def progress(self) -> Progress:
        """How far it is, what is not recorded yet included."""
        total = self.plan.targets if self.plan else (self.work.targets if self.work else 0)
        units = self.plan.units if self.plan else ()
        done = sum(units[number].targets for number in self.recorded)
        return Progress(total, done + sum(record.targets for record in self.fresh))
