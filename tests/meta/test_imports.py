"""The rings of the design and the purity of the core, read from the sources."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RANK = {
  "types": 0,
  "ops": 1,
  **dict.fromkeys(("networks", "models", "planners", "buffers", "envs"), 2),
  "learners": 3,
  "algorithms": 4,
  "runtime": 5,
  "hardware": 5,
  "experiments": 6,
}
SIBLINGS = {("models", "networks")}
TOP = ("mbrl_jax", "hardware", "experiments")
FILES = sorted(p for top in TOP for p in (ROOT / top).rglob("*.py"))
CORE = [p for p in FILES if p.relative_to(ROOT).parts[:2] != ("mbrl_jax", "runtime")]
CORE = [p for p in CORE if p.relative_to(ROOT).parts[0] == "mbrl_jax"]
# What a pure function has no use for: clocks, flags, logs, processes, files.
HOST_MODULES = {"absl", "argparse", "logging", "time", "os", "pathlib", "shutil", "subprocess"}
HOST_MODULES |= {
  "tempfile",
  "sys",
  "rich",
  "tensorboardX",
  "matplotlib",
  "mediapy",
  "orbax",
}
# Environments of others run in processes, which these two start.
STARTERS = {
  "mbrl_jax.envs.adapters.host.worker_process",
  "mbrl_jax.envs.adapters.host.worker_main",
}
HOST_CALLS = {"print", "open", "input", "breakpoint", "exit"}
HOST_METHODS = {"block_until_ready", "read_text", "write_text", "read_bytes", "write_bytes"}


def module_name(path):
  parts = path.relative_to(ROOT).with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module):
  """Returns the ring's part that ``module`` belongs to, ``None`` for others' code."""
  names = module.split(".")
  if names[0] in ("hardware", "experiments"):
    return names[0]
  if names[0] != "mbrl_jax":
    return None
  return names[1] if len(names) > 1 else "facade"


def imported_modules(tree, module, is_package):
  """Yields the full name of every module that ``tree`` imports, wherever it does so."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ""
      if node.level:
        package = module.split(".")[: None if is_package else -1]
        package = package[: len(package) - node.level + 1]
        base = ".".join([*package, base] if base else package)
      if base == "mbrl_jax":
        yield from (f"{base}.{alias.name}" for alias in node.names)
      else:
        yield base


def violations(source, module, is_package=False):
  """Returns the imports of ``source`` that the dependency rule forbids."""
  own, found = part_of(module), []
  for name in imported_modules(ast.parse(source), module, is_package):
    other = part_of(name)
    if other is None or other == own or own == "facade":
      continue
    if own == "experiments":
      continue
    allowed = (other in RANK and RANK[other] < RANK[own]) or (own, other) in SIBLINGS
    if not allowed:
      found.append(name)
  return found


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_inwards(path):
  source = path.read_text(encoding="utf-8")
  assert violations(source, module_name(path), path.name == "__init__.py") == []


@pytest.mark.parametrize(
  ("module", "source", "bad"),
  [
    ("mbrl_jax.ops.noise", "from mbrl_jax.planners import cem", ["mbrl_jax.planners"]),
    ("mbrl_jax.envs.a", "from mbrl_jax.planners.cem import cem", ["mbrl_jax.planners.cem"]),
    ("mbrl_jax.envs.a", "def f():\n  import mbrl_jax.runtime", ["mbrl_jax.runtime"]),
    ("mbrl_jax.planners.a", "from ..runtime import loop", ["mbrl_jax.runtime"]),
    ("mbrl_jax.planners.a", "from mbrl_jax import models", ["mbrl_jax.models"]),
    ("mbrl_jax.planners.a", "import mbrl_jax", ["mbrl_jax"]),
    ("mbrl_jax.runtime.training.loop", "import hardware.robot", ["hardware.robot"]),
    ("mbrl_jax.runtime.training.loop", "import experiments.train", ["experiments.train"]),
    ("mbrl_jax.models.a", "from mbrl_jax.networks import mlp\nimport jax", []),
    ("mbrl_jax.planners.a", "from .cem import cem\nfrom mbrl_jax import types", []),
    ("experiments.train", "import mbrl_jax\nfrom hardware import robot", []),
  ],
)
def test_the_rule_is_enforced(module, source, bad):
  assert violations(source, module) == bad


