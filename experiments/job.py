"""The parts of a run, built from its settings."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.command_line import env_reference
from experiments.command_line.cli import UsageError
from experiments.command_line.flag_error import flag_error
from experiments.run_settings import Settings, add_evaluation, config_of, default_interval
from mbrl_jax.algorithms import make_algorithm
from mbrl_jax.algorithms.step import check_envs, init_state, make_evaluation, make_step
from mbrl_jax.ops import validate
from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options
from mbrl_jax.runtime.devices.memory import check_fits
from mbrl_jax.runtime.devices.mesh import make_mesh, over_seeds, shard_seeds, use_cpu_devices
from mbrl_jax.runtime.storage.dataset import load_dataset
from mbrl_jax.runtime.storage.run_folder import RunFolder
from mbrl_jax.runtime.training import loop
from mbrl_jax.types import Algorithm, Env, Key, TrainState

LONGEST_CHUNK = 25
"""Environment steps of one compiled call at most: how long a signal may have to wait."""


class Job(NamedTuple):
  """A run's parts.

  Attributes:
    settings: what ``config.json`` holds.
    config: the algorithm's config.
    env: the task.
    algorithm: what learns it.
    mesh: devices among which the seeds are split, ``None``: all on one.
    runs: how many with these seeds ``step`` and ``evaluation`` are for, see
      ``loop.train_together``.
  """

  settings: Settings
  config: Any
  env: Env
  algorithm: Algorithm
  mesh: jax.sharding.Mesh | None = None
  runs: int = 1

  @property
  def seeds(self) -> list[int] | None:
    """Numbers of the seeds of a run that has several, else ``None``."""
    first, count = self.settings["seed"], self.settings["seeds"]
    return list(range(first, first + count)) if count > 1 else None

  @property
  def width(self) -> int | None:
    """Length of the leading axis of states, ``None`` where they have none."""
    return None if self.runs == 1 and self.seeds is None else self.runs * len(self.seeds or [0])

  @property
  def envs(self) -> int:
    """Environments that each learner acts in."""
    return self.settings["envs"]

  @property
  def total_steps(self) -> int:
    """Environment steps of the whole run; at most, where it is counted in episodes."""
    budget = self.algorithm.budget
    return budget.steps or budget.episodes * self.env.spec.episode_length

  @property
  def grows(self) -> str:
    """Field of ``config.json`` that says how long the run is."""
    return f"config.{self.algorithm.budget.length}"

  @property
  def checkpoint_steps(self) -> int:
    """Environment steps between checkpoints; 0: one for each episode."""
    return default_interval(self.algorithm.budget)

  @property
  def chunk(self) -> int:
    """Environment steps of a compiled call: the algorithm's, or a divisor of the episode's.

    Where episodes may end early several seeds take one of each environment at a time, so that
    none waits for its next fit while others go on, and so does a run with evaluations after so
    many steps.
    """
    if self.algorithm.budget.chunk:
      return self.algorithm.budget.chunk
    every, several = self.settings["eval_steps"], self.settings["seeds"] > 1
    if (every or several) and not self.env.spec.full_length:
      return self.envs
    length = math.gcd(self.env.spec.episode_length, every // self.envs)
    longest = max(LONGEST_CHUNK // self.envs, 1)
    return self.envs * max(n for n in range(1, longest + 1) if length % n == 0)

  def init(self) -> TrainState:
    """Makes the state of the run before its first step."""
    start = jax.jit(lambda key: init_state(self.algorithm, self.env, key, self.envs))
    fill, preload = lambda state, data: state, self.algorithm.preload
    leaves = jax.tree.leaves(jax.eval_shape(start, jax.random.key(0)))
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

  def step(self, steps: int | None = None) -> loop.Step:
    """Makes the compiled training step, of so many environment steps or of ``chunk``."""
    steps = self.chunk if steps is None else steps
    make = lambda **options: make_step(
      self.algorithm, self.env, steps=steps, envs=self.envs, **options
    )
    options = compiler_options()
    if self.mesh is None:
      return make(seeds=self.width, compiler_options=options)
    share = make(seeds=self.width // self.mesh.shape["seeds"])
    return over_seeds(share, self.mesh, compiler_options=options)

  def rest(self, start: int = 0) -> tuple[int, loop.Step] | None:
    """Makes the step of what is left at the end if chunks from ``start`` on do not reach it."""
    total = self.algorithm.budget.steps
    left = (total - start) % self.chunk if total else 0
    return (left, self.step(left)) if left else None

  def evaluation(self, episodes: int, state: TrainState) -> tuple[Any, float]:
    """Compiles evaluation episodes.

    Returns:
      ``(state, key) -> metrics`` as ``make_evaluation`` gives them, with a leading
      ``[width]``, and the seconds it took to compile.
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
    """Returns what decides an evaluation of each seed: the same in every run of several."""
    return key[None] if self.seeds is None else jax.random.split(key, len(self.seeds))


