"""Pages of jobs: who gets them, what they may load, what they escape; and jobs followed and steered in a browser."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from job_server import GATES, Answer, JobServer, multipart

from sodalake.server.jobs import JobLimits
from sodalake.server.jobs.view import JobView, size_text, span_text
from sodalake.server.negotiation import prefers_html
from sodalake.uws.jobs import Job, Progress
from sodalake.uws.phases import Phase

embedded = pytest.mark.embedded
CHROMIUM = "/usr/bin/chromium"
HTML = {"Accept": "text/html"}
NASTY = "<script>alert(1)</script>\"'&x"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    server = JobServer(tmp_path_factory.mktemp("jobs"), limits=JobLimits(listed=20), prefix="/lake")
    yield server
    server.stop()


@pytest.fixture
def gate() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    GATES.open(name)


# ---------------------------------------------------------------------- who gets a page


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("application/xhtml+xml", True),
        ("TEXT/HTML ; Q=0.5, application/xml;q=0.4", True),
        ("text/html,application/xml", True),
        ("application/xml,text/html", False),
        ("text/html;q=0.5,text/xml;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=wrong", False),
        ("*/*", False),
        ("", False),
        ("application/xml", False),
        ("text/*", False),
        (",;,", False),
    ],
)
def test_who_prefers_html(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html


@embedded
def test_xml_is_for_everybody_else(jobs: JobServer) -> None:
    path = jobs.create()
    for target in ("", path):
        for accept in ("*/*", "application/xml", "text/xml", None):
            answer = jobs.ask(target, headers={} if accept is None else {"Accept": accept})
            assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
            assert "Accept" in answer.headers["Vary"]
        page = jobs.ask(target, headers={"Accept": BROWSER})
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "Accept" in page.headers["Vary"]
        assert page.headers["Cache-Control"] == "no-store"
    for word in ("phase", "parameters", "results"):
        assert "html" not in jobs.ask(f"{path}/{word}", headers={"Accept": BROWSER}).headers["Content-Type"]


@embedded
@pytest.mark.parametrize(("target", "status"), [("/none", 404), ("?LAST=0", 400), ("?PHASE=x", 400)])
def test_errors_are_pages_too(jobs: JobServer, target: str, status: int) -> None:
    answer = jobs.ask(target, headers=HTML)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert f'<p class="status">{status}</p>' in answer.text
    assert jobs.ask(target, headers=HTML, method="PUT").status == 405


@embedded
def test_anothers_job_is_a_page_that_says_so(jobs: JobServer) -> None:
    path = jobs.create({"ID": "secret"}, user="ada")
    answer = jobs.ask(path, headers=HTML)
    assert answer.status == 403
    assert "secret" not in answer.text


# ---------------------------------------------------------------------- what is on it


def assert_only_own(jobs: JobServer, answer: Answer) -> None:
    policy = dict(
        one.strip().partition(" ")[::2] for one in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for address in re.findall(r'(?:href|src|action|data-url)="([^"#]+)"', answer.text):
        assert address.startswith(f"{jobs.url}/"), address
    assert not re.search(r"\son\w+=|style=|<script(?![^>]*src)", answer.text), "nothing the policy would stop"


@embedded
def test_a_page_escapes_what_it_is_given(jobs: JobServer) -> None:
    body, headers = multipart(
        ("RUNID", NASTY),
        ("ID", NASTY),
        ("FAIL", NASTY),
        ("DATA", b"1", "<b>&.csv", "text/csv"),
        ("PHASE", "RUN"),
    )
    path = jobs.create(body, headers=headers)
    jobs.until(path, "ERROR")
    for target in (path, ""):
        answer = jobs.ask(target, headers=HTML)
        assert_only_own(jobs, answer)
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    page = jobs.ask(path, headers=HTML).text
    assert "&lt;b&gt;&amp;.csv" in page
    assert f"{jobs.url}/soda/async{path}/parameters/DATA" in page


@embedded
def test_buttons_are_those_that_do_something(jobs: JobServer, gate: str) -> None:
    def buttons(path: str) -> list[str]:
        return re.findall(r'value="(RUN|ABORT|DELETE)"', jobs.ask(path, headers=HTML).text)

    path = jobs.create({"GATE": gate})
    assert buttons(path) == ["RUN", "ABORT", "DELETE"]
    jobs.post(f"{path}/phase", {"PHASE": "RUN"})
    jobs.until(path, "EXECUTING")
    assert buttons(path) == ["ABORT", "DELETE"]
    GATES.open(gate)
    jobs.until(path, "COMPLETED")
    assert buttons(path) == ["DELETE"]
    page = jobs.ask(path, headers=HTML).text
    assert f'href="{jobs.url}/soda/async{path}/results/lines"' in page
    assert "4 bytes" in page


@embedded
def test_a_list_shows_some_and_says_that_there_are_more(jobs: JobServer) -> None:
    for _ in range(22):
        jobs.create(user="busy")

    def rows(query: str = "") -> tuple[int, bool]:
        text = jobs.ask(query, headers={**HTML, **jobs.token("busy")}).text
        return text.count('<span class="phase pending">'), "Older ones" in text

    assert rows() == rows("?LAST=500") == (20, True)
    assert rows("?LAST=3") == (3, True)
    assert rows("?PHASE=ERROR") == (0, False)


@embedded
def test_static_files_are_kept_by_the_browser(jobs: JobServer) -> None:
    page = jobs.ask(jobs.create(), headers=HTML).text
    found = re.findall(rf'"{jobs.url}(/portal/[^"]+)"', page)
    assert {one.partition("?")[0] for one in found} >= {
        "/portal/jobs.css",
        "/portal/jobs.js",
        "/portal/portal.css",
    }
    for one in found:
        answer = jobs.ask(f"//lake{one}")
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]


# ---------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (99_951, "100 kB"),
     (999_499, "999 kB"), (999_500, "1.0 MB"), (3_200_000_000, "3.2 GB"), (10**18, "1000 PB")],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"),
     (5430, "1 h 30 min"), (86_400, "1 d"), (600_000, "6 d 22 h")],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_a_job_in_words() -> None:
    now = datetime.now(UTC)
    view = JobView(
        Job(
            "j" * 24,
            "soda",
            None,
            Phase.QUEUED,
            now,
            quote=now + timedelta(minutes=2),
            progress=Progress(1200, 30, 2, 5000),
        ),
        "https://example.org/j",
    )
    assert (view.done, view.percent) == ("30 of 1,200, 2 failed, 5.0 kB", 2.5)
    assert [row.name for row in view.times] == ["created", "expected end"]
    assert view.limit == "no limit"


# ---------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not Path(CHROMIUM).exists() or shutil.which("chromium") is None:
        pytest.skip("THE PAGES OF JOBS ARE NOT TESTED IN A BROWSER: chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    opened = context.new_page()
    told: list[str] = []
    opened.on("console", lambda message: told.append(message.text))
    opened.on("pageerror", lambda error: told.append(str(error)))
    yield opened
    context.close()
    assert told == []


@embedded
@pytest.mark.client
def test_a_job_is_run_followed_and_deleted_in_a_browser(jobs: JobServer, gate: str, page: Any) -> None:
    path = jobs.create({"GATE": gate, "UNITS": 3, "RUNID": "by hand"})
    page.goto(f"{jobs.url}/soda/async")
    page.get_by_role("link", name="by hand").first.click()
    assert page.locator("#state .phase").inner_text() == "PENDING"
    page.get_by_role("button", name="Run").click()
    page.locator("#state .phase.executing").wait_for()
    # Progress comes without a reload of the page,
    page.evaluate("window.same = true")
    jobs.call(jobs.store.set_plan(path[1:], b"", "gated", Progress(total=4000, done=1000, bytes=12_345_678)))
    page.get_by_text(re.compile(r"^1,00\d of 4,000, 12.3 MB$")).wait_for()
    assert page.evaluate("window.same") is True
    assert 25 <= page.evaluate("document.getElementById('progress').value") < 26
    # and so does the end.
    GATES.open(gate)
    page.locator("#state .phase.completed").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    with page.expect_download() as download:
        page.get_by_role("link", name="lines").first.click()
    assert Path(download.value.path()).read_bytes() == b"[0\n|1\n|2\n|"
    assert download.value.suggested_filename == "lines.txt"
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/soda/async?LAST=20")
    assert asked == ["Delete the job and its results?"]
    assert jobs.ask(path).status == 404


@embedded
@pytest.mark.client
def test_a_job_is_aborted_in_a_browser(jobs: JobServer, gate: str, page: Any) -> None:
    path = jobs.create({"GATE": gate, "PHASE": "RUN"})
    jobs.until(path, "EXECUTING")
    page.goto(f"{jobs.url}/soda/async{path}")
    page.get_by_role("button", name="Abort").click()
    page.locator("#state .phase.aborted").wait_for()
    assert jobs.ask(f"{path}/phase").text == "ABORTED"


@embedded
@pytest.mark.client
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_fit_the_screen(jobs: JobServer, browser: Any, scheme: str, width: int) -> None:
    body, headers = multipart(
        ("RUNID", "long" * 16), ("ID", "ivo://sodalake/ztf?" + "9" * 300), ("FAIL", "w" * 300),
        ("DATA", b"1", "x" * 150, "text/csv"), ("PHASE", "RUN"),
    )  # fmt: skip
    path = jobs.create(body, headers=headers)
    jobs.until(path, "ERROR")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    grounds = set()
    for target in ("", path, "/none"):
        page.goto(f"{jobs.url}/soda/async{target}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, target
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 1
    context.close()
