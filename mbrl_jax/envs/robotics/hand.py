"""Turns actions into angles for the servos of the 24-joint hand.

The hand (``assets/hand24*.xml``) has the joints of the Shadow Dexterous Hand, in this order,
which is that of ``qpos``: WRJ1 (side to side) and WRJ0 (bend) of the wrist; of fore, middle
and ring finger J3 (side to side), J2, J1, J0 (bend, knuckle to tip); of the little finger J4
(its bone in the palm), then the same four; J4 to J0 of the thumb, from its base to its tip.

Deviations from the models of Adroit, PDDM and Gymnasium's Shadow hand: capsules in place of
meshes, also for the palm, whose bones leave shallow grooves; the hand does not touch itself;
no dry friction in the joints.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.types import Array

JOINTS = 24
"""Joints of the hand, the first entries of ``qpos`` and ``qvel``."""

Command = Callable[[PhysicsState, Array], Array]


def over_range(model: mujoco.MjModel) -> Command:
  """Spreads actions within 1 over the servos' ranges; 0 is the middle."""
  low, high = np.float32(model.actuator_ctrlrange.T)

  def command(state: PhysicsState, action: Array) -> Array:
    del state
    return low + (high - low) * (action + 1) / 2

  return command


def around_rest(model: mujoco.MjModel, *, share: float, reach: float) -> Command:
  """Counts actions within 1 from the pose of the model's first key, as PDDM does.

  Args:
    model: with a servo for each joint of the hand.
    share: of the way from that pose to the ends of the range, where actions of 1 lead.
    reach: rad by which a servo may be told to lead its joint at the begin of a control
      step: a limit on speed.
  """
  low, high = np.float32(model.actuator_ctrlrange.T)
  rest = np.float32(model.key_qpos[0, :JOINTS])

  def command(state: PhysicsState, action: Array) -> Array:
    way = share * jnp.where(action > 0, high - rest, rest - low)
    angles = state.qpos[:JOINTS]
    return angles + jnp.clip(rest + action * way - angles, -reach, reach)

  return command
