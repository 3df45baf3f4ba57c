import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sodalake.benchmarks import COMMANDS
from sodalake.benchmarks.alerttable import AlertRecipe, AlertTable
from sodalake.benchmarks.load import run_whole
from sodalake.benchmarks.report import Figure
from sodalake.benchmarks.sites import embedded_site
from sodalake.benchmarks.tap import BENCH, QUICK
from sodalake.benchmarks.tapquestions import Asked, cones, everything, long_objects, objects, slices
from sodalake.benchmarks.tapstage import TapStage
from sodalake.lake.cluster import Cluster

TINY = replace(
    QUICK,
    alerts=6000,
    rows=3000,
    small=3000,
    wide=5000,
    requests=6,
    few=3,
    seconds=0.3,
    crowd=6,
    crowd_seconds=0.3,
    bulk=3000,
    positions=20,
    jobs=2,
    warm=4,
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TapStage]:
    cache = tmp_path_factory.mktemp("alerts")
    with embedded_site() as site, TapStage(site, TINY, cache, lambda _: None) as stage:
        yield stage


@pytest.fixture(scope="module")
def figures(stage: TapStage) -> list[Figure]:
    return [figure for measure in BENCH.rows.values() for figure in measure(stage)]


@pytest.mark.embedded
def test_every_row_is_measured_embedded(figures: list[Figure]) -> None:
    assert {figure.row for figure in figures} == set(BENCH.rows)
    assert {figure.place for figure in figures} == {"embedded"}
    assert all(figure.reached > 0 for figure in figures if "errors" not in figure.measure)
    assert json.loads(json.dumps([figure.to_dict() for figure in figures]))


@pytest.mark.embedded
def test_what_does_not_depend_on_speed_is_reached(figures: list[Figure]) -> None:
    (errors,) = (figure for figure in figures if figure.measure.endswith("errors"))
    assert errors.reached == 0


@pytest.mark.embedded
def test_every_measure_of_the_table_has_its_mark(figures: list[Figure]) -> None:
    marks = {figure.measure: figure.mark for figure in figures}
    wanted = {
        "14 rows × 30": 8, "requests a second": 190, "14 rows × 130": 15, "1,575 rows × 130": 90, "10″, 14": 8,
        "cone of 1°": 15, "cone of 5°": 60, "time range": 30, "COUNT(*) GROUP": 40, "BINARY2: first": 300,
        "Parquet: first": 300, "BINARY2": 400_000, "Parquet": 400_000, "7 columns": 150, "as a job": 80, "errors": 0,
        "s: p50": 1.5, "object, latency": 1.3, "10″, latency": 1.3, "greedy": 2, "ABORT": 1,
    }  # fmt: skip
    for part, mark in wanted.items():
        assert mark in [given for measure, given in marks.items() if part in measure], part


@pytest.mark.cluster
def test_rows_are_measured_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    rows = ("object", "groups")
    found = BENCH.run(TINY, rows=rows, where=("cluster",), cluster_folder=cluster.folder, cache=tmp_path)
    assert (found.failed, found.left_out) == ({}, {})
    marks = {figure.row: figure.mark for figure in found.figures if figure.mark and figure.unit == "ms"}
    assert marks == {"object": 15, "groups": 120}


@pytest.mark.embedded
def test_a_wrong_answer_is_an_error_and_not_a_time(stage: TapStage) -> None:
    asked = objects(stage.table, 3, np.random.default_rng(1))
    assert len(run_whole([stage.phase(asked)])[0].latencies) == 3
    with pytest.raises(RuntimeError, match="14 rows instead of 13"):
        run_whole([stage.phase([replace(asked[0], rows=13)])])
    with pytest.raises(RuntimeError, match=r"HTTP 400: .*nosuch"):
        run_whole([stage.phase([Asked("SELECT nosuch FROM bench.alerts", 1)])])


def test_a_row_that_fails_is_told_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(stage: TapStage) -> list[object]:
        raise RuntimeError("No such luck.")

    two = {"object": fails, "ingest": BENCH.rows["ingest"]}
    monkeypatch.setattr("sodalake.benchmarks.tap.BENCH", replace(BENCH, rows=two))
    arguments = ["--quick", "--json", "--where", "embedded", "--cache", str(tmp_path)]
    done = CliRunner().invoke(COMMANDS["tap"], [*arguments, "--only", "object", "--only", "ingest"])
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert told["failed"] == {"embedded, object": "No such luck."}
    assert {figure["row"] for figure in told["figures"]} == {"ingest"}


def test_no_query_is_asked_twice_in_a_row() -> None:
    table = AlertTable(AlertRecipe(alerts=20_000, rows=10_000))
    rng = np.random.default_rng(2)
    asked = [*objects(table, 1000, rng), *cones(table, 1.0, 100, rng), *slices(table, 100, rng)]
    asked += [everything(table, 5000, "parquet", turn) for turn in range(5)]
    assert len({one.path for one in asked}) == len(asked)
    wide = AlertTable(AlertRecipe("wide", 20_000, columns=130, long_objects=3))
    asked = long_objects(wide, 9)
    assert {one.rows for one in asked} == {1575}
    assert all(one.path != other.path for one, other in itertools.pairwise(asked))


def test_rows_that_can_be_asked_for_are_the_rows_there_are() -> None:
    (only,) = (option for option in COMMANDS["tap"].params if option.name == "only")
    assert tuple(only.type.choices) == tuple(BENCH.rows)  # type: ignore[attr-defined]
