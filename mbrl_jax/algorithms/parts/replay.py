"""The replay buffer of off-policy algorithms, and the fields of a config that go with it."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from mbrl_jax.buffers import ring
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.types import Budget, EnvSpec, Transition


@dataclass(frozen=True)
class ReplayConfig:
  """A run that is counted in steps.

  Attributes:
    steps: environment steps of the run, of all environments together.
    init_steps: uniform actions before anything is learned.
    capacity: real transitions kept, the oldest go first; 0: all of the run.
    update_every: environment steps in one compiled call.
  """

  steps: int = 20_000
  init_steps: int = 1000
  capacity: int = 0
  update_every: int = 250

  @property
  def rows(self) -> int:
    """Rows of the buffer."""
    return self.capacity or self.steps


def blank_transition(spec: EnvSpec) -> Transition:
  """Returns a transition of zeros, for the shapes of a buffer."""
  obs, action = jnp.zeros(spec.obs_dim), jnp.zeros(spec.action_dim)
  flag = jnp.zeros((), bool)
  return Transition(obs, action, jnp.zeros(()), obs, flag, flag)


def counted_in_steps(config: ReplayConfig, batch_size: int, **more: int) -> Budget:
  """Returns the budget of a run that is counted in steps.

  Args:
    config: of the algorithm.
    batch_size: transitions in a gradient step, which the buffer must hold.
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


def empty(config: ReplayConfig, spec: EnvSpec) -> ring.Ring:
  """Makes the buffer of a run that has not begun."""
  return ring.init(config.rows, blank_transition(spec))
