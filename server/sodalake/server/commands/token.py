"""`sodalake token`: a bearer token, by which the service knows its user."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["token"]


@click.command()
@click.argument("name")
@click.option("--email", default="", metavar="ADDRESS", help="Where mails about the user's jobs go.")
@click.option(
    "--group", "groups", multiple=True, metavar="GROUP", help="A group the user belongs to; may be repeated."
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=90,
    show_default=True,
    help="How long the token lasts. It cannot be called back before.",
)
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="TOML file with settings: that of the service.  [default: $SODALAKE_CONFIG]",
)
def token(name: str, email: str, groups: tuple[str, ...], days: int, file: Path | None) -> None:
    """Make a token for the user NAME, and print it alone.

    TOKEN=$(sodalake token anna) keeps it for curl -H "Authorization: Bearer $TOKEN". Whoever has it is anna to
    the service; jobs belong to the name. The token is signed with the key that the settings name (identity.key,
    identity.key_file), which the service must have as well: run this with the same settings and as the same user.
    """
    from datetime import timedelta

    from sodalake.server.config import load_settings
    from sodalake.server.tokens import Claims, Tokens, signing_key

    claims = Claims(name, frozenset(groups), email)  # a name that is none makes no key
    settings = load_settings(file)

    def made(key_file: Path) -> None:
        click.echo(f"A new key signs the tokens: {key_file}", err=True)

    tokens = Tokens(signing_key(settings.identity, made), settings.authority)
    click.echo(tokens.make(claims, timedelta(days=days)))
