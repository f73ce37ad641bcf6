"""Rules on the files themselves: their size, and that no machine shows in them."""

import ast
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORE = ROOT / "mbrl_jax"
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


def long_functions(source, longest):
  """Returns the functions of more than ``longest`` lines, their docstrings not counted."""
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
      first = node.body[0]
      documented = ast.get_docstring(node, clean=False) is not None
      docstring = first.end_lineno - first.lineno + 1 if documented else 0
      if node.end_lineno - node.lineno + 1 - docstring > longest:
        found.append(node.name)
  return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
  source = path.read_text(encoding="utf-8")
  assert len(source.splitlines()) <= 300
  assert long_functions(source, 60) == []


def test_long_functions_are_found():
  source = "def f():\n  'a'\n  x = 1\n  return x\n"
  assert long_functions(source, 2) == ["f"] and long_functions(source, 3) == []


def test_no_marker_of_a_merge_is_left():
  marker = re.compile(r"^(<{7}|>{7}) ", re.M)
  texts = [path for path in tracked_files() if path.suffix in (".py", ".md", ".toml", ".txt")]
  assert [path for path in texts if marker.search(path.read_text(encoding="utf-8"))] == []


def test_no_two_files_of_tests_have_one_name():
  """pytest imports them as top-level modules: it collects nothing if two have one name."""
  names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
  assert sorted(names) == sorted(set(names))


def modules_of(pattern):
  """Lists the modules that a pattern such as ``ops/{angle,norm}`` or ``envs/*`` names."""
  head, braces, tail = pattern.partition("{")
  names = tail.removesuffix("}").split(",") if braces else [""]
  return [
    str(path.relative_to(CORE).with_suffix(""))
    for name in names
    for path in CORE.glob(f"{head}{name}.py")
  ]


def test_every_module_of_the_core_has_tests():
  """In a file of its name, or in one that the map names."""
  tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
  text = (ROOT / "WORKSPACE.md").read_text(encoding="utf-8")
  elsewhere = set()
  for modules, named in re.findall(r"^\| (`[^|]*/[^|]*) \| (`test_[^|]*) \|$", text, re.M):
    patterns, files = (re.findall(r"`([^`]+)`", cell) for cell in (modules, named))
    assert set(files) <= tests, f"{modules} are tested in {files}, which does not exist"
    for pattern in patterns:
      assert modules_of(pattern), f"the map names {pattern}, which does not exist"
      elsewhere |= set(modules_of(pattern))
  modules = {
    str(path.relative_to(CORE).with_suffix(""))
    for path in CORE.rglob("*.py")
    if path.name != "__init__.py" and path.parent.name != "types"  # which has no logic
  }
  untested = {m for m in modules if f"test_{m.rpartition('/')[2]}" not in tests}
  assert sorted(untested - elsewhere) == []


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
