"""Behaviour cloning: fits the mean of a Gaussian policy to recorded actions.

Minimises the mean squared error between the policy's mean and the actions by Adam, in shuffled
mini-batches including the last, partial one. The log standard deviation stays as it is.
``clone_behaviour`` fits once; ``continue_cloning`` keeps Adam's moments from fit to fit.

Sources: Nagabandi et al. 2017, "Neural Network Dynamics for Model-Based Deep Reinforcement
Learning with Model-Free Fine-Tuning"; Kidambi et al. 2020, "MOReL", the released code.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.networks.gaussian_policy import GaussianPolicy, GaussianPolicyParams
from mbrl_jax.ops.masked import masked_mean
from mbrl_jax.ops.validate import positive
from mbrl_jax.types import Array, Key


def clone_behaviour(
  policy: GaussianPolicy,
  params: GaussianPolicyParams,
  obs: Array,
  action: Array,
  size: Array | int,
  key: Key,
  *,
  epochs: Array | int = 5,
  batch_size: int = 256,
  learning_rate: Array | float = 1e-3,
) -> tuple[GaussianPolicyParams, Array]:
  """Fits the mean to the first ``size`` rows.

  Args:
    policy: the policy.
    params: its parameters.
    obs: ``[cap, O]``.
    action: ``[cap, A]``.
    size: number of valid rows.
    key: typed key.
    epochs: passes over the rows; 0: the parameters stay as they are.
    batch_size: rows per gradient step, static.
    learning_rate: Adam's, ``[]``.

  Returns:
    The parameters, and the mean squared error ``[]`` of the last epoch.

  Raises:
    ValueError: a batch size that is not positive.

  Example:
    >>> from mbrl_jax.networks.gaussian_policy import make_gaussian_policy
    >>> policy = make_gaussian_policy(1, 1, hidden=(16,))
    >>> obs = jnp.linspace(-1, 1, 64)[:, None]
    >>> start, key = policy.init(jax.random.key(0)), jax.random.key(1)
    >>> _, first = clone_behaviour(policy, start, obs, obs**2, 64, key, epochs=1)
    >>> _, error = clone_behaviour(policy, start, obs, obs**2, 64, key, epochs=200)
    >>> (error < first / 2).item()
    True
  """
  params, _, error = continue_cloning(
    policy,
    params,
    start_cloning(params),
    obs,
    action,
    size,
    key,
    epochs=epochs,
    batch_size=batch_size,
    learning_rate=learning_rate,
  )
  return params, error


def start_cloning(params: GaussianPolicyParams) -> optax.OptState:
  """Returns the moments of Adam before the first fit."""
  return optax.scale_by_adam().init(params.net)


def continue_cloning(
  policy: GaussianPolicy,
  params: GaussianPolicyParams,
  moments: optax.OptState,
  obs: Array,
  action: Array,
  size: Array | int,
  key: Key,
  *,
  epochs: Array | int = 5,
  batch_size: int = 256,
  learning_rate: Array | float = 1e-3,
) -> tuple[GaussianPolicyParams, optax.OptState, Array]:
  """Fits the mean with the moments of an earlier fit.

  Args:
    policy, params, obs, action, size, key: see ``clone_behaviour``.
    moments: from ``start_cloning`` or from the last fit.
    epochs, batch_size, learning_rate: see ``clone_behaviour``.

  Returns:
    The parameters, Adam's moments, and the mean squared error ``[]`` of the last epoch.

  Raises:
    ValueError: a batch size that is not positive.
  """
  positive(batch_size=batch_size)
  adam, cap = optax.scale_by_adam(), len(obs)
  batches = (jnp.asarray(size, jnp.int32) + batch_size - 1) // batch_size
  column = jnp.arange(batch_size, dtype=jnp.int32)

  def loss(net: Any, rows: Array, used: Array) -> Array:
    error = policy.mean(params._replace(net=net), obs[rows]) - action[rows]
    return masked_mean(jnp.square(error).mean(-1), used)

  def epoch(i: Array, loop: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
    order = jax.random.uniform(jax.random.fold_in(key, i), (cap,))
    order = jnp.argsort(jnp.where(jnp.arange(cap) < size, order, jnp.inf))

    def batch(j: Array, loop: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
      net, state, total = loop
      place = j * batch_size + column
      used = place < size
      value, gradient = jax.value_and_grad(loss)(net, order[jnp.minimum(place, size - 1)], used)
      updates, state = adam.update(gradient, state)
      net = jax.tree.map(lambda x, u: x - learning_rate * u, net, updates)
      return net, state, total + value / batches

    net, state, _ = loop
    return jax.lax.fori_loop(0, batches, batch, (net, state, jnp.zeros(())))

  start = params.net, moments, jnp.zeros(())
  net, moments, error = jax.lax.fori_loop(0, epochs, epoch, start)
  return params._replace(net=net), moments, error
