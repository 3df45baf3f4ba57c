"""LMDB's own troubles: other processes, a full disk, a file that is none."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sodalake.lake.errors import Damaged, NotInLake, Unavailable
from sodalake.lake.rows import EmbeddedRows


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, timeout=60, text=True, capture_output=True)


def test_processes_see_each_other(tmp_path: Path) -> None:
    rows = EmbeddedRows(tmp_path)
    rows.create("t", ["d"])
    rows.put_many("t", [(b"here", {"d": b"1"})])
    run(
        """
import sys
from sodalake.lake.rows import EmbeddedRows
rows = EmbeddedRows(sys.argv[1])
assert rows.get("t", b"here", ["d"]) == (b"1",)
rows.put_many("t", [(b"there", {"d": b"2"})])
rows.create("u", ["d"])
rows.put_many("u", [(b"k", {"d": b"3"})])
""",
        tmp_path,
    )
    assert rows.get("t", b"there", ["d"]) == (b"2",)
    assert rows.tables() == ["t", "u"]
    assert rows.get("u", b"k", ["d"]) == (b"3",)
    rows.close()


def test_another_process_drops_a_table(tmp_path: Path) -> None:
    rows = EmbeddedRows(tmp_path)
    rows.create("t", ["d"])
    rows.put_many("t", [(b"k", {"d": b"1"})])
    drop = "import sys; from sodalake.lake.rows import EmbeddedRows; rows = EmbeddedRows(sys.argv[1]); rows.drop('t')"
    run(drop, tmp_path)
    with pytest.raises(NotInLake):
        rows.get("t", b"k", ["d"])
    rows.create("t", ["d"])
    rows.put_many("t", [(b"k", {"d": b"2"})])
    run(f"{drop}; rows.create('t', ['d']); rows.put_many('t', [(b'k', {{'d': b'3'}})])", tmp_path)
    assert rows.get("t", b"k", ["d"]) == (b"3",)
    rows.close()


def test_a_killed_writer_leaves_whole_batches(tmp_path: Path) -> None:
    script = """
import itertools, sys
from sodalake.lake.rows import EmbeddedRows
rows = EmbeddedRows(sys.argv[1])
rows.create("t", ["d", "s"])
for turn in itertools.count():
    rows.put_many("t", [(b"%06d_%02d" % (turn, row), {"d": b"x" * 500, "s": b"y"}) for row in range(50)])
    print(turn, flush=True)
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= 20:
            break
    writer.send_signal(signal.SIGKILL)
    acknowledged = int((line + writer.stdout.read()).split()[-1])
    writer.wait()
    writer.stdout.close()
    rows = EmbeddedRows(tmp_path)
    found = list(rows.scan("t", b"", None, ["d", "s"]))
    assert len(found) % 50 == 0
    assert len(found) >= 50 * (acknowledged + 1)
    rows.put_many("t", [(b"after", {"d": b"1"})])  # the writers' lock is free
    assert rows.get("t", b"after", ["d"]) == (b"1",)
    rows.close()


def test_a_store_that_may_not_grow(tmp_path: Path) -> None:
    rows = EmbeddedRows(tmp_path, map_size=1 << 20)
    rows.create("t", ["d"])
    rows.put_many("t", [(b"k", {"d": b"before"})])
    with pytest.raises(Unavailable, match="full") as caught:
        rows.put_many("t", ((b"%d" % number, {"d": bytes(1000)}) for number in range(2_000)))
    assert "map_size" in caught.value.advice
    assert rows.get("t", b"k", ["d"]) == (b"before",)
    rows.close()


def test_a_full_disk(tmp_path: Path) -> None:
    # A limit on the size of files is what a full disk is to LMDB: a write that does not go through.
    told = run(
        """
import resource, signal, sys
from sodalake.lake.errors import Unavailable
from sodalake.lake.rows import EmbeddedRows
rows = EmbeddedRows(sys.argv[1])
rows.create("t", ["d"])
rows.put_many("t", [(b"k", {"d": b"before"})])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    rows.put_many("t", ((b"%d" % number, {"d": bytes(1000)}) for number in range(4_000)))
except Unavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert rows.get("t", b"k", ["d"]) == (b"before",)
rows.put_many("t", [(b"l", {"d": b"after"})])
assert rows.get("t", b"l", ["d"]) == (b"after",)
""",
        tmp_path,
    ).stdout
    assert "disk is full" in told
    assert "free some space" in told.lower()


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"no LMDB file" * 2000)
    with pytest.raises(Damaged, match="no LMDB file"):
        EmbeddedRows(tmp_path)
    with pytest.raises(Unavailable):
        EmbeddedRows(tmp_path / "data.mdb")


def test_stores_on_one_folder_share_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "rows")
    first, second = EmbeddedRows(tmp_path / "rows"), EmbeddedRows(tmp_path / "link")
    first.create("t", ["d"])
    second.put_many("t", [(b"k", {"d": b"1"})])
    first.close()
    assert second.get("t", b"k", ["d"]) == (b"1",)
    second.close()
    third = EmbeddedRows(tmp_path / "rows")
    assert third.get("t", b"k", ["d"]) == (b"1",)
    third.close()


def test_a_folder_that_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    old = EmbeddedRows(folder)
    old.create("t", ["d"])
    shutil.rmtree(folder)
    new = EmbeddedRows(folder)
    assert new.tables() == []
    new.create("u", ["d"])
    new.close()
    old.close()
    again = EmbeddedRows(folder)
    assert again.tables() == ["u"]
    again.close()