def internal_imports():
  """Returns the modules of mbrl_jax that each of them imports, lazy imports included."""
  modules = {module_name(path): path for path in FILES if path.parts[-1] != "setup.py"}
  modules = {name: path for name, path in modules.items() if name.startswith("mbrl_jax.")}
  package_names = {name for name, path in modules.items() if path.name == "__init__.py"}
  graph = {}
  for name, path in modules.items():
    tree, package = ast.parse(path.read_text(encoding="utf-8")), path.name == "__init__.py"
    found = set()
    for node in ast.walk(tree):
      if isinstance(node, ast.ImportFrom):
        parts = {f"{node.module}.{alias.name}" for alias in node.names} & modules.keys()
        found |= parts if len(parts) == len(node.names) else {node.module, *parts}
    found |= {n for n in imported_modules(tree, name, package) if n not in package_names}
    graph[name] = sorted(other for other in found if other in modules and other != name)
  return graph


def cycle(graph):
  """Returns one cycle of a graph as a list of its nodes, empty without one."""
  done, path = set(), []

  def visit(node):
    if node in path:
      return [*path[path.index(node) :], node]
    if node in done:
      return []
    path.append(node)
    for other in graph[node]:
      if found := visit(other):
        return found
    done.add(path.pop())
    return []

  return next((found for node in graph if (found := visit(node))), [])


def test_no_module_imports_itself_through_others():
  assert cycle(internal_imports()) == []
  assert cycle({"a": ["b"], "b": ["c"], "c": ["a"]}) == ["a", "b", "c", "a"]


# Rooms of envs and runtime, from the first to the last: none imports a later one.
ROOMS = {
  "envs": ("physics", "", "robotics", "tasks", "models", "adapters", "registry"),
  "runtime": ("devices", "storage", "", "rendering", "checks", "training"),
}


def room_of(module):
  """Returns the index of a module's room, ``None`` outside of ``ROOMS`` and for packages."""
  names = module.split(".")
  if len(names) < 3 or names[1] not in ROOMS:
    return None
  rooms = ROOMS[names[1]]
  return rooms.index(names[2] if names[2] in rooms else "")


def test_rooms_do_not_import_later_rooms():
  late = [
    f"{name} imports {other}"
    for name, others in internal_imports().items()
    for other in others
    if name.split(".")[1] == other.split(".")[1]
    and None not in (room_of(name), room_of(other))
    and room_of(name) < room_of(other)
  ]
  assert late == []


def host_uses(source, may_read=False, may_start=False):
  """Returns what in ``source`` prints, blocks, times, reads flags or touches files."""
  tree, found = ast.parse(source), []
  modules = HOST_MODULES - ({"os", "pathlib"} if may_read else set())
  modules -= {"subprocess", "sys"} if may_start else set()
  calls = HOST_CALLS - ({"open"} if may_read else set())
  methods = HOST_METHODS - ({"read_text", "read_bytes"} if may_read else set())
  for name in imported_modules(tree, "mbrl_jax.x.y", False):
    if name.split(".")[0] in modules:
      found.append(name)
  for node in ast.walk(tree):
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
      found.append(node.func.id)
    if isinstance(node, ast.Attribute) and node.attr in methods:
      found.append(node.attr)
    if isinstance(node, ast.Attribute) and ast.unparse(node) in (
      "jax.debug.print",
      "os.environ",
    ):
      found.append(ast.unparse(node))
  return found


@pytest.mark.parametrize("path", CORE, ids=module_name)
def test_core_leaves_the_host_alone(path):
  """Environments may read their own MJCF."""
  module = module_name(path)
  allowed = part_of(module) == "envs", module in STARTERS
  assert host_uses(path.read_text(encoding="utf-8"), *allowed) == []


@pytest.mark.parametrize(
  ("source", "bad"),
  [
    ("print(1)", ["print"]),
    ("import time", ["time"]),
    ("from absl import flags", ["absl"]),
    ("x = open('f')", ["open"]),
    ("y.block_until_ready()", ["block_until_ready"]),
    ("jax.debug.print('x')", ["jax.debug.print"]),
    ("import jax.numpy as jnp\njnp.zeros(3)", []),
  ],
)
def test_host_uses_are_found(source, bad):
  assert host_uses(source) == bad
