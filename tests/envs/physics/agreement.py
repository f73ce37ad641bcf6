"""Compares MJX with MuJoCo C: one control step from each of many states of a task."""

import copy

import jax
import mujoco
import numpy as np

from mbrl_jax.envs import make_env, make_physics

STARTS, STEPS = 8, 100
SUBSTEPS = 8000
"""Simulation steps that MJX is asked for at most; 100 rows are taken in any case."""
BATCH = 50  # rows that MJX steps at once: it computes all pairs of geoms that may touch


def substeps(env):
  """Simulation steps of a control step."""
  return round(env.spec.dt / env.model.opt.timestep)


def visited(env):
  """Where random actions lead from several resets.

  Returns:
    ``(qpos, qvel, act, ctrl)``, ``[rows, ...]``: states and the motor commands in them.
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
  """Positions and velocities after one control step from each row."""

  def step(row):
    qpos, qvel, act, ctrl = row
    state = physics.step(physics.init(qpos, qvel, act), ctrl)
    return state.qpos, state.qvel

  # it runs once: half the time to compile counts for more than twice the time to run
  options = {"xla_backend_optimization_level": 0}
  every = lambda rows: jax.lax.map(step, rows, batch_size=BATCH)
  return [np.asarray(x) for x in jax.jit(every, compiler_options=options)(tuple(rows))]


def relaxed(model):
  """The model without contacts or, where nothing can collide, without limits."""
  model, flags = copy.copy(model), mujoco.mjtDisableBit
  kinds, others = model.geom_contype[:, None], model.geom_conaffinity
  apart = model.geom_bodyid[:, None] != model.geom_bodyid
  collides = ((kinds & others) != 0) & apart
  model.opt.disableflags |= flags.mjDSBL_CONTACT if collides.any() else flags.mjDSBL_LIMIT
  return model


def in_contact(model, rows):
  """Which rows begin with a contact, were it one that moves nothing ``[rows]``."""
  data, found = mujoco.MjData(model), []
  for qpos in rows[0]:
    data.qpos = qpos
    mujoco.mj_fwdPosition(model, data)
    found.append(data.ncon > 0)
  return np.array(found)


def errors(name):
  """Compares MJX with MuJoCo C.

  Returns:
    Errors of positions and of velocities ``[rows]``, those of numbers above 1 relative, and
    which rows touched something: those that begin with a contact, or end elsewhere in the
    relaxed model.
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
  """Asserts that MJX follows MuJoCo C.

  To ``free`` where nothing was touched; else to ``bounds``: of the errors of positions and of
  velocities ``(median, 99 of 100)``. ``None``: nothing is ever touched.
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
