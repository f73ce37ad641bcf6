"""Loss of plan quality when the networks multiply matrices in bfloat16.

As a script, it prints the loss for the network sizes of the original's cart-pole:

  python tests/planners/test_precision.py
"""

from __future__ import annotations

import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from mbrl_jax.envs import make_env
from mbrl_jax.models import as_dynamics, fit, init_optimizer, make_ensemble
from mbrl_jax.planners import make_evaluate


class Loss(NamedTuple):
  """Comparison of two scorings of 400 plans.

  Attributes:
    correlation: rank correlation (Spearman) of the returns.
    regret: loss in reference return of the plan that the other scoring prefers, in standard
      deviations of the returns.
    difference: root mean square difference of the returns, in the same unit.
  """

  correlation: float
  regret: float
  difference: float


def compare(reference, other):
  """Returns the loss of choosing plans by ``other [N]`` instead of ``reference [N]``."""
  std = reference.std()
  return Loss(
    correlation=float(scipy.stats.spearmanr(reference, other).statistic),
    regret=float((reference.max() - reference[other.argmax()]) / std),
    difference=float(np.sqrt(np.mean((reference - other) ** 2)) / std),
  )


def measure(hidden, *, name="cartpole", episodes=5, epochs=20, horizon=25, particles=20):
  """Trains an ensemble on uniform actions and scores 400 plans in both precisions.

  Returns the loss of bfloat16 and, for comparison, that of float32 with another random seed:
  for uniformly sampled plans, and for plans around the best of those, as at the end of a
  search.
  """
  env = make_env(name)
  spec, members = env.spec, 5
  data = transitions(env, episodes)
  inputs = jnp.concatenate([jax.vmap(spec.encode)(data.obs), data.action], axis=1)
  targets = jax.vmap(spec.target)(data.obs, data.next_obs)
  ensemble = make_ensemble("PE", members, hidden)
  optimizer = optax.adam(1e-3)
  params = ensemble.init(jax.random.key(0), inputs, targets)
  state = init_optimizer(ensemble, optimizer, params)
  params = jax.jit(
    lambda params: fit(
      ensemble, params, state, inputs, targets, len(inputs), jax.random.key(1),
      optimizer=optimizer, epochs=epochs,
    ).params
  )(params)  # fmt: skip

  def scorer(precision):
    dynamics = as_dynamics(
      make_ensemble("PE", members, hidden, precision=precision),
      reward=spec.reward,
      terminated=spec.terminated,
      encode=spec.encode,
      decode=spec.decode,
      outputs=spec.obs_dim,
    )
    run = jax.jit(make_evaluate(dynamics, particles=particles))
    return lambda plans, seed=2: np.asarray(
      run(params, data.obs[0], plans, jax.random.key(seed))
    )

  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  shape = (400, horizon, spec.action_dim)
  plans = jax.random.uniform(jax.random.key(3), shape, minval=low, maxval=high)
  full, half = scorer("float32"), scorer("bfloat16")
  near = plans[full(plans).argmax()] + 0.1 * (high - low) * jax.random.normal(
    jax.random.key(4), shape
  )
  kinds = {"uniform": plans, "near": jnp.clip(near, low, high)}
  return {
    kind: {"bfloat16": compare(full(x), half(x)), "other noise": compare(full(x), full(x, 5))}
    for kind, x in kinds.items()
  }


def transitions(env, episodes):
  """Collects ``episodes`` of uniform actions, leaves ``[episodes * T, ...]``."""
  low, high = jnp.asarray(env.spec.action_low), jnp.asarray(env.spec.action_high)

  def body(state, key):
    action = jax.random.uniform(key, low.shape, minval=low, maxval=high)
    return env.step(state, action, key)

  def episode(key):
    keys = jax.random.split(key, env.spec.episode_length)
    return jax.lax.scan(body, env.reset(key), keys)[1]

  data = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(6), episodes))
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uniform", "near"])
def test_bfloat16_products_choose_equally_good_plans(kind, losses):
  loss = losses[kind]["bfloat16"]
  assert loss.correlation > 0.99, loss
  assert loss.regret < 0.1, loss
  assert loss.difference > 0.0, "nothing was rounded: both scorings are equal"


@pytest.fixture(scope="module")
def losses():
  return measure((32, 32), name="pendulum", episodes=2, epochs=5, particles=10)


def test_compare_detects_worse_choices():
  returns = np.arange(400.0)
  np.testing.assert_allclose(compare(returns, returns), (1.0, 0.0, 0.0))
  assert compare(returns, -returns).correlation < -0.99
  assert compare(returns, -returns).regret > 3


if __name__ == "__main__":
  for sizes in ((128, 128), (200,) * 4, (500,) * 3):
    for kind, losses_of in measure(sizes).items():
      for scoring, loss in losses_of.items():
        print(
          json.dumps({"hidden": sizes, "plans": kind, "scoring": scoring, **loss._asdict()})
        )
