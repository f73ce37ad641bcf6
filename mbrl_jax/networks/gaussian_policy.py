"""Gaussian policies for policy gradients.

A tanh net gives the mean of the action; the log standard deviation is a parameter ``[A]`` that
does not depend on the state::

  a ~ N(mu(s), diag(exp(2 l)))
  log pi(a|s)    = -1/2 sum_i ((a_i - mu_i) / sigma_i)^2 - sum_i l_i - A/2 log(2 pi)
  KL(old || new) = sum_i l'_i - l_i + (sigma_i^2 + (mu_i - mu'_i)^2) / (2 sigma'_i^2) - 1/2

Actions are unbounded: environments clip them,
and densities are those of unclipped actions.

Sources: Rajeswaran et al. 2017, "Towards generalization and simplicity in continuous control",
and the released ``mjrl``; Schulman et al. 2015, "Trust region policy optimization".

Deviations:
  * Biases start at 0, those of ``mjrl`` at a uniform draw.
  * The KL divergence has no 1e-8 in its denominators.
  * Products have full precision on every device: curvatures are differences of close numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.networks.mlp import MLP
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import positive
from mbrl_jax.types import Array, Key, Params

TORCH_UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Weights uniform within ``1 / sqrt(fan_in)``, the default of PyTorch's layers."""


class GaussianPolicyParams(NamedTuple):
  """Parameters of the policy.

  Attributes:
    net: parameters of the mean's net.
    log_std: ``[A]``.
  """

  net: Params
  log_std: Array


class GaussianPolicy(NamedTuple):
  """The policy as pure functions.

  Attributes:
    init: ``(key) -> GaussianPolicyParams``.
    mean: ``(params, obs [..., O]) -> [..., A]``.
    sample: ``(params, obs [..., O], key) -> action [..., A]``.
    log_prob: ``(params, obs [..., O], action [..., A]) -> [...]``.
    kl: ``(old, new, obs [..., O]) -> [...]``, ``KL(old || new)`` at each observation.
  """

  init: Callable[[Key], GaussianPolicyParams]
  mean: Callable[[GaussianPolicyParams, Array], Array]
  sample: Callable[[GaussianPolicyParams, Array, Key], Array]
  log_prob: Callable[[GaussianPolicyParams, Array, Array], Array]
  kl: Callable[[GaussianPolicyParams, GaussianPolicyParams, Array], Array]


def make_gaussian_policy(
  obs_dim: int,
  action_dim: int,
  *,
  hidden: Sequence[int] = (64, 64),
  log_std: Any = -0.5,
) -> GaussianPolicy:
  """Makes a Gaussian policy with a tanh net.

  Args:
    obs_dim: ``O``.
    action_dim: ``A``.
    hidden: widths of the hidden layers.
    log_std: initial log standard deviation, ``[]`` or ``[A]``.

  Raises:
    ValueError: sizes that are not positive.

  Example:
    >>> policy = make_gaussian_policy(3, 1, hidden=(8,), log_std=0.0)
    >>> params = policy.init(jax.random.key(0))
    >>> obs = jnp.ones(3)
    >>> policy.sample(params, obs, jax.random.key(1)).shape
    (1,)
    >>> round(policy.log_prob(params, obs, policy.mean(params, obs)).item(), 3)
    -0.919
    >>> policy.kl(params, params, obs).item()
    0.0
  """
  positive(obs_dim=obs_dim, action_dim=action_dim, hidden=tuple(hidden))
  net = MLP((*hidden, action_dim), "tanh", kernel_init=TORCH_UNIFORM)
  first_log_std = np.float32(log_std)

  def init(key: Key) -> GaussianPolicyParams:
    weights = net.init(key, jnp.zeros(obs_dim))["params"]
    last = f"layer_{len(hidden)}"
    small = jax.tree.map(lambda x: 0.01 * x, weights[last])
    return GaussianPolicyParams({**weights, last: small}, jnp.full(action_dim, first_log_std))

  def mean(params: GaussianPolicyParams, obs: Array) -> Array:
    with jax.default_matmul_precision("highest"):
      out: Any = net.apply({"params": params.net}, obs)
    return out

  def sample(params: GaussianPolicyParams, obs: Array, key: Key) -> Array:
    mu = mean(params, obs)
    return mu + jnp.exp(params.log_std) * normal(key, mu.shape)

  def log_prob(params: GaussianPolicyParams, obs: Array, action: Array) -> Array:
    error = (action - mean(params, obs)) * jnp.exp(-params.log_std)
    log_scale = params.log_std + 0.5 * math.log(2 * math.pi)
    return jnp.sum(-0.5 * jnp.square(error) - log_scale, -1)

  def kl(old: GaussianPolicyParams, new: GaussianPolicyParams, obs: Array) -> Array:
    wider = new.log_std - old.log_std
    shift = (mean(new, obs) - mean(old, obs)) * jnp.exp(-new.log_std)
    # expm1 keeps small divergences accurate.
    each = wider + 0.5 * jnp.expm1(-2 * wider) + 0.5 * jnp.square(shift)
    return jnp.sum(each, -1)

  return GaussianPolicy(
    single(init), single(mean), single(sample), single(log_prob), single(kl)
  )


def clamp_log_std(
  params: GaussianPolicyParams, low: Array | float, high: Array | float
) -> GaussianPolicyParams:
  """Clamps the log standard deviation to bounds ``[]`` or ``[A]``.

  Example:
    >>> params = make_gaussian_policy(1, 2, log_std=[-3.0, 0.5]).init(jax.random.key(0))
    >>> clamp_log_std(params, -2.5, 0.0).log_std.tolist()
    [-2.5, 0.0]
  """
  return params._replace(log_std=jnp.clip(params.log_std, low, high))


def entropy(params: GaussianPolicyParams) -> Array:
  """Returns the policy's differential entropy in nats, ``[]``."""
  return jnp.sum(params.log_std + 0.5 * math.log(2 * math.pi * math.e), -1)
