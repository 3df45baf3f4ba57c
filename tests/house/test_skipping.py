"""In CI a skipped test is a failure: nobody reads why a test did not run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

SKIPPED = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="no clock")
def test_marked(): pass

def test_inside():
    pytest.skip("no clock")

@pytest.mark.xfail(strict=True)
def test_known_fault(): assert False
"""
MODULE = 'import pytest\npytest.importorskip("a_module_that_is_nowhere")\n'


@pytest.mark.parametrize(("where", "code"), [("true", 1), ("", 0)])
def test_skips_fail_in_ci_only(tmp_path: Path, where: str, code: int) -> None:
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "test_skipped.py").write_text(SKIPPED)
    (tmp_path / "test_module.py").write_text(MODULE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
        str(tmp_path),
    ]
    if where:
        command.append("--continue-on-collection-errors")
    run = subprocess.run(
        command, env={**os.environ, "CI": where}, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == code, run.stdout
    if where:
        assert "1 failed, 1 passed, 1 xfailed, 2 errors" in run.stdout
        assert "in CI nothing may be" in run.stdout
    else:
        assert "1 passed, 3 skipped, 1 xfailed" in run.stdout
