"""HBase's own troubles: a gateway that restarts, hangs, answers nonsense, or loses an answer; a dead region server."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sodalake.lake.cluster import Cluster
from sodalake.lake.errors import DeadlineExceeded, Unavailable
from sodalake.lake.rows import HBaseRows, open_rows, within

ROWS = [(b"%05d" % number, b"%d" % (number * 7)) for number in range(6_000)]


@pytest.fixture(scope="module")
def rows(own_cluster: Cluster) -> Iterator[HBaseRows]:
    store = open_rows(own_cluster.rows_url(f"test-{uuid.uuid4().hex[:12]}"))
    assert isinstance(store, HBaseRows)
    store.create("t", ["d"])
    store.put_many("t", ((key, {"d": value}) for key, value in ROWS))
    yield store
    for table in store.tables():
        store.drop(table)
    store.close()


@contextlib.contextmanager
def silent_server(answer: bytes | None) -> Iterator[int]:
    """Listen on a port; say `answer` to whoever asks something, or nothing at all."""
    over = threading.Event()
    open_sockets: list[socket.socket] = []

    def serve() -> None:
        while not over.is_set():
            try:
                client, _ = server.accept()
            except OSError:
                return
            open_sockets.append(client)
            if answer is not None:
                with contextlib.suppress(OSError):
                    client.recv(65536)
                    client.sendall(answer)
                client.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for client in open_sockets:
                client.close()


class LossyProxy:
    """Passes bytes between clients and a server; when told, throws away the next answer and hangs up."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.lose_next_answer = False
        self.lost = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._sockets = [self._server]
        self._spawn(self._accept)

    def _spawn(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self.target))
            self._sockets += [client, upstream]
            self._spawn(self._pump, client, upstream, False)
            self._spawn(self._pump, upstream, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self.lose_next_answer:
                    self.lose_next_answer = False
                    self.lost += 1
                    break
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()


# ---------------------------------------------------------------------- no gateway


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_nobody_listens() -> None:
    port = free_port()
    store = open_rows(f"hbase://127.0.0.1:{port}/x", patience=0.5)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}") as caught:
        store.get("t", b"k", ["d"])
    assert 0.5 <= time.monotonic() - began < 30
    assert not isinstance(caught.value, DeadlineExceeded)
    assert "ask again" in caught.value.advice


def test_a_deadline_goes_before_patience() -> None:
    store = open_rows(f"hbase://127.0.0.1:{free_port()}/x", patience=60)
    began = time.monotonic()
    with within(30), within(0.3), within(20), pytest.raises(DeadlineExceeded):
        store.get("t", b"k", ["d"])
    assert time.monotonic() - began < 30


def test_a_host_that_does_not_exist_is_told_at_once() -> None:
    store = open_rows("hbase://no-such-host.invalid:9090/x")
    began = time.monotonic()
    with pytest.raises(Unavailable, match="no-such-host"):
        store.tables()
    assert time.monotonic() - began < 20


def test_a_gateway_that_hangs() -> None:
    with silent_server(None) as port:
        store = open_rows(f"hbase://127.0.0.1:{port}/x", patience=0.6, timeout=0.2)
        with pytest.raises(Unavailable, match="does not answer"):
            store.get("t", b"k", ["d"])
        patient = open_rows(f"hbase://127.0.0.1:{port}/x")
        began = time.monotonic()
        with within(0.4), pytest.raises(DeadlineExceeded):
            patient.get("t", b"k", ["d"])
        assert time.monotonic() - began < 30
        store.close()
        patient.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x80\x01\x00\x02\x00\x00\x00\x03get\x00\x00\x00\x00\x0c",
        b"\0" * 64,
        b"\x80\x01\x00\x02\x7f\xff\xff\xff",
    ],
)
def test_a_server_that_is_no_gateway(nonsense: bytes) -> None:
    with silent_server(nonsense) as port:
        store = open_rows(f"hbase://127.0.0.1:{port}/x", patience=0.3, timeout=0.5)
        with pytest.raises(Unavailable, match="does not answer"):
            store.get("t", b"k", ["d"])
        store.close()


# ---------------------------------------------------------------------- a lost answer


@pytest.mark.cluster
def test_an_answer_that_is_lost(own_cluster: Cluster, rows: HBaseRows) -> None:
    proxy = LossyProxy(own_cluster.ports["thrift2"]["thrift"])
    prefix = repr(rows).rpartition("/")[2].removesuffix("')")
    store = open_rows(f"hbase://127.0.0.1:{proxy.port}/{prefix}")
    try:
        # Done, but not heard of: the second try finds its own value, and says that it was written.
        proxy.lose_next_answer = True
        assert store.check_and_put("t", b"token", "d", None, b"mine")
        assert proxy.lost == 1
        # Not done, and not heard of: the cell holds another's value.
        proxy.lose_next_answer = True
        assert not store.check_and_put("t", b"token", "d", None, b"theirs")
        assert rows.get("t", b"token", ["d"]) == (b"mine",)

        proxy.lose_next_answer = True
        assert store.get("t", ROWS[3][0], ["d"]) == (ROWS[3][1],)
        proxy.lose_next_answer = True
        store.put_many("t", [(b"put", {"d": b"twice"})])
        assert rows.get("t", b"put", ["d"]) == (b"twice",)
        proxy.lose_next_answer = True
        store.create("made", ["d"])
        proxy.lose_next_answer = True
        store.drop("made")
        assert "made" not in rows.tables()
        proxy.lose_next_answer = True
        store.delete_many("t", [b"put", b"token"])
        assert rows.get_many("t", [b"put", b"token"], ["d"]) == [None, None]
        assert proxy.lost == 7
    finally:
        store.close()
        proxy.close()


