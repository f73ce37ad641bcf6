"""MoPAC's plans against a plain loop, at any discount."""

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
HORIZON, STEPS, COPIES, NOISE, TEMPERATURE = 30, 3, 16, 0.5, 0.7
OBS = np.float32([0.4, -0.2, 0.1])


def step(params, obs, action, key):
  next_obs = obs.at[0].add(0.5 * action[0])
  return next_obs, -jnp.square(next_obs[0]), jnp.zeros((), bool)


def plain(samples, discount):
  """The improved plan of ``copies [K, H]`` with loops, in float64."""
  returns = np.zeros(COPIES)
  for k, plan in enumerate(np.float64(samples)):
    place = np.float64(OBS[0])
    for t in range(STEPS):
      place += 0.5 * plan[t]
      returns[k] -= discount**t * place**2
    returns[k] += discount**STEPS * 0.3 * place
  weights = np.exp((returns - returns.max()) / (TEMPERATURE * returns.std()))
  return weights / weights.sum() @ samples


@pytest.mark.parametrize("discount", [0.0, 0.01, 0.9, 1.0])
def test_plans_shorter_than_the_longest_are_discounted_as_a_loop_does(discount):
  """Also where the discount of the longest plan is zero in float32."""
  agent = make_actor_critic(SPEC, AGENT, value=True)
  agent = agent._replace(sac=agent.sac._replace(v=lambda params, obs: 0.3 * obs[0]))
  sac = agent.init(jax.random.key(0))
  sac = sac._replace(hyperparams=sac.hyperparams._replace(discount=jnp.float32(discount)))
  hyperparams, key = (
    mopac.Hyperparams(jnp.float32(NOISE), jnp.float32(TEMPERATURE)),
    jax.random.key(5),
  )
  found = mopac._mppi_plan(
    SPEC,
    agent,
    Dynamics(step),
    HORIZON,
    COPIES,
    hyperparams,
    sac,
    jnp.int32(STEPS),
    None,
    OBS,
    key,
  )
  nominal_key, noise_key, _ = jax.random.split(key, 3)
  nominal = mopac._policy_plan(agent, Dynamics(step), HORIZON, sac, None, OBS, nominal_key)
  noise = normal(noise_key, (COPIES, HORIZON, 1)).at[0].set(0.0)
  samples = np.asarray(jnp.clip(nominal + NOISE * 2 * noise, -2, 2))[..., 0]
  np.testing.assert_allclose(found[:STEPS, 0], plain(samples, discount)[:STEPS], atol=1e-4)


def test_plans_are_the_same_in_any_unit_of_reward():
  agent = make_actor_critic(SPEC, AGENT, value=True)
  agent = agent._replace(sac=agent.sac._replace(v=lambda params, obs: jnp.float32(0.0)))
  sac = agent.init(jax.random.key(0))
  hyperparams, key = (
    mopac.Hyperparams(jnp.float32(NOISE), jnp.float32(TEMPERATURE)),
    jax.random.key(5),
  )

  def scaled(params, obs, action, key):
    next_obs, reward, terminated = step(None, obs, action, key)
    return next_obs, params * reward, terminated

  @jax.jit
  def plan(unit):
    args = hyperparams, sac, jnp.int32(STEPS), unit, OBS, key
    return mopac._mppi_plan(SPEC, agent, Dynamics(scaled), STEPS, COPIES, *args)

  want = plan(1.0)
  for unit in (1e-30, 1e-9, 1e9, 1e25, 1e37):
    np.testing.assert_allclose(plan(unit), want, atol=1e-5, err_msg=str(unit))
