"""SIA 2: parameters become conditions, which are checked against the rows of `ivoa.obscore` one by one."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from sodalake.lake.lake import Lake
from sodalake.server.dali import Parameters
from sodalake.server.errors import BadParameter
from sodalake.server.vo.sia2 import conditions
from sodalake.tap.adql import parse, resolve
from sodalake.tap.metadata import Published
from sodalake.tap.published import publish

if TYPE_CHECKING:
    from conftest import Server

V = "{http://www.ivoa.net/xml/VOTable/v1.3}"
Row = dict[str, str]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    lake = Lake.create(str(tmp_path_factory.mktemp("lake")), surveys=["ztf"])
    try:
        return publish(lake, "sodalake")
    finally:
        lake.close()


def where(*pairs: tuple[str, str]) -> str:
    return " AND ".join(conditions(Parameters(pairs), "sodalake"))


WORDS = ["CIRCLE 10 20 0.5", "RANGE 1 2 -Inf +Inf", "POLYGON 1 1 2 1 2 2", "1e-7", "-Inf 5", "image", "2", "I",
         "ivo://sodalake/ztf?5", "it's", "'; --", "\x00", "ivo://x/y?z"]  # fmt: skip
NAMES = ["POS", "BAND", "TIME", "POL", "FOV", "SPATRES", "SPECRP", "EXPTIME", "TIMERES", "ID", "COLLECTION",
         "FACILITY", "INSTRUMENT", "TARGET", "FORMAT", "DPTYPE", "CALIB"]  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.one_of(st.sampled_from(WORDS), st.text(max_size=20))), max_size=4
    )
)
def test_anything_is_told_or_is_adql(published: Published, pairs: list[tuple[str, str]]) -> None:
    try:
        made = where(*pairs)
    except BadParameter:
        return
    if made:
        resolve(parse(f"SELECT obs_id FROM ivoa.obscore WHERE {made}"), published)


@pytest.mark.parametrize(
    "pair",
    [("POS", "CIRCLE 1 2"), ("POS", "CIRCLE 1 91 1"), ("POS", "CIRCLE 1 2 -1"), ("POS", "BOX 1 2 3 4"),
     ("POS", "POLYGON 1 1 2 2"), ("POS", "RANGE 1 5 1 0"), ("POS", "RANGE +Inf 5 0 1"), ("POS", "RANGE 0 5 0 -Inf"),
     ("POS", "RANGE 0 361 0 1"), ("POS", "RANGE 0 1 -91 1"), ("POS", "RANGE 0 1 2"), ("POS", "RANGE 0 NaN 0 1"),
     ("POS", "CIRCLE nan 0 1"), ("BAND", "1 2 3"),
     ("BAND", "2 1"), ("TIME", "NaN"), ("TIME", "2020-01-01"), ("DPTYPE", "spectrum"), ("DPTYPE", "IMAGE"),
     ("CALIB", "5"), ("CALIB", "1.0"), ("POL", "I'")],
)  # fmt: skip
def test_wrong_values_are_told(pair: tuple[str, str]) -> None:
    with pytest.raises(BadParameter):
        where(pair)


def test_many_values_are_too_many() -> None:
    with pytest.raises(BadParameter, match="1001"):
        where(*[("TARGET", str(n)) for n in range(1001)])


def test_values_are_alternatives_and_parameters_all_hold() -> None:
    made = where(("TARGET", "a"), ("TARGET", "b'"), ("CALIB", "2"), ("TARGET", "a"))
    assert made == "calib_level = 2 AND ((target_name = 'a') OR (target_name = 'b'''))"


# ---------------------------------------------------------------------- served


@pytest.fixture(scope="module")
def rows(server: Server) -> list[Row]:
    # one of ztf's files is gone: only what an index finds can be had of it
    answer = server.ask("/sia2/query", {"COLLECTION": "lsst", "RESPONSEFORMAT": "csv"})
    assert answer.status == 200, answer.text
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert len({row["obs_publisher_did"] for row in found}) == len(found) > 20
    return found


def ask(server: Server, *pairs: tuple[str, object]) -> set[str]:
    answer = server.ask("/sia2/query", [*pairs, ("COLLECTION", "lsst"), ("RESPONSEFORMAT", "csv")])
    assert answer.status == 200, answer.text
    return {row["obs_publisher_did"] for row in csv.DictReader(io.StringIO(answer.text))}


def those(rows: Sequence[Row], choose: Callable[[Row], bool]) -> set[str]:
    return {row["obs_publisher_did"] for row in rows if choose(row)}


@pytest.mark.embedded
def test_conditions_choose_rows(server: Server, rows: list[Row]) -> None:
    one = rows[0]
    times = sorted(float(row["t_min"]) for row in rows)
    low, high = times[len(times) // 4], times[len(times) // 2]
    assert ask(server, ("TIME", f"{low!r} {high!r}")) == those(
        rows, lambda r: float(r["t_min"]) <= high and float(r["t_max"]) >= low
    )
    assert ask(server, ("BAND", "5.0e-7")) == those(
        rows, lambda r: bool(r["em_min"]) and float(r["em_min"]) <= 5.0e-7 <= float(r["em_max"])
    )
    assert ask(server, ("TARGET", one["target_name"])) == those(
        rows, lambda r: r["target_name"] == one["target_name"]
    )
    # another collection is an alternative, and case counts
    assert ask(server, ("COLLECTION", "LSST")) == those(rows, lambda r: r["obs_collection"] == "lsst")
    assert ask(server, ("INSTRUMENT", "lsstcam")) == set()
    assert ask(
        server, ("ID", one["obs_publisher_did"].replace("ivo://sodalake/lsst", "IVO://SodaLake/LSST"))
    ) == {one["obs_publisher_did"]}
    assert ask(server, ("ID", "ivo://other/x?1")) == set()
    assert ask(server, ("DPTYPE", "cube")) == set()
    assert ask(server, ("DPTYPE", "cube"), ("DPTYPE", "image")) == those(rows, lambda _: True)
    assert ask(server, ("SPATRES", "-Inf +Inf")) == set(), "a null meets no condition"
    assert ask(server, ("FACILITY", one["facility_name"]), ("CALIB", 2)) == those(
        rows, lambda r: r["facility_name"] == one["facility_name"]
    )


@pytest.mark.embedded
def test_places_choose_rows(server: Server, rows: list[Row]) -> None:
    one = rows[0]
    ra, dec = float(one["s_ra"]), float(one["s_dec"])
    near = ask(server, ("POS", f"CIRCLE {ra} {dec} 0.0001"))
    assert one["obs_publisher_did"] in near
    # 5 arcseconds beside the centre is still inside a stamp, and 2 arcminutes are not
    assert one["obs_publisher_did"] in ask(server, ("POS", f"CIRCLE {ra} {dec + 5 / 3600} 0.0001"))
    assert one["obs_publisher_did"] not in ask(server, ("POS", f"CIRCLE {ra} {dec + 120 / 3600} 0.0001"))
    d = 0.01
    corners = f"POLYGON {ra - d} {dec - d} {ra + d} {dec - d} {ra + d} {dec + d} {ra - d} {dec + d}"
    assert one["obs_publisher_did"] in ask(server, ("POS", corners))
    assert ask(server, ("POS", "RANGE -Inf +Inf -Inf +Inf")) == those(rows, lambda r: bool(r["s_ra"]))
    assert ask(server, ("POS", "RANGE 0 360 -90 90")) == those(rows, lambda r: bool(r["s_ra"]))
    beside = 5 / 3600  # the centre is outside, and the stamp is not
    assert one["obs_publisher_did"] in ask(
        server, ("POS", f"RANGE {ra - d} {ra + d} {dec + beside} {dec + d}")
    )
    assert one["obs_publisher_did"] not in ask(
        server, ("POS", f"RANGE {ra - d} {ra + d} {dec + 120 / 3600} {dec + 1}")
    )


# ---------------------------------------------------------------------- ranges of coordinates

HALF = 31.5 / 3600  # degrees of a footprint's half side
GRID = np.linspace(-1, 1, 61) * np.tan(np.radians(HALF))
STEP = 2 * HALF / 60


def on_the_sky(places: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of tangent planes (k) at places (N, 2), as longitudes and latitudes (N, k)."""
    ra, dec = np.radians(places).T[..., None]
    depth = np.cos(dec) - y * np.sin(dec)
    lon = ra + np.arctan2(x, depth)
    lat = np.arctan2(np.sin(dec) + y * np.cos(dec), np.hypot(x, depth))
    return np.degrees(lon) % 360, np.degrees(lat)


