"""Survey images as clients find them: in `ivoa.obscore`, by SIA 2, as tables and cones, and what links lead to."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs.utils import proj_plane_pixel_scales
from lxml import etree
from PIL import Image

if TYPE_CHECKING:
    from conftest import Answer, Server
    from image_lake import ImageLake

pytestmark = pytest.mark.embedded
V = "{http://www.ivoa.net/xml/VOTable/v1.3}"
N = {"v": V[1:-1]}
WHOLE = ("tile1_g", "tile3_r", "old g", "new r")  # of files that are as they were


def did(image_id: str) -> str:
    survey = "skytiles" if image_id.startswith("tile") else "exposures"
    return f"ivo://sodalake/{survey}?{quote(image_id, safe='')}"


def queried(server: Server, query: str) -> list[dict[str, str]]:
    answer = server.ask("/tap/sync", {"LANG": "ADQL", "QUERY": query, "FORMAT": "csv"})
    assert answer.status == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def found(server: Server, **parameters: object) -> set[str]:
    answer = server.ask("/sia2/query", {**parameters, "RESPONSEFORMAT": "csv"})
    assert answer.status == 200, answer.text
    return {row["obs_id"] for row in csv.DictReader(io.StringIO(answer.text))}


def links(server: Server, *ids: str, **more: str) -> Answer:
    return server.ask("/datalink/links", [*(("ID", one) for one in ids), *more.items()])


def table_of(answer: Answer) -> list[dict[str, str]]:
    root = etree.fromstring(answer.body)
    names = [field.get("name", "") for field in root.iter(f"{V}FIELD")]
    return [dict(zip(names, (cell.text or "" for cell in row), strict=True)) for row in root.iter(f"{V}TR")]


def at(server: Server, url: str) -> Answer:
    parts = urlsplit(url)
    assert parts.netloc == server.host
    return server.ask(f"{parts.path}?{parts.query}")


@pytest.fixture(scope="module")
def rows(image_server: Server) -> dict[str, dict[str, str]]:
    """Rows of ivoa.obscore, by the image's id."""
    return {row["obs_id"]: row for row in queried(image_server, "SELECT * FROM ivoa.obscore")}


# ---------------------------------------------------------------------- what is found


@pytest.mark.parametrize("image_id", WHOLE)
def test_rows_are_what_the_files_say(
    images: ImageLake, rows: dict[str, dict[str, str]], image_id: str
) -> None:
    row, wcs, file = rows[image_id], images.wcs(image_id), images.files[image_id]
    height, width = images.pixels(image_id).shape
    assert (int(row["s_xel1"]), int(row["s_xel2"])) == (width, height)
    middle = wcs.pixel_to_world_values((width - 1) / 2, (height - 1) / 2)
    assert np.allclose([float(row["s_ra"]), float(row["s_dec"])], middle, rtol=0, atol=1e-9)
    words = row["s_region"].split()
    assert words[:2] == ["Polygon", "ICRS"]
    outline = np.array(words[2:], float).reshape(-1, 2)
    corners = wcs.pixel_to_world_values(
        [-0.5, width - 0.5, width - 0.5, -0.5], [-0.5, -0.5, height - 0.5, height - 0.5]
    )
    for corner in np.stack(corners, axis=-1):
        assert np.abs(outline - corner).max(axis=1).min() < 2e-6
    assert np.isclose(float(row["s_pixel_scale"]), proj_plane_pixel_scales(wcs)[0] * 3600, rtol=1e-4)
    assert np.isclose(
        float(row["s_fov"]), np.hypot(width, height) * float(row["s_pixel_scale"]) / 3600, rtol=1e-3
    )
    assert int(row["access_estsize"]) == -(-file.stat().st_size // 1000)
    assert (row["dataproduct_type"], row["dataproduct_subtype"], row["target_name"]) == ("image", "", "")
    assert row["obs_publisher_did"] == did(image_id)
    assert row["access_format"] == "application/x-votable+xml;content=datalink"


def test_times_and_bands_are_those_of_the_exposure(rows: dict[str, dict[str, str]]) -> None:
    row = rows["new r"]
    assert (float(row["t_min"]), float(row["t_exptime"])) == (60_100.1, 60.0)
    assert float(row["t_max"]) == pytest.approx(60_100.1 + 60 / 86_400)
    assert (float(row["em_min"]), float(row["em_max"])) == (5.5e-7, 7.0e-7)
    assert float(rows["old g"]["em_max"]) == 5.5e-7


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        # on a corner of the images, far from their middles
        ({"POS": "CIRCLE 40.0270 -10.0200 0.0001"}, {"old g", "new g", "new r"}),
        ({"POS": "CIRCLE 39.9740 -10.0200 0.0001"}, {"old g", "new g"}),
        ({"POS": "RANGE 39 41 -11 -9"}, {"old g", "new g", "new r"}),
        ({"POS": "POLYGON 40.02 -10.01 40.03 -10.01 40.03 -10.02", "BAND": "6e-7"}, {"new r"}),
        ({"POS": "CIRCLE 220 -60 1"}, set()),
        ({"TIME": "60100.05 60100.2"}, {"new r"}),
        ({"TIME": "60000 60100"}, {"old g", "new g"}),
        ({"COLLECTION": "exposures", "EXPTIME": "59 61"}, {"old g", "new g", "new r", "gone g", "cut g"}),
        ({"COLLECTION": "exposures", "EXPTIME": "61 +Inf"}, set()),
        ({"COLLECTION": "exposures", "FOV": "0.06 0.08", "TIME": "60000"}, {"old g"}),
        ({"COLLECTION": "exposures", "SPATRES": "-Inf +Inf"}, set()),
        ({"COLLECTION": "exposures", "DPTYPE": "cube"}, set()),
        ({"COLLECTION": "exposures", "FORMAT": "application/fits"}, set()),
        ({"COLLECTION": "Exposures"}, set()),
        ({"COLLECTION": "exposures", "CALIB": "3"}, set()),
        ({"ID": "ivo://sodalake/exposures?old%20g"}, {"old g"}),
        ({"ID": "IVO://SODALAKE/exposures?old%20g"}, {"old g"}),
        ({"ID": "ivo://sodalake/exposures?old%20g/science"}, set()),
        ({"COLLECTION": "exposures", "POL": "I"}, set()),
        ({"COLLECTION": "exposures", "TARGET": "x"}, set()),
    ],
)  # fmt: skip
def test_sia_finds_images(image_server: Server, parameters: dict[str, str], expected: set[str]) -> None:
    assert found(image_server, **parameters) == expected


