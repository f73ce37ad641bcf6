"""Rules on the files themselves: their size, and that no machine shows in them."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = sorted(
  p
  for top in ("mbrl_jax", "experiments", "hardware", "tests")
  for p in (ROOT / top).rglob("*.py")
)
# Folders in which somebody's checkout, home or package mirror lies.
MACHINE = re.compile(r"(?<![\w.:/-])/(?:root|home|work|Users|opt|mnt|srv|workspace|data)/\w")


def tracked_files():
  command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
  out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
  if out.returncode:
    pytest.skip("not a git checkout")
  return [ROOT / line for line in out.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_holds_one_idea(path):
  assert len(path.read_text(encoding="utf-8").splitlines()) < 400


def test_no_absolute_machine_paths():
  found = []
  for path in tracked_files():
    try:
      text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
      continue
    found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in MACHINE.finditer(text)]
  assert found == []


def test_machine_paths_are_recognised():
  folder = "/".join(["", "home", "me", "x"])
  assert MACHINE.search(f"open('{folder}')") and not MACHINE.search("https://x.org/home/me")


def test_no_module_is_called_utils():
  assert [p for p in SOURCES if p.stem in ("utils", "util", "helpers", "misc", "common")] == []
