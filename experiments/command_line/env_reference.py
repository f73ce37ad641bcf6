"""Resolves ``--env``: a registered task, an adapted one, or one in a Python file."""

from __future__ import annotations

import re
from typing import Any

from experiments.command_line import config_flags
from experiments.command_line.cli import UsageError
from experiments.command_line.flag_error import flag_error
from mbrl_jax.envs.adapters.named import NAMES, is_adapted
from mbrl_jax.envs.registry import list_envs, make_env
from mbrl_jax.ops.validate import choice
from mbrl_jax.runtime import checks, task_file
from mbrl_jax.types import Env


def known() -> str:
  """Lists the valid values of ``--env``, for ``--help``."""
  return (
    f"{', '.join([*list_envs(), *NAMES])}; or path/file.py:name, a function that returns a task"
  )


def make(reference: str, physics: str = "auto", overrides: dict[str, Any] | None = None) -> Env:
  """Makes a task.

  Args:
    reference: a registered name, or ``path/file.py:name``, see ``load_task``.
    physics: see ``make_env``.
    overrides: ``--env.NAME=VALUE``, see ``config_flags.nested``.

  Raises:
    UsageError: names the flag, its value and the valid ones, or the error in the file.
  """
  try:
    overrides = config_flags.nested(overrides or {})
    for name in ("name", "reference", "physics"):  # arguments of the two calls below
      if name in overrides:
        raise ValueError(f"--env.{name}: --env selects the task, --physics the simulator.")
    if task_file.is_task_file(reference):
      return task_file.load_task(reference, physics, **overrides)
    _check_name(reference)
    return make_env(reference, physics, **overrides)
  except (ValueError, ImportError) as error:
    raise flag_error(error, "--env.", {"physics": "--physics", "env": "--env"}) from error
  except TypeError as error:
    if not is_adapted(reference):
      raise
    given = ", ".join(f"--env.{name}={value!r}" for name, value in overrides.items())
    raise UsageError(f"--env={reference} does not accept {given}: {error}.") from error


def make_checked(
  reference: str, physics: str = "auto", overrides: dict[str, Any] | None = None
) -> Env:
  """Makes a task as ``make`` does and checks it: every program that runs a task calls this.

  Raises:
    UsageError: as ``make``; the bounds are not finite; or a task of the user's file violates
      the contract of ``types.Env``, as far as tracing shows. Lists the violations.
  """
  env = make(reference, physics, overrides)
  own = task_file.is_task_file(reference)
  findings = checks.check_contract(env) if own else checks.check_spec(env)
  wrong: dict[str, str] = {}
  for finding in findings:
    if finding.level == checks.WRONG:
      wrong.setdefault(finding.text, finding.check)  # checks may raise the same exception
  if wrong:
    listed = "".join(f"\n  {check}: {text}" for text, check in wrong.items())
    raise UsageError(f"--env={reference} violates the contract of a task:{listed}")
  return env


def settings(reference: str) -> dict[str, str]:
  """Returns what ``config.json`` stores of a task in addition to its name.

  Returns:
    ``{"env_fingerprint": ...}`` for a task in a file, otherwise empty.

  Raises:
    UsageError: neither a task nor a file has this name.
  """
  try:
    if task_file.is_task_file(reference):
      return {"env_fingerprint": task_file.fingerprint(reference)}
    _check_name(reference)
  except ValueError as error:
    raise flag_error(error) from error
  return {}


def _check_name(reference: str) -> None:
  if not is_adapted(reference):
    choice("--env", reference, [*list_envs(), *NAMES])


def check_unchanged(reference: str, stored: dict[str, Any]) -> None:
  """Refuses a task file that has changed since the run was started.

  Args:
    reference: the run's task.
    stored: the run's ``config.json``.

  Raises:
    UsageError: the file is missing, or it or an XML file that it names has changed.
  """
  before = stored.get("env_fingerprint")
  if before is None:
    return
  try:
    now = task_file.fingerprint(reference)
  except ValueError as error:
    raise UsageError(
      f"The task of the run is --env={reference}, relative to its first working folder. {error}"
    ) from error
  if now != before:
    raise UsageError(
      f"{reference} or an XML file that it names has changed since the run was started: "
      "restore it or start a new run."
    )


def label(reference: str) -> str:
  """Returns a name for files and folders: ``mine_make_it`` for ``mine.py:make_it``."""
  if is_adapted(reference):
    return re.sub(r"[^\w-]+", "_", reference)
  if not task_file.is_task_file(reference):
    return reference
  name = re.split(r"[/\\]", reference)[-1]
  return re.sub(r"\W+", "_", name.replace(".py", "")).strip("_")
