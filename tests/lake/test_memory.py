import platform
import subprocess
import sys

from sodalake.lake.memory import keep_freed_memory

# Allocates and frees 2 MB a hundred times, as requests do, and prints how many fresh pages that took. The numbers of
# two runs are compared, so the process says whether it told the allocator.
_PROGRAM = """
import resource, sys
from sodalake.lake.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
bytes(bytearray(2 << 20))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    bytearray(b"x") * (2 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def fresh_pages(how: str) -> int:
    environment = {"MALLOC_TRIM_THRESHOLD_": "65536"}  # as Dask's nanny starts its workers
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, how], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_freed_memory_is_used_again() -> None:
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
    if platform.libc_ver()[0] == "glibc":
        given_back, kept = fresh_pages("let go"), fresh_pages("keep")
        assert given_back > 100 * 256  # half of what 100 times 512 pages would be
        assert kept < given_back / 10
