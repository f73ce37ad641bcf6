"""Compares MJX with MuJoCo C: one control step from each of many states of a task."""

import copy

import jax
import mujoco
import numpy as np

from mbrl_jax.envs import make_env, make_physics

STARTS, STEPS = 8, 100
SUBSTEPS = 8000
"""Largest number of simulation steps on MJX; at least 100 rows are used."""
BATCH = 50  # rows in a batch of MJX, which computes all pairs of geoms that may collide


def substeps(env):
  """Returns the simulation steps of a control step."""
  return round(env.spec.dt / env.model.opt.timestep)


def visited(env):
  """Returns states that random actions reach from several resets.

  Returns:
    ``(qpos, qvel, act, ctrl)``, ``[rows, ...]``: states and their controls.
  """
  keys = jax.random.split(jax.random.key(0), STARTS)
  low, high = env.spec.action_low, env.spec.action_high
  actions = jax.random.uniform(keys[0], (STEPS, STARTS, len(low)), minval=low, maxval=high)

  def step(state, action):
    now = state.physics
    ctrl = action if env.command is None else env.command(now, action)
    row = now.qpos, now.qvel, now.data.act, ctrl
    return env.step(state, action, keys[0])[0], row

  body = jax.vmap(step)
  run = jax.jit(lambda keys: jax.lax.scan(body, jax.vmap(env.reset)(keys), actions)[1])
  rows = [np.asarray(x).reshape(STARTS * STEPS, -1) for x in run(keys)]
  count = int(np.clip(SUBSTEPS // substeps(env), 100, len(rows[0])))
  spread = np.linspace(0, len(rows[0]) - 1, count // BATCH * BATCH).astype(int)
  return [x[spread] for x in rows]


def moved(physics, rows):
  """Returns positions and velocities after one control step from each row."""

  def step(row):
    qpos, qvel, act, ctrl = row
    state = physics.step(physics.init(qpos, qvel, act), ctrl)
    return state.qpos, state.qvel

  # it runs once: half the compile time outweighs twice the run time
  options = {"xla_backend_optimization_level": 0}
  every = lambda rows: jax.lax.map(step, rows, batch_size=BATCH)
  return [np.asarray(x) for x in jax.jit(every, compiler_options=options)(tuple(rows))]


def relaxed(model):
  """Returns the model without contacts or, where nothing can collide, without limits."""
  model, flags = copy.copy(model), mujoco.mjtDisableBit
  kinds, others = model.geom_contype[:, None], model.geom_conaffinity
  apart = model.geom_bodyid[:, None] != model.geom_bodyid
  collides = ((kinds & others) != 0) & apart
  model.opt.disableflags |= flags.mjDSBL_CONTACT if collides.any() else flags.mjDSBL_LIMIT
  return model


def in_contact(model, rows):
  """Returns which rows start in contact, even without a force ``[rows]``."""
  data, found = mujoco.MjData(model), []
  for qpos in rows[0]:
    data.qpos = qpos
    mujoco.mj_fwdPosition(model, data)
    found.append(data.ncon > 0)
  return np.array(found)


def errors(name):
  """Compares MJX with MuJoCo C.

  Returns:
    Errors of positions and of velocities ``[rows]``, relative for numbers above 1, and which
    rows touched something: they start in contact, or end elsewhere in the relaxed model.
  """
  env, other = make_env(name, "mujoco"), make_env(name, "mjx")
  rows, count = visited(env), substeps(env)
  in_c = lambda model: moved(make_physics(model, count, "mujoco"), rows)
  want, free = in_c(env.model), in_c(relaxed(env.model))
  touched = in_contact(env.model, rows)
  touched |= np.any([(a != b).any(1) for a, b in zip(want, free, strict=True)], 0)
  got = moved(make_physics(other.model, count, "mjx"), rows)
  error = [np.abs(a - b) / np.maximum(1, np.abs(b)) for a, b in zip(got, want, strict=True)]
  return error[0].max(1), error[1].max(1), touched


def check(name, bounds, free=1e-4):
  """Asserts that MJX agrees with MuJoCo C.

  Errors are below ``free`` where nothing was touched; otherwise within ``bounds``, the
  ``(median, 99th percentile)`` of positions and of velocities; ``None``: nothing is touched.
  """
  *found, touched = errors(name)
  assert all(np.isfinite(error).all() for error in found)
  assert all((error[~touched] < free).all() for error in found)
  if bounds is None:
    assert not touched.any()
    return
  assert touched.any()
  for error, (median, most) in zip(found, bounds, strict=True):
    assert np.median(error[touched]) < median
    assert np.quantile(error[touched], 0.99) < most
