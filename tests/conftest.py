"""What several rooms' tests need: real alerts, a real cluster, and the rule that CI skips nothing.

The cluster is started when the first test asks for it, once a run, and stopped at the end. To use one that runs
already, and leave it running: ``SODALAKE_TEST_CLUSTER=FOLDER pytest``.

`make check` runs two processes (pytest-xdist): files with tests of the cluster are all in one of them, so that there is
one cluster, and what a file sets up is set up once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import uuid
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hypothesis
import pytest
import structlog
from xdist.scheduler import LoadFileScheduling

from sodalake.lake.cluster import Cluster
from sodalake.lake.cluster.jars import fetch_jars, require_java
from sodalake.lake.errors import ConfigurationError
from sodalake.lake.rows import open_rows

if TYPE_CHECKING:
    from postgres_server import PostgresServer

ROOT = Path(__file__).parents[1]
IN_CI = os.environ.get("CI", "").lower() == "true"

# Machines that run tests are busy: how long an example takes says nothing.
hypothesis.settings.register_profile("sodalake", deadline=None, derandomize=IN_CI, print_blob=True)
hypothesis.settings.load_profile("sodalake")

# ---------------------------------------------------------------------- nothing is skipped in CI

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _must_run(report: Report) -> Report:
    if IN_CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and in CI nothing may be: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _must_run((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _must_run((yield))


# ---------------------------------------------------------------------- which process runs what


class _ByFile(LoadFileScheduling):
    """Files go to processes, and those with tests of the cluster to one process."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "cluster" if _has_cluster_tests(file) else file


@functools.cache  # it is asked for each test, twice
def _has_cluster_tests(file: str) -> bool:
    return "pytest.mark.cluster" in (ROOT / file).read_text("utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    return _ByFile(config, log)


# ---------------------------------------------------------------------- the user's folders


@pytest.fixture(scope="session", autouse=True)
def _own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Services and commands keep the key of their tokens in a folder of the run, not of who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


# ---------------------------------------------------------------------- logs


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Undo what a command that was run in this process has set up: its log goes to a stream that is gone."""
    yield
    structlog.reset_defaults()


# ---------------------------------------------------------------------- data


@pytest.fixture(scope="session")
def real_alerts() -> Path:
    """The folder of real alerts that developers have beside the repository."""
    folder = ROOT.parent / "shared" / "data" / "alerts"
    if not folder.is_dir():
        pytest.skip(f"REAL ALERTS NOT TESTED: {folder} is absent")
    return folder


# ---------------------------------------------------------------------- the cluster


def _can_run_java() -> None:
    try:
        require_java()
        fetch_jars()
    except ConfigurationError as error:
        pytest.skip(f"REAL HDFS AND HBASE NOT TESTED: {error}")


# Removes a run's cluster when the run ends, however it ends: a killed one closes the pipe too.
_REMOVE = """
import sys
from pathlib import Path
from sodalake.lake.cluster import Cluster
sys.stdin.read()
Cluster(Path(sys.argv[1])).destroy()
"""


@contextlib.contextmanager
def _new_cluster(folder: Path) -> Iterator[Cluster]:
    running = Cluster(folder)
    remover = subprocess.Popen(
        [sys.executable, "-c", _REMOVE, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        running.up()
        yield running
    finally:
        remover.communicate()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster, shared by the whole run. Break nothing in it: see `own_cluster`."""
    _can_run_java()
    given = os.environ.get("SODALAKE_TEST_CLUSTER")
    if given:
        running = Cluster(Path(given))
        running.up()
        yield running
        return
    with _new_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def own_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A running cluster in which processes may be killed; each test starts again what it ended.

    It is the run's own cluster, or a second one when the first was given from outside.
    """
    if not os.environ.get("SODALAKE_TEST_CLUSTER"):
        yield request.getfixturevalue("cluster")
        return
    _can_run_java()
    with _new_cluster(tmp_path_factory.mktemp("own_cluster")) as running:
        yield running


@pytest.fixture
def hdfs_url(cluster: Cluster) -> Iterator[str]:
    """The URL of a new folder in HDFS, removed at the end."""
    import hdfs_native

    cluster.up()  # at once where it runs; a test that ended one of its processes may have failed
    folder = f"/tests/{uuid.uuid4().hex[:12]}"
    client = hdfs_native.Client(cluster.hdfs_url)
    client.mkdirs(folder, create_parent=True)
    yield f"{cluster.hdfs_url}{folder}"
    client.delete(folder, recursive=True)


@pytest.fixture(scope="session")
def sweeper(cluster: Cluster) -> Iterator[ThreadPoolExecutor]:
    """A thread that drops tables while the next test runs: HBase takes a second for it, nearly all of it waiting."""
    with ThreadPoolExecutor(1, thread_name_prefix="sweeper") as thread:
        yield thread


def _drop_all(url: str) -> None:
    rows = open_rows(url)
    with ThreadPoolExecutor(rows.parallel) as pool:
        list(pool.map(rows.drop, rows.tables()))
    rows.close()


@pytest.fixture
def hbase_url(cluster: Cluster, sweeper: ThreadPoolExecutor) -> Iterator[str]:
    """The URL of a row store in HBase without tables; those that the test makes are dropped in the end."""
    cluster.up()
    url = cluster.rows_url(f"test-{uuid.uuid4().hex[:12]}")
    yield url
    sweeper.submit(_drop_all, url)


# ---------------------------------------------------------------------- PostgreSQL


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the run's own."""
    from postgres_server import Absent, postgres_server

    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server())
        except Absent as error:
            pytest.skip(f"POSTGRESQL NOT TESTED: {error}")
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty data base, dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.run(f"CREATE DATABASE {name}")
    yield postgres.url(name)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")
