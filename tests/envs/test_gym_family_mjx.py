"""The Gym family on MJX against MuJoCo C, one control step from each of many states."""

import copy

import jax
import mujoco
import numpy as np
import pytest
from gym_family import NAMES, ours

from mbrl_jax.envs.physics import make_physics

# What one control step on MJX differs by in positions and in velocities, where it touched
# something: (median, 99 of 100), measured over 800 steps and rounded up.
TOUCHED = {
  "halfcheetah": ((1e-6, 1e-5), (2e-5, 1e-3)),
  "hopper": ((5e-7, 1e-6), (2e-6, 1e-4)),
  "walker2d": ((5e-7, 2e-6), (5e-6, 2e-4)),
  # of capsules that stand steeply MJX turns the axes of the friction pyramid
  "ant": ((1e-4, 5e-2), (1e-3, 2.0)),
  "humanoid": ((1e-5, 1e-3), (1e-4, 2e-1)),
  # the ends of the rail
  "inverted_pendulum": ((1e-7, 1e-6), (2e-6, 1e-4)),
  "inverted_double_pendulum": ((1e-6, 1e-5), (5e-6, 2e-4)),
}


def random_rows(env):
  """States and actions of 100 random steps from each of 8 starts, ``[800, ...]``."""
  keys = jax.random.split(jax.random.key(0), 8)
  low, high = env.spec.action_low, env.spec.action_high
  actions = jax.random.uniform(keys[0], (100, 8, len(low)), minval=low, maxval=high)

  def body(physics, action):
    return jax.vmap(env.physics.step)(physics, action), (physics.qpos, physics.qvel, action)

  rows = jax.lax.scan(body, jax.vmap(env.reset)(keys).physics, actions)[1]
  return [np.concatenate(x) for x in rows]


def mjx_errors(name):
  """Compares one step from each of many states.

  Returns:
    Errors of positions and of velocities ``[800]``, those of numbers above 1 relative, and
    which steps touched something: those that end elsewhere without contacts or, on a rail,
    without its ends.
  """
  env = ours(name)
  rows = random_rows(env)

  def run(physics):
    step = jax.vmap(lambda q, v, u: physics.step(physics.init(q, v), u))
    state = jax.jit(step)(*rows)
    return np.asarray(state.qpos), np.asarray(state.qvel)

  model = copy.copy(env.model)
  flags = mujoco.mjtDisableBit
  model.opt.disableflags |= flags.mjDSBL_LIMIT if "pendulum" in name else flags.mjDSBL_CONTACT
  substeps = round(env.spec.dt / model.opt.timestep)
  want, free = run(env.physics), run(make_physics(model, substeps, "mujoco"))
  touched = np.any([(a != b).any(1) for a, b in zip(want, free, strict=True)], 0)
  got = run(ours(name, physics="mjx").physics)
  errors = [np.abs(a - b) / np.maximum(1, np.abs(b)) for a, b in zip(got, want, strict=True)]
  return errors[0].max(1), errors[1].max(1), touched


@pytest.mark.slow
@pytest.mark.timeout(900)  # MJX compiles for one to three minutes
@pytest.mark.parametrize("name", NAMES)
def test_mjx_follows_mujoco(name):
  """To 1e-4 where nothing was touched; elsewhere see above."""
  *errors, touched = mjx_errors(name)
  assert touched.sum() >= 8 and (~touched).sum() >= 8
  assert max(error[~touched].max() for error in errors) < 1e-4
  for error, (median, most) in zip(errors, TOUCHED[name], strict=True):
    assert np.median(error[touched]) < median
    assert np.quantile(error[touched], 0.99) < most
