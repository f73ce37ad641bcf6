"""Soft actor-critic: a stochastic policy, two critics, a temperature that is learnt.

With the policy ``pi``, critics ``Q_j`` and their slowly moving targets ``Q'_j``, temperature
``alpha`` and target entropy ``h``, for a batch of transitions ``(s, a, r, s', terminated)``::

  y      = r + gamma (1 - terminated) [min_j Q'_j(s', a') - alpha log pi(a'|s')],  a' ~ pi(s')
  L_Q    = sum_j mean 1/2 (Q_j(s, a) - y)^2
  L_V    = mean 1/2 (V(s) - [min_j Q'_j(s, b) - alpha log pi(b|s)])^2,             b ~ pi(s)
  L_pi   = mean alpha log pi(b|s) - min_j Q_j(s, b)
  L_a    = -log alpha mean (log pi(b|s) + h)
  Q', V' <- (1 - tau) Q', V' + tau Q, V

All gradients are taken at the same parameters, then Adam moves all of them. The separate
value ``V`` is not needed for learning; MoPAC has it to value the states where plans end.

No net is ever given a number that is not finite: ``0 * NaN`` would spoil the gradient. Where
``terminated`` ``s'`` is not looked at; for any other transition that is not finite the first
one of the batch that is counts once more, as if it had been drawn in its place.

Source: Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications"; ``V``: Morgan
et al. 2021 (MoPAC), released code.

Deviations:
  * Actions go to the critics scaled to -1 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mbrl_jax.networks.actor import from_bounds, gaussian, make_net, squash, to_bounds
from mbrl_jax.networks.mlp import MLP, PRECISIONS
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import choice, positive
from mbrl_jax.types import Array, Key, Metrics, Params, Transition


class SACHyperparams(NamedTuple):
  """Numbers that may change at any time, arrays ``[]`` in the state.

  Attributes:
    discount: ``gamma``.
    tau: share by which the targets move in each update.
    learning_rate: Adam's, of all nets and of the temperature.
    target_entropy: ``h``, in nats, of the action scaled to -1 and 1.
  """

  discount: Any = 0.99
  tau: Any = 5e-3
  learning_rate: Any = 3e-4
  target_entropy: Any = -1.0


class Nets(NamedTuple):
  """All that Adam moves.

  Attributes:
    actor: parameters of the policy's net.
    critics: of the two critics' nets, leaves ``[2, ...]``.
    value: of the net of ``V``, or ``()``.
    log_alpha: ``[]``.
  """

  actor: Params
  critics: Params
  value: Params
  log_alpha: Array


class SACState(NamedTuple):
  """State of the learner.

  Attributes:
    nets: what is learnt.
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


class SAC(NamedTuple):
  """The learner as pure functions.

  Attributes:
    init: ``(key, SACTuning) -> SACState``.
    update: ``(state, batch, key) -> (state, metrics)``, one gradient step on transitions
      with leaves ``[B, ...]``, actions in the task's units; ``nonfinite_rows`` counts those
      that are not finite, and ``nonfinite_steps`` is 1 where nothing moves because all are,
      or because of a gradient whose square is not.
    act: ``(actor_params, obs [O], key, greedy [] bool) -> action [A]``, a sample of the
      policy or, if greedy, the squashed mean.
    q: ``(critics, obs [O], action [A]) -> []``, the smaller of the two critics.
    v: ``(value_params, obs [O]) -> []``; with ``value=True`` only.
  """

  init: Callable[[Key, SACHyperparams], SACState]
  update: Callable[[SACState, Transition, Key], tuple[SACState, Metrics]]
  act: Callable[[Params, Array, Key, Array], Array]
  q: Callable[[Params, Array, Array], Array]
  v: Callable[[Params, Array], Array]


class _Nets(NamedTuple):
  """The nets' definitions and the bounds of the actions."""

  actor: MLP
  critic: MLP
  low: Array
  high: Array
  value: bool