@pytest.fixture(scope="module")
def footprints() -> np.ndarray:
    """Places (N, 2) of footprints: around 0, the poles, the equator, and corners of the ranges below."""
    random = np.random.default_rng(5)
    near = [
        (0, 0),
        (0, 45),
        (0, 90),
        (180, -90),
        (10, 20),
        (12, 22),
        (90, 60),
        (350, -30),
        (40, -70),
        (220, 89.9),
    ]
    found = [np.array(place) + random.normal(0, 3 * HALF, (60, 2)) / (np.cos(np.radians(min(abs(place[1]), 89.5))), 1)
             for place in near]  # fmt: skip
    everywhere = np.column_stack(
        (random.uniform(0, 360, 400), np.degrees(np.arcsin(random.uniform(-1, 1, 400))))
    )
    places = np.concatenate([*found, everywhere])
    return np.column_stack((places[:, 0] % 360, np.clip(places[:, 1], -90, 90)))


@pytest.fixture(scope="module")
def uploaded(footprints: np.ndarray) -> bytes:
    t = np.tan(np.radians(HALF))
    lon, lat = on_the_sky(footprints, np.array([t, t, -t, -t]), np.array([t, -t, -t, t]))
    regions = [" ".join(f"{one:.9f}" for one in row) for row in np.stack((lon, lat), 2).reshape(len(lon), 8)]
    rows = "".join(
        f"<TR><TD>{n}</TD><TD>{ra!r}</TD><TD>{dec!r}</TD><TD>Polygon ICRS {region}</TD></TR>"
        for n, ((ra, dec), region) in enumerate(zip(footprints.tolist(), regions, strict=True))
    )
    return (
        '<VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE><FIELD name="n" datatype="int"/>'
        '<FIELD name="s_ra" datatype="double"/><FIELD name="s_dec" datatype="double"/>'
        '<FIELD name="s_region" datatype="char" arraysize="*" xtype="adql:REGION"/>'
        f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()


@pytest.mark.embedded
@pytest.mark.parametrize(
    "limits",
    [(10, 12, 20, 22), (10, 10, 20, 22), (10, 12, 20, 20), (350, 10, -5, 5), (0, 360, 45, 45.001), (0, 0, -90, 90),
     (90, 220, 60, "+Inf"), ("-Inf", 350, -30, 0), (40, 300, "-Inf", -70), (0, 360, 89.99, 90), (0, 360, 90, 90),
     (359.99, 0.01, -0.01, 0.01), (12, 10, 20, 22), (0, 180, 0, 90), (220, "+Inf", 89.8, 89.9), (0, 200, 44.99, 45)],
)  # fmt: skip
def test_ranges_meet_footprints(
    server: Server, footprints: np.ndarray, uploaded: bytes, limits: Sequence[object]
) -> None:
    query = f"SELECT n FROM TAP_UPLOAD.t WHERE {where(('POS', 'RANGE ' + ' '.join(map(str, limits))))}"
    fields = {"LANG": "ADQL", "QUERY": query, "UPLOAD": "t,param:p", "FORMAT": "csv"}
    body = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    )
    body += (
        b'--b\r\nContent-Disposition: form-data; name="p"; filename="p.vot"\r\n\r\n'
        + uploaded
        + b"\r\n--b--\r\n"
    )
    answer = server.ask(
        "/tap/sync", method="POST", body=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status == 200, answer.text
    found = {int(row["n"]) for row in csv.DictReader(io.StringIO(answer.text))}
    ends = [float(str(one)) for one in limits]
    west, east, south, north = (min(max(one, low), high) for one, low, high in
                                zip(ends, (0, 0, -90, -90), (360, 360, 90, 90), strict=True))  # fmt: skip
    x, y = (axis.ravel() for axis in np.meshgrid(GRID, GRID))
    lon, lat = on_the_sky(footprints, x, y)
    width = east - west if west <= east else east - west + 360

    def inside(margin: float) -> set[int]:
        aside = margin / np.maximum(np.cos(np.radians(lat)), 1e-9)
        within = ((lon - west + aside) % 360 <= width + 2 * aside) | (width + 2 * aside >= 360)
        return set(
            np.flatnonzero((within & (lat >= south - margin) & (lat <= north + margin)).any(axis=1)).tolist()
        )

    assert inside(0.0) <= found
    assert found <= inside(2 * STEP)
    assert found or width + north - south < 1e-3


@pytest.mark.embedded
def test_the_answer_tells_what_else_there_is(server: Server) -> None:
    answer = server.ask("/sia2/query", {"MAXREC": 1})
    root = etree.fromstring(answer.body)
    assert "OVERFLOW" in answer.text
    services = {
        resource.xpath("string(v:PARAM[@name='standardID']/@value)", namespaces={"v": V[1:-1]}): resource
        for resource in root.findall(f"{V}RESOURCE[@type='meta']")
    }
    assert set(services) == {
        "ivo://ivoa.net/std/SIA#query-2.0", "ivo://ivoa.net/std/DataLink#links-1.1", "ivo://ivoa.net/std/SODA#sync-1.0",
    }  # fmt: skip
    assert services["ivo://ivoa.net/std/SIA#query-2.0"].get("utype") == "adhoc:this"
    identifiers = {field.get("ID") for field in root.iter(f"{V}FIELD")}
    for ref in root.xpath("//v:GROUP/v:PARAM/@ref", namespaces={"v": V[1:-1]}):
        assert ref in identifiers


@pytest.mark.embedded
@pytest.mark.parametrize(
    "parameters",
    [{"POS": "X"}, {"BAND": "a b"}, {"MAXREC": "-1"}, {"RESPONSEFORMAT": "docx"}, {"DPTYPE": "cubes"},
     [("MAXREC", 1), ("MAXREC", 2)], {"TARGET": "\x00"}],
)  # fmt: skip
def test_errors_begin_with_their_word(server: Server, parameters: dict[str, str]) -> None:
    answer = server.ask("/sia2/query", parameters)
    assert answer.status == 400
    (info,) = etree.fromstring(answer.body).iter(f"{V}INFO")
    assert (info.get("value"), str(info.text).partition(":")[0]) == ("ERROR", "UsageFault")


@pytest.mark.embedded
def test_columns_alone(server: Server) -> None:
    root = etree.fromstring(server.ask("/sia2/query", {"MAXREC": 0, "RESPONSEFORMAT": "votable/td"}).body)
    assert len(list(root.iter(f"{V}FIELD"))) >= 30
    assert not list(root.iter(f"{V}TR"))
    assert server.ask("/sia2/capabilities").status == server.ask("/sia2/availability").status == 200