def test_sia_finds_by_what_all_rows_say(image_server: Server, rows: dict[str, dict[str, str]]) -> None:
    sharp = {name for name, row in rows.items() if row["s_resolution"] and float(row["s_resolution"]) <= 1.0}
    assert found(image_server, SPATRES="-Inf 1.0") == sharp
    assert sharp
    assert found(image_server, FORMAT="application/x-votable+xml;content=datalink", DPTYPE="image") == set(
        rows
    )


def test_a_table_of_images_is_a_cone_search_too(image_server: Server) -> None:
    answer = image_server.ask(
        "/scs/exposures.images", {"RA": 40, "DEC": -10, "SR": 0.001, "RESPONSEFORMAT": "csv"}
    )
    assert answer.status == 200
    assert {row["image_id"] for row in csv.DictReader(io.StringIO(answer.text))} == {"old g", "new g"}
    assert image_server.ask("/scs/exposures.images/capabilities").status == 200


def test_tables_and_examples_tell_of_images(image_server: Server) -> None:
    told = etree.fromstring(image_server.ask("/tap/tables").body)
    columns = {
        column.findtext("name"): column
        for table in told.iter("table")
        if table.findtext("name") == "exposures.images"
        for column in table.iter("column")
    }
    assert columns["ra"].findtext("unit") == "deg"
    assert columns["image_id"].findtext("ucd") == "meta.id;meta.main"
    assert all(column.findtext("description") for column in columns.values())
    page = etree.fromstring(image_server.ask("/tap/examples").body)
    examples = page.xpath("//*[@property='query']/text()")
    assert any("exposures.images" in example for example in examples)
    for example in examples:
        queried(image_server, example)


# ---------------------------------------------------------------------- what links lead to


@pytest.mark.parametrize("image_id", WHOLE)
def test_links_lead_to_the_image_and_what_is_beside_it(
    image_server: Server, images: ImageLake, rows: dict[str, dict[str, str]], image_id: str
) -> None:
    answer = at(image_server, rows[image_id]["access_url"])
    assert answer.headers["Content-Type"] == rows[image_id]["access_format"]
    told = table_of(answer)
    planes = ["weight"] if image_id.startswith("tile") else ["mask"]
    assert [row["semantics"] for row in told] == [
        "#this",
        "#preview",
        "#cutout",
        *["#auxiliary"] * len(planes),
    ]
    assert {row["ID"] for row in told} == {did(image_id)}
    for row in told:
        assert bool(row["access_url"]) + bool(row["service_def"]) + bool(row["error_message"]) == 1
    this, preview, _, *beside = (
        at(image_server, row["access_url"]) if row["access_url"] else None for row in told
    )
    assert this is not None
    assert preview is not None
    for row, one in ((told[0], this), (told[1], preview), *zip(told[3:], beside, strict=True)):
        assert one is not None
        assert (one.status, one.headers["Content-Type"]) == (200, row["content_type"]), row
    with fits.open(io.BytesIO(this.body)) as hdus:
        assert np.array_equal(hdus[0].data, images.pixels(image_id), equal_nan=True)
    height, width = images.pixels(image_id).shape
    with Image.open(io.BytesIO(preview.body)) as picture:
        assert max(picture.size) == min(512, max(height, width))
    for plane, one in zip(planes, beside, strict=True):
        assert one is not None
        with fits.open(io.BytesIO(one.body)) as hdus:
            assert plane.upper() in {hdu.name for hdu in hdus}