def make_sac(
  obs_dim: int,
  action_low: Any,
  action_high: Any,
  *,
  hidden: Sequence[int] = (256, 256),
  value: bool = False,
  precision: str = "float32",
) -> SAC:
  """Makes the learner.

  Args:
    obs_dim: numbers in an observation, as the nets are given it.
    action_low, action_high: bounds ``[A]``, finite.
    hidden: widths of the hidden layers of all nets.
    value: also learn ``V``.
    precision: of the factors of the matrix products, ``"float32"`` or ``"bfloat16"``.

  Raises:
    ValueError: sizes that are not positive, an unknown precision.

  Example:
    >>> import jax
    >>> sac = make_sac(3, [-2.0], [2.0], hidden=(8,))
    >>> state = sac.init(jax.random.key(0), SACTuning(target_entropy=-1.0))
    >>> sac.act(state.nets.actor, jax.numpy.zeros(3), jax.random.key(1), True).shape
    (1,)
  """
  choice("precision", precision, PRECISIONS)
  positive(obs_dim=obs_dim, hidden=tuple(hidden))
  low, high = np.float32(action_low), np.float32(action_high)
  net = lambda outputs: make_net(outputs, hidden, precision)
  nets = _Nets(net(2 * len(low)), net(1), low, high, value)

  def act(params: Params, obs: Array, key: Key, greedy: Array) -> Array:
    mean, log_std = gaussian(nets.actor, params, obs)
    noise = jnp.where(greedy, 0.0, normal(key, mean.shape))
    return to_bounds(squash(mean, log_std, noise)[0], low, high)

  return SAC(
    init=single(lambda key, hyperparams: _init(nets, obs_dim, key, hyperparams)),
    update=single(lambda state, batch, key: _update(nets, state, batch, key)),
    act=single(act),
    q=single(lambda critics, x, a: _least_q(nets, critics, x, from_bounds(a, low, high))),
    v=single(lambda params, obs: nets.critic.apply({"params": params}, obs)[..., 0]),
  )


def _init(nets: _Nets, obs_dim: int, key: Key, hyperparams: SACHyperparams) -> SACState:
  """Draws the nets; targets begin as copies."""
  actor_key, critic_key, value_key = jax.random.split(key, 3)
  obs, pair = jnp.zeros(obs_dim), jnp.zeros(obs_dim + len(nets.low))
  fresh = lambda net, key, x: net.init(key, x)["params"]
  learnt = Nets(
    actor=fresh(nets.actor, actor_key, obs),
    critics=jax.vmap(lambda key: fresh(nets.critic, key, pair))(jax.random.split(critic_key)),
    value=fresh(nets.critic, value_key, obs) if nets.value else (),
    log_alpha=jnp.zeros(()),
  )
  copy = lambda tree: jax.tree.map(jnp.copy, tree)
  hyperparams = SACHyperparams(*(jnp.asarray(x, jnp.float32) for x in hyperparams))
  opt_state = optax.scale_by_adam().init(learnt)
  return SACState(learnt, copy(learnt.critics), copy(learnt.value), opt_state, hyperparams)


def _update(
  nets: _Nets, state: SACState, batch: Transition, key: Key
) -> tuple[SACState, Metrics]:
  """Takes one gradient step."""
  noise = normal(key, (2, *batch.action.shape))
  gradient, metrics = jax.grad(_loss, argnums=1, has_aux=True)(
    nets, state.nets, state, batch, noise
  )
  # Adam squares it: what overflows then would stay in the optimiser's state for ever.
  sound = jnp.isfinite(optax.tree.norm(gradient, squared=True))
  sound &= metrics["nonfinite_rows"] < len(batch.reward)
  gradient = jax.tree.map(lambda x: jnp.where(sound, x, 0.0), gradient)
  steps, opt_state = optax.scale_by_adam().update(gradient, state.opt_state)
  rate, tau = (
    jnp.where(sound, x, 0.0) for x in (state.hyperparams.learning_rate, state.hyperparams.tau)
  )
  learnt = jax.tree.map(lambda x, step: x - rate * step, state.nets, steps)
  follow = lambda old, new: jax.tree.map(lambda a, b: a + tau * (b - a), old, new)
  metrics["nonfinite_steps"] = jnp.int32(~sound)
  state = state._replace(
    nets=learnt,
    target_critics=follow(state.target_critics, learnt.critics),
    target_value=follow(state.target_value, learnt.value),
    opt_state=opt_state,
  )
  return state, metrics


