"""Trajectories and settings that the tests of NPG and TRPO share."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.learners import Trajectories, linear_baseline, network_baseline
from mbrl_jax.networks.gaussian_policy import make_gaussian_policy

OBS, ACTIONS = 3, 2

POLICY = make_gaussian_policy(OBS, ACTIONS, hidden=(16,))
BASELINES = {
  "network": network_baseline(OBS, hidden=(8,), batch_size=32),
  "linear": linear_baseline(OBS),
}


def trajectories(state, n=12, length=15, seed=0):
  """Returns padded trajectories of the policy with terminations and truncations."""
  rng = np.random.default_rng(seed)
  draw = lambda *shape: jnp.asarray(rng.normal(size=(n, length, *shape)), jnp.float32)
  obs = draw(OBS)
  action = POLICY.sample(state.params, obs, jax.random.key(seed))
  terminated, truncated = jnp.asarray(rng.uniform(size=(2, n, length)) < 0.1)
  return Trajectories(
    obs=obs,
    action=action,
    reward=jnp.sum(obs[..., :ACTIONS] * action, -1) + draw(),
    next_obs=draw(OBS),
    terminated=terminated,
    truncated=truncated,
    valid=jnp.arange(length) < length - jnp.asarray(rng.integers(0, 5, (n, 1))),
    time=jnp.tile(jnp.arange(length), (n, 1)),
  )


def poison(batch, name, value, valid):
  """Sets one entry of a field of a valid, or invalid, step that does not terminate."""
  steps = (batch.valid == valid) & ~batch.terminated
  row, t = np.argwhere(np.asarray(steps))[3]
  return batch._replace(**{name: getattr(batch, name).at[row, t].set(value)})
