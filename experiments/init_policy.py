"""Starts a run with the policy of another run: ``--init_policy=RUN`` or ``RUN:STEP``.

STEP is a checkpoint's, or ``best``; by default the newest. The other run's own ``config.json``
builds its algorithm; only its policy is taken. A run with one seed gives its policy to all
seeds of the new run, one with as many seeds gives each its own. ``config.json`` of the new run
stores the reference; a run that has a checkpoint no longer needs the other one.

What fits is decided by the algorithm of the new run (``Algorithm.warm_start``). Most take the
Gaussian policy of a run of npg, trpo, pal, mal, morel or dagger. DAgger takes the planner of a
run of mbmf or pets, imitates it by a Gaussian policy, and cannot begin without it:

  python -m experiments.collect --run=runs/mbmf --out=data.npz
  python -m experiments.train --algo=dagger --init_policy=runs/mbmf --config.dataset=data.npz
  python -m experiments.train --algo=trpo --init_policy=runs/dagger

MOReL clones the behaviour in its dataset first, from that policy; --config.cloning_epochs=0
keeps the policy as it is.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import job
from experiments.command_line import config_flags
from experiments.command_line.cli import UsageError
from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.runtime.devices.mesh import shard_seeds
from mbrl_jax.runtime.storage.checkpoint import CheckpointError, Checkpoints
from mbrl_jax.runtime.storage.run_folder import RunFolder, RunFolderError, open_run
from mbrl_jax.types import Algorithm, TrainState

_STEP = re.compile(r"(.+):(\d+|best)")
_SHARED = "policy.hidden", "model."
_FITTING = "model.weight_decay"  # of no effect on a fitted model


class Source(NamedTuple):
  """A run and the checkpoint whose policy is taken.

  Attributes:
    folder: its folder.
    task: its job.
    step: of the checkpoint, ``"best"``, or ``None`` for the newest.
  """

  folder: RunFolder
  task: job.Job
  step: int | str | None


def initial_state(task: job.Job, folder: RunFolder) -> TrainState:
  """Returns the state with which a run begins; on resuming, the template of its checkpoints.

  Raises:
    UsageError: see ``find``; or the checkpoint is damaged, or its model is not fitted yet.
  """
  state = task.init()
  source = None if Checkpoints(folder.checkpoints).steps() else find(task)
  return state if source is None else _warm(task, state, source)


def find(task: job.Job) -> Source | None:
  """Finds the run whose policy a new run takes, ``None`` without ``init_policy``.

  Raises:
    UsageError: there is no such run or checkpoint, its policy does not fit, or the algorithm
      cannot begin without one.
  """
  reference = task.settings.get("init_policy")
  if not reference:
    _check_optional(task)
    return None
  found = _STEP.fullmatch(reference)
  path, step = (found[1], found[2]) if found else (reference, None)
  try:
    folder = open_run(path)
    source = Source(
      folder, job.build_run(folder), int(step) if (step or "").isdigit() else step
    )
  except (RunFolderError, UsageError) as error:
    raise _refused(task, error) from error
  steps = Checkpoints(folder.checkpoints).steps()
  if not steps:
    raise _refused(task, f"{path} has no checkpoint.")
  if isinstance(source.step, int) and source.step not in steps:
    raise _refused(task, f"{path} has no checkpoint of step {source.step}; there are {steps}.")
  _check(task, source)
  return source


def _check_optional(task: job.Job) -> None:
  """Refuses a run without ``init_policy`` if its algorithm needs another run."""
  algo, env, needs = task.settings["algo"], task.settings["env"], task.algorithm.requires
  if needs:
    command = f"python -m experiments.train --algo={algo} --env={env} --init_policy=RUN"
    raise UsageError(f"--init_policy is missing: {algo} {needs}. Give its folder: {command}")


def _refused(task: job.Job, why: Any) -> UsageError:
  return UsageError(f"--init_policy={task.settings['init_policy']}: {why}")


def _check(task: job.Job, source: Source) -> None:
  """Refuses a policy that does not fit; traces only."""
  warm_start = task.algorithm.warm_start
  if warm_start is None:
    name = task.settings["algo"]
    raise _refused(task, f"{name}, the algorithm of this run, takes no policy of another run.")
  for what, there, here in _sizes(source.task, task):
    if there != here:
      raise _refused(task, f"{what} {there} in that run and {here} in this one.")
  states = [_shapes(each.algorithm) for each in (task, source.task)]
  try:
    params = jax.eval_shape(source.task.algorithm.params, states[1])
    jax.eval_shape(warm_start, states[0], params)
  except ArgumentError as error:
    flag = f"--init_policy={task.settings['init_policy']}"
    raise UsageError(str(error.renamed(lambda name: flag))) from error


def _shapes(algorithm: Algorithm) -> Any:
  return jax.eval_shape(algorithm.init, jax.random.key(0))


def _sizes(source: job.Job, task: job.Job) -> list[tuple[str, Any, Any]]:
  """Returns sizes that must be equal: name, value there, value here."""
  seeds = source.settings["seeds"], task.settings["seeds"]
  found = [
    ("the number of observed values is", source.env.spec.obs_dim, task.env.spec.obs_dim),
    ("the number of actions is", source.env.spec.action_dim, task.env.spec.action_dim),
  ]
  there, here = (config_flags.fields(each.config) for each in (source, task))
  for name in there:
    if name in here and name.startswith(_SHARED) and name != _FITTING:
      found.append((f"--config.{name} is", there[name].default, here[name].default))
  return found if seeds[0] == 1 else [*found, ("the number of seeds is", *seeds)]


def _warm(task: job.Job, state: TrainState, source: Source) -> TrainState:
  """Puts the policy of a checkpoint into a state."""
  other, warm_start = source.task, task.algorithm.warm_start
  assert warm_start is not None  # checked by find
  try:
    restored = Checkpoints(source.folder.checkpoints).restore(other.init(), source.step)
    source.folder.check_config_of(restored.host)
  except (CheckpointError, RunFolderError) as error:
    raise _refused(task, error) from error
  several = other.width is not None
  params_of = jax.vmap(other.algorithm.params) if several else other.algorithm.params
  params = jax.device_get(jax.jit(params_of)(restored.state))
  if not np.all(getattr(params, "ready", True)):
    raise _refused(task, f"its model is not fitted yet at step {source.step}: train it longer.")
  if task.width is None:
    return jax.jit(warm_start)(state, params)
  state = jax.jit(jax.vmap(warm_start, (0, 0 if several else None)))(state, params)
  return state if task.mesh is None else shard_seeds(state, task.mesh)
