"""The losses of soft actor-critic, as ``learners.sac`` writes them down."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mbrl_jax.networks.actor import from_bounds, gaussian, squash, to_bounds
from mbrl_jax.networks.mlp import MLP
from mbrl_jax.types import Array, Metrics, Params, Transition


class SACHyperparams(NamedTuple):
  """Hyper-parameters that may change between updates, arrays ``[]`` in the state.

  Attributes:
    discount: ``gamma``.
    tau: step of the targets towards the critics in each update.
    learning_rate: Adam's, for all networks and the temperature.
    target_entropy: ``h``, in nats, of the action scaled to -1 and 1.
  """

  discount: Array | float = 0.99
  tau: Array | float = 5e-3
  learning_rate: Array | float = 3e-4
  target_entropy: Array | float = -1.0


class Nets(NamedTuple):
  """Trained parameters.

  Attributes:
    actor: parameters of the policy.
    critics: parameters of the two critics, leaves ``[2, ...]``.
    value: parameters of ``V``, or ``()``.
    log_alpha: ``[]``.
  """

  actor: Params
  critics: Params
  value: Params
  log_alpha: Array


class SACState(NamedTuple):
  """State of the learner.

  Attributes:
    nets: trained parameters.
    target_critics: ``Q'``.
    target_value: ``V'``, or ``()``.
    opt_state: Adam's.
    hyperparams: see ``SACHyperparams``.
  """

  nets: Nets
  target_critics: Params
  target_value: Params
  opt_state: optax.OptState
  hyperparams: SACHyperparams


class Modules(NamedTuple):
  """Network definitions and action bounds ``[A]``."""

  actor: MLP
  critic: MLP
  low: np.ndarray
  high: np.ndarray
  value: bool

  def to_bounds(self, action: Array) -> Array:
    """Scales an action from -1 and 1 to the bounds."""
    return to_bounds(action, jnp.asarray(self.low), jnp.asarray(self.high))

  def from_bounds(self, action: Array) -> Array:
    """Scales an action from the bounds to -1 and 1."""
    return from_bounds(action, jnp.asarray(self.low), jnp.asarray(self.high))


def loss(
  modules: Modules, trained: Nets, state: SACState, batch: Transition, noise: Array
) -> tuple[Array, Metrics]:
  """Sums the losses; each has gradients only for its own parameters."""
  batch, nonfinite = _replace_nonfinite(batch)
  stop_gradient = jax.lax.stop_gradient
  alpha = stop_gradient(jnp.exp(trained.log_alpha))
  next_action, next_log = squash(
    *gaussian(modules.actor, stop_gradient(trained.actor), batch.next_obs), noise[0]
  )
  next_q = min_q(modules, state.target_critics, batch.next_obs, next_action)
  discount = jnp.where(batch.terminated, 0.0, state.hyperparams.discount)
  target = stop_gradient(batch.reward + discount * (next_q - alpha * next_log))
  taken = modules.from_bounds(batch.action)
  q = _q(modules, trained.critics, batch.obs, taken)
  q_loss = 0.5 * jnp.square(q - target).mean(1).sum()

  action, log = squash(*gaussian(modules.actor, trained.actor, batch.obs), noise[1])
  best_q = min_q(modules, stop_gradient(trained.critics), batch.obs, action)
  actor_loss = jnp.mean(alpha * log - best_q)
  excess = jnp.mean(log) + state.hyperparams.target_entropy
  alpha_loss = -trained.log_alpha * stop_gradient(excess)
  total = q_loss + actor_loss + alpha_loss
  metrics = {
    "q": q.mean(),
    "q_loss": q_loss,
    "actor_loss": actor_loss,
    "alpha": alpha,
    "entropy": -log.mean(),
    "nonfinite_rows": nonfinite,
  }
  if modules.value:
    target_q = min_q(modules, state.target_critics, batch.obs, stop_gradient(action))
    soft = target_q - alpha * stop_gradient(log)
    v = scalar_output(modules.critic, trained.value, batch.obs)
    metrics["v_loss"] = 0.5 * jnp.square(v - stop_gradient(soft)).mean()
    total += metrics["v_loss"]
  return total, metrics


def _replace_nonfinite(batch: Transition) -> tuple[Transition, Array]:
  """Replaces non-finite rows by the first finite one, and counts them ``[]``."""
  finite = lambda x: jnp.isfinite(x).reshape(len(x), -1).all(1)
  after = finite(batch.next_obs)
  usable = finite(batch.obs) & finite(batch.action) & finite(batch.reward)
  usable &= after | batch.terminated
  first = jnp.argmax(usable)

  def fill(x: Array) -> Array:
    kept = usable.reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.where(kept, x, jnp.where(usable.any(), x[first], jnp.zeros_like(x[0])))

  batch = batch._replace(next_obs=jnp.where(after[:, None], batch.next_obs, 0.0))
  return jax.tree.map(fill, batch), jnp.sum(~usable, dtype=jnp.int32)


def _q(modules: Modules, critics: Params, obs: Array, action: Array) -> Array:
  """Returns both critics' values ``[2, ...]`` of actions scaled to -1 and 1."""
  pair = jnp.concatenate([obs, action], -1)
  return jax.vmap(lambda params: scalar_output(modules.critic, params, pair))(critics)


def min_q(modules: Modules, critics: Params, obs: Array, action: Array) -> Array:
  """Returns the smaller of the two critics' values."""
  return _q(modules, critics, obs, action).min(0)


def scalar_output(net: MLP, params: Params, inputs: Array) -> Array:
  """Returns a network's single output ``[...]``."""
  output: Any = net.apply({"params": params}, inputs)
  return output[..., 0]