def _loss(
  nets: _Nets, learnt: Nets, state: SACState, batch: Transition, noise: Array
) -> tuple[Array, Metrics]:
  """Adds up the losses; each reaches only what it is meant to move."""
  batch, broken = _finite(batch)
  still = jax.lax.stop_gradient
  alpha = still(jnp.exp(learnt.log_alpha))
  next_action, next_log = squash(
    *gaussian(nets.actor, still(learnt.actor), batch.next_obs), noise[0]
  )
  next_q = _least_q(nets, state.target_critics, batch.next_obs, next_action)
  going_on = jnp.where(batch.terminated, 0.0, state.hyperparams.discount)
  target = still(batch.reward + going_on * (next_q - alpha * next_log))
  taken = from_bounds(batch.action, nets.low, nets.high)
  q = _q(nets, learnt.critics, batch.obs, taken)
  q_loss = 0.5 * jnp.square(q - target).mean(1).sum()

  action, log = squash(*gaussian(nets.actor, learnt.actor, batch.obs), noise[1])
  best_q = _least_q(nets, still(learnt.critics), batch.obs, action)
  actor_loss = jnp.mean(alpha * log - best_q)
  alpha_loss = -learnt.log_alpha * still(jnp.mean(log) + state.hyperparams.target_entropy)
  total = q_loss + actor_loss + alpha_loss
  metrics = {
    "q": q.mean(),
    "q_loss": q_loss,
    "actor_loss": actor_loss,
    "alpha": alpha,
    "entropy": -log.mean(),
    "nonfinite_rows": broken,
  }
  if nets.value:
    soft = _least_q(nets, state.target_critics, batch.obs, still(action)) - alpha * still(log)
    v = nets.critic.apply({"params": learnt.value}, batch.obs)[..., 0]
    metrics["v_loss"] = 0.5 * jnp.square(v - still(soft)).mean()
    total += metrics["v_loss"]
  return total, metrics


def _finite(batch: Transition) -> tuple[Transition, Array]:
  """Puts the first finite row in the place of those that are not, and counts them ``[]``."""
  finite = lambda x: jnp.isfinite(x).reshape(len(x), -1).all(1)
  after = finite(batch.next_obs)
  sound = finite(batch.obs) & finite(batch.action) & finite(batch.reward)
  sound &= after | batch.terminated
  first = jnp.argmax(sound)

  def fill(x: Array) -> Array:
    kept = sound.reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.where(kept, x, jnp.where(sound.any(), x[first], jnp.zeros_like(x[0])))

  batch = batch._replace(next_obs=jnp.where(after[:, None], batch.next_obs, 0.0))
  return jax.tree.map(fill, batch), jnp.sum(~sound, dtype=jnp.int32)


def _q(nets: _Nets, critics: Params, obs: Array, action: Array) -> Array:
  """Returns both critics' values ``[2, ...]`` of actions between -1 and 1."""
  pair = jnp.concatenate([obs, action], -1)
  return jax.vmap(lambda params: nets.critic.apply({"params": params}, pair)[..., 0])(critics)


def _least_q(nets: _Nets, critics: Params, obs: Array, action: Array) -> Array:
  """Returns the smaller of the two critics' values."""
  return _q(nets, critics, obs, action).min(0)
