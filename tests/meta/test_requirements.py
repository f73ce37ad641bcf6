"""The requirements in setup.py are what the sources import, no more and no less."""

import ast
import pathlib
import re
import runpy
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Modules that are not named like the distribution that installs them.
DISTRIBUTIONS = {
  "PIL": "pillow",
  "absl": "absl-py",
  "mujoco.mjx": "mujoco-mjx",
  "mujoco_playground": "playground",
  "orbax": "orbax-checkpoint",
  "warp": "mujoco-mjx",  # its extra "warp" brings Warp in the version that MJX takes
}
OWN = {"mbrl_jax", "experiments", "hardware", "tests"}


def normal(name):
  return re.sub(r"[-_.]+", "-", name).lower()


def distribution(module):
  """Returns what installs ``module``, ``None`` for the standard library and our own code."""
  top = module.split(".")[0]
  if top in sys.stdlib_module_names or top in OWN:
    return None
  for name in (".".join(module.split(".")[:2]), top):
    if name in DISTRIBUTIONS:
      return DISTRIBUTIONS[name]
  return normal(top)


def imports(source):
  """Returns the modules that ``source`` imports anywhere, by statement."""
  found = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and not node.level:
      found |= {f"{node.module}.{alias.name}" for alias in node.names}
  return found


def optional_imports(source):
  """Returns ``(module, extra)`` of each ``import_extra(...)`` and each guarded import."""
  found = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_extra":
      words = [a.value for a in node.args if isinstance(a, ast.Constant)]
      found |= {(words[0], words[-1])} if words else set()
    if isinstance(node, ast.Try) and any("ImportError" in ast.dump(h) for h in node.handlers):
      body = ast.unparse(ast.Module(node.body, []))
      found |= {(m, m.split(".")[0]) for m in imports(body) if distribution(m)}
  return found


def requirement(text):
  return normal(re.match(r"[\w.-]+", text).group())


@pytest.fixture(scope="module")
def setup():
  """The arguments of setup(), read without setuptools, which new Pythons do not bring."""
  given, saved = {}, sys.modules.get("setuptools")
  sys.modules["setuptools"] = types.SimpleNamespace(
    find_packages=lambda **options: options, setup=lambda **options: given.update(options)
  )
  try:
    runpy.run_path(str(ROOT / "setup.py"))
  finally:
    del sys.modules["setuptools"]
    if saved is not None:
      sys.modules["setuptools"] = saved
  return given


def names(requirements):
  return {requirement(text) for text in requirements}


def sources(folder):
  return [path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.py"))]


def required(folder):
  """Returns the distributions that the files of ``folder`` import unconditionally."""
  found = set()
  for source in sources(folder):
    guarded = {module for module, _ in optional_imports(source)}
    found |= {distribution(module) for module in imports(source) - guarded}
  return found - {None}


def test_install_requires_is_what_the_package_imports(setup):
  assert names(setup["install_requires"]) == required("mbrl_jax")


def test_what_is_imported_on_demand_has_an_extra(setup):
  found = set().union(*(optional_imports(source) for source in sources("mbrl_jax")))
  assert len(found) >= 6
  for module, extra in found:
    assert distribution(module) in names(setup["extras_require"][extra]), module


def required_at_the_top(folder):
  """Yields each file of ``folder`` and the distributions without which it does not load."""
  paths = sorted((ROOT / folder).rglob("*.py"))
  here = {path.stem for path in paths}
  for path in paths:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    modules = imports(ast.unparse(ast.Module(top, [])))
    modules = {m for m in modules if m.split(".")[0] not in here}
    yield path.relative_to(ROOT), {distribution(m) for m in modules} - {None}


@pytest.mark.parametrize(
  ("folder", "extra"), [("experiments", "experiments"), ("tests", "test")]
)
def test_programs_and_tests_load_with_their_extra(setup, folder, extra):
  installed = names(setup["install_requires"]) | names(setup["extras_require"][extra])
  for path, needed in required_at_the_top(folder):
    assert needed <= installed, path


def test_the_extra_experiments_has_only_what_the_programs_import(setup):
  assert names(setup["extras_require"]["experiments"]) <= required("experiments")


@pytest.mark.parametrize(
  ("file", "extra"), [("constraints.txt", "ci"), ("constraints-jax011.txt", "test")]
)
def test_the_pins_name_every_requirement(setup, file, extra):
  wanted = names(setup["install_requires"]) | names(setup["extras_require"][extra])
  pins = (ROOT / file).read_text(encoding="utf-8").splitlines()
  assert wanted <= names(pin for pin in pins if not pin.startswith("#"))


@pytest.mark.parametrize(
  ("module", "name"),
  [
    ("os.path", None),
    ("mbrl_jax.ops", None),
    ("mujoco.mjx", "mujoco-mjx"),
    ("mujoco", "mujoco"),
    ("orbax.checkpoint", "orbax-checkpoint"),
    ("ml_collections.config", "ml-collections"),
  ],
)
def test_modules_are_traced_to_what_installs_them(module, name):
  assert distribution(module) == name


def test_an_import_on_demand_is_told_from_one_that_must_succeed():
  source = "import a.b\ntry:\n  import evosax\nexcept ImportError:\n  pass\n"
  source += "x = import_extra('brax.envs', 'brax')"
  assert imports(source) == {"a.b", "evosax"}
  assert optional_imports(source) == {("evosax", "evosax"), ("brax.envs", "brax")}
