"""`sodalake explain`: what a query would read, and where."""

from __future__ import annotations

import json
import time

import click

from sodalake.server.config import load_settings

__all__ = ["explain"]


@click.command()
@click.argument("adql")
@click.option("--lake", "lake_url", help="URL or folder of the lake; the setting `lake` else.")
@click.option(
    "--run", is_flag=True, help="Answer the query as well, and say how many rows were read and found."
)
@click.option("--archive", is_flag=True, help="Use no index, to see what that would cost.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(adql: str, lake_url: str | None, run: bool, archive: bool, as_json: bool) -> None:
    """Say which path a query takes: which index with which ranges, or which of the archive's columns.

    \b
    sodalake explain --lake my.lake "SELECT TOP 10 * FROM ztf.alerts WHERE objectId = 'ZTF18abcdefg'"
    """
    from sodalake.lake.errors import ConfigurationError
    from sodalake.lake.lake import Lake
    from sodalake.tap.questions import Limits, Question
    from sodalake.tap.session import Explained, Session

    settings = load_settings(lake=lake_url)
    if not settings.lake:
        raise ConfigurationError("No lake is named.", "Say --lake URL, or `lake` in the configuration.")
    tap = settings.tap
    lake = Lake.open(settings.lake)
    session = Session(lake, threads=2)
    try:
        question = Question(
            adql,
            rows=tap.rows,
            authority=settings.authority,
            limits=Limits(tap.query, tap.index_rows, tap.memory, tap.upload_rows),
        )
        began = time.perf_counter()
        found: Explained = session.explained(question, run=run, indices="none" if archive else "all")
        seconds = time.perf_counter() - began
    finally:
        session.close()
        lake.close()
    if as_json:
        rows = {"rows": found.rows, "seconds": round(seconds, 3)} if run else {}
        click.echo(json.dumps({"plan": found.plan.splitlines(), "sql": found.sql, **rows}, indent=1))
        return
    click.echo(found.plan)
    if run:
        click.echo(f"found: {found.rows} rows in {seconds:.3f} s")
