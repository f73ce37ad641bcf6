"""Tests Warp as physics: what it rejects, how it batches and, if installed, its results.

Its kernels also run on CPUs, after minutes of compilation the first time.
"""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mjcf_models import arm

from mbrl_jax.envs import list_envs, make_env, make_physics
from mbrl_jax.envs.models.randomise import draw_models
from mbrl_jax.envs.physics import backends, mjx_warp
from mbrl_jax.envs.physics.backends import resolve_backend
from mbrl_jax.envs.tasks.gym import hopper

on_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="an accelerator is present")


@pytest.fixture
def no_build(monkeypatch):
  def fail(*args):
    raise AssertionError("built before it was checked")

  monkeypatch.setattr(backends, "warp_physics", fail)


def test_without_the_package_the_error_names_the_extra(monkeypatch, no_build):
  monkeypatch.setitem(sys.modules, "warp", None)
  with pytest.raises(ImportError, match=r'pip install "mbrl_jax\[warp\]"'):
    make_env("cartpole", physics="warp")


@on_cpu
def test_without_an_nvidia_gpu_the_error_names_the_device(monkeypatch, no_build):
  monkeypatch.setitem(sys.modules, "warp", types.ModuleType("warp"))
  message = r"NVIDIA GPU, but jax computes on 'cpu'.*mbrl_jax\[warp,cuda13\].*physics='mjx'"
  with pytest.raises(ValueError, match=message):
    make_env("cartpole", physics="warp")


def test_auto_never_resolves_to_warp():
  assert resolve_backend("auto") != "warp" and resolve_backend("warp") == "warp"


def test_nested_vmaps_become_one_batch():
  sizes = []

  def add(x, y):
    sizes.append(x["a"].shape[0])
    return {"sum": x["a"] + y, "none": x["none"]}

  single = mjx_warp.merge_batches(add)
  x = {"a": jnp.arange(6.0).reshape(3, 2), "none": jnp.zeros((3, 0))}
  y = jnp.arange(8.0).reshape(4, 2)
  nested = jax.vmap(jax.vmap(single, (None, 0)), (0, None))
  got = jax.jit(nested)(x, y)
  assert sizes[-1] == 12 and got["none"].shape == (3, 4, 0)
  np.testing.assert_array_equal(got["sum"], x["a"][:, None] + y)
  one = single(jax.tree.map(lambda leaf: leaf[1], x), y[2])
  np.testing.assert_array_equal(one["sum"], x["a"][1] + y[2])


def test_merged_batches_work_inside_scans():
  single = mjx_warp.merge_batches(lambda x, y: x + y)
  run = lambda x, ys: jax.lax.scan(lambda x, y: (single(x, y), None), x, ys)[0]
  got = jax.jit(jax.vmap(run, (0, None)))(jnp.arange(3.0), jnp.arange(5.0))
  np.testing.assert_array_equal(got, np.arange(3.0) + 10.0)


def test_buffer_sizes_grow_with_the_contacts():
  model = hopper.make_hopper("mujoco").model
  assert 0 < mjx_warp._pairs(model) <= model.ngeom * (model.ngeom - 1) / 2
  assert (
    mjx_warp._constraints(model, 3)
    > mjx_warp._constraints(model, 2)
    > mjx_warp._constraints(model, 0)
  )


@pytest.fixture(scope="module")
def warp():
  return pytest.importorskip("warp", reason="needs the extra warp")


def steps(physics, starts, ctrl):
  """Returns the states after each control step, ``[T, B, ...]``."""

  def body(state, u):
    state = jax.vmap(physics.step)(state, u)
    return state, state

  return jax.jit(lambda s, u: jax.lax.scan(body, s, u)[1])(starts, ctrl)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["cartpole", "hopper"])
def test_warp_follows_mujoco(warp, name):
  env = make_env(name, "mujoco")
  physics = mjx_warp.warp_physics((env.model,), round(env.spec.dt / env.model.opt.timestep))
  keys = jax.random.split(jax.random.key(0), 6)
  low, high = env.spec.action_low, env.spec.action_high
  ctrl = jax.random.uniform(keys[0], (30, 6, len(low)), minval=low, maxval=high)
  initial = jax.vmap(env.initial)(keys)
  got, want = (steps(p, jax.vmap(p.init)(*initial), ctrl) for p in (physics, env.physics))
  np.testing.assert_allclose(got.qpos, want.qpos, atol=1e-4)
  np.testing.assert_allclose(got.qvel, want.qvel, atol=1e-2)

  start = jax.vmap(physics.init)(*initial)
  bad = ctrl[0].at[1].set(jnp.nan)
  after = jax.jit(jax.vmap(physics.step))(start, bad)
  assert np.isnan(after.qpos[1]).all() and np.isnan(after.qvel[1]).all()
  np.testing.assert_array_equal(after.qpos[2:], got.qpos[0, 2:])
  nested = jax.vmap(jax.vmap(physics.step, (None, 0)), (0, None))
  many = jax.jit(nested)(start, ctrl[0])
  for i in range(6):
    np.testing.assert_allclose(many.qpos[i, i], got.qpos[0, i], atol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_warp_gathers_variants_and_sensors(warp):
  models = draw_models(arm(), jax.random.key(0), 3, {"masses": (0.5, 2.0)})
  order, sensors = np.int32([2, 0, 1, 0]), (0, 1)
  ctrl = np.random.default_rng(0).uniform(-1, 1, (10, 4, 2)).astype(np.float32)
  start, ends = (np.float32([0.3, -0.2]), np.float32([0.5, 1.0])), []
  for physics in (
    mjx_warp.warp_physics(models, 2, sensors),
    make_physics(models, 2, "mujoco", sensors),
  ):
    states = jax.vmap(lambda i, p=physics: p.init(*start, variant=i))(order)
    ends.append(steps(physics, states, ctrl))
  for field in ("qpos", "qvel", "sensors", "variant"):
    got, want = (getattr(end, field) for end in ends)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4, err_msg=field)
  assert not np.allclose(ends[0].qpos[-1, 0], ends[0].qpos[-1, 1])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_overflow_gives_nan(warp, monkeypatch):
  monkeypatch.setattr(mjx_warp, "CONTACTS", 0)
  model = hopper.make_hopper("mujoco").model
  physics = mjx_warp.warp_physics((model,), 1)
  low = np.float32(model.qpos0) - np.float32([0, 0.1, 0, 0, 0, 0])  # in the floor
  state = jax.jit(physics.step)(physics.init(low, np.zeros(6, np.float32)), np.zeros(3))
  assert np.isnan(state.qpos).all()


def test_every_task_accepts_warp(monkeypatch):
  monkeypatch.setitem(sys.modules, "warp", None)
  for name in list_envs():
    with pytest.raises((ImportError, ValueError), match=r"mbrl_jax\[warp\]|physics='warp'"):
      make_env(name, physics="warp")
