"""Survey files: the shipped ones describe every column of real alerts, wrong ones are refused by the key's name."""

import pickle
import re
import tomllib
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io.votable.ucd import parse_ucd
from pydantic import ValidationError

from sodalake.lake.avro import arrow_schema
from sodalake.lake.errors import ConfigurationError
from sodalake.lake.survey import load_survey, parse_survey, read_survey_text, shipped_surveys

ROOT = Path(__file__).parents[2]


def schemas(real_alerts, survey):
    """Every schema that occurs in the real files of a survey."""
    for path in sorted(real_alerts.glob(f"{survey}_*/*")):
        if path.suffix == ".parquet":
            yield path, pq.read_schema(path)
        elif path.suffix == ".avro":
            with path.open("rb") as file:
                yield path, arrow_schema(file, path.name)


def scalars(fields, prefix=""):
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from scalars(field.type, f"{prefix}{field.name}.")
        elif not pa.types.is_nested(field.type):
            yield prefix + field.name


def example() -> str:
    """The minimal survey of the documentation."""
    text = (ROOT / "docs" / "surveys.md").read_text()
    return re.findall(r"```toml\n(.*?)```", text, re.S)[0]


def test_ztf_and_lsst_are_shipped():
    assert {"ztf", "lsst"} <= set(shipped_surveys())


@pytest.mark.parametrize("name", ["ztf", "lsst"])
def test_every_column_of_the_real_files_is_described(real_alerts, name):
    survey = load_survey(name)
    described = {column.path for column in survey.columns}
    seen = 0
    for path, schema in schemas(real_alerts, name):
        found = set(scalars(schema))
        seen += len(found)
        missing = {column for column in found - described if not survey.leaves_out(column)}
        assert not missing, f"{path.name}: {sorted(missing)}"
    assert seen > 500


@pytest.mark.parametrize("name", ["ztf", "lsst"])
def test_every_path_a_survey_needs_is_in_a_real_file(real_alerts, name):
    survey = load_survey(name)
    found = {path for _, schema in schemas(real_alerts, name) for path in scalars(schema)}
    needed = {survey.ids.alert, survey.ids.object, survey.time.path, survey.position.ra, survey.position.dec}
    needed |= {survey.band.path, survey.brightness.path, survey.brightness.error, survey.klass.path}
    needed |= set(survey.klass.otherwise) | set(survey.stamps.kinds.values())
    needed |= {other.path for other in survey.ids.object_otherwise}
    assert needed <= found


@pytest.mark.parametrize("name", ["ztf", "lsst"])
def test_units_and_ucds_are_the_standards(name):
    survey = load_survey(name)
    assert survey.columns
    for column in survey.columns:
        if column.unit:
            units.Unit(column.unit, format="vounit", parse_strict="raise")
        assert column.ucd, column.path
        parse_ucd(column.ucd, check_controlled_vocabulary=True)
        assert column.description.endswith(".")


@pytest.mark.parametrize("name", ["ztf", "lsst"])
def test_flat_names_are_unique_without_regard_to_case(name):
    names = [column.name.lower() for column in load_survey(name).columns]
    assert len(names) == len(set(names))


def test_names_are_those_users_know():
    ztf, lsst = load_survey("ztf"), load_survey("lsst")
    for name in (
        "objectId",
        "candid",
        "jd",
        "ra",
        "dec",
        "fid",
        "magpsf",
        "cdsxmatch",
        "mangrove_2MASS_name",
    ):
        assert ztf.column_named(name).name == name
    assert ztf.column_named("ra").path == "candidate.ra"
    for name in ("diaSourceId", "diaObjectId", "midpointMjdTai", "psfFlux", "xm_simbad_otype", "nDiaSources"):
        assert lsst.column_named(name).name == name
    assert lsst.column_named("RA").path == "diaSource.ra"
    assert lsst.column_at("diaObject.ra").name == "diaObject_ra"
    assert lsst.column_at("mpc_orbits.a").name == "mpc_orbits_a"


def test_an_unlisted_column_has_a_name_too():
    ztf = load_survey("ztf")
    assert ztf.flat_name("candidate.newvalue") == "newvalue"
    assert ztf.flat_name("elsewhere.newvalue") == "elsewhere_newvalue"
    assert ztf.flat_name("mangrove.jd") == "mangrove_jd"
    assert ztf.flat_name("JD") == "JD_"  # jd is taken, and the top level has no prefix
    assert ztf.flat_name("1 odd-name") == "_1_odd_name"


def test_bands_have_names_and_wavelengths():
    ztf, lsst = load_survey("ztf"), load_survey("lsst")
    assert [ztf.band_name(fid) for fid in (1, 2, 3, 9, None)] == ["g", "r", "i", "9", None]
    assert lsst.band_name("z") == "z"
    assert list(lsst.bands) == ["u", "g", "r", "i", "z", "y"]
    for survey in (ztf, lsst):
        for shortest, longest in survey.bands.values():
            assert 3e-7 < shortest < longest < 1.2e-6


