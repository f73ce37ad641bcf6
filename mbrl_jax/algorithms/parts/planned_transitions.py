"""Planned transitions, ``D_MPC`` of M-DeMoRL: executed plans rolled out in each elite.

Source: Mishra et al. 2022, "Dynamic Mirror Descent based Model Predictive Control for
Accelerating Robot Learning".
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.model_rollouts import branched_rollout
from mbrl_jax.algorithms.parts.world_model import WorldModelState, elite_params, fitted
from mbrl_jax.buffers import ring
from mbrl_jax.types import Array, Dynamics, Key


class Planned(NamedTuple):
  """A plan and its start state.

  Attributes:
    obs: ``[O]``.
    plan: ``[H, A]``.
  """

  obs: Array
  plan: Array


def roll_out_plans(
  dynamics: Dynamics,
  world_model: WorldModelState,
  planned: ring.Ring,
  waiting: ring.Ring,
  steps: int,
  active: Array,
  key: Key,
) -> tuple[ring.Ring, ring.Ring]:
  """Rolls out the oldest waiting plans in each elite and removes them.

  Args:
    dynamics: learned, over the elites.
    world_model: the ensemble's state.
    planned: buffer of planned transitions, ``D_MPC``.
    waiting: buffer of ``Planned``.
    steps: number of plans, static.
    active: whether to roll them out, ``[]`` bool; else, and until the ensemble is fitted, they
      are only removed.
    key: typed key.

  Returns:
    ``planned`` with the new transitions, and ``waiting`` without the plans.
  """
  elites = dynamics.slices
  rows = (waiting.cursor - waiting.size + jnp.arange(steps)) % waiting.capacity
  plans: Planned = jax.tree.map(lambda x: x[rows], waiting.data)
  # plans from non-finite observations were never stored
  valid = (jnp.arange(steps) < waiting.size)[:, None]
  starts = jnp.where(valid, plans.obs, jnp.nan)
  index = jnp.tile(jnp.arange(steps), elites)  # each elite rolls out all plans
  planned = branched_rollout(
    dynamics,
    elite_params(world_model),
    starts[index],
    lambda t, row, obs, key: plans.plan[index[row], t],
    jnp.where(active & fitted(world_model), plans.plan.shape[1], 0),
    key,
    store=ring.add_many,
    carry=planned,
    redraw=False,
  )
  return planned, waiting._replace(size=jnp.maximum(waiting.size - steps, 0))
