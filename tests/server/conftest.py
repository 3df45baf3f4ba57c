"""A small lake and a real server over it, shared by the tests of this room.

The lake's alerts are the demo's, with some whose files are spoiled after the ingest. The server is the
process that `sodalake serve` starts: what is tested is what users run.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_lake import ImageLake, image_lake

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.ingest import ingest

KINDS = ("science", "template", "difference")
CHUNK = 4
STREAMED = "ZTF26streamed"
SPOILED = "ZTF26spoiled"


@dataclass(frozen=True)
class Alert:
    """What the archive itself says of an alert: the truth the answers are held against."""

    survey: str
    alert_id: str
    object_id: str
    time: float
    stamps: Mapping[str, bytes | None]
    path: str


@dataclass
class Archive:
    """A lake and its alerts."""

    lake: str
    root: Path
    alerts: dict[str, list[Alert]] = field(default_factory=dict)
    corrupt: str = ""
    truncated: str = ""
    gone: str = ""

    def one(self, survey: str) -> Alert:
        """An alert that has all its stamps."""
        return next(a for a in self.alerts[survey] if all(a.stamps.values()))

    def epochs(self, survey: str, object_id: str) -> list[Alert]:
        """An object's alerts, newest first."""
        return sorted((a for a in self.alerts[survey] if a.object_id == object_id), key=lambda a: -a.time)

    def busiest(self, survey: str) -> str:
        """The object with most alerts of those that are whole."""
        ids = [a.object_id for a in self.alerts[survey] if a.object_id not in (STREAMED, SPOILED)]
        return max(sorted(set(ids)), key=ids.count)


def read_alerts(survey: str, path: str) -> list[Alert]:
    rows = pq.read_table(path).to_pylist()
    if survey == "ztf":
        return [
            Alert(
                survey,
                str(row["candid"]),
                row["objectId"],
                row["candidate"]["jd"],
                {kind: (row[f"cutout{kind.capitalize()}"] or {}).get("stampData") for kind in KINDS},
                path,
            )
            for row in rows
        ]
    return [
        Alert(
            survey,
            str(row["diaSourceId"]),
            str(row["diaSource"]["diaObjectId"]),
            row["diaSource"]["midpointMjdTai"],
            {kind: row[f"cutout{kind.capitalize()}"] for kind in KINDS},
            path,
        )
        for row in rows
    ]


def copied(table: pa.Table, object_id: str, first: int, count: int) -> pa.Table:
    """`count` new alerts of a new object, with stamps of `table`'s rows."""
    table = table.take(pa.array(np.arange(count) % table.num_rows))
    candidate = table["candidate"].combine_chunks()
    names = [candidate.type.field(at).name for at in range(candidate.type.num_fields)]
    fields = [candidate.field(at) for at in range(candidate.type.num_fields)]
    fields[names.index("jd")] = pa.array(2_461_000.5 + np.arange(count, dtype=float))
    if "candid" in names:
        fields[names.index("candid")] = pa.array(np.arange(first, first + count))
    return (
        table.set_column(
            table.schema.get_field_index("candid"), "candid", pa.array(np.arange(first, first + count))
        )
        .set_column(table.schema.get_field_index("objectId"), "objectId", pa.array([object_id] * count))
        .set_column(
            table.schema.get_field_index("candidate"),
            "candidate",
            pa.StructArray.from_arrays(fields, names=names),
        )
    )


