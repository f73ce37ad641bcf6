"""Examples in the documentation run, and every public name has a docstring."""

import doctest
import importlib
import inspect
import pathlib
import re

import pytest

import mbrl_jax

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [p for p in ("README.md", "WORKSPACE.md") if (ROOT / p).exists()]
BLOCKS = [
  pytest.param(block, id=f"{page}-{i}")
  for page in PAGES
  for i, block in enumerate(
    re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
  )
]
WITH_EXAMPLES = [
  ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
  for p in sorted((ROOT / "mbrl_jax").rglob("*.py"))
  if ">>>" in p.read_text(encoding="utf-8")
]


def test_readme_has_an_example():
  assert any(block.id.startswith("README") for block in BLOCKS)


@pytest.mark.parametrize("block", BLOCKS)
def test_page_examples_run(block, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  names = {"__name__": "example"}
  exec(compile(block, "example", "exec"), names)
  if "pendulum" in block:
    assert names["transition"].reward > -0.1, "the pendulum is not up"


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_docstring_examples_run(module):
  results = doctest.testmod(importlib.import_module(module))
  assert results.attempted and not results.failed


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_exist(page):
  links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
  assert [link for link in links if not (ROOT / link).exists()] == []


PARTS = [path.stem for path in (ROOT / "mbrl_jax").iterdir() if path.is_dir()]
MENTION = re.compile(rf"`((?:mbrl_jax\.)?(?:{'|'.join(PARTS)})\.[a-z_]+(?:\.\w+)*)")


def exists(name):
  """Reports whether ``runtime.storage.files`` or a name in it can be imported."""
  name = name if name.startswith("mbrl_jax.") else f"mbrl_jax.{name}"
  module, *attributes = import_longest(name)
  for attribute in attributes:
    if not hasattr(module, attribute):
      return False
    module = getattr(module, attribute)
  return True


def import_longest(name):
  """Splits a dotted name into the module that can be imported and the attributes after it."""
  parts = name.split(".")
  for size in range(len(parts), 1, -1):
    try:
      return [importlib.import_module(".".join(parts[:size])), *parts[size:]]
    except ModuleNotFoundError:
      continue
  return [mbrl_jax, *parts[1:]]


def test_modules_that_docstrings_and_pages_mention_exist():
  sources = [*(ROOT / "mbrl_jax").rglob("*.py"), *(ROOT / page for page in PAGES)]
  mentioned = {name for path in sources for name in MENTION.findall(path.read_text("utf-8"))}
  assert len(mentioned) > 10
  assert sorted(name for name in mentioned if not exists(name)) == []
  assert not exists("runtime.mesh") and not exists("ops.risk.nothing")


@pytest.mark.parametrize("name", mbrl_jax.__all__)
def test_public_names_are_documented(name):
  value = getattr(mbrl_jax, name)
  doc = inspect.getdoc(value) or ""
  first = doc.split("\n")[0]
  assert first.endswith((".", ":", "?")), (
    f"{name} has no docstring whose first line is a sentence"
  )
  assert not first.startswith(f"{name}("), f"{name} has only its generated signature"


def test_public_names_are_listed():
  assert set(mbrl_jax.__all__) <= set(dir(mbrl_jax))
  assert len(mbrl_jax.__all__) == len(set(mbrl_jax.__all__))


def test_unknown_public_name_is_an_attribute_error():
  with pytest.raises(AttributeError, match="no_such_thing"):
    mbrl_jax.no_such_thing  # noqa: B018
