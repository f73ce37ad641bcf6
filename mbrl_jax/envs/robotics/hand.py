"""Maps actions to servo targets of the 24-joint hand.

The hand (``assets/hand24*.xml``) has the joints of the Shadow Dexterous Hand, in this order,
which is that of ``qpos``: WRJ1 (side to side) and WRJ0 (bend) of the wrist; of fore, middle
and ring finger J3 (side to side), J2, J1, J0 (bend, knuckle to tip); of the little finger J4
(its metacarpal), then the same four; J4 to J0 of the thumb, from its base to its tip.

Deviations from the models of Adroit, PDDM and Gymnasium's Shadow hand: capsules in place of
meshes, also for the palm, whose bones leave shallow grooves; no self-collision; no dry
friction in the joints.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.types import Array

JOINTS = 24
"""Number of joints of the hand, the first entries of ``qpos`` and ``qvel``."""

Command = Callable[[PhysicsState, Array], Array]


def over_range(model: mujoco.MjModel) -> Command:
  """Maps actions from -1 to 1 linearly to the servos' ranges."""
  low, high = model.actuator_ctrlrange.T.astype(np.float32)

  def command(state: PhysicsState, action: Array) -> Array:
    del state
    return low + (high - low) * (action + 1) / 2

  return command


def around_rest(model: mujoco.MjModel, *, share: float, reach: float) -> Command:
  """Maps actions from -1 to 1 to targets around the pose of the model's first key, as PDDM.

  Args:
    model: model with a servo for each joint of the hand.
    share: fraction of the way from that pose to the ends of the range that an action of 1
      commands.
    reach: largest lead of a target over its joint at the start of a control step, rad: a
      speed limit.
  """
  low, high = model.actuator_ctrlrange.T.astype(np.float32)
  rest = model.key_qpos[0, :JOINTS].astype(np.float32)

  def command(state: PhysicsState, action: Array) -> Array:
    way = share * jnp.where(action > 0, high - rest, rest - low)
    angles = state.qpos[:JOINTS]
    return angles + jnp.clip(rest + action * way - angles, -reach, reach)

  return command
