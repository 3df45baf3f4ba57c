"""`sodalake bench`: measurements, each with the way it was done before beside it."""

from __future__ import annotations

import importlib

import click

__all__ = ["bench"]


class _Benchmarks(click.Group):
    """The benchmarks; their room is imported when one is asked for."""

    def _room(self) -> dict[str, click.Command]:
        found: dict[str, click.Command] = importlib.import_module("sodalake.benchmarks").COMMANDS
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._room())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._room().get(cmd_name)


@click.group(cls=_Benchmarks)
def bench() -> None:
    """Measure NAME, side by side with the way it was done before."""
