"""Libraries that import themselves in circles, by threads that begin at once."""

from __future__ import annotations

import subprocess
import sys

# Without the lock, ten of ten end with a matplotlib that lacks names for good.
AT_ONCE = """
import sys, threading
from sodalake.lake.importing import import_all

sys.setswitchinterval(1e-6)
parts = ("matplotlib", "matplotlib.colors", "matplotlib.patches")
wrong, together = [], threading.Barrier(len(parts))

def run(name):
    together.wait()
    try:
        import_all(name)
    except BaseException as error:
        wrong.append(repr(error))

threads = [threading.Thread(target=run, args=(name,)) for name in parts]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit("; ".join(wrong) or None)
"""


def test_threads_that_import_at_once_get_a_whole_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
