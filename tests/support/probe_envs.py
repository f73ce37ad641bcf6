"""Probe environments with known values, in the order of what they need to be learned.

A learner that fails one of them shows which part is broken: the value's regression, its
dependence on the observation, the discount, the advantage, or the policy's dependence on the
observation. Episodes have one or two steps and terminate; observations are ``[1]``, actions
``[1]``.

Source: rejax's tests, after Andy Jones' "Debugging reinforcement learning systems".
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.learners import Trajectories
from mbrl_jax.ops.noise import normal

DISCOUNT = 0.5


class Probe(NamedTuple):
  """One environment.

  Attributes:
    steps: of an episode.
    obs: ``(sign [N], t) -> [N]``, a random sign is drawn for each episode.
    reward: ``(obs [N], action [N], t) -> [N]``.
    values: of the best policy, ``{(observation, step): value}``.
    actions: the best, ``{observation: action}``.
  """

  steps: int
  obs: Callable
  reward: Callable
  values: dict
  actions: dict


_zero = lambda sign, t: jnp.zeros_like(sign)
_sign = lambda sign, t: sign

PROBES = {
  "constant reward": Probe(1, _zero, lambda obs, action, t: 0 * obs + 1, {(0.0, 0): 1.0}, {}),
  "reward of the observation": Probe(
    1, _sign, lambda obs, action, t: obs, {(1.0, 0): 1.0, (-1.0, 0): -1.0}, {}
  ),
  "discounted reward": Probe(
    2, lambda sign, t: 0 * sign + t, lambda obs, action, t: obs,
    {(0.0, 0): DISCOUNT, (1.0, 1): 1.0}, {},
  ),
  "reward of the action": Probe(
    1, _zero, lambda obs, action, t: -jnp.square(action - 0.5), {(0.0, 0): 0.0}, {0.0: 0.5}
  ),
  "reward of observation and action": Probe(
    1, _sign, lambda obs, action, t: -jnp.square(action + 0.5 * obs),
    {(1.0, 0): 0.0, (-1.0, 0): 0.0}, {1.0: -0.5, -1.0: 0.5},
  ),
}  # fmt: skip


def rollout(probe, policy, params, key, episodes, padding=1):
  """Returns ``episodes`` trajectories of the policy, padded by NaN."""
  sign_key, noise_key = jax.random.split(key)
  sign = jnp.where(jax.random.bernoulli(sign_key, 0.5, (episodes,)), 1.0, -1.0)
  steps = [probe.obs(sign, t) for t in range(probe.steps + 1)]
  obs = jnp.stack(steps, 1)[..., None]
  mean = policy.mean(params, obs[:, :-1])
  action = mean + jnp.exp(params.log_std) * normal(noise_key, mean.shape)
  reward = jnp.stack(
    [probe.reward(steps[t], action[:, t, 0], t) for t in range(probe.steps)], 1
  )
  time = jnp.broadcast_to(jnp.arange(probe.steps), reward.shape)
  pad = lambda x, value: jnp.pad(
    x, ((0, 0), (0, padding)) + ((0, 0),) * (x.ndim - 2), constant_values=value
  )
  return Trajectories(
    obs=pad(obs[:, :-1], jnp.nan),
    action=pad(action, jnp.nan),
    reward=pad(reward, jnp.nan),
    next_obs=pad(obs[:, 1:], jnp.nan),
    terminated=pad(time == probe.steps - 1, False),
    truncated=jnp.zeros((episodes, probe.steps + padding), bool),
    valid=pad(jnp.ones_like(reward, bool), False),
    time=pad(time, 0),
  )


def train(probe, policy, learner, state, key, *, updates, episodes):
  """Returns the state after ``updates`` updates, and their metrics ``[updates]``."""

  def body(state, key):
    rollout_key, update_key = jax.random.split(key)
    batch = rollout(probe, policy, state.params, rollout_key, episodes)
    return learner.update(state, batch, update_key)

  return jax.jit(lambda state, keys: jax.lax.scan(body, state, keys))(
    state, jax.random.split(key, updates)
  )


def check(probe, policy, baseline, state, metrics, *, value_error=0.1, action_error=0.1):
  """Asserts that values and actions are those of the best policy."""
  assert metrics["nonfinite_rows"].sum() == 0
  for (obs, time), value in probe.values.items():
    got = baseline.value(state.baseline, jnp.array([obs]), jnp.array(time))
    assert abs(got - value) < value_error, (obs, time, float(got), value)
  for obs, action in probe.actions.items():
    got = policy.mean(state.params, jnp.array([obs]))[0]
    assert abs(got - action) < action_error, (obs, float(got), action)
