"""CI skips nothing but for want of an accelerator or of time: ``--no-skips``, ``--minutes``."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
SKIPS = """
import pytest

def test_runs():
  pass

def test_library():
  pytest.importorskip("no_such_library")

@pytest.mark.skipif(True, reason="no Xvfb on this machine")
def test_program():
  raise AssertionError

@pytest.fixture
def screen():
  pytest.skip("no screen")

def test_fixture(screen):
  raise AssertionError

@pytest.mark.skip(reason="needs an NVIDIA GPU")
def test_accelerator():
  raise AssertionError

@pytest.mark.xfail(reason="not written yet")
def test_expected():
  raise AssertionError
"""
MODULE = "import pytest\npytest.importorskip('no_such_library')\ndef test_never(): pass\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Runs the two modules of tests with the options of pytest that it is given."""
  folder = tmp_path_factory.mktemp("project") / "tests"
  folder.mkdir()
  shutil.copy(TESTS / "conftest.py", folder)
  (folder / "test_skips.py").write_text(SKIPS)
  (folder / "test_module.py").write_text(MODULE)

  def run(*options):
    command = [sys.executable, "-m", "pytest", "-q", *options]
    return subprocess.run(
      command, cwd=folder.parent, capture_output=True, text=True, check=False
    )

  return run


def counts(text):
  found = re.findall(r"(\d+) (passed|failed|skipped|xfailed|error)", text.splitlines()[-1])
  return {kind: int(count) for count, kind in found}


def test_skips_pass_by_default(run):
  done = run("-n0")
  assert done.returncode == 0
  assert counts(done.stdout) == {"passed": 1, "skipped": 5, "xfailed": 1}


def test_skips_fail_but_for_want_of_an_accelerator(run):
  """A fixture, a mark and a module are skipped before the test begins: errors to pytest."""
  done = run("--no-skips", "-n1")
  assert done.returncode == 1
  assert counts(done.stdout) == {
    "passed": 1,
    "failed": 1,
    "error": 3,
    "skipped": 1,
    "xfailed": 1,
  }
  said = " ".join(done.stdout.split())
  assert "test_program was skipped (Skipped: no Xvfb on this machine), and --no-skips" in said
  assert "test_module.py was skipped (" in said


def test_what_would_start_too_late_is_skipped_and_listed(run):
  done = run("--no-skips", "--minutes=0", "-n1", "-ra", "--ignore=tests/test_module.py")
  assert done.returncode == 0
  assert counts(done.stdout) == {"skipped": 6}
  assert "no time left" in done.stdout
