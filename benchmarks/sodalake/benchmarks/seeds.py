"""The seeds' way, as its users meet it: a cutout service that reads a column to find a stamp.

For each request it makes a handle of the file system, lets pyarrow read the filtered columns of the named
file, unpacks the stamp, opens it with astropy, and writes JSON or FITS. That is what the service at Fink
does, with two changes: hdfs-native stands for libhdfs (which no package registry has), and a small HTTP
server for gunicorn. Nothing is slower on purpose, and what is slow there but not of the method is left out:
no settings file is read at each request, and the caller already knows the file, which costs Fink another
request to another service.

Run as ``python -m sodalake.benchmarks.seeds``: `Seeds` starts two such processes of eight threads, as
gunicorn is told there, each with a port of its own, so that clients can be spread evenly over both.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pyarrow.fs as pafs
import pyarrow.parquet as pq
from astropy.io import fits
from hdfs_native.fsspec import HdfsFileSystem

from sodalake.lake.files import path_of

__all__ = ["KINDS", "Seeds", "question", "stamps_of"]

KINDS = ("Science", "Template", "Difference")
_PROCESSES = 2
_THREADS = 8


def question(url: str, object_id: str, alert_id: int, kind: str, return_type: str = "array") -> str:
    """Return the path and query of a request to the seeds' service (and to ours, which answers the
    same)."""
    asked = {
        "hdfsPath": url,
        "kind": kind,
        "objectId": object_id,
        "candid": str(alert_id),
        "return_type": return_type,
    }
    return "/api/v1/cutouts?" + urlencode(asked)


def stamps_of(asked: Mapping[str, str]) -> list[bytes]:
    """Return the stored stamps that a request names, read as the seeds read them."""
    kinds = KINDS if asked["kind"] == "All" else (asked["kind"],)
    columns = [f"cutout{kind}" for kind in kinds]
    url = urlsplit(asked["hdfsPath"])
    filesystem: pafs.FileSystem
    if url.scheme == "hdfs":
        handle = HdfsFileSystem(url.hostname, url.port, skip_instance_cache=True)
        filesystem = pafs.PyFileSystem(pafs.FSSpecHandler(handle))
    else:
        filesystem = pafs.LocalFileSystem()
    filters: list[tuple[str, str, object]] = [("objectId", "=", asked["objectId"])]
    if "candid" in asked:
        filters.append(("candid", "=", int(asked["candid"])))
    table = pq.read_table(
        path_of(asked["hdfsPath"]), columns=["objectId", *columns], filters=filters, filesystem=filesystem
    )
    rows = table.to_pydict()
    return [rows[column][0]["stampData"] for column in columns]


def _answer(asked: Mapping[str, str]) -> tuple[str, bytes]:
    arrays: list[Any] = []
    for stored in stamps_of(asked):
        with (
            gzip.open(io.BytesIO(stored)) as unpacked,
            fits.open(io.BytesIO(unpacked.read()), ignore_missing_simple=True) as hdus,
        ):
            if asked.get("return_type") == "FITS":
                out = io.BytesIO()
                hdus.writeto(out)
                return "application/octet-stream", out.getvalue()
            arrays.append(hdus[0].data.tolist())
    return "application/json", json.dumps(arrays).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet

    def do_GET(self) -> None:
        content_type, body = _answer(dict(parse_qsl(urlsplit(self.path).query)))
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line a request would cost the seeds time."""


class _Server(HTTPServer):
    """Eight threads; a connection that is kept alive holds one of them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._threads = ThreadPoolExecutor(_THREADS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._threads.submit(self._serve, request, client_address)

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001  # the client sees a lost connection, and counts an error
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)


class Seeds:
    """The seeds' service, running while the context lasts.

    Attributes
    ----------
    addresses
        Host and port of each of its processes.
    """

    def __init__(self) -> None:
        self.addresses: list[tuple[str, int]] = []
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Seeds:
        command = [sys.executable, "-m", __name__]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(_PROCESSES)
        ]
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("ready "):
                self.__exit__()
                raise RuntimeError(f"The seeds' service did not start: {line!r}")
            self.addresses.append(("127.0.0.1", int(line.split()[1])))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


def main() -> None:
    """Serve until told to end."""
    with _Server() as server:
        sys.stdout.write(f"ready {server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
