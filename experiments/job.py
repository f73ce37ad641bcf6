"""Builds the parts of a run from its settings: task, algorithm, compiled functions."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

import mbrl_jax
from experiments import env_schedule
from experiments.command_line import env_reference
from experiments.command_line.cli import UsageError
from experiments.command_line.flag_error import flag_error
from experiments.devices import seed_mesh
from experiments.run_settings import Settings, add_evaluation, config_of, default_interval
from mbrl_jax.algorithms import make_algorithm
from mbrl_jax.algorithms.env_change import change_env
from mbrl_jax.algorithms.step import check_envs, init_state, make_evaluation, make_step
from mbrl_jax.ops import validate
from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options
from mbrl_jax.runtime.devices.memory import check_fits
from mbrl_jax.runtime.devices.mesh import over_seeds, shard_seeds
from mbrl_jax.runtime.storage.dataset import load_dataset
from mbrl_jax.runtime.storage.run_folder import RunFolder, read_versions
from mbrl_jax.runtime.training import loop
from mbrl_jax.types import Algorithm, Env, Key, TrainState

LONGEST_CHUNK = 25
"""Most environment steps of one compiled call; a signal is handled between calls."""


class Job(NamedTuple):
  """The parts of a run.

  Attributes:
    settings: content of ``config.json``.
    config: the algorithm's config.
    env: the task; if it changes in mid-training, that of the first phase, see ``at``.
    algorithm: the algorithm, built from ``config``.
    phases: parts of the run with different tasks, one without ``env_schedule``.
    mesh: devices that share the seeds, ``None``: one device.
    runs: number of runs with these seeds that ``step`` and ``evaluation`` compute at once,
      see ``loop.train_together``.
  """

  settings: Settings
  config: Any
  env: Env
  algorithm: Algorithm
  phases: tuple[env_schedule.Phase, ...]
  mesh: jax.sharding.Mesh | None = None
  runs: int = 1

  @property
  def seeds(self) -> list[int] | None:
    """The seeds of a run with several, otherwise ``None``."""
    first, count = self.settings["seed"], self.settings["seeds"]
    return list(range(first, first + count)) if count > 1 else None

  @property
  def width(self) -> int | None:
    """Length of the leading axis of states, ``None`` without such an axis."""
    return None if self.runs == 1 and self.seeds is None else self.runs * len(self.seeds or [0])

  @property
  def envs(self) -> int:
    """Environments that each learner acts in."""
    return self.settings["envs"]

  @property
  def total_steps(self) -> int:
    """Environment steps of the whole run; an upper bound if it counts episodes."""
    budget = self.algorithm.budget
    return budget.steps or budget.episodes * self.env.spec.episode_length

  @property
  def grows(self) -> str:
    """Field of ``config.json`` with the length of the run."""
    return f"config.{self.algorithm.budget.length}"

  @property
  def checkpoint_steps(self) -> int:
    """Environment steps between checkpoints; 0: one per episode."""
    return default_interval(self.algorithm.budget)

  @property
  def chunk(self) -> int:
    """Environment steps of a compiled call: the algorithm's, or a divisor of the episode's.

    Where episodes may end early, a run with several seeds, with evaluations every
    ``eval_steps``, or with several phases takes one step of each environment per call: no
    seed then waits for its next fit while others continue.
    """
    if self.algorithm.budget.chunk:
      return self.algorithm.budget.chunk
    several = self.settings["seeds"] > 1
    marks = [self.settings["eval_steps"], *(phase.start for phase in self.phases)]
    if (any(marks) or several) and not self.env.spec.full_length:
      return self.envs
    length = math.gcd(self.env.spec.episode_length, *(mark // self.envs for mark in marks))
    longest = max(LONGEST_CHUNK // self.envs, 1)
    return self.envs * max(n for n in range(1, longest + 1) if length % n == 0)

  def at(self, step: int) -> Job:
    """Returns the job with the task of the checkpoint of a step.

    At the step of a change that is the task before it.
    """
    begun = [phase.env for phase in self.phases if phase.start < step]
    return self._replace(env=begun[-1]) if begun else self

  def init(self) -> TrainState:
    """Returns the initial training state.

    Raises:
      UsageError: the algorithm refuses the number of environments; the dataset cannot be
        loaded or does not fit.
    """
    start = jax.jit(lambda key: init_state(self.algorithm, self.env, key, self.envs))
    fill, preload = lambda state, data: state, self.algorithm.preload
    try:
      leaves = jax.tree.leaves(jax.eval_shape(start, jax.random.key(0)))
    except ValueError as error:
      raise flag_error(error, "--config.") from error
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    check_fits(size * (self.width or 1), "the training state")
    data = None
    if preload is not None:
      try:
        data, fill = load_dataset(preload.path, self.env.spec), jax.jit(preload.fill)
        jax.eval_shape(preload.fill, jax.eval_shape(start, jax.random.key(0)), data)
      except ValueError as error:
        raise flag_error(error, "--config.") from error
    if self.seeds is None:
      return fill(start(jax.random.key(self.settings["seed"])), data)
    keys = jax.numpy.stack([jax.random.key(seed) for seed in self.seeds])
    state = jax.vmap(fill, (0, None))(jax.jit(jax.vmap(start))(keys), data)
    return state if self.mesh is None else shard_seeds(state, self.mesh)

  def step(self, steps: int | None = None) -> loop.TrainStep:
    """Makes the training step; ``steps`` are environment steps, ``chunk`` by default."""
    steps = self.chunk if steps is None else steps
    make = lambda **options: make_step(
      self.algorithm, self.env, steps=steps, envs=self.envs, **options
    )
    options = compiler_options()
    if self.mesh is None:
      return make(seeds=self.width, compiler_options=options)
    share = make(seeds=self.width // self.mesh.shape["seeds"])
    return over_seeds(share, self.mesh, compiler_options=options)

  def segments(self, start: int = 0) -> list[loop.Segment]:
    """Makes the training steps for the rest of the run, after ``start`` environment steps."""
    starts = [phase.start for phase in self.phases]
    total, found = self.algorithm.budget.steps or None, []
    for calls in env_schedule.split_calls(starts, start, self.chunk, total):
      own = self._replace(env=self.phases[calls.phase].env)
      changed = calls.phase > 0 and calls.begin == starts[calls.phase]
      whole = calls.steps == self.chunk
      name = f"the {'' if whole else 'last '}training step"
      found.append(
        loop.Segment(
          own.step(calls.steps),
          math.inf if calls.until is None else calls.until,
          own.change() if changed else None,
          f"{name} of phase {calls.phase + 1}" if len(starts) > 1 else name,
        )
      )
    return found

  def change(self) -> Callable[[TrainState], TrainState]:
    """Makes the function with which the training of all seeds moves to ``env``."""
    change = functools.partial(change_env, self.env)
    if self.width is None:
      return jax.jit(change)
    several = jax.vmap(change)
    return jax.jit(several) if self.mesh is None else over_seeds(several, self.mesh)

  def evaluation(self, episodes: int, state: TrainState) -> tuple[Any, float]:
    """Compiles evaluation episodes.

    Returns:
      ``(state, key) -> metrics``, see ``make_evaluation``, with a leading axis ``[width]``,
      and the compile time in seconds.
    """
    options = compiler_options()
    if self.width is None:
      rollout = make_evaluation(
        self.algorithm, self.env, episodes=episodes, compiler_options=options
      )
      params, keys = jax.jit(self.algorithm.params), lambda key: key
    else:
      several = jax.vmap(make_evaluation(self.algorithm, self.env, episodes=episodes))
      params = jax.vmap(self.algorithm.params)
      if self.mesh is None:
        rollout, params = jax.jit(several, compiler_options=options), jax.jit(params)
      else:
        rollout = over_seeds(several, self.mesh, compiler_options=options)
        params = over_seeds(params, self.mesh)
      keys = lambda key: jax.numpy.tile(self._evaluation_keys(key), self.runs)
    shapes = jax.eval_shape(params, state)
    compiled, seconds = compile_ahead(rollout, shapes, keys(jax.random.key(0)))
    run = lambda state, key: compiled(params(state), keys(key))
    return lambda state, key: jax.device_get(run(state, key)), seconds

  def _evaluation_keys(self, key: Key) -> Key:
    """Returns a key for each seed; every run of a group gets the same keys."""
    return key[None] if self.seeds is None else jax.random.split(key, len(self.seeds))


def check_evaluations(task: Job) -> None:
  """Refuses an evaluation interval that compiled calls cannot keep.

  Raises:
    UsageError: an evaluation would fall inside a compiled call.
  """
  every, budget = task.settings["eval_steps"], task.algorithm.budget
  if not every or not budget.chunk:
    return
  if every % budget.chunk and every < budget.steps:
    raise UsageError(
      f"--eval_steps={every} must be a multiple of {budget.chunk}, the steps of one compiled "
      "call: evaluations run between calls."
    )


def build(settings: Settings, devices: int = 1) -> Job:
  """Builds the parts of a run.

  Args:
    settings: from ``make_settings`` or ``config.json``.
    devices: number of devices that share the seeds; may change on resuming.

  Raises:
    UsageError: the task or the algorithm refuses a setting, which the message names.
  """
  try:
    validate.seeds(settings["seed"], settings["seeds"], "--seed")
    mesh = seed_mesh(settings["seeds"], devices)
    env_reference.check_unchanged(settings["env"], settings)
    env = env_reference.make_checked(
      settings["env"], settings["physics"], settings["env_overrides"]
    )
    config = config_of(settings)
    algorithm = make_algorithm(settings["algo"], env.spec, config)
    settings = {"envs": 1, **settings}  # earlier versions always used one
    check_envs(algorithm, env, settings["envs"])
    settings |= add_evaluation(algorithm.budget, settings)
    phases = env_schedule.make_phases(settings, env)
    task = Job(settings, config, env, algorithm, phases, mesh)
    env_schedule.check_steps(settings.get("env_schedule", ""), task.chunk, task.total_steps)
  except (ValueError, ImportError) as error:
    raise flag_error(error, "--config.", {"envs": "--envs"}) from error
  except KeyError as error:
    raise UsageError(f"config.json has no field {error}; is it of this version?") from error
  return task


def build_run(folder: RunFolder) -> Job:
  """Builds the parts of a run from its ``config.json``.

  Raises:
    UsageError: see ``build``; the message names the file.
  """
  with of_file(folder):
    check_version(folder)
    return build(folder.config())


def check_version(folder: RunFolder) -> None:
  """Refuses runs of version 0.1, whose checkpoints cannot be read.

  Raises:
    UsageError: gives both versions.
  """
  if not (folder.path / "versions.json").exists():
    return
  version = str(read_versions(folder)["packages"].get("mbrl-jax"))
  if version.startswith("0.1."):
    raise UsageError(
      f"the run is of mbrl_jax {version}, whose checkpoints version {mbrl_jax.__version__} "
      f"cannot read: continue with version {version}, or train again. "
      "experiments/command_line/renamed.py lists the config fields that were renamed."
    )


@contextlib.contextmanager
def of_file(folder: RunFolder) -> Iterator[None]:
  """Prefixes the message of a ``UsageError`` with the path of the run's ``config.json``."""
  try:
    yield
  except UsageError as error:
    raise UsageError(f"{folder.path / 'config.json'}: {error}") from error