def check_evaluations(task: Job) -> None:
  """Refuses evaluations that would not take place when they are asked for.

  Raises:
    UsageError: some evaluation would fall inside a compiled call.
  """
  every, budget = task.settings["eval_steps"], task.algorithm.budget
  if not every or not budget.chunk:
    return
  if every % budget.chunk and every < budget.steps:
    raise UsageError(
      f"--eval_steps={every} asks for an evaluation after {every} steps, but one compiled "
      f"call takes {budget.chunk}, and evaluations take place between calls: choose a multiple "
      "of that."
    )


def build(settings: Settings, devices: int = 1) -> Job:
  """Builds the parts of a run.

  Args:
    settings: from ``make_settings`` or ``config.json``.
    devices: among which to split the seeds; a run may change it on resuming.

  Raises:
    UsageError: names what the task or the algorithm refuses.
  """
  try:
    validate.seeds(settings["seed"], settings["seeds"], "--seed")
    mesh = _seed_mesh(settings["seeds"], devices)
    env_reference.check_unchanged(settings["env"], settings)
    env = env_reference.make_checked(
      settings["env"], settings["physics"], settings["env_overrides"]
    )
    config = config_of(settings)
    algorithm = make_algorithm(settings["algo"], env.spec, config)
    settings = {"envs": 1, **settings}  # earlier versions had one
    check_envs(algorithm, env, settings["envs"])
    settings |= add_evaluation(algorithm.budget, settings)
  except (ValueError, ImportError) as error:
    raise flag_error(error, "--config.", {"envs": "--envs"}) from error
  except KeyError as error:
    raise UsageError(f"config.json lacks {error}; is it of this version?") from error
  return Job(settings, config, env, algorithm, mesh)


def build_run(folder: RunFolder) -> Job:
  """Builds the parts of a run from its ``config.json``.

  Raises:
    UsageError: as ``build``; names the file.
  """
  with of_file(folder):
    return build(folder.config())


@contextlib.contextmanager
def of_file(folder: RunFolder) -> Iterator[None]:
  """Adds to a UsageError that a run's ``config.json`` says what it refuses."""
  try:
    yield
  except UsageError as error:
    raise UsageError(f"{folder.path / 'config.json'}: {error}") from error


def _seed_mesh(seeds: int, devices: int) -> jax.sharding.Mesh | None:
  """Returns the devices that share the seeds; on CPUs, cores become devices."""
  if devices == 1:
    return None
  if seeds % devices:
    raise UsageError(
      f"--devices={devices} does not divide --seeds={seeds}: each device trains its share of "
      "the seeds, as many as any other."
    )
  use_cpu_devices(devices)
  found = jax.devices()
  if len(found) < devices:
    raise UsageError(f"--devices={devices}, but jax finds {len(found)}: {found}.")
  return make_mesh(seeds=devices, devices=found[:devices])


def returns(metrics: dict[str, Any]) -> np.ndarray:
  """Returns the returns of an evaluation."""
  return np.asarray(metrics["return"])
