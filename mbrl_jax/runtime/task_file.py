"""Loads a task of the user's from a Python file: ``path/to/file.py:name``.

A run remembers the fingerprint of the file, so that a task that has changed since is not
taken for the one that was trained on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mbrl_jax.envs.registry import COMMON, adjust
from mbrl_jax.ops import validate
from mbrl_jax.runtime import user_error
from mbrl_jax.types import Env, EnvSpec

_PARTS = ("spec", "reset", "step", "observe", "pose")


def load_task(reference: str, physics: str = "auto", **overrides: Any) -> Env:
  """Runs a Python file and returns the task that a function in it makes.

  Args:
    reference: ``"file.py:name"``, the name of a function or of a task that the file
      made itself; or ``"file.py"`` where the file has one function ``make_...``.
    physics: handed to the function if it takes an argument of that name, or has one that
      it cannot do without.
    **overrides: keyword arguments of the function; besides, as in ``make_env``,
      ``action_noise``, ``episode_length`` and ``randomise``.

  Raises:
    ValueError: no such file, name or override; the file or the function fails: on which
      line; what the function returns is no ``types.Env``: what it lacks.
  """
  file, name = _split(reference)
  module = _run(file)
  name = name or _only_maker(module, file)
  value = _find(module, file, name)
  own, known = {}, ()
  if callable(value) and not hasattr(value, "spec"):
    known = inspect.signature(value).parameters
    own = {k: overrides.pop(k) for k in list(overrides) if k in known}
    value = _call(value, physics, own, file)
  lacking = [part for part in _PARTS if not hasattr(value, part)]
  if lacking:
    raise ValueError(
      f"{file}:{name} gives a {type(value).__name__} without {', '.join(lacking)}: it must "
      "be an environment, see mbrl_jax.types.Env (mbrl_jax.envs.Task makes one)."
    )
  if not isinstance(value.spec, EnvSpec):
    kind = type(value.spec).__name__
    raise ValueError(f"{file}:{name} gives a spec that is a {kind}, no mbrl_jax.types.EnvSpec.")
  for override in overrides:
    validate.known(override, sorted({*COMMON, *known} - {"physics"}))
  return adjust(value, **overrides)


def is_task_file(reference: str) -> bool:
  """Tells a file, as ``load_task`` takes it, from the name of a registered task."""
  return bool(re.search(r"\.py(:\w*)?$", reference))


def fingerprint(reference: str) -> str:
  """Returns the SHA-256 of a task's file and of the XML files beside it that it names.

  Args:
    reference: as ``load_task`` takes it.

  Raises:
    ValueError: there is no such file.
  """
  file, _ = _split(reference)
  if not file.is_file():
    raise ValueError(f"There is no file {str(file)!r}.")
  text = file.read_text(encoding="utf-8", errors="replace")
  named = [path for path in sorted(file.parent.glob("*.xml")) if path.stem in text]
  contents = [hashlib.sha256(path.read_bytes()).digest() for path in (file, *named)]
  return hashlib.sha256(b"".join(contents)).hexdigest()


def _split(reference: str) -> tuple[Path, str]:
  """Splits ``file.py:name`` into the file and the name, which may be empty."""
  path, found, name = reference.rpartition(".py:")
  return (Path(f"{path}.py"), name) if found else (Path(reference), "")


def _run(file: Path) -> ModuleType:
  """Imports a file under a name of its own."""
  if not file.is_file():
    raise ValueError(f"There is no file {str(file)!r}.")
  name = f"{user_error.PREFIX}{abs(hash(file.resolve()))}"
  spec = importlib.util.spec_from_file_location(name, file)
  if spec is None or spec.loader is None:
    raise ValueError(f"{str(file)!r} is not a Python file (file.py or file.py:name).")
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # where pickling and dataclasses look for it
  folder = os.getcwd()
  try:
    spec.loader.exec_module(module)
  except user_error.RAISED as error:
    del sys.modules[name]
    raise ValueError(_describe(error, file)) from error
  if os.getcwd() != folder:
    os.chdir(folder)
    raise ValueError(f"{file} changes the working folder: other paths would mean other files.")
  return module


def _public(module: ModuleType) -> list[str]:
  """Lists the functions and tasks that a module defines itself."""
  mine = lambda value: getattr(value, "__module__", None) == module.__name__
  names = {k: v for k, v in vars(module).items() if not k.startswith("_")}
  return [k for k, v in names.items() if (callable(v) and mine(v)) or hasattr(v, "spec")]


def _only_maker(module: ModuleType, file: Path) -> str:
  """Returns the name of the one function ``make_...``."""
  makers = [name for name in _public(module) if name.startswith("make_")]
  if len(makers) == 1:
    return makers[0]
  found = f"has {', '.join(makers)}" if makers else "has no function make_..."
  example = makers[0] if makers else "name"
  raise ValueError(f"{file} {found}: say which to take, as in {file}:{example}.")


def _find(module: ModuleType, file: Path, name: str) -> Any:
  """Returns what a module calls ``name``."""
  if not hasattr(module, name):
    if not _public(module):
      raise ValueError(f"{file} defines no function and no task, so no {name!r}.")
    validate.choice(f"{file}: name", name, _public(module))
  return getattr(module, name)


def _call(make: Callable, physics: str, own: dict[str, Any], file: Path) -> Any:
  """Calls a factory, with ``physics`` if it takes it."""
  parameters = inspect.signature(make).parameters
  variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
  needed = [
    p.name
    for p in parameters.values()
    if p.default is p.empty and p.kind not in variadic and p.name not in own
  ]
  if len(needed) > 1:
    raise ValueError(
      f"{file}: {make.__name__} needs arguments ({', '.join(needed)}); it must work without "
      "any, or with the physics alone."
    )
  target = "physics" if "physics" in parameters else next(iter(needed), None)
  if target is not None:
    own = {target: physics, **own}
  try:
    return make(**own)
  except user_error.RAISED as error:
    raise ValueError(_describe(error, file)) from error


def _describe(error: BaseException, file: Path) -> str:
  """Says in one sentence what went wrong, and on which line of the file."""
  lines = [f.line for f in user_error.frames(error) if f.module.startswith(user_error.PREFIX)]
  if isinstance(error, SyntaxError) and error.lineno:
    if error.filename != str(file.absolute()):
      return user_error.describe(error, f"{error.filename}, line {error.lineno}")
    lines = [error.lineno]
  return user_error.describe(error, f"{file}, line {lines[-1]}" if lines else str(file))