# ---------------------------------------------------------------------- a restart


@pytest.mark.cluster
def test_a_gateway_that_passes_over_filters(rows: HBaseRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older gateway would answer with the rows between the ranges, too."""
    store = pickle.loads(pickle.dumps(rows))
    call, asked = store._call, 0

    def without_filters(table: str, groups: Sequence[str], method: str, *arguments: Any) -> Any:
        nonlocal asked
        asked += method == "getScannerResults"
        for one in arguments:
            if hasattr(one, "filterBytes"):
                one.filterBytes = None
        return call(table, groups, method, *arguments)

    monkeypatch.setattr(store, "_call", without_filters)
    ranges = [(b"%05d" % at, b"%05d" % (at + 2)) for at in range(0, 3000, 100)]
    for calls in (1 + len(ranges), len(ranges)):  # that it does is learnt once
        asked = 0
        found = list(store.scan_many("t", ranges, ["d"]))
        assert [key for key, _ in found] == [
            b"%05d" % (at + more) for at in range(0, 3000, 100) for more in (0, 1)
        ]
        assert asked == calls
    store.close()


def test_many_ranges_are_a_call(rows: HBaseRows, monkeypatch: pytest.MonkeyPatch) -> None:
    store = pickle.loads(pickle.dumps(rows))
    call, asked = store._call, []

    def listening(table: str, groups: Sequence[str], method: str, *arguments: Any) -> Any:
        asked.append(method)
        return call(table, groups, method, *arguments)

    monkeypatch.setattr(store, "_call", listening)
    ranges = [(b"%05d" % at, b"%05d" % (at + 2)) for at in range(0, 6000, 20)]
    for methods in (["getAllRegionLocations", "getScannerResults"], ["getScannerResults"]):
        asked.clear()
        assert len(list(store.scan_many("t", ranges, ["d"], limit=800))) == 600
        assert asked == methods
    store.close()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_goes_on_over_a_restart(own_cluster: Cluster, rows: HBaseRows, reverse: bool) -> None:
    scan = rows.scan("t", b"", None, ["d"], reverse=reverse)
    seen = [next(scan) for _ in range(150)]
    own_cluster.kill("thrift2")
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(own_cluster.start, "thrift2")
        seen += scan
        started.result()
    assert [(key, cell) for key, (cell,) in seen] == (ROWS[::-1] if reverse else ROWS)


@pytest.mark.cluster
def test_readers_do_not_notice_a_restart(own_cluster: Cluster, rows: HBaseRows) -> None:
    running, again = threading.Barrier(5), threading.Event()

    def read(number: int) -> int:
        done = after = 0
        while after < 50:
            key, value = ROWS[(number * 997 + done) % len(ROWS)]
            assert rows.get("t", key, ["d"]) == (value,)
            done += 1
            after += again.is_set()
            if done == 20:
                running.wait()
        return done

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, number) for number in range(4)]
        running.wait()
        own_cluster.kill("thrift2")
        own_cluster.start("thrift2")
        again.set()
        assert all(reader.result() >= 70 for reader in readers)


@pytest.mark.cluster
def test_idle_connections_that_were_closed_are_not_tried(own_cluster: Cluster, rows: HBaseRows) -> None:
    gate = threading.Barrier(6)

    def together(_: int) -> None:
        gate.wait()
        rows.get_many("t", [key for key, _ in ROWS[:500]], ["d"])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(together, range(6)))  # several idle connections now
    own_cluster.stop("thrift2")
    own_cluster.start("thrift2")
    with within(30):
        assert rows.get("t", ROWS[0][0], ["d"]) == (ROWS[0][1],)


@pytest.mark.cluster
def test_no_acknowledged_row_dies_with_its_region_server(own_cluster: Cluster, rows: HBaseRows) -> None:
    rows.create("written", ["d"])
    acknowledged: list[bytes] = []
    running, again = threading.Event(), threading.Event()

    def write() -> None:
        after = number = 0
        while after < 20:
            batch = [b"%08d" % key for key in range(number, number + 50)]
            rows.put_many("written", [(key, {"d": key}) for key in batch])
            acknowledged.extend(batch)
            number += 50
            after += again.is_set()
            if number >= 500:
                running.set()

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        assert running.wait(30)
        own_cluster.kill("regionserver")
        own_cluster.start("regionserver")
        again.set()
        writer.result()
    assert [key for key, _ in rows.scan("written", b"", None, ["d"])] == acknowledged
