"""Moves a training state to a changed task in mid-training."""

from __future__ import annotations

import jax

from mbrl_jax.algorithms.parts.env_axis import split_per_env
from mbrl_jax.envs.restart import restart_rows
from mbrl_jax.types import Env, TrainState


def change_env(env: Env, state: TrainState) -> TrainState:
  """Returns the training state with which training continues in ``env``.

  An episode that has begun goes on: the whole state of the physics, such as positions,
  velocities, activations and the solver's warm start, carries over, and so does the last
  observation, which was made before the change. An episode that has not taken a step is reset
  in ``env``. Network parameters, buffers and the carry of the algorithm stay as they are.

  Args:
    env: the changed task; its states have the structure, shapes and types of those before.
    state: of one learner, with ``rollout``; its key is consumed.
  """
  key, reset_key = jax.random.split(state.key)
  before = state.rollout.env
  keys = split_per_env(reset_key, len(before.steps))
  after = restart_rows(env, before.steps == 0, before, keys)
  return state._replace(key=key, rollout=state.rollout._replace(env=after))
