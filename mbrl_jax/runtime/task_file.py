"""Loads a user's task from a Python file: ``path/to/file.py:name``.

A run stores the fingerprint of the file, so that a later change of the task is noticed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from mbrl_jax.envs.registry import COMMON, adjust
from mbrl_jax.ops import validate
from mbrl_jax.runtime import user_error
from mbrl_jax.types import Env, EnvSpec

_ATTRIBUTES = ("spec", "reset", "step", "observe", "pose")


def load_task(reference: str, physics: str = "auto", **overrides: Any) -> Env:
  """Runs a Python file and returns the task that a function in it makes.

  Args:
    reference: ``"file.py:name"``, the name of a function or of a task in the file; or
      ``"file.py"`` if the file has exactly one function ``make_...``.
    physics: passed to the function's argument ``physics``, or else to its only required one.
    **overrides: keyword arguments of the function; also, as in ``make_env``,
      ``action_noise``, ``episode_length`` and ``randomise``.

  Raises:
    ValueError: no such file, name or override; the file or the function raised, with the
      line; the result is no ``types.Env``, with what it lacks.

  Example:
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "swing.py"
    >>> _ = file.write_text('''
    ... from mbrl_jax.envs import make_env
    ...
    ... def make_swing(physics="auto"):
    ...   return make_env("pendulum", physics)
    ... ''')
    >>> load_task(f"{file}:make_swing", episode_length=50).spec.episode_length
    50
  """
  file, name = _split(reference)
  module = _run(file)
  name = name or _only_factory(module, file)
  value = _find(module, file, name)
  own: dict[str, Any] = {}
  known: Iterable[str] = ()
  if callable(value) and not hasattr(value, "spec"):
    parameters = inspect.signature(value).parameters
    known = parameters
    own = {k: overrides.pop(k) for k in list(overrides) if k in parameters}
    value = _call(value, physics, own, file)
  missing = [attribute for attribute in _ATTRIBUTES if not hasattr(value, attribute)]
  if missing:
    raise ValueError(
      f"{file}:{name} returns a {type(value).__name__} without {', '.join(missing)}: it must "
      "return an environment, see mbrl_jax.types.Env (mbrl_jax.envs.Task makes one)."
    )
  if not isinstance(value.spec, EnvSpec):
    kind = type(value.spec).__name__
    raise ValueError(f"{file}:{name}: its spec is a {kind}, not a mbrl_jax.types.EnvSpec.")
  for override in overrides:
    validate.known(override, sorted({*COMMON, *known} - {"physics"}))
  return adjust(value, **overrides)


def is_task_file(reference: str) -> bool:
  """Returns whether a reference names a file, as ``load_task`` takes it, not a registered task.

  Example:
    >>> is_task_file("mine.py:make_it"), is_task_file("cartpole")
    (True, False)
  """
  return bool(re.search(r"\.py(:\w*)?$", reference))


def fingerprint(reference: str) -> str:
  """Returns the SHA-256 of a task file and of the XML files in its folder that it names.

  Args:
    reference: as ``load_task`` takes it.

  Raises:
    ValueError: no such file.
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
  """Imports a file as a module with a unique name."""
  if not file.is_file():
    raise ValueError(f"There is no file {str(file)!r}.")
  name = f"{user_error.PREFIX}{abs(hash(file.resolve()))}"
  spec = importlib.util.spec_from_file_location(name, file)
  if spec is None or spec.loader is None:
    raise ValueError(f"{str(file)!r} is not a Python file (file.py or file.py:name).")
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # pickling and dataclasses look it up there
  folder = os.getcwd()
  try:
    spec.loader.exec_module(module)
  except user_error.RAISED as error:
    del sys.modules[name]
    raise ValueError(_describe(error, file)) from error
  if os.getcwd() != folder:
    os.chdir(folder)
    raise ValueError(f"{file} changes the working folder, which would break relative paths.")
  return module


def _public(module: ModuleType) -> list[str]:
  """Lists the functions and tasks that a module defines."""
  is_local = lambda value: getattr(value, "__module__", None) == module.__name__
  names = {k: v for k, v in vars(module).items() if not k.startswith("_")}
  return [k for k, v in names.items() if (callable(v) and is_local(v)) or hasattr(v, "spec")]


def _only_factory(module: ModuleType, file: Path) -> str:
  """Returns the name of the only function ``make_...``."""
  factories = [name for name in _public(module) if name.startswith("make_")]
  if len(factories) == 1:
    return factories[0]
  found = f"has {', '.join(factories)}" if factories else "has no function make_..."
  example = factories[0] if factories else "name"
  raise ValueError(f"{file} {found}: name one, as in {file}:{example}.")


def _find(module: ModuleType, file: Path, name: str) -> Any:
  """Returns the function or task ``name`` of a module."""
  if not hasattr(module, name):
    if not _public(module):
      raise ValueError(f"{file} defines no function and no task, so there is no {name!r}.")
    validate.choice(f"{file}: name", name, _public(module))
  return getattr(module, name)


def _call(make: Callable[..., Any], physics: str, own: dict[str, Any], file: Path) -> Any:
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
      f"{file}: {make.__name__} requires arguments ({', '.join(needed)}); it may require "
      "none, or the physics alone."
    )
  target = "physics" if "physics" in parameters else next(iter(needed), None)
  if target is not None:
    own = {target: physics, **own}
  try:
    return make(**own)
  except user_error.RAISED as error:
    raise ValueError(_describe(error, file)) from error


def _describe(error: BaseException, file: Path) -> str:
  """Describes an error in one sentence with the line of the file."""
  lines = [f.line for f in user_error.frames(error) if f.module.startswith(user_error.PREFIX)]
  if isinstance(error, SyntaxError) and error.lineno:
    if error.filename != str(file.absolute()):
      return user_error.describe(error, f"{error.filename}, line {error.lineno}")
    lines = [error.lineno]
  return user_error.describe(error, f"{file}, line {lines[-1]}" if lines else str(file))