def truncated(table: pa.Table, row: int) -> pa.Table:
    """`table` with the science stamp of one row cut in half: what the archive itself has wrong."""
    at = table.schema.get_field_index("cutoutScience")
    stamps = table["cutoutScience"].to_pylist()
    stamps[row]["stampData"] = stamps[row]["stampData"][: len(stamps[row]["stampData"]) // 2]
    return table.set_column(at, "cutoutScience", pa.array(stamps, type=table.schema.field(at).type))


def write(table: pa.Table, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="snappy")
    return str(path)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A lake over the demo's archive, and some files that are spoiled once they are in it."""
    root = tmp_path_factory.mktemp("archive")
    found = Archive(str(tmp_path_factory.mktemp("lake")), root)
    for file in write_demo_archive(str(root), objects=40, nights=8, seed=7):
        found.alerts.setdefault(file.survey, []).extend(read_alerts(file.survey, urlsplit(file.url).path))
    source = pq.read_table(max((a.path for a in found.alerts["ztf"]), key=lambda p: Path(p).stat().st_size))
    extra = {
        "streamed": write(
            copied(source, STREAMED, 9_000_000_000_000_000_000, 80), root / "ztf/extra/streamed.parquet"
        ),
        # The oldest epoch is the broken one, so that it comes in the last chunk.
        "spoiled": write(
            truncated(copied(source, SPOILED, 8_000, 3 * CHUNK), 0), root / "ztf/extra/spoiled.parquet"
        ),
        "corrupt": write(copied(source, "ZTF26corrupt", 7_000, 3), root / "ztf/extra/corrupt.parquet"),
        "gone": write(copied(source, "ZTF26gone", 6_000, 3), root / "ztf/extra/gone.parquet"),
    }
    for name in ("streamed", "spoiled"):
        found.alerts["ztf"] += read_alerts("ztf", extra[name])
    found.truncated, found.corrupt, found.gone = "8000", "7000", "6000"
    for survey in ("ztf", "lsst"):
        report = ingest(found.lake, survey, [str(root / survey)], workers=1)
        assert not report.failed
    spoil(Path(extra["corrupt"]), read_alerts("ztf", extra["corrupt"])[0].stamps["science"])
    Path(extra["gone"]).unlink()
    return found


def spoil(file: Path, stamp: bytes | None) -> None:
    """Overwrite a stamp's bytes in its page, as a broken disk would; size and footer stay."""
    assert stamp is not None
    content = file.read_bytes()
    at = content.find(stamp[100:400])
    assert at > 0, "the stamp's gzip bytes stand in the file as they are"
    file.write_bytes(content[:at] + bytes(300) + content[at + 300 :])


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def label(self) -> str:
        """The DALI label of an error, whichever way the protocol writes it."""
        if self.headers["Content-Type"] == "application/json":
            return str(json.loads(self.body)["label"])
        return self.text.partition(":")[0]


class Server:
    """A `sodalake serve` process."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        # Servers of these tests share a lake, and each has its jobs for itself.
        self._state = tempfile.TemporaryDirectory(prefix="jobs-")
        own = {
            "SODALAKE_LIMITS__CHUNK": str(CHUNK),
            "SODALAKE_JOBS__STORE": f"sqlite://{self._state.name}/jobs.sqlite",
            "SODALAKE_JOBS__WORKERS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sodalake.server", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **own, **(environment or {})},
        )
        self.log: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.stop()
            pytest.fail("the server did not start:\n" + "\n".join(self.log))
        self.url = line.split()[1].rstrip("/")
        self.host = urlsplit(self.url).netloc

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.log.append(line.rstrip())
                self._news.notify_all()
        self.process.stderr.close()

    def wait_for(self, *words: str, seconds: float = 60) -> str:
        """Wait for a line of the log that has all these words, and return it."""

        def found() -> str | None:
            return next((line for line in self.log if all(word in line for word in words)), None)

        with self._news:
            assert self._news.wait_for(lambda: found() is not None, seconds), "\n".join(self.log[-40:])
        return str(found())

    def ask(
        self,
        path: str,
        parameters: Mapping[str, object] | Sequence[tuple[str, object]] = (),
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        target = path + ("?" + urlencode(parameters) if parameters else "")
        connection = http.client.HTTPConnection(self.host, timeout=120)
        try:
            connection.request(method, target, body, dict(headers or {}))
            got = connection.getresponse()
            return Answer(got.status, got.headers, got.read())
        finally:
            connection.close()

    def soda(self, did: str, **parameters: object) -> Answer:
        return self.ask("/soda/sync", {"ID": did, **parameters})

    def alive(self) -> bool:
        return self.ask("/healthz").status == 200

    def stop(self) -> int:
        """End the process the orderly way and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._state.cleanup()
        return code


@pytest.fixture(scope="session")
def server_of() -> type[Server]:
    """How servers over other lakes are started."""
    return Server


@pytest.fixture(scope="session")
def server(archive: Archive) -> Iterator[Server]:
    """A server over the archive; at its end it has logged no failure of its own."""
    running = Server(["--lake", archive.lake, "--workers", "1"])
    yield running
    code = running.stop()
    log = "\n".join(running.log)
    assert code == 0, log
    for sign in ("Traceback", "unexpected", "never awaited", "never retrieved"):
        assert sign not in log, log


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageLake:
    """A lake of images."""
    return image_lake(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def image_server(images: ImageLake) -> Iterator[Server]:
    """A server over it; at its end it has logged no failure of its own."""
    patient = {"SODALAKE_IMAGES__SYNC_SECONDS": "100", "SODALAKE_DEADLINES__REQUEST": "100"}
    running = Server(
        ["--lake", images.lake, "--workers", "1"], {"SODALAKE_IMAGES__SYNC_PIXELS": "8000000", **patient}
    )
    yield running
    code = running.stop()
    log = "\n".join(running.log)
    assert code == 0, log
    for sign in ("Traceback", "unexpected", "never awaited", "never retrieved"):
        assert sign not in log, log


@pytest.fixture
def new_server(archive: Archive) -> Iterator[Callable[..., Server]]:
    """Start servers of a test's own."""
    started: list[Server] = []

    def start(*arguments: str, **environment: str) -> Server:
        started.append(Server(["--lake", archive.lake, "--workers", "1", *arguments], environment))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def did(alert: Alert | str, kind: str | None = None, survey: str = "ztf") -> str:
    if isinstance(alert, Alert):
        survey, alert = alert.survey, alert.alert_id
    return f"ivo://sodalake/{survey}?{alert}" + (f"/{kind}" if kind else "")


@pytest.fixture(scope="session")
def make_did() -> Callable[..., str]:
    return did
