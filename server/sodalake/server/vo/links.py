"""What alerts and images share as things that have links: how they are found among the IDs of one request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from sodalake.lake.lake import Lake
from sodalake.server.tap.engine import TapEngine
from sodalake.server.urls import Did
from sodalake.server.vo.linkrows import Row, Target
from sodalake.tap.metadata import Table

__all__ = ["Links"]


class Links(ABC):
    """The things of one kind among the IDs of one request, and their links.

    Parameters
    ----------
    lake, tap
        Where they are looked up.
    base
        The service's root as the client sees it.
    authority
        Ours, in identifiers.
    """

    content: ClassVar[str]
    """Of the tables that list them: `metadata.Table.content`."""

    def __init__(self, lake: Lake, tap: TapEngine, base: str, authority: str) -> None:
        self._lake = lake
        self._tap = tap
        self._base = base
        self._authority = authority

    async def look_up(self, targets: Sequence[Target]) -> None:
        """Look up which of some there are; all of a survey by one query."""
        wanted: dict[str, list[str]] = {}
        for target in targets:
            wanted.setdefault(target.survey, []).append(target.id)
        published = self._tap.published()
        for name, ids in wanted.items():
            table = next(one for one in published if one.content == self.content and one.survey == name)
            await self._look_up(table, ids)

    @abstractmethod
    async def _look_up(self, table: Table, ids: Sequence[str]) -> None:
        """Look up which of some a table has."""

    @abstractmethod
    def target(self, sent: str, did: Did) -> Target:
        """Return what an identifier means.

        Raises
        ------
        BadParameter, NotInLake
            Nothing of this kind can have it.
        """

    @abstractmethod
    def rows(self, target: Target, number: int, descriptors: dict[str, str]) -> Sequence[Row]:
        """Return the rows of one; none where it is not there.

        Parameters
        ----------
        number
            Of the target among all.
        descriptors
            XML ID → descriptor of a service; what the rows name is added.
        """

    @abstractmethod
    def missing(self, target: Target) -> str:
        """Return what is told of one that is not there."""
