"""Finds the task that ``--env`` names: a registered one, or one in a Python file."""

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
  """Says what ``--env`` may be, for ``--help``."""
  return (
    f"{', '.join([*list_envs(), *NAMES])}; or path/file.py:name, a function that makes a task"
  )


def make(reference: str, physics: str = "auto", overrides: dict[str, Any] | None = None) -> Env:
  """Makes a task.

  Args:
    reference: a registered name, or ``path/file.py:name`` as ``load_task`` takes it.
    physics: see ``make_env``.
    overrides: ``--env.NAME=VALUE``, see ``configuration.nested``.

  Raises:
    UsageError: names the flag, its value and what there is, or what is wrong in the file.
  """
  try:
    overrides = config_flags.nested(overrides or {})
    for name in ("name", "reference", "physics"):  # what the two below are called with
      if name in overrides:
        raise ValueError(f"--env.{name}: --env says which task it is, --physics what moves it.")
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
    raise UsageError(f"{reference} cannot be made with {given}: {error}.") from error


def make_checked(
  reference: str, physics: str = "auto", overrides: dict[str, Any] | None = None
) -> Env:
  """Makes a task that is to be learned, planned or run; see ``make``.

  Raises:
    UsageError: besides, its bounds are not finite; or one of the user's own breaks the
      contract of ``types.Env``, as far as tracing shows it: says where.
  """
  env = make(reference, physics, overrides)
  own = task_file.is_task_file(reference)
  findings = checks.check_contract(env) if own else checks.check_spec(env)
  wrong: dict[str, str] = {}
  for finding in findings:
    if finding.level == checks.WRONG:
      wrong.setdefault(finding.text, finding.check)  # several may meet the same exception
  if wrong:
    listed = "".join(f"\n  {check}: {text}" for text, check in wrong.items())
    raise UsageError(f"--env={reference} cannot be used as it is (see check_env):{listed}")
  return env


def settings(reference: str) -> dict[str, str]:
  """Returns what ``config.json`` keeps besides the name: of a file, its fingerprint.

  Raises:
    UsageError: there is neither such a task nor such a file.
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
  """Refuses a file that is not the one that a run was started with.

  Args:
    reference: the run's task.
    stored: the run's ``config.json``.

  Raises:
    UsageError: the file is gone, or it or an XML file that it names has changed.
  """
  before = stored.get("env_fingerprint")
  if before is None:
    return
  try:
    now = task_file.fingerprint(reference)
  except ValueError as error:
    raise UsageError(
      f"The run's task is --env={reference}, relative to where it was started. {error}"
    ) from error
  if now != before:
    raise UsageError(
      f"{reference} or an XML file that it names has changed since the run was started: put "
      "the old one back, or start a new run."
    )


def label(reference: str) -> str:
  """Returns a name for files and folders: ``mine.py:make_it`` becomes ``mine_make_it``."""
  if is_adapted(reference):
    return re.sub(r"[^\w-]+", "_", reference)
  if not task_file.is_task_file(reference):
    return reference
  name = re.split(r"[/\\]", reference)[-1]
  return re.sub(r"\W+", "_", name.replace(".py", "")).strip("_")
