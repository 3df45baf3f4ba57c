import io
import json

import pytest
from rich.console import Console

from sodalake.benchmarks.report import Figure, Machine, Report


@pytest.mark.parametrize(
    ("figure", "ratio", "met"),
    [
        (Figure("one", "embedded", "rate", 600, "/s", 400), 1.5, True),
        (Figure("one", "embedded", "rate", 200, "/s", 400), 0.5, False),
        (Figure("one", "embedded", "p50", 10, "ms", 5, "less"), 0.5, False),
        (Figure("one", "embedded", "p50", 2.5, "ms", 5, "less"), 2.0, True),
        (Figure("crowd", "embedded", "errors", 0, "", 0, "less"), 1.0, True),
        (Figure("crowd", "embedded", "errors", 3, "", 0, "less"), 0.0, False),
        (Figure("bytes", "embedded", "page", 900, "B"), None, None),
    ],
)
def test_a_figure_knows_on_which_side_of_its_mark_it_is(
    figure: Figure, ratio: float | None, met: bool | None
) -> None:
    assert figure.ratio == ratio
    assert figure.met is met


def test_a_report_is_json_and_names_its_machine() -> None:
    report = Report("stamps", Machine.now(), figures=[Figure("one", "cluster", "p50", 7.0, "ms", 5, "less")])
    told = json.loads(json.dumps(report.to_dict()))
    assert told["figures"][0]["met"] is False
    assert told["machine"]["cores"] >= 1
    assert len(told["machine"]["load_before"]) == 3
    assert "pyarrow" in told["machine"]["versions"]
    assert report.missed == report.figures


def test_the_table_has_the_number_its_mark_and_what_was_left_out() -> None:
    report = Report(
        "stamps",
        Machine.now(),
        figures=[Figure("one", "embedded", "requests a second", 612.0, "/s", 400, note="busy")],
        left_out={"cluster": "Java is missing."},
    )
    out = io.StringIO()
    report.show(Console(file=out, width=160))
    text = out.getvalue()
    for part in (
        "requests a second",
        "612 /s",
        "≥ 400 /s",
        "1.53",
        "busy",
        "Java is missing.",
        "load average",
    ):
        assert part in text