def test_stamps_are_left_out_of_rows():
    ztf = load_survey("ztf")
    assert list(ztf.stamps.kinds) == ["science", "template", "difference"]
    assert ztf.leaves_out("cutoutScience.stampData")
    assert ztf.leaves_out("cutoutTemplate.fileName")
    assert not ztf.leaves_out("candidate.jd")


def test_a_survey_travels_to_a_worker_and_cannot_be_changed():
    survey = load_survey("lsst")
    assert survey.column_named("ra")  # its look-up tables travel with it, or are made again
    twin = pickle.loads(pickle.dumps(survey))
    assert twin == survey
    assert twin.column_named("dec").path == "diaSource.dec"
    with pytest.raises(ValidationError):
        survey.name = "other"


def test_the_example_of_the_documentation_is_a_survey(tmp_path):
    file = tmp_path / "minimal.toml"
    file.write_text(example())
    survey = load_survey(str(file))
    assert survey.name == "skywatch"
    assert survey.schema_name == "skywatch"
    assert load_survey(f"file://{file}") == survey
    assert read_survey_text(str(file)) == example()


def test_the_documentation_names_every_key():
    text = (ROOT / "docs" / "surveys.md").read_text()
    survey = load_survey("lsst")
    keys = set(type(survey).model_fields) - {"klass"} | {"class"}
    for part in (survey.ids, survey.ids.object_otherwise[0], survey.time, survey.position, survey.band):
        keys |= set(type(part).model_fields)
    for part in (survey.klass, survey.brightness, survey.stamps, survey.naming, survey.columns[0]):
        keys |= set(type(part).model_fields)
    assert not {key for key in keys if f"`{key}`" not in text}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.pop("title"), "key title is missing"),
        (lambda raw: raw["ids"].pop("alert"), "key ids.alert is missing"),
        (lambda raw: raw.update(facilty="X"), r"key facilty is unknown \(did you mean facility\?\)"),
        (lambda raw: raw["time"].update(scal="x"), r"key time.scal is unknown \(did you mean scale\?\)"),
        (lambda raw: raw["time"].update(scale="jd"), "key time.scale"),
        (lambda raw: raw.update(name="No Spaces"), "key name"),
        (lambda raw: raw["stamps"].update(format="png"), "key stamps.format"),
        (lambda raw: raw["stamps"].update(pixel_scale=-1), "key stamps.pixel_scale"),
        (lambda raw: raw["stamps"].update(kinds={"weight": "w"}), "key stamps.kinds"),
        (lambda raw: raw["stamps"].update(kinds={}), "key stamps.kinds"),
        (lambda raw: raw["bands"].update(g=[5e-7, 4e-7]), "key bands.g: two wavelengths"),
        (lambda raw: raw["bands"].pop("g"), "bands without wavelengths"),
        (lambda raw: raw["columns"]["flux"].pop("description"), 'key columns."flux".description is missing'),
        (lambda raw: raw["columns"]["flux"].update(unti="Jy"), r'columns."flux".unti.*did you mean unit\?'),
        (lambda raw: raw["columns"].update(flux="nJy"), 'key columns."flux"'),
        (
            lambda raw: raw["columns"].update(
                a={"name": "F", "description": "x"}, b={"name": "f", "description": "x"}
            ),
            "a and b are both called f",
        ),
        (lambda raw: raw["time"].update(name="when"), "time.name is when"),
        (lambda raw: raw.update(columns=3), "key columns"),
        (lambda raw: raw.update(naming=3), "key naming"),
    ],
)
def test_a_wrong_key_is_named(change, said):
    raw = tomllib.loads(example())
    change(raw)
    with pytest.raises(ConfigurationError, match=said):
        parse_survey(toml(raw))


def test_what_is_not_toml_is_refused_with_its_place():
    with pytest.raises(ConfigurationError, match=r"here is not TOML.*line 1"):
        parse_survey("name = \n", "here")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("zft", "did you mean 'ztf'"),
        ("nothing", "Shipped are"),
        ("/no/such/file.toml", "cannot be read"),
        ("nofs://x/y.toml", "cannot be read"),
    ],
)
def test_a_survey_that_is_not_there(source, said):
    with pytest.raises(ConfigurationError, match=f"(?i){said}"):
        load_survey(source)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_survey(str(file))


def test_records_of_the_real_avro_files_have_the_schema_they_announce(real_alerts):
    path = real_alerts / "ztf_fink_client" / "part-3-305711.avro"
    with path.open("rb") as file:
        schema = arrow_schema(file)
    with path.open("rb") as file:
        record = next(fastavro.reader(file))
    assert set(schema.names) == set(record)


def toml(value, prefix=""):
    """Just enough of a TOML writer to change a survey and read it again."""
    plain = "".join(f"{quoted(k)} = {inline(v)}\n" for k, v in value.items() if not isinstance(v, dict))
    for key, item in value.items():
        if isinstance(item, dict):
            name = prefix + quoted(key)
            plain += f"[{name}]\n{toml(item, name + '.')}"
    return plain


def inline(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(k)} = {inline(v)}" for k, v in value.items()) + "}"
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
