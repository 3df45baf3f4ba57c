"""The page of latest alerts: what it shows, what it may load, what it escapes; and in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.alerts import NewestAlert
from sodalake.lake.demo import write_demo_archive
from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake
from sodalake.lake.survey import load_survey
from sodalake.server.portal.cards import card_of
from sodalake.server.portal.clock import as_utc, in_own_scale, iso
from sodalake.server.portal.latest import COUNT

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
NASTY = "<script>alert(1)</script>\"'&x"
STATIC = Path(__file__).parents[2] / "server/sodalake/server/portal/static"

Start = Callable[..., Any]


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            a
            for t, a in self.elements
            if t == tag and all(a.get(k.strip("_")) == v for k, v in attributes.items())
        ]


# ---------------------------------------------------------------------- the page

embedded = pytest.mark.embedded


def newest(archive: Any, survey: str) -> list[Any]:
    return sorted(archive.alerts[survey], key=lambda alert: -alert.time)


@embedded
@pytest.mark.parametrize("survey", ["ztf", "lsst"])
def test_the_page_has_a_card_for_each_of_the_latest_alerts(server: Any, archive: Any, survey: str) -> None:
    answer = server.ask("/", {"survey": survey})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    page = Page(answer.text)
    alerts = newest(archive, survey)[:COUNT]
    assert len(page.all("li", class_="card")) == len(alerts)
    shown = re.findall(r"<dd>(\d+)</dd>", answer.text)
    times = {alert.alert_id: alert.time for alert in archive.alerts[survey]}
    assert [times[one] for one in shown] == [alert.time for alert in alerts]
    here = [link["href"] for link in page.all("a") if link.get("aria-current") == "page"]
    assert here == [f"{server.url}/?survey={survey}"]


@embedded
def test_without_a_survey_it_is_the_default_one(server: Any) -> None:
    def cards(text: str) -> list[str]:
        return re.findall(r"<h2[^>]*>([^<]*)</h2>", text)

    assert cards(server.ask("/").text) == cards(server.ask("/", {"survey": "ztf"}).text) != []


@embedded
def test_every_address_on_the_page_answers(server: Any) -> None:
    for survey in ("ztf", "lsst"):
        page = Page(server.ask("/", {"survey": survey}).text)
        links = [a["href"] for a in page.all("a")] + [a["src"] for a in page.all("img")]
        links += [a["href"] for a in page.all("link")]
        checked = set()
        for link in links:
            assert link is not None
            if link.startswith("#"):
                continue
            parts = urlsplit(link)
            assert f"{parts.scheme}://{parts.netloc}" == server.url
            form = (
                parts.path,
                tuple(sorted(parse_qs(parts.query))),
                parse_qs(parts.query).get("RESPONSEFORMAT", [""])[0],
            )
            if form in checked:
                continue
            checked.add(form)
            answer = server.ask(f"{parts.path}?{parts.query}")
            assert answer.status == 200, link
            if parts.path.endswith("/sync"):
                assert (
                    answer.body[:4] in {"png": (b"\x89PNG",), "json": (b'{"b:',), "": (b"SIMP",)}[form[2]]
                ), link
        assert len(checked) >= 8


@embedded
def test_pictures_load_lazily_in_their_place_and_say_what_they_show(server: Any) -> None:
    page = Page(server.ask("/").text)
    stamps = [image for image in page.all("img") if "/soda/sync" in str(image["src"])]
    assert len(stamps) > COUNT
    for image in stamps:
        assert image["loading"] == "lazy"
        assert int(str(image["width"])) == int(str(image["height"])) > 0
        assert re.fullmatch(r"(Science|Template|Difference) stamp of ZTF\S+ in [gri]", str(image["alt"]))
    assert all("alt" in image for image in page.all("img"))


@embedded
def test_the_page_may_load_nothing_but_pictures_and_its_style(server: Any) -> None:
    answer = server.ask("/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == policy["style-src"] == "'self'"
    assert not {"script-src", "connect-src", "object-src"} & policy.keys()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    assert not re.search(r" on\w+=", answer.text)


@embedded
def test_style_and_icon_are_kept_by_the_browser(server: Any) -> None:
    page = Page(server.ask("/").text)
    for link in page.all("link"):
        parts = urlsplit(str(link["href"]))
        answer = server.ask(f"{parts.path}?{parts.query}")
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"].startswith(
            {"stylesheet": "text/css"}.get(str(link["rel"]), "image/svg")
        )
        assert b"http://" not in answer.body.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"@import" not in answer.body
        again = server.ask(f"{parts.path}?{parts.query}", headers={"If-None-Match": answer.headers["Etag"]})
        assert (again.status, again.body) == (304, b"")
        assert "immutable" not in server.ask(parts.path, {"v": "old"}).headers["Cache-Control"]
    assert server.ask("/favicon.ico").headers["Content-Type"] == "image/svg+xml"
    assert server.ask("/portal/nothing.css").status == 404
    assert server.ask("/portal/../../cli.py").status == 404


@embedded
@pytest.mark.parametrize(
    ("query", "status"),
    [({"survey": "sdss"}, 404), ({"survey": NASTY}, 404), ([("survey", "ztf"), ("survey", "lsst")], 400)],
)
def test_a_wrong_question_is_answered_with_a_page(server: Any, query: Any, status: int) -> None:
    answer = server.ask("/", query)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.text
    assert not server.ask("/?survey=%ff%zz").status >= 500


@embedded
def test_methods(server: Any) -> None:
    head = server.ask("/", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 1000
    answer = server.ask("/", method="POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


@embedded
def test_behind_a_proxy_and_below_a_prefix(new_server: Start) -> None:
    server = new_server("--prefix", "/sky", SODALAKE_TRUSTED_PROXIES="127.0.0.1")
    headers = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "hub.example",
        "X-Forwarded-Prefix": "/user/me",
    }
    for path in ("/sky", "/sky/"):
        page = Page(server.ask(path, headers=headers).text)
        links = [str(a["href"]) for a in page.all("a")] + [str(a["src"]) for a in page.all("img")]
        assert len(links) > COUNT
        assert all(link.startswith(("https://hub.example/user/me/sky/", "#")) for link in links)


# ---------------------------------------------------------------------- empty, and hostile


@embedded
def test_an_empty_lake_says_how_to_fill_it(new_server: Start, tmp_path: Path) -> None:
    for surveys in ([], ["ztf"]):
        folder = tmp_path / f"lake{len(surveys)}"
        Lake.create(str(folder), surveys=surveys).close()
        server = new_server("--lake", str(folder))
        answer = server.ask("/")
        assert answer.status == 200
        assert f"sodalake ingest ztf PATH… --lake file://{folder}" in Page(answer.text).text


@embedded
def test_what_an_archive_says_is_text_and_never_markup(new_server: Start, tmp_path: Path) -> None:
    [file, *_] = write_demo_archive(str(tmp_path / "archive"), objects=8, nights=3, surveys=["ztf"])
    table = pq.read_table(urlsplit(file.url).path)
    for name in ("objectId", "cdsxmatch"):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pa.array([NASTY] * len(table)))
    (tmp_path / "nasty").mkdir()
    pq.write_table(table, tmp_path / "nasty" / "part.parquet")
    lake = str(tmp_path / "lake")
    assert not ingest(lake, "ztf", [str(tmp_path / "nasty")], workers=1).failed
    server = new_server("--lake", lake)
    text = server.ask("/").text
    page = Page(text)
    assert "<script" not in text
    assert {element for element, _ in page.elements} <= {
        "html", "head", "meta", "title", "link", "body", "a", "header", "img", "nav", "ul", "li", "main", "div", "h1",
        "h2", "p", "b", "article", "span", "figure", "figcaption", "dl", "dt", "dd", "time", "br", "footer",
    }  # fmt: skip
    assert NASTY in page.text
    epochs = next(str(a["href"]) for a in page.all("a") if "all=true" in str(a["href"]))
    assert parse_qs(urlsplit(epochs).query)["objectId"] == [NASTY]
    answer = server.ask("/ztf/api/v1/cutouts?" + urlsplit(epochs).query)
    assert (answer.status, answer.body[:2]) == (200, b"PK"), answer.body[:500]


@given(
    text=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30),
    time=st.floats(allow_nan=True, allow_infinity=True),
    value=st.one_of(st.none(), st.floats(), st.text(max_size=5), st.integers()),
)
def test_a_card_can_be_made_of_anything(text: str, time: float, value: object) -> None:
    survey = load_survey("ztf")
    columns = {
        "magpsf": value,
        "sigmapsf": value,
        "fid": value,
        "ra": value,
        "dec": value,
        "cdsxmatch": value,
    }
    card = card_of(NewestAlert(text, text, time, columns, ("science",)), survey, "http://here", "sodalake")
    for address in (card.stamps[0].src, card.stamps[0].large, *(link.url for link in card.links)):
        assert address.isascii()
        assert not set(address) & set("<>\"' \\")
    assert [stamp.src != "" for stamp in card.stamps] == [True, False, False]
    assert isinstance(card.brightness + card.band + card.klass + card.position, str)


# ---------------------------------------------------------------------- cards and clocks


def test_a_card_of_ztf() -> None:
    columns = {
        "magpsf": 18.4567, "sigmapsf": 0.0512, "fid": 2, "ra": 150.1, "dec": -2.25, "cdsxmatch": "RRLyr",
    }  # fmt: skip
    alert = NewestAlert("3357422075215015000", "ZTF18abc", 2_461_111.92207, columns, ("science", "template"))
    card = card_of(alert, load_survey("ztf"), "http://here", "sodalake")
    assert (card.brightness, card.band, card.klass) == ("18.46 ± 0.05 mag", "r", "RRLyr")
    assert card.position == "150.10000° \u22122.25000°"
    assert (card.utc, card.time) == ("2026-03-12T10:07:46Z", "JD 2461111.92207 UTC")
    did = parse_qs(urlsplit(card.stamps[1].src).query)["ID"]
    assert did == ["ivo://sodalake/ztf?3357422075215015000/template"]


def test_a_small_error_is_not_nothing() -> None:
    alert = NewestAlert("1", "o", 2_461_111.5, {"magpsf": 13.8812, "sigmapsf": 0.0021})
    assert card_of(alert, load_survey("ztf"), "", "sodalake").brightness == "13.881 ± 0.002 mag"


def test_a_card_of_rubin() -> None:
    columns = {"psfFlux": -12345.6, "psfFluxErr": 321.0, "band": "z"}
    card = card_of(
        NewestAlert("170112073818177974", "7", 61_109.28133, columns),
        load_survey("lsst"),
        "http://here",
        "sodalake",
    )
    assert card.brightness == "\u221212\u2009346 ± 321 nJy"
    assert (card.band, card.klass, card.position) == ("z", "", "")
    assert card.time == "MJD 61109.28133 TAI"
    assert card.utc == "2026-03-10T06:44:29Z"


@pytest.mark.parametrize("klass", ["Unknown", "Fail", "", "nan", None, float("nan")])
def test_no_class_is_no_class(klass: object) -> None:
    card = card_of(
        NewestAlert("1", "o", 2_461_111.5, {"cdsxmatch": klass}), load_survey("ztf"), "", "sodalake"
    )
    assert card.klass == ""


def test_clocks() -> None:
    assert as_utc(2_451_544.5, "jd_utc") == datetime(2000, 1, 1, tzinfo=UTC)
    assert as_utc(51_544.0 + 32 / 86400, "mjd_tai") == pytest.approx(
        datetime(2000, 1, 1, tzinfo=UTC), abs=timedelta(milliseconds=1)
    )
    assert as_utc(61_000.0, "mjd_tai") is not None
    assert [as_utc(time, "jd_utc") for time in (float("nan"), float("inf"), 1e12, -1e12)] == [None] * 4
    assert iso(datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC)) == "2026-03-01T02:03:04Z"
    assert in_own_scale(2_461_111.5, "jd_utc") == "JD 2461111.50000 UTC"


# ---------------------------------------------------------------------- looks


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read(scheme: str) -> None:
    style = (STATIC / "portal.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", style, re.S)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", light if scheme == "light" else dark))
    for text in ("ink", "faint", "link"):
        for ground in ("ground", "card"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["klass-ink"], colours["klass-ground"]) >= 4.5
    for ground in ("ground", "card"):
        assert contrast(colours["focus"], colours[ground]) >= 3
    assert contrast("#c7d3dd", colours["stamp"]) >= 4.5


@pytest.fixture
def browser() -> Any:
    if not Path(CHROMIUM).exists() or shutil.which("chromium") is None:
        pytest.skip("THE PAGE IS NOT TESTED IN A BROWSER: chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@embedded
@pytest.mark.client
@pytest.mark.parametrize(
    ("scheme", "width", "survey"), [("light", 1400, "ztf"), ("dark", 1400, "lsst"), ("dark", 320, "ztf")]
)
def test_in_a_browser(
    server: Any, browser: Any, scheme: str, width: int, survey: str, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("requestfailed", lambda request: told.append(f"failed {request.url}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.url}/?survey={survey}")
    # Lazy pictures load as they come into view.
    for card in page.locator("li.card").all():
        card.scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert told == []
    assert all(url.startswith(server.url + "/") for url in asked)
    assert sum("/soda/sync" in url for url in asked) == page.locator(".triplet img").count() > COUNT
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(channel) for channel in re.findall(r"\d+", ground)) < 200
    assert dark == (scheme == "dark")
    widths = page.evaluate(
        "[...document.querySelectorAll('.triplet img')].map(i => i.clientWidth / i.clientHeight)"
    )
    assert all(abs(ratio - 1) < 0.05 for ratio in widths)
    picture = page.screenshot(path=str(tmp_path / "page.png"))
    assert len(picture) > 20_000
    context.close()


@embedded
@pytest.mark.client
def test_by_keyboard_and_without_scripts(server: Any, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1000, "height": 700})
    page = context.new_page()
    page.goto(f"{server.url}/")
    page.keyboard.press("Tab")
    skip = page.locator("a.skip")
    box = skip.bounding_box()
    assert box is not None
    assert box["x"] >= 0, "the first tab shows the way past the header"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/soda/sync.*SCALE=8"))
    context.close()


def test_templates_escape_what_they_are_given() -> None:
    for template in (STATIC.parent / "templates").iterdir():
        assert "{% raw" not in template.read_text()
        assert "autoescape" not in template.read_text()
