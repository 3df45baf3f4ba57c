import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sodalake.benchmarks import COMMANDS
from sodalake.benchmarks.serving import Served
from sodalake.benchmarks.stamps import BENCH
from sodalake.benchmarks.stampstage import StampScale
from sodalake.lake.cluster import Cluster

TINY = StampScale(
    files=2,
    rows=28,
    side_rows=14,
    rounds=1,
    requests=6,
    seed_requests=2,
    seconds=0.2,
    crowd_seconds=0.3,
    objects=1,
    bulk_files=2,
    bulk_stamps=30,
)


@pytest.mark.embedded
def test_every_row_is_measured_embedded(tmp_path: Path) -> None:
    report = BENCH.run(TINY, where=("embedded",), cache=tmp_path)
    assert {figure.row for figure in report.figures} == set(BENCH.rows)
    assert {figure.place for figure in report.figures} == {"embedded"}
    assert report.left_out == {}
    assert all(figure.reached >= 0 for figure in report.figures)
    by_measure = {figure.measure: figure for figure in report.figures}
    assert by_measure["50 clients, 0.3 s: errors"].reached == 0
    # What does not depend on the machine's speed is reached on any machine.
    for figure in report.figures:
        if figure.row == "bytes" or "index" in figure.measure:
            assert figure.met is not False, figure
    assert json.loads(json.dumps(report.to_dict()))["figures"]


@pytest.mark.cluster
def test_rows_are_measured_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    report = BENCH.run(
        TINY, rows=("ingest", "one"), where=("cluster",), cluster_folder=cluster.folder, cache=tmp_path
    )
    assert {(figure.row, figure.place) for figure in report.figures} == {
        ("ingest", "cluster"),
        ("one", "cluster"),
    }
    assert all(figure.reached > 0 for figure in report.figures)


def test_a_place_that_is_not_to_be_had_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    report = BENCH.run(
        TINY, rows=("ingest",), where=("cluster",), cluster_folder=tmp_path / "none", cache=tmp_path
    )
    assert report.figures == []
    assert "ava" in report.left_out["cluster"]


def test_rows_that_can_be_asked_for_are_the_rows_there_are() -> None:
    (only,) = (option for option in COMMANDS["stamps"].params if option.name == "only")
    assert tuple(only.type.choices) == tuple(BENCH.rows)  # type: ignore[attr-defined]


def test_help_is_quick_to_read() -> None:
    text = CliRunner().invoke(COMMANDS["stamps"], ["--help"]).output
    for option in ("--json", "--quick", "--only", "--where", "--lake-cluster"):
        assert option in text


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="There is no lake"), Served(str(tmp_path)):
        pass
