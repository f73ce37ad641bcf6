"""The replay buffer of off-policy algorithms, with its config fields."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from mbrl_jax.buffers import ring
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.types import Budget, EnvSpec, Transition


@dataclass(frozen=True)
class ReplayConfig:
  """Base config of a run counted in environment steps.

  Attributes:
    steps: environment steps of the run, of all environments together.
    init_steps: uniform warm-up actions before learning starts.
    capacity: real transitions kept, the oldest overwritten first; 0: all of the run.
    update_every: environment steps per compiled call.
  """

  steps: int = 20_000
  init_steps: int = 1000
  capacity: int = 0
  update_every: int = 250

  @property
  def rows(self) -> int:
    """Number of rows of the buffer."""
    return self.capacity or self.steps


def blank_transition(spec: EnvSpec) -> Transition:
  """Returns a transition of zeros, as the example item of a buffer."""
  obs, action = jnp.zeros(spec.obs_dim), jnp.zeros(spec.action_dim)
  flag = jnp.zeros((), bool)
  return Transition(obs, action, jnp.zeros(()), obs, flag, flag)


def step_budget(config: ReplayConfig, batch_size: int, **more: int) -> Budget:
  """Returns the budget of a run counted in environment steps.

  Args:
    config: of the algorithm.
    batch_size: transitions per gradient step; the buffer must hold as many.
    **more: further fields of the config that count environment steps.

  Raises:
    ValueError: counts that are not positive, a buffer smaller than a batch.
  """
  counts = {
    "steps": config.steps,
    "init_steps": config.init_steps,
    "update_every": config.update_every,
  }
  positive(**counts)
  between(0, float("inf"), capacity=config.capacity)
  if config.rows < batch_size:
    name = "capacity" if config.capacity else "steps"
    batch = "agent.batch_size", batch_size
    raise ArgumentError(name, config.rows, "is smaller than a batch, {}.", batch)
  return Budget({**counts, **more}, "steps", steps=config.steps, chunk=config.update_every)


def init_buffer(config: ReplayConfig, spec: EnvSpec) -> ring.Ring:
  """Makes the empty buffer of a new run."""
  return ring.init(config.rows, blank_transition(spec))
