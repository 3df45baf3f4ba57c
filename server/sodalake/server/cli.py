"""The command line: ``sodalake demo | ingest | serve | explain | hips | config | token | cluster | bench``.

A command's module is imported when the command is run, so that `sodalake --help` answers at once. What goes
wrong in the lake or in the settings is one line on standard error and exit code 2, as click's own usage
errors are.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

import click

__all__ = ["main"]

# Name → module that has a command of this name, and what the list of commands says of it.
_COMMANDS: Final = {
    "demo": ("sodalake.server.commands.demo", "Make a small lake and serve it."),
    "ingest": ("sodalake.server.commands.ingest", "Bring files of an archive into a lake."),
    "serve": ("sodalake.server.commands.serve", "Serve a lake over HTTP."),
    "explain": ("sodalake.server.commands.explain", "Say what a query would read, and where."),
    "hips": ("sodalake.server.commands.hips", "Make the HiPS of a collection of images."),
    "config": ("sodalake.server.commands.config", "Print the settings in effect."),
    "token": ("sodalake.server.commands.token", "Make a token, by which the service knows a user."),
    "cluster": ("sodalake.server.commands.cluster", "Run real HDFS and HBase on this machine."),
    "bench": ("sodalake.server.commands.bench", "Measure, side by side with the way it was."),
}


class _Commands(click.Group):
    """The commands, imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            from sodalake.lake.errors import LakeError

            if not isinstance(error, LakeError):
                raise
            raise _Failure(" ".join(str(error).split())) from error


class _Failure(click.ClickException):
    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"sodalake: {self.message}", file=file or sys.stderr)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="sodalake")
def main() -> None:
    """SODA over a data lake: cutouts from a Hadoop archive, the Virtual Observatory way.

    Begin with `sodalake demo`. A lake of your own: `sodalake ingest ztf ARCHIVE --lake my.lake`, then
    `sodalake serve --lake my.lake`.
    """
