"""Tasks that change in mid-training: ``--env_schedule=20000:forearm=0.2,40000:forearm=0.321``.

``STEP:NAME=VALUE`` sets an argument of the task's factory once the run has taken STEP
environment steps; further ``NAME=VALUE`` of the same step follow after commas. An argument
keeps its value until it is set again.

A phase is the part of a run between two changes. ``change_env`` says what happens to running
episodes. Evaluations and checkpoints at the step of a change belong to the task before it. The
reward and termination functions that an algorithm knows are those of the first phase; they are
functions of observations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.command_line import config_flags, env_reference
from experiments.command_line.cli import UsageError
from experiments.command_line.flag_error import FlagError, flag_error
from mbrl_jax.envs.action_noise import ActionNoise
from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.runtime.storage.pytree_io import describe
from mbrl_jax.runtime.storage.run_folder import flat
from mbrl_jax.types import Env

FLAG = "--env_schedule"
_SPLIT = re.compile(r",(?=\s*(?:\d[\d_]*\s*:|[A-Za-z_][\w.]*\s*=))")
_ENTRY = re.compile(r"\s*(?:(\d[\d_]*)\s*:)?\s*([A-Za-z_][\w.]*)\s*=\s*(\S.*?)\s*")
_KEPT = ("obs_dim", "action_low", "action_high", "dt", "episode_length", "full_length")
"""Fields of the specification that no change may alter."""


class Change(NamedTuple):
  """One change of a task.

  Attributes:
    step: environment steps after which it happens.
    arguments: new values by name, dotted for parts.
  """

  step: int
  arguments: dict[str, Any]

  def __str__(self) -> str:
    values = {k: v if isinstance(v, str) else repr(v) for k, v in self.arguments.items()}
    return f"{self.step}:" + ",".join(f"{name}={value}" for name, value in values.items())


class Phase(NamedTuple):
  """A part of a run with one task.

  Attributes:
    start: environment steps after which it begins.
    env: its task.
  """

  start: int
  env: Env


class Calls(NamedTuple):
  """Consecutive calls of one compiled step.

  Attributes:
    phase: index of their phase.
    begin: environment steps before the first call.
    until: environment steps after the last; ``None``: the end of the run.
    steps: environment steps of each call.
  """

  phase: int
  begin: int
  until: int | None
  steps: int


def parse(text: str) -> list[Change]:
  """Parses the flag; an empty text means no change.

  Raises:
    ArgumentError: another form, steps that do not increase, an argument given twice.
  """
  changes: list[Change] = []
  for entry in _SPLIT.split(text) if text.strip() else []:
    found = _ENTRY.fullmatch(entry)
    if found is None or not (found[1] or changes):
      form = "must be STEP:NAME=VALUE,NAME=VALUE,STEP:..., such as 20000:forearm=0.2."
      raise ArgumentError(FLAG, text, form)
    if found[1]:
      last, step = changes[-1].step if changes else 0, int(found[1])
      if step <= last:
        raise ArgumentError(FLAG, text, f": step {step} must be above {last}.")
      changes.append(Change(step, {}))
    if found[2] in changes[-1].arguments:
      raise ArgumentError(FLAG, text, f"sets {found[2]} twice at step {changes[-1].step}.")
    changes[-1].arguments[found[2]] = config_flags.literal(found[3])
  return changes


def canonical(text: str) -> str:
  """Returns the flag in the form that ``config.json`` stores."""
  return ",".join(map(str, parse(text)))


def make_phases(settings: dict[str, Any], first: Env) -> tuple[Phase, ...]:
  """Makes the task of each phase.

  Args:
    settings: content of ``config.json``.
    first: the task of the first phase.

  Raises:
    UsageError: an invalid argument, or one that changes shapes or bounds; names it.
  """
  phases, arguments = [Phase(0, first)], flat(settings["env_overrides"])
  changes = parse(settings.get("env_schedule", ""))
  if changes and hasattr(_without_noise(first), "restart"):
    raise UsageError(
      f"{FLAG}: the state of --env={settings['env']} is not in its arrays, so that it cannot "
      "continue in a changed task."
    )
  for change in changes:
    arguments |= change.arguments
    try:
      env = env_reference.make_checked(settings["env"], settings["physics"], arguments)
    except FlagError as error:
      names = {f"--env.{name}": f"{FLAG}={change.step}:{name}" for name in change.arguments}
      raise flag_error(error, flags=names) from error
    for difference in _differences(first, env):
      raise ArgumentError(FLAG, str(change), f"changes {difference}, which must stay.")
    phases.append(Phase(change.step, env))
  return tuple(phases)


def check_steps(text: str, chunk: int, total: int) -> None:
  """Checks the steps of all changes against those of the run.

  Args:
    text: the flag.
    chunk: environment steps of a compiled call.
    total: environment steps of the run.

  Raises:
    ArgumentError: a change inside a compiled call, or after the end of the run.
  """
  for change in parse(text):
    where = f": step {change.step} must be"
    if change.step % chunk:
      call = f"a multiple of {chunk}, the steps of one compiled call."
      raise ArgumentError(FLAG, text, f"{where} {call}")
    if change.step >= total:
      raise ArgumentError(FLAG, text, f"{where} below {total}, the steps of the run.")


def split_calls(
  starts: Sequence[int], begin: int, chunk: int, total: int | None
) -> Iterator[Calls]:
  """Splits the rest of a run into calls of equal length that end where a phase does.

  Args:
    starts: of the phases.
    begin: environment steps already taken; after an extension no multiple of ``chunk``.
    chunk: environment steps of a call; the last one of a phase may be shorter.
    total: environment steps of the run; ``None``: unknown.
  """
  for phase, (start, end) in enumerate(zip(starts, [*starts[1:], total], strict=True)):
    first, last_phase = max(start, begin), phase == len(starts) - 1
    if end is None or (last_phase and end <= first):
      yield Calls(phase, first, None, chunk)
      continue
    rest = max(end - first, 0) % chunk
    if first < end - rest:
      yield Calls(phase, first, end - rest, chunk)
    if rest:
      yield Calls(phase, end - rest, end, rest)


def _without_noise(env: Env) -> Env:
  return _without_noise(env.env) if isinstance(env, ActionNoise) else env


def _differences(first: Env, other: Env) -> Iterator[str]:
  """Describes the differences of two tasks that keep a run from continuing in the other."""
  for name in _KEPT:
    old, new = np.asarray(getattr(first.spec, name)), np.asarray(getattr(other.spec, name))
    if not np.array_equal(old, new):
      yield f"{name} from {old.tolist()} to {new.tolist()}"
  for name, of in (("the state", _reset), ("a step", _step), ("the pose", _pose)):
    old, new = of(first), of(other)
    before, after = describe(old), describe(new)
    for path in [*before, *(path for path in after if path not in before)]:
      if before.get(path) != after.get(path):
        yield f"{path} of {name} from {_shape(before.get(path))} to {_shape(after.get(path))}"
    if jax.tree.structure(old) != jax.tree.structure(new):
      yield f"the structure of {name}"
  if _models(first) != _models(other):
    yield f"the number of models from {_models(first)} to {_models(other)}"


def _reset(env: Env) -> Any:
  return jax.eval_shape(env.reset, jax.random.key(0))


def _step(env: Env) -> Any:
  action = jnp.asarray(env.spec.action_low, jnp.float32)
  return jax.eval_shape(env.step, _reset(env), action, jax.random.key(0))


def _pose(env: Env) -> Any:
  return jax.eval_shape(env.pose, _reset(env))


def _shape(leaf: dict[str, Any] | None) -> str:
  return "nothing" if leaf is None else f"{leaf['dtype']}{leaf['shape']}"


def _models(env: Env) -> int:
  """Returns how many models resets draw from: a state holds the index of its model."""
  return getattr(getattr(_without_noise(env), "physics", None), "variants", 1)
