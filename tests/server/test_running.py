"""How the server starts, and how it ends."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.embedded
STREAM = "/api/v1/cutouts?objectId=ZTF26streamed&all=true"


def test_a_port_that_is_taken(server: Any, archive: Any) -> None:
    port = server.host.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "sodalake.server", "serve", "--lake", archive.lake, "--port", port],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"sodalake: Port {port} of 127.0.0.1 is taken. Choose another with --port; 0 takes a free one."
    )


def test_mounted_at_a_prefix_behind_a_proxy_with_a_name_of_its_own(
    new_server: Callable[..., Any], archive: Any
) -> None:
    server = new_server(
        "--prefix", "/alerts/",
        SODALAKE_TRUSTED_PROXIES="127.0.0.1",
        SODALAKE_SURVEY="lsst",
        SODALAKE_AUTHORITY="my.archive",
        SODALAKE_LOG__FORMAT="json",
    )  # fmt: skip
    assert server.url.endswith("/alerts")
    assert server.ask("/healthz").status == 404
    assert server.ask("/alerts/healthz").status == 200
    assert server.ask("/alerts/").status == 200
    assert json.loads(server.ask("/alerts/api/v1/cutouts").body)["survey"] == "lsst"
    assert json.loads(server.ask("/alerts/ztf/api/v1/cutouts").body)["survey"] == "ztf"
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "sky.example", "X-Forwarded-Prefix": "/vo"}
    text = server.ask("/alerts/soda/capabilities", headers=forwarded).text
    assert ">https://sky.example/vo/alerts/soda/sync<" in text
    assert "127.0.0.1" not in text
    alert = archive.one("lsst")
    stamp = server.ask("/alerts/soda/sync", {"ID": f"ivo://my.archive/lsst?{alert.alert_id}/science"})
    assert stamp.body == alert.stamps["science"]
    foreign = server.ask("/alerts/soda/sync", {"ID": f"ivo://sodalake/lsst?{alert.alert_id}/science"})
    assert foreign.status == 404
    line = json.loads(server.wait_for("/soda/sync", '"status": 200'))
    assert line["user"] == "anonymous"
    assert line["ms"] > 0


@contextlib.contextmanager
def open_stream(server: Any) -> Iterator[socket.socket]:
    """Begin to read a long answer, and stop: the server now waits for us."""
    host, port = server.host.split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(120)
        connection.connect((host, int(port)))
        connection.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 200", server.log[-20:]
        yield connection


def test_sigterm_lets_requests_finish_and_takes_no_new_ones(
    new_server: Callable[..., Any], make_did: Callable[..., str], archive: Any
) -> None:
    server = new_server()
    with open_stream(server) as connection:
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining", "requests=1")
        assert "<available>false</available>" in server.ask("/soda/availability").text
        assert server.ask("/healthz").status == 503
        refused = server.soda(make_did(archive.one("ztf"), "science"))
        assert (refused.status, refused.label) == (503, "ServiceUnavailable")
        assert refused.headers["Retry-After"]
        assert server.process.poll() is None
        got = bytearray()
        while not got.endswith(b"\r\n0\r\n\r\n"):
            piece = connection.recv(1 << 20)
            assert piece, "the stream was cut"
            got += piece
    assert server.process.wait(120) == 0


def test_a_second_signal_does_not_wait(new_server: Callable[..., Any]) -> None:
    server = new_server()
    with open_stream(server):
        server.process.send_signal(signal.SIGINT)
        server.wait_for("draining", "requests=1")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(120) == 0


def test_a_stream_beyond_the_limit_is_cut_and_draining_has_an_end(new_server: Callable[..., Any]) -> None:
    server = new_server(SODALAKE_LIMITS__EPOCHS="60", SODALAKE_DEADLINES__DRAIN="0.2")
    with open_stream(server) as connection, pytest.raises(ConnectionResetError):
        read_to_the_end(connection)
    server.wait_for("stream cut", "more than 60 epochs")
    with open_stream(server):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 0
    server.wait_for("drained", "requests_cut=1")


def read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(1 << 20):
        pass


def test_deadlines_of_the_archive_and_of_the_client(
    new_server: Callable[..., Any], make_did: Callable[..., str], archive: Any
) -> None:
    server = new_server(SODALAKE_DEADLINES__REQUEST="0.000001", SODALAKE_DEADLINES__WRITE="0.5")
    answer = server.soda(make_did(archive.one("ztf"), "science"))
    assert (answer.status, answer.label) == (503, "ServiceUnavailable")
    assert answer.headers["Retry-After"] == "2"
    with open_stream(server):
        server.wait_for("stream cut", "does not read")
    assert server.alive()


def test_workers_of_a_scheduler(
    new_server: Callable[..., Any], make_did: Callable[..., str], archive: Any, tmp_path: Path
) -> None:
    file = tmp_path / "scheduler.json"
    common = [
        "--scheduler-file",
        str(file),
        "--host",
        "127.0.0.1",
        "--no-dashboard",
        "--dashboard-address",
        ":0",
    ]
    dask = [sys.executable, "-m", "dask"]
    with contextlib.ExitStack() as ends:
        for command in (
            [*dask, "scheduler", *common, "--port", "0"],
            [*dask, "worker", *common, "--nthreads", "1", "--no-nanny", "--resources", "sodalake-fast=1"],
        ):
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
            ends.enter_context(process)
            ends.callback(process.terminate)
            assert process.stderr is not None
            for line in process.stderr:
                if "Scheduler at:" in line or "Registered to:" in line:
                    break
            else:
                pytest.fail(f"{command} did not start")
        server = new_server("--scheduler", json.loads(file.read_text())["address"])
        alert = archive.one("lsst")
        assert server.soda(make_did(alert, "science")).body == alert.stamps["science"]
        assert server.stop() == 0


def test_a_scheduler_that_does_not_answer(archive: Any, tmp_path: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "sodalake.server", "serve", "--lake", archive.lake, "--port", "0", "--scheduler",
             f"tcp://127.0.0.1:{port}"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"The Dask scheduler tcp://127.0.0.1:{port} does not answer" in done.stderr
    assert "Traceback" not in done.stderr
