"""`sodalake serve`: a lake over HTTP, until SIGTERM or Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["serve"]


@click.command()
@click.option("--lake", help="URL or folder of the lake.")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="TOML file with settings; see `sodalake config`.",
)
@click.option("--address", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0 takes a free one.  [default: 8080]"
)
@click.option("--prefix", help="Path the service is mounted at behind a proxy.")
@click.option("--workers", type=click.IntRange(0), help="Worker processes; 0: one a core.")
@click.option("--scheduler", help="Dask scheduler to use instead of own workers, tcp://host:port.")
def serve(
    lake: str | None,
    file: Path | None,
    address: str | None,
    port: int | None,
    prefix: str | None,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Serve a lake over HTTP.

    Prints one line, `ready URL`, when requests are answered. SIGTERM or Ctrl-C lets the requests under way
    finish; a second one does not.
    """
    from sodalake.server.config import load_settings
    from sodalake.server.running import run

    run(
        load_settings(
            file, lake=lake, address=address, port=port, prefix=prefix, workers=workers, scheduler=scheduler
        )
    )
