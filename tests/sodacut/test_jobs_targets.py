"""Lists of targets: what is read, in every format, and what is refused, with the place and the way out."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io.votable import from_table, writeto
from astropy.table import MaskedColumn, Table
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.errors import LakeError, NotInLake, UsageError
from sodalake.lake.survey import load_survey
from sodalake.sodacut.errors import BadTargets
from sodalake.sodacut.jobs import TargetList, overridden, read_targets

SURVEYS = {name: load_survey(name) for name in ("ztf", "lsst")}
PARAMETERS = ("ID", "CIRCLE", "POLYGON", "POS", "KIND", "RESPONSEFORMAT")
BIG = "9007199254740993"  # 2**53 + 1: no double has it


@dataclass(frozen=True)
class Did:
    survey: str
    alert_id: str
    kind: str | None = None


def parse_did(text: str) -> Did:
    rest = text.removeprefix("ivo://here/")
    survey, found, tail = rest.partition("?")
    if rest == text or not found:
        raise UsageError(f"{text!r} is not a publisher DID.", "The form is ivo://here/SURVEY?ALERT/KIND.")
    alert, _, kind = tail.partition("/")
    return Did(survey, alert, kind or None)


def read(body: str | bytes, **more: Any) -> TargetList:
    raw = body.encode() if isinstance(body, str) else body
    return read_targets(raw, SURVEYS, parameters=PARAMETERS, parse_did=parse_did, **more)


def ztf(body: str | bytes, **more: Any) -> TargetList:
    return read(body, survey="ztf", **more)


def problem(targets: TargetList, row: int) -> str:
    assert (targets.surveys[row], targets.alerts[row]) == (None, None)
    return str(targets.problems[row])


# ---------------------------------------------------------------------- the same list in every format

ROWS = [
    {"id": "a", "candid": BIG, "ra": "1.5", "dec": "-2.25", "KIND": "template", "note": "x, y"},
    {"id": None, "candid": "12", "ra": None, "dec": None, "KIND": None, "note": 'said "no"'},
    {"id": "ß", "candid": None, "ra": "359.75", "dec": "89.5", "KIND": None, "note": "two\nlines"},
]


def as_csv(newline: str = "\n", delimiter: str = ",") -> str:
    def cell(value: str | None) -> str:
        value = value or ""
        return '"' + value.replace('"', '""') + '"' if any(c in value for c in ',"\n;\t') else value

    table = [list(ROWS[0]), *([cell(value) for value in row.values()] for row in ROWS)]
    return newline.join(delimiter.join(row) for row in table)


def as_objects() -> str:
    numbers = [
        {name: float(value) if name in ("ra", "dec") and value else int(value) if name == "candid" and value else value
         for name, value in row.items()}
        for row in ROWS
    ]  # fmt: skip
    return json.dumps(numbers)


def as_columns() -> str:
    return json.dumps({"columns": list(ROWS[0]), "rows": [list(row.values()) for row in ROWS]})


def as_votable(form: str) -> bytes:
    def column(name: str, kind: Any, empty: Any) -> MaskedColumn:
        values = [row[name] for row in ROWS]
        return MaskedColumn(
            [kind(value) if value is not None else empty for value in values],
            name=name,
            mask=[value is None for value in values],
        )

    # BINARY has no null integers.
    candid = column("candid", str, "") if form == "binary" else column("candid", np.int64, 0)
    table = Table(
        [
            column("id", str, ""), candid, column("ra", float, 0.0), column("dec", float, 0.0),
            column("KIND", str, ""), column("note", str, ""),
        ]
    )  # fmt: skip
    out = io.BytesIO()
    writeto(from_table(table), out, tabledata_format=form)
    return out.getvalue()


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (as_csv(), {}),
        (as_csv(), {"content_type": "text/csv; charset=utf-8"}),
        (as_csv("\r\n"), {"filename": "my.csv"}),
        ("\ufeff" + as_csv(), {"content_type": "application/octet-stream"}),
        (as_csv().encode("utf-16"), {}),
        (as_csv(delimiter="\t"), {"filename": "x.tsv"}),
        (as_csv(delimiter="\t"), {"content_type": "text/tab-separated-values"}),
        (as_csv(delimiter=";"), {}),
        ("\n\n" + as_csv() + "\n\n,,,,,\n", {}),
        (as_objects(), {}),
        ("  \n" + as_objects(), {"content_type": "text/plain"}),
        (as_columns(), {"content_type": "application/json"}),
        (as_columns(), {"filename": "list.JSON"}),
        (as_votable("tabledata"), {}),
        (as_votable("binary"), {"content_type": "application/x-votable+xml"}),
        (as_votable("binary2"), {"filename": "list.vot"}),
    ],
    ids=str,
)
def test_every_format_says_the_same(body: str | bytes, more: dict[str, str]) -> None:
    targets = ztf(body, **more)
    assert targets.problems == {}
    assert targets.ids == ["a", "2", "ß"]
    assert targets.surveys == ["ztf"] * 3
    assert targets.alerts == [BIG, "12", None]
    assert np.array_equal(targets.ra, [1.5, np.nan, 359.75], equal_nan=True)
    assert np.array_equal(targets.dec, [-2.25, np.nan, 89.5], equal_nan=True)
    assert [targets.own(row) for row in range(3)] == [{"KIND": "template"}, {}, {}]


# ---------------------------------------------------------------------- what columns mean


def test_the_survey_is_told_by_the_name_of_its_ids() -> None:
    assert read("candid\n1").surveys == ["ztf"]
    assert read("DIASOURCEID\n1").surveys == ["lsst"]
    assert read("alertId,survey\n1,LSST\n2,ztf").surveys == ["lsst", "ztf"]
    assert read("candid,diaSourceId\n1,\n,2").surveys == ["ztf", "lsst"]
    assert ztf("alert_id\n1").surveys == ["ztf"]
    mixed = read("candid,survey\n1,\n2,ztf\n3,des")
    assert mixed.surveys == ["ztf", "ztf", None]
    assert "des" in problem(mixed, 2)
    assert "two alerts" in problem(read("candid,diaSourceId\n1,2"), 0)
    with pytest.raises(BadTargets, match="survey"):
        read("alertId\n1")
    with pytest.raises(BadTargets, match="survey"):
        read("ra,dec\n1,2")
    with pytest.raises(NotInLake, match="des"):
        read("candid\n1", survey="des")


def test_publisher_ids() -> None:
    targets = read(
        "id,obs_publisher_did\nx,ivo://here/ztf?5\ny,ivo://here/lsst?6/science\nz,ivo://there/ztf?7\nw,"
    )
    assert targets.ids == ["x", "y", "z", "w"]
    assert targets.surveys[:2] == ["ztf", "lsst"]
    assert targets.alerts[:2] == ["5", "6"]
    assert [targets.own(row) for row in range(2)] == [{}, {"KIND": "science"}]
    assert "ivo://here/SURVEY" in problem(targets, 2)
    assert "no alert" in problem(targets, 3)
    # A column of that sort may be called id, and is then not the user's own.
    targets = read(
        "ID,kind\nivo://here/ztf?5/science,science\nivo://here/ztf?6/science,template\nivo://here/des?6,"
    )
    assert targets.ids == ["1", "2", "3"]
    assert targets.alerts[0] == "5"
    assert "science" in problem(targets, 1)
    assert "template" in problem(targets, 1)
    assert "des" in problem(targets, 2)


@pytest.mark.parametrize(
    "value", ["1.5e18", "9.007199254740993E15", "12.0", "-1", "1_0", "٣", "0x1f", "1" * 21, "nan", "a"]
)
def test_an_id_that_lost_its_digits_is_that_rows_problem(value: str) -> None:
    targets = ztf(f"candid\n1\n{value}\n2")
    assert targets.alerts == ["1", None, "2"]
    assert "line 3" in problem(targets, 1)
    assert value[:40] in problem(targets, 1)


def test_ids_are_text_as_the_lake_has_them() -> None:
    assert ztf(f"candid\n007\n 42 \n{BIG}").alerts == ["7", "42", BIG]
    assert ztf('[{"candid": 18446744073709551615}]').alerts == ["18446744073709551615"]
    assert ztf('[{"candid": 1.5e3}]').alerts == [None]


def test_positions() -> None:
    targets = ztf(
        "s_ra,s_dec,radius\n-10,5,\n370,5,0.5\n10,91,\nx,5,\n10,,\n,,1\n10,5,-1\n10,5,2\nnan,5,\ninf,5,"
    )
    assert targets.ra[:2].tolist() == [350.0, 10.0]
    assert targets.radius[:2].tolist() == [pytest.approx(1 / 3600), 0.5]
    assert sorted(targets.problems) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert "s_dec '91'" in problem(targets, 2)
    assert "s_ra 'x'" in problem(targets, 3)
    assert "not both" in problem(targets, 4)
    assert "no alert and no position" in problem(targets, 5)
    assert "radius '2'" in problem(targets, 7)
    assert ztf("ra,dec\n1,2", radius=0.01).radius.tolist() == [0.01]
    with pytest.raises(BadTargets, match="no column dec"):
        ztf("id,ra\na,1")


def test_a_size_is_a_circle_around_the_position() -> None:
    targets = ztf(
        "candid,ra,dec,size,pos\n1,10,20,0.5,\n,10,20,,\n2,,,0.5,\n3,10,20,0.5,CIRCLE 1 2 3\n4,10,20,0,"
    )
    assert targets.own(0) == {"CIRCLE": "10.0 20.0 0.25"}
    assert targets.own(1) == {}
    assert "no ra and dec" in problem(targets, 2)
    assert "region" in problem(targets, 3)
    assert "zero" in problem(targets, 4)


def test_a_rows_region_stands_for_any_common_one() -> None:
    common = {"POS": "CIRCLE 1 2 3", "KIND": "science"}
    assert overridden(common, {}) == common
    assert overridden(common, {"KIND": "template"}) == {"POS": "CIRCLE 1 2 3", "KIND": "template"}
    assert overridden(common, {"CIRCLE": "4 5 6"}) == {"CIRCLE": "4 5 6", "KIND": "science"}


def test_columns_of_the_users_own_are_passed_over() -> None:
    assert ztf("candid,mag,flux\n1,x,y").parameters == {}


# ---------------------------------------------------------------------- what is refused, and where


@pytest.mark.parametrize(
    ("body", "more", "said"),
    [
        (b"", {}, ["empty"]),
        (b"  \n ", {}, ["empty"]),
        ("id,candid", {}, ["no rows"]),
        ("[]", {}, ["no column"]),
        ("[{}]", {}, ["no object with a name"]),
        ("name,mag\nx,1", {}, ["candid", "ra and dec", "name, mag"]),
        ("candid,Candid\n1,2", {}, ["two columns", "Candid", "column 2"]),
        ("1786552611115010002,5\n1786552611115010003,6", {}, ["line 1", "column 1", "name"]),
        ("ivo://here/ztf?5\nivo://here/ztf?6", {}, ["line 1", "name"]),
        ('candid\n"1\n', {}, ["line 2", "quotes"]),
        ('candid,id\n1,"a"b\n', {}, ["line 2"]),
        (b"candid,id\n1,a\n2,\xe9\n", {}, ["0xe9", "line 3", "column 3", "UTF-8"]),
        ('[{"candid": 1},\n {"candid": }]', {}, ["line 2", "column 13"]),
        ("[" * 100_000, {}, ["nested"]),
        ('{"columns": ["candid"]}', {}, ["rows"]),
        ('{"rows": []}', {}, ["columns"]),
        ('{"columns": ["candid"], "rows": []}', {}, ["no rows"]),
        ('"candid"', {"content_type": "application/json"}, ["no list"]),
        ("<VOTABLE", {}, ["well-formed", "line 1"]),
        ("<html></html>", {}, ["VOTable"]),
        ("candid\n" + "1\n" * 11, {"most": 10}, ["11", "10"]),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_read_says_where(
    body: str | bytes, more: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(BadTargets) as caught:
        ztf(body, **more)
    for word in said:
        assert word in str(caught.value)
    assert caught.value.advice or "takes" in caught.value.message


def test_a_wrong_row_fails_no_other() -> None:
    text = 'id,candid\na,1\nb\n\n"c\nc",2,3\nd,x\ne,5\n'
    targets = ztf(text)
    assert targets.alerts == ["1", None, None, None, "5"]
    assert targets.ids == ["a", "2", "3", "d", "e"]
    assert [
        "line 3" in problem(targets, 1),
        "line 5" in problem(targets, 2),
        "line 7" in problem(targets, 3),
    ] == [True] * 3
    targets = ztf('[{"candid": 1}, 5, {"candid": {"a": 1}}, {"candid": 2, "Candid": 3}, {"candid": 4}, null]')
    assert targets.alerts == ["1", None, None, None, "4", None]
    assert sorted(targets.problems) == [1, 2, 3, 5]
    assert "row 2" in problem(targets, 1)
    assert "twice" in problem(targets, 3)
    targets = ztf('{"columns": ["id", "candid"], "rows": [["a", 1], ["b"], {"c": 1}, ["d", 2]]}')
    assert (targets.ids, targets.alerts) == (["a", "2", "3", "d"], ["1", None, None, "2"])


def test_lists_of_numbers_in_json_are_regions() -> None:
    targets = ztf('[{"candid": 1, "CIRCLE": [10.5, -2, 0.1]}, {"candid": 2, "circle": null}]')
    assert [targets.own(row) for row in range(2)] == [{"CIRCLE": "10.5 -2 0.1"}, {}]


def test_arrays_in_votables_are_regions() -> None:
    table = Table({"candid": np.array([1, 2]), "circle": np.array([[1.5, 2.5, 3.0], [4.0, 5.0, 6.0]])})
    for form in ("tabledata", "binary", "binary2"):
        out = io.BytesIO()
        writeto(from_table(table), out, tabledata_format=form)
        assert ztf(out.getvalue()).own(1) == {"CIRCLE": "4.0 5.0 6.0"}


STREAM = """<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>
<FIELD name="candid" datatype="long"/>
<DATA><BINARY><{tag} {attributes}>{body}</{tag}></BINARY></DATA></TABLE></RESOURCE></VOTABLE>"""


def test_a_votable_with_its_data_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0\0\0\0\0\0\0\7")
    assert ztf(
        STREAM.format(
            tag="STREAM", attributes='encoding="base64"', body=base64.b64encode(b"\0" * 7 + b"\7").decode()
        )
    ).alerts == ["7"]
    for attributes in (f'href="file://{secret}"', f"a='>' encoding=\"none\"\nhref = 'file://{secret}'"):
        with pytest.raises(BadTargets, match="elsewhere"):
            ztf(STREAM.format(tag="STREAM", attributes=attributes, body=""))
    entity = STREAM.format(tag="STREAM", attributes="", body="").replace(
        "?>", '?><!DOCTYPE VOTABLE [<!ENTITY x SYSTEM "file:///etc/passwd">]>', 1
    )
    with pytest.raises(BadTargets, match="DOCTYPE"):
        ztf(entity)
    with pytest.raises(BadTargets, match="UTF-8"):
        ztf(entity.encode("utf-16"), content_type="text/xml")
    with pytest.raises(BadTargets, match="UTF-8"):
        ztf('<?xml version="1.0" encoding="utf-7"?><VOTABLE/>')


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(str.encode),
    st.sampled_from(["", "text/csv", "application/json", "text/xml"]),
)
def test_whatever_is_sent_is_a_list_or_refused(body: bytes, content_type: str) -> None:
    try:
        targets = ztf(body, content_type=content_type)
    except BadTargets:
        return
    assert len(targets) > 0


cells = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12) | st.sampled_from(
    ["1", BIG, "ivo://here/ztf?5", "ztf", "10", "1e5", '"', ",", "\n"]
)


@given(
    st.lists(st.sampled_from(["id", "candid", "ra", "dec", "radius", "size", "survey", "kind", "circle", "did", "x"]),
             min_size=1, max_size=6, unique=True),
    st.data(),
)  # fmt: skip
def test_every_row_is_a_target_or_a_problem(names: list[str], data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(st.lists(cells, min_size=len(names), max_size=len(names)), min_size=1, max_size=5)
    )
    text = json.dumps({"columns": names, "rows": rows})
    try:
        targets = ztf(text)
    except BadTargets:
        return
    assert len(targets) == len(rows)
    for row in range(len(rows)):
        if row in targets.problems:
            assert isinstance(targets.problems[row], LakeError)
            continue
        assert targets.surveys[row] in SURVEYS
        assert targets.alerts[row] or np.isfinite(targets.ra[row] + targets.dec[row] + targets.radius[row])