def test_descriptors_say_what_there_is(image_server: Server, rows: dict[str, dict[str, str]]) -> None:
    ids = [did(one) for one in ("old g", "tile3_r")]
    answer = links(image_server, *ids)
    root = etree.fromstring(answer.body)
    services = {
        one.get("ID"): one for one in root.xpath("//v:RESOURCE[@utype='adhoc:service']", namespaces=N)
    }
    told = [row for row in table_of(answer) if row["semantics"] == "#cutout"]
    assert [row["service_def"] for row in told] == list(services)
    for row, image_id in zip(told, ("old g", "tile3_r"), strict=True):
        service, known = services[row["service_def"]], rows[image_id]
        inputs = {one.get("name"): one for one in service.findall(f"{V}GROUP/{V}PARAM")}
        values = {
            (name, limit): one.find(f"{V}VALUES/{V}{limit}").get("value")
            for name, one in inputs.items()
            for limit in ("MIN", "MAX")
            if one.find(f"{V}VALUES/{V}{limit}") is not None
        }
        assert inputs["ID"].get("value") == did(image_id)
        assert not inputs.keys() & {"KIND", "POL"}
        assert ("POS", "MAX") not in values
        assert values["POLYGON", "MAX"] == " ".join(known["s_region"].split()[2:])
        lon, lat, radius = map(float, values["CIRCLE", "MAX"].split())
        assert (lon, lat) == (float(known["s_ra"]), float(known["s_dec"]))
        assert 2 * radius == float(known["s_fov"])
        assert [float(values["BAND", one]) for one in ("MIN", "MAX")] == [
            float(known[one]) for one in ("em_min", "em_max")
        ]
        if known["t_min"]:
            assert (values["TIME", "MIN"], values["TIME", "MAX"]) == (known["t_min"], known["t_max"])
        else:
            assert ("TIME", "MIN") not in values
        for shape in ("CIRCLE", "POLYGON"):  # which cover the image, so that nothing of it is cut off
            cut = image_server.ask("/soda/sync", {"ID": did(image_id), shape: values[shape, "MAX"]})
            assert cut.status == 200
            with fits.open(io.BytesIO(cut.body)) as hdus:
                assert hdus[0].shape == (int(known["s_xel2"]), int(known["s_xel1"]))


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        ("ivo://sodalake/exposures?nothing", "NotFoundFault"),
        ("ivo://sodalake/exposures?old%20g/science", "NotFoundFault"),
        ("ivo://sodalake/exposures?old%20g/red", "UsageFault"),
        ("ivo://sodalake/exposures?old g'; --", "NotFoundFault"),
        ("ivo://sodalake/exposures?" + "x" * 900, "NotFoundFault"),
        ("ivo://sodalake/exposures?%00", "UsageFault"),
        ("ivo://sodalake/exposures?%", "UsageFault"),
        ("ivo://sodalake/EXPOSURES?é", "NotFoundFault"),
    ],
)
def test_an_id_that_means_nothing_has_a_row(image_server: Server, sent: str, word: str) -> None:
    answer = links(image_server, sent)
    assert answer.status == 200
    (row,) = table_of(answer)
    assert (row["ID"], row["semantics"], row["error_message"].partition(":")[0]) == (sent, "#this", word)


def test_many_long_ids_are_no_long_query(image_server: Server) -> None:
    body = "&".join(f"ID=ivo://sodalake/exposures?{number}{'x' * 600}" for number in range(100)).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = image_server.ask("/datalink/links", method="POST", body=body, headers=form)
    assert answer.status == 200
    assert {row["error_message"].partition(":")[0] for row in table_of(answer)} == {"NotFoundFault"}


def test_rows_of_an_id_stand_together(image_server: Server) -> None:
    ids = [did("new r"), did("nothing"), did("tile1_g"), did("old g"), did("new r"), "nonsense"]
    told = [row["ID"] for row in table_of(links(image_server, *ids))]
    assert [one for n, one in enumerate(told) if n == 0 or told[n - 1] != one] == [*ids[:4], "nonsense"]


def test_ids_of_images_with_their_survey(image_server: Server) -> None:
    told = table_of(links(image_server, "old g", "tile1_g", SURVEY="exposures"))
    assert [row["semantics"] for row in told if row["ID"] == "old g"][:2] == ["#this", "#preview"]
    assert [row["error_message"].partition(":")[0] for row in told if row["ID"] == "tile1_g"] == [
        "NotFoundFault"
    ]
    # results of TAP say where the links of their ids are
    answer = image_server.ask(
        "/tap/sync", {"LANG": "ADQL", "QUERY": "SELECT image_id AS x FROM exposures.images"}
    )
    root = etree.fromstring(answer.body)
    (group,) = root.xpath("//v:RESOURCE[@utype='adhoc:service']/v:GROUP", namespaces=N)
    inputs = {one.get("name"): one for one in group}
    assert (inputs["SURVEY"].get("value"), inputs["ID"].get("ref")) == ("exposures", "x")
