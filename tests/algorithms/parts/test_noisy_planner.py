"""Noise on planned actions."""

import jax
import jax.numpy as jnp
import numpy as np
from mbmf_cases import ENV

from mbrl_jax.algorithms.parts.model_planner import ActParams
from mbrl_jax.algorithms.parts.noisy_planner import act_with_noise
from mbrl_jax.algorithms.parts.plan_or_follow import PlanCarry
from mbrl_jax.types import Planner, PlanOutput


def test_noise_is_added_to_planned_actions_and_only_to_these():
  """On 400 keys the difference to the planner's action has the given deviation."""
  spec, params = ENV.spec, ActParams((), (), jnp.ones((), bool))
  planner = constant_planner()
  carry = PlanCarry((), jnp.int32(0))
  keys = jax.random.split(jax.random.key(0), 400)

  def actions(noise, random, keys):
    own = params._replace(action_noise=noise)
    act = lambda key: act_with_noise(
      spec, planner, own, carry._replace(random=jnp.int32(random)), jnp.zeros(3), key
    )
    return jax.vmap(act)(keys)[0]

  planned = actions(jnp.float32(0.1), 0, keys)
  assert abs(planned.mean() - 0.5) < 0.05 and abs(planned.std() - 0.2) < 0.03  # bounds +-2
  assert (actions(jnp.float32(0.0), 0, keys) == 0.5).all()
  wild = actions(jnp.float32(50.0), 0, keys)
  assert wild.min() == -2 and wild.max() == 2
  uniform = [actions(jnp.float32(noise), 1, keys) for noise in (0.0, 50.0)]
  np.testing.assert_array_equal(*uniform)
  assert abs(uniform[0].std() - 4 / np.sqrt(12)) < 0.1


def constant_planner():
  """Returns a planner that always takes 0.5."""
  metrics = {"nonfinite": jnp.zeros((), jnp.int32)}
  output = PlanOutput(jnp.full(1, 0.5), jnp.zeros((1, 1)), jnp.zeros(()), metrics)
  plan = lambda params, obs, state, key: (output, state)
  return Planner(init=lambda: (), plan=plan, sample=None)
