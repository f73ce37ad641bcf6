"""A known system and the predictions of its model in numpy, for the tests of the model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.algorithms.parts.difference_model import make_difference_model
from mbrl_jax.algorithms.parts.difference_nets import DifferenceModelConfig
from mbrl_jax.algorithms.parts.episode_buffer import Rows
from mbrl_jax.types import EnvSpec, Transition

BOUND = np.float32([1.0, 2.0])
SPEC = EnvSpec(
  name="toy",
  obs_dim=3,
  action_low=-BOUND,
  action_high=BOUND,
  dt=0.1,
  episode_length=10,
  reward=lambda obs, action, next_obs: next_obs[0] - obs[0] - 0.1 * jnp.sum(action**2),
  terminated=lambda obs, action, next_obs: next_obs[1] > 1.5,
  encode=lambda obs: jnp.concatenate([jnp.sin(obs[:1]), obs]),
)
"""The last entry of an observation is a goal, which does not change."""
CONFIG = DifferenceModelConfig(
  members=3, hidden=(16, 8), activation="tanh", batch_size=8, epochs=4, learning_rate=3e-3
)
CAP = 40


def make(spec=SPEC, recent=10, action_repeat=1, ends=True, **changes):
  config = dataclasses.replace(CONFIG, **changes)
  return make_difference_model(
    spec, config, action_repeat=action_repeat, recent=recent, ends=ends
  )


def data(size=30, seed=0, rest=np.nan):
  """Returns rows of a known system, of which those after ``size`` are NaN."""
  rng = np.random.default_rng(seed)
  obs, action = rng.normal(size=(CAP, 3)), rng.uniform(-1.5, 1.5, (CAP, 2)) * BOUND
  bounded = np.clip(action, -BOUND, BOUND)
  change = np.stack([0.2 * np.sin(obs[:, 1]) + bounded[:, 0], -0.3 * obs[:, 1], 0 * obs[:, 0]])
  next_obs = obs + change.T
  reward = next_obs[:, 0] ** 2 - bounded[:, 1]
  arrays = [np.float32(x) for x in (obs, action, reward, next_obs)]
  for x in arrays:
    x[size:] = rest
  flag = np.zeros(CAP, bool)
  transitions = Transition(*map(jnp.asarray, (*arrays, flag, flag)))
  return Rows(transitions, jnp.int32(size))


def net(weights, x, activation=np.tanh):
  """Returns the output of a net at ``x [B, I]`` in float64."""
  for i in range(len(weights)):
    layer = weights[f"layer_{i}"]
    x = x @ np.float64(layer["kernel"]) + np.float64(layer["bias"])
    x = activation(x) if i < len(weights) - 1 else x
  return x


def normalized(normalizer, x):
  return (x - np.float64(normalizer.mean)) / np.float64(normalizer.scale)


def inputs_of(transition):
  obs, action = np.float64(transition.obs), np.float64(transition.action)
  action = np.clip(action, -BOUND, BOUND)
  return np.concatenate([np.sin(obs[:, :1]), obs, action], 1)


def predicted(params, inputs, member):
  """Returns one member's prediction of the change ``[B, D]``."""
  weights = jax.tree.map(lambda x: x[member], params.change.network)
  out = net(weights, normalized(params.change.inputs, inputs))
  scaling = params.change.targets
  return out * np.float64(scaling.scale) + np.float64(scaling.mean)


def valid(rows):
  return jax.tree.map(lambda x: np.asarray(x)[: int(rows.size)], rows.data)
