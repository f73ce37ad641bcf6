"""A state takes the policy of another run as a function of observations, and nothing else."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import default_config, make_algorithm
from mbrl_jax.algorithms.parts.difference_model import DifferenceModelConfig
from mbrl_jax.algorithms.parts.gaussian_actor import (
  PolicyConfig,
  PolicyParams,
  make_gaussian_actor,
)
from mbrl_jax.algorithms.parts.policy_warm_start import policy_warm_start
from mbrl_jax.envs import make_env
from mbrl_jax.ops.normalize import Normalizer
from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.types import TrainState

SPEC = make_env("pendulum").spec


class Learn(NamedTuple):
  policy: Any
  scaling: Any
  other: Any


def params_of(state):
  return PolicyParams(state.learn.policy, state.learn.scaling, jnp.zeros((), bool))


warm_start = policy_warm_start(
  params_of, lambda learn, policy, scaling: learn._replace(policy=policy, scaling=scaling)
)


def actor_and_state(seed, hidden=(8,)):
  actor = make_gaussian_actor(SPEC, PolicyConfig(hidden=hidden))
  rng = np.random.default_rng(seed)
  scaling = Normalizer(jnp.float32(rng.normal(size=3)), jnp.float32(rng.uniform(1, 2, 3)))
  learn = Learn(actor.policy.init(jax.random.key(seed)), scaling, jnp.arange(seed))
  carry = actor.initial_carry(2)
  return actor, TrainState(learn, carry, None, jax.random.key(seed + 9), jnp.int32(0))


def test_the_state_acts_as_the_other_run_and_keeps_the_rest():
  (actor, state), (_, other) = actor_and_state(1), actor_and_state(2)
  warm = jax.jit(warm_start)(state, params_of(other)._replace(greedy=jnp.ones((), bool)))
  obs = jax.random.normal(jax.random.key(0), (5, 3))
  act = lambda state: jax.vmap(
    lambda obs: actor.act(params_of(state), actor.carry(), obs, jax.random.key(3))[0]
  )(obs)
  np.testing.assert_array_equal(act(warm), act(other))
  assert np.abs(act(warm) - act(state)).max() > 1e-3
  kept = lambda state: (state.learn.other, state.carry, state.steps)
  jax.tree.map(np.testing.assert_array_equal, kept(warm), kept(state))
  assert warm.key == state.key and not params_of(warm).greedy


def test_another_kind_or_size_of_policy_is_refused():
  (_, state), (_, wide) = actor_and_state(1), actor_and_state(2, hidden=(16,))
  with pytest.raises(ArgumentError, match=r"layer_0\.bias is \[16\] there and \[8\] here"):
    warm_start(state, params_of(wide))
  (_, deep) = actor_and_state(2, hidden=(8, 8))
  with pytest.raises(ArgumentError, match=r"policy\.net\.layer_\d\.\w+ is .* there and"):
    warm_start(state, params_of(deep))
  with pytest.raises(ArgumentError, match="params must act by the Gaussian policy of npg"):
    warm_start(state, {"policy": 1})


@pytest.mark.parametrize("name", ["pal", "morel"])
def test_an_algorithm_takes_policy_and_scaling_of_a_run_of_mal(name):
  """The states of environments pass through, with their width."""
  model = DifferenceModelConfig(members=2, hidden=(4,))
  small = {"policy": PolicyConfig(hidden=(4,)), "world_model": model}
  data = {"dataset": "none.npz"} if name == "morel" else {}
  configs = [
    dataclasses.replace(default_config(name), **small, **data),
    dataclasses.replace(default_config("mal"), **small, obs_scale=(1.0, 0.5, 0.1)),
  ]
  new, mal = map(make_algorithm, (name, "mal"), (SPEC, SPEC), configs)
  state, other = jax.jit(new.init)(jax.random.key(0)), jax.jit(mal.init)(jax.random.key(1))
  warm = new.warm_start(state._replace(rollout=np.float64(0.1)), mal.params(other))
  assert warm.rollout == 0.1 and warm.rollout.dtype == np.float64
  own, expected = new.params(warm), mal.params(other)
  jax.tree.map(np.testing.assert_array_equal, own, expected)
  np.testing.assert_allclose(own.scaling.scale, [1, 2, 10])
  unchanged = lambda learn: (learn.world_model.params, learn.policy.learner.baseline)
  jax.tree.map(np.testing.assert_array_equal, unchanged(warm.learn), unchanged(state.learn))
