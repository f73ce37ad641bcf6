"""Loads a task of the user's from a Python file: ``path/to/file.py:name``."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mbrl_jax.envs import ActionNoise
from mbrl_jax.ops import validate
from mbrl_jax.types import Env

_PARTS = ("spec", "reset", "step", "observe", "pose")


def load_task(reference: str, physics: str = "auto", **overrides: Any) -> Env:
  """Runs a Python file and returns the task that a function in it makes.

  Args:
    reference: ``"file.py:name"``, the name of a function or of a task that the file
      made itself; or ``"file.py"`` where the file has one function ``make_...``.
    physics: handed to the function if it takes an argument of that name, or has one that
      it cannot do without.
    **overrides: keyword arguments of the function; besides, as in ``make_env``,
      ``episode_length`` and ``action_noise``.

  Raises:
    ValueError: no such file, name or override; the file or the function fails: on which
      line; what the function returns is no ``types.Env``: what it lacks.
  """
  path, found, name = reference.rpartition(".py:")
  file = Path(path + ".py" if found else reference)
  module = _run(file)
  name = name if found else _only_maker(module, file)
  value = _find(module, file, name)
  own = {}
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
  return _adjust(value, **overrides)


def _run(file: Path) -> ModuleType:
  """Imports a file under a name of its own."""
  if not file.is_file():
    raise ValueError(f"There is no file {str(file)!r}.")
  name = f"task_file_{abs(hash(file.resolve()))}"
  spec = importlib.util.spec_from_file_location(name, file)
  if spec is None or spec.loader is None:
    raise ValueError(f"{str(file)!r} is not a Python file (file.py or file.py:name).")
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # where pickling and dataclasses look for it
  try:
    spec.loader.exec_module(module)
  except Exception as error:
    del sys.modules[name]
    raise ValueError(_describe(error, file)) from error
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
  except Exception as error:
    raise ValueError(_describe(error, file)) from error


def _describe(error: Exception, file: Path) -> str:
  """Says in one sentence what went wrong, and on which line of the file."""
  frames = traceback.extract_tb(error.__traceback__)
  lines = [frame.lineno for frame in frames if frame.filename == str(file)]
  line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
  where = f"{file}, line {line}" if line else str(file)
  message = " ".join(str(getattr(error, "msg", None) or error).split())
  return f"{where}: {type(error).__name__}: {message}"


def _adjust(env: Env, **overrides: Any) -> Env:
  """Applies the overrides that every task has."""
  for name in overrides:
    validate.choice("override", name, ("action_noise", "episode_length"))
  if "episode_length" in overrides:
    length = overrides["episode_length"]
    validate.positive(episode_length=length)
    if not dataclasses.is_dataclass(env):
      raise ValueError(
        f"episode_length={length}: only tasks that are dataclasses, like mbrl_jax.envs.Task, "
        f"can be changed from outside; this is a {type(env).__name__}."
      )
    env = dataclasses.replace(env, spec=env.spec._replace(episode_length=int(length)))
  noise = overrides.get("action_noise")
  return env if noise is None else ActionNoise(env, noise)
