"""MoPAC's plans against a reference loop in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import mopac
from mbrl_jax.algorithms.parts.actor_critic import ActorCriticConfig, make_actor_critic
from mbrl_jax.envs import make_env
from mbrl_jax.ops.noise import normal
from mbrl_jax.types import Dynamics

SPEC = make_env("pendulum").spec
AGENT = ActorCriticConfig(hidden=(4,), batch_size=2)
HORIZON, STEPS, SAMPLES, NOISE, TEMPERATURE = 30, 3, 16, 0.5, 0.7
OBS = np.float32([0.4, -0.2, 0.1])


def step(params, obs, action, key):
  next_obs = obs.at[0].add(0.5 * action[0])
  return next_obs, -jnp.square(next_obs[0]), jnp.zeros((), bool)


def reference_plan(samples, discount):
  """Computes the refined plan of ``samples [K, H]`` with loops, in float64."""
  returns = np.zeros(SAMPLES)
  for k, plan in enumerate(np.float64(samples)):
    x = np.float64(OBS[0])
    for t in range(STEPS):
      x += 0.5 * plan[t]
      returns[k] -= discount**t * x**2
    returns[k] += discount**STEPS * 0.3 * x
  weights = np.exp((returns - returns.max()) / (TEMPERATURE * returns.std()))
  return weights / weights.sum() @ samples


@pytest.mark.parametrize("discount", [0.0, 0.01, 0.9, 1.0])
def test_plans_shorter_than_the_horizon_match_the_reference(discount):
  """Also where the discount at the horizon underflows in float32."""
  agent = make_actor_critic(SPEC, AGENT, value=True)
  agent = agent._replace(sac=agent.sac._replace(v=lambda params, obs: 0.3 * obs[0]))
  sac = agent.init(jax.random.key(0))
  sac = sac._replace(hyperparams=sac.hyperparams._replace(discount=jnp.float32(discount)))
  key = jax.random.key(5)
  hyperparams = mopac.Hyperparams(jnp.float32(NOISE), jnp.float32(TEMPERATURE))
  found = mopac._mppi_plan(
    SPEC,
    agent,
    Dynamics(step),
    HORIZON,
    SAMPLES,
    hyperparams,
    sac,
    jnp.int32(STEPS),
    None,
    OBS,
    key,
  )
  nominal_key, noise_key, _ = jax.random.split(key, 3)
  nominal = mopac._policy_plan(agent, Dynamics(step), HORIZON, sac, None, OBS, nominal_key)
  noise = normal(noise_key, (SAMPLES, HORIZON, 1)).at[0].set(0.0)
  samples = np.asarray(jnp.clip(nominal + NOISE * 2 * noise, -2, 2))[..., 0]
  expected = reference_plan(samples, discount)[:STEPS]
  np.testing.assert_allclose(found[:STEPS, 0], expected, atol=1e-4)


def test_plans_are_invariant_to_the_scale_of_rewards():
  agent = make_actor_critic(SPEC, AGENT, value=True)
  agent = agent._replace(sac=agent.sac._replace(v=lambda params, obs: jnp.float32(0.0)))
  sac = agent.init(jax.random.key(0))
  key = jax.random.key(5)
  hyperparams = mopac.Hyperparams(jnp.float32(NOISE), jnp.float32(TEMPERATURE))

  def scaled(params, obs, action, key):
    next_obs, reward, terminated = step(None, obs, action, key)
    return next_obs, params * reward, terminated

  @jax.jit
  def plan(scale):
    args = hyperparams, sac, jnp.int32(STEPS), scale, OBS, key
    return mopac._mppi_plan(SPEC, agent, Dynamics(scaled), STEPS, SAMPLES, *args)

  expected = plan(1.0)
  for scale in (1e-30, 1e-9, 1e9, 1e25, 1e37):
    np.testing.assert_allclose(plan(scale), expected, atol=1e-5, err_msg=str(scale))
