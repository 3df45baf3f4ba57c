"""Tables made, upgraded, and left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from loops import in_loop

from sodalake.uws.errors import StoreUnavailable
from sodalake.uws.jobs import NewJob
from sodalake.uws.store import open_store
from sodalake.uws.store.postgres import PostgresStore
from sodalake.uws.store.schema import REVISION, metadata
from sodalake.uws.store.sqlite import SqliteStore


def test_the_newest_migration_is_the_programs_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "sodalake.uws.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


@in_loop
async def test_migrations_make_what_the_program_expects(store_url: str) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        found: list[object] = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        return found

    store = await open_store(store_url)
    if isinstance(store, SqliteStore):
        assert store._write_connection is not None
        assert differences(store._write_connection) == []
        store._write_connection.rollback()
    else:
        assert isinstance(store, PostgresStore)
        async with store._engine.connect() as connection:
            assert await connection.run_sync(differences) == []
    await store.close()


@in_loop
async def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = await open_store(str(path))
    job = await store.create(NewJob("k"))
    await store.close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9876'"))
    for serve in (True, False):
        with pytest.raises(StoreUnavailable, match="revision 9876") as caught:
            await open_store(str(path), serve=serve)
        assert "newer" in caught.value.advice
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "9876"
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :one"), {"one": REVISION})
    engine.dispose()
    store = await open_store(str(path))
    assert await store.get(job.id) == job
    await store.close()


@in_loop
async def test_a_newer_store_in_postgresql_is_refused(postgres_url: str) -> None:
    store = await open_store(postgres_url)
    assert isinstance(store, PostgresStore)
    async with store._engine.begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9876'"))
    await store.close()
    with pytest.raises(StoreUnavailable, match="revision 9876"):
        await open_store(postgres_url)


@in_loop
async def test_servers_that_start_together_make_the_tables_once(postgres_url: str) -> None:
    stores = await asyncio.gather(*(open_store(postgres_url, server_name=f"s{n}") for n in range(5)))
    assert len({store.runner for store in stores}) == 5
    made = [await store.create(NewJob("k", "ada")) for store in stores]
    assert [ref.id for ref in await stores[0].find("k", "ada")] == [job.id for job in made][::-1]
    for store in stores:
        await store.close()
