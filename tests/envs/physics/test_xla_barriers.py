"""Tests the XLA barriers: same values and derivatives, less work."""

import re

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import mjx_dynamics, mjx_model, mjx_state
from mbrl_jax.envs.physics.xla_barriers import add_barriers

pytestmark = pytest.mark.timeout(120)


def pair(x, y):
  """Maps a pytree through a call, a loop, branches and a custom derivative."""

  def body(carry, t):
    both = jnp.concatenate([carry[:1] * t, jax.nn.relu(carry[1:])])
    return jax.jit(lambda z: jnp.stack([z[1], z[0] + 1.0]))(both), both.sum()

  x, sums = jax.lax.scan(body, x["a"], jnp.arange(3.0))
  z = jax.lax.fori_loop(0, 4, lambda _, z: jnp.concatenate([z[1:], z[:1]]), x)
  z = jax.lax.cond(y > 0, lambda z: jnp.stack([z[0], y]), lambda z: z, z)
  return {"z": z * jnp.linalg.norm(x), "sums": sums}


def test_values_and_derivatives_are_unchanged():
  x, y = {"a": jnp.array([0.5, 2.0])}, jnp.array(3.0)
  want = pair(x, y)
  with_barriers = add_barriers(pair)
  jax.tree.map(np.testing.assert_array_equal, with_barriers(x, y), want)
  jax.tree.map(np.testing.assert_allclose, jax.jit(with_barriers)(x, y), want)
  batch = {"a": jnp.stack([x["a"], -x["a"]])}
  got = jax.jit(jax.vmap(with_barriers, (0, None)))(batch, y)
  jax.tree.map(np.testing.assert_allclose, got, jax.vmap(pair, (0, None))(batch, y))
  total = lambda function: lambda x, y: function(x, y)["z"].sum()
  for derive in (jax.grad, jax.jacfwd):
    got = jax.jit(derive(total(with_barriers), (0, 1)))(x, y)
    jax.tree.map(np.testing.assert_allclose, got, derive(total(pair), (0, 1))(x, y))


def test_every_concatenation_has_a_barrier():
  text = str(jax.make_jaxpr(add_barriers(pair))({"a": jnp.ones(2)}, jnp.array(1.0)))
  count = lambda name: text.count(f"= {name}")
  assert count("optimization_barrier") == count("concatenate") + count("stack") >= 4


def chain(links):
  link = '<body pos="0 0 -.1"><joint axis="0 1 0"/><geom size=".02" pos="0 0 -.1"/>'
  xml = f"<mujoco><option><flag contact='disable'/></option><worldbody>{link * links}"
  return mujoco.MjModel.from_xml_string(f"{xml}{'</body>' * links}</worldbody></mujoco>")


def repeated(text):
  """Counts the operations of the largest fusion, each as often as it is used."""
  fusions = re.findall(r"^%?\S*fused\S* \(.*?\{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE)
  assert fusions
  largest = 0
  for fusion in fusions:
    size = {}
    for name, operands in re.findall(
      r"^\s*(?:ROOT )?%?(\S+) = .*?\((.*?)\)(?:,|$)", fusion, re.M
    ):
      used = re.findall(r"%([\w.\-]+)", operands)
      size[name] = 1 + sum(size.get(operand, 0) for operand in used)
    largest = max(largest, *size.values())
  return largest


def work(links):
  """Counts the operations in the largest fusion of the compiled step of a batch."""
  model = chain(links)
  dynamics = mjx_dynamics(model, reward=lambda obs, action, next_obs: next_obs[0])
  params, state = mjx_model(model), mjx_state(model)
  batch = jax.tree.map(lambda x: jnp.broadcast_to(x, (8, *x.shape)), state)
  step = jax.vmap(dynamics.step, (None, 0, None, None))
  return repeated(jax.jit(step).lower(params, batch, jnp.zeros(0), ()).compile().as_text())


@pytest.mark.slow
def test_work_does_not_grow_exponentially_with_depth():
  """Without barriers five links take over 100 times the operations of three."""
  if jax.default_backend() != "cpu":
    pytest.skip("an accelerator computes here, and the barriers are for CPUs")
  assert work(5) < 4 * work(3)
