"""`sodalake config`: the settings in effect, as a file that can be used again."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["config"]


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="TOML file with settings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without the comments.")
def config(file: Path | None, as_json: bool) -> None:
    """Print the settings in effect, as TOML with a comment for every key.

    They come from the file and from the environment (SODALAKE_PORT=8080, SODALAKE_LIMITS__BODY=65536), which
    goes before the file.
    """
    from sodalake.server.config import load_settings, to_toml

    settings = load_settings(file)
    click.echo(settings.model_dump_json(indent=2) if as_json else to_toml(settings), nl=as_json)
