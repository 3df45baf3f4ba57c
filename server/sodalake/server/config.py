"""Settings of the service: one TOML file and the environment, every key with its unit and its reason.

A key `limits.epochs` is written ``[limits]`` / ``epochs = 100`` in the file and
``SODALAKE_LIMITS__EPOCHS=100`` in the environment, which goes first. A key that does not exist is an error in
both: a misspelt limit that is silently ignored is found on the night it was meant for. `sodalake config`
prints what is in effect, as a file that can be used again.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from sodalake.lake.errors import ConfigurationError
from sodalake.server.sections import Deadlines, Identity, Images, Jobs, Limits, Log, Mail, Tap, words

__all__ = ["Settings", "load_settings", "to_toml"]

PREFIX = "SODALAKE_"
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")
# Variables of the same prefix that are not settings of the service.
_OTHERS = ("SODALAKE_TEST_", "SODALAKE_CLUSTER_", "SODALAKE_BENCH_", "SODALAKE_CACHE", "SODALAKE_CONFIG")


def _a_core_each() -> int:
    return min(max(2, os.cpu_count() or 2), 8)


class Settings(BaseSettings):
    """Every setting of `sodalake serve`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    lake: str = Field("", description="URL or folder of the lake to serve; --lake says the same.")
    authority: str = Field(
        "sodalake",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._~!*'()+=-]{2,}$",
        description="IVOA authority in the identifiers ivo://AUTHORITY/SURVEY?ALERTID/KIND. Choose it"
        " once: identifiers are kept by clients.",
    )
    survey: str = Field(
        "",
        description="Survey that /api/v1 answers for; empty: the first of the lake. Others are at"
        " /SURVEY/api/v1.",
    )
    address: str = Field(
        "127.0.0.1",
        description="Address to listen on; 0.0.0.0 or :: for every interface. Loopback is the safe default.",
    )
    port: int = Field(8080, ge=0, le=65_535, description="TCP port to listen on; 0 takes a free one.")
    prefix: str = Field(
        "", description="Path the service is mounted at behind a proxy, such as /sodalake; empty: /."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of the proxies whose X-Forwarded-Proto, -Host and -Prefix are"
        " believed; from anyone else these would let a visitor choose where our links point.",
    )
    scheduler: str = Field(
        "", description="Dask scheduler, tcp://host:port; empty: worker processes of our own on this machine."
    )
    workers: int = Field(
        0,
        ge=0,
        description="Worker processes of the fast lane on this machine; 0: one a core, at least 2, at"
        " most 8.",
    )
    threads: int = Field(
        8,
        ge=1,
        le=64,
        description="Threads of each worker: reads that wait for the archive at the same time.",
    )
    deadlines: Deadlines = Field(default_factory=Deadlines)
    limits: Limits = Field(default_factory=Limits)
    jobs: Jobs = Field(default_factory=Jobs)
    tap: Tap = Field(default_factory=Tap)
    images: Images = Field(default_factory=Images)
    identity: Identity = Field(default_factory=Identity)
    mail: Mail = Field(default_factory=Mail)
    log: Log = Field(default_factory=Log)

    @field_validator("prefix")
    @classmethod
    def _plain_prefix(cls, value: str) -> str:
        value = value.rstrip("/")
        if not re.fullmatch(r"(/[A-Za-z0-9._~@+-]+)*", value):
            raise ValueError(
                "a path such as /sodalake: it begins with a slash, of letters, digits and . _ ~ @ + -"
            )
        return value

    _split = field_validator("trusted_proxies", mode="before")(words)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network, strict=False)
        return value

    @property
    def worker_count(self) -> int:
        """Worker processes to start for the fast lane."""
        return self.workers or _a_core_each()

    @property
    def batch_count(self) -> int:
        """Worker processes to start for jobs."""
        return self.jobs.workers or _a_core_each()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line goes first, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(config: Path | None = None, **options: object) -> Settings:
    """Return the settings in effect.

    Parameters
    ----------
    config
        The TOML file; None: the one that SODALAKE_CONFIG names, else none.
    **options
        What the command line says, which goes before all else; None where it says nothing.

    Raises
    ------
    ConfigurationError
        A key that does not exist, or a value that does not fit; the message names each.
    """
    if config is None and (named := os.environ.get("SODALAKE_CONFIG")):
        config = Path(named)
    if config is not None:
        try:
            tomllib.loads(config.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(
                f"The configuration {config} cannot be read: {error.strerror}."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The configuration {config} is not TOML: {error}.") from error
    _refuse_unknown_variables()

    class Configured(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        return Configured.model_validate(
            {name: value for name, value in options.items() if value is not None}
        )
    except ValidationError as error:
        raise ConfigurationError(_explain(error, config), "See `sodalake config` for every key.") from error
    except SettingsError as error:
        raise ConfigurationError(
            f"The environment is not right: {error}.", "Sections take KEY__NAME."
        ) from error


def _refuse_unknown_variables() -> None:
    known = set(_variables(Settings, PREFIX))
    for name in os.environ:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in known and not upper.startswith(_OTHERS):
            raise ConfigurationError(
                f"The environment variable {name} is no setting.", "See `sodalake config` for every key."
            )


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}".upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _variables(field.annotation, f"{prefix}{name}__")


def _explain(error: ValidationError, config: Path | None) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"{key} is no setting.")
        else:
            # A whole section may have a secret in it, and a secret is one.
            told = "" if isinstance(item["input"], dict) or _is_secret(item["loc"]) else f"={item['input']!r}"
            lines.append(f"{key}{told}: {item['msg'].removeprefix('Value error, ')}.")
    return f"The configuration{f' {config}' if config else ''} is not right: " + " ".join(lines)


def _is_secret(place: tuple[int | str, ...]) -> bool:
    model: object = Settings
    for name in place:
        if not (isinstance(model, type) and issubclass(model, BaseModel) and name in model.model_fields):
            return False
        model = model.model_fields[str(name)].annotation
    return model is SecretStr


def to_toml(settings: Settings) -> str:
    """Return `settings` as a commented TOML file, which `load_settings` reads back to the same, but for secrets."""
    lines = [
        "# Settings of sodalake. The environment goes before this file: SODALAKE_PORT, SODALAKE_LIMITS__BODY."
    ]
    sections: list[str] = []
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            sections += ["", *_comment(type(value).__doc__ or ""), f"[{name}]"]
            for key in type(value).model_fields:
                sections += _entry(type(value), key, getattr(value, key))
        else:
            lines += ["", *_entry(Settings, name, value)]
    return "\n".join([*lines, *sections]) + "\n"


def _entry(model: type[BaseModel], key: str, value: object) -> list[str]:
    if isinstance(value, SecretStr) or (isinstance(value, str) and _PASSWORD.search(value)):
        if value:
            return [*_comment(model.model_fields[key].description or ""), f"# {key} is set, and not printed."]
        value = ""
    # A JSON text, number, boolean or array of texts is TOML's too.
    content = list(value) if isinstance(value, tuple) else value
    return [
        *_comment(model.model_fields[key].description or ""),
        f"{key} = {json.dumps(content, ensure_ascii=False)}",
    ]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), 98, initial_indent="# ", subsequent_indent="# ")
