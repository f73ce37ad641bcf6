"""Soft actor-critic: a stochastic policy, two critics and a learnt temperature.

With the policy ``pi``, critics ``Q_j`` and their slowly moving targets ``Q'_j``, temperature
``alpha`` and target entropy ``h``, for a batch of transitions ``(s, a, r, s', terminated)``::

  y      = r + gamma (1 - terminated) [min_j Q'_j(s', a') - alpha log pi(a'|s')],  a' ~ pi(s')
  L_Q    = sum_j mean 1/2 (Q_j(s, a) - y)^2
  L_V    = mean 1/2 (V(s) - [min_j Q'_j(s, b) - alpha log pi(b|s)])^2,             b ~ pi(s)
  L_pi   = mean alpha log pi(b|s) - min_j Q_j(s, b)
  L_a    = -log alpha mean (log pi(b|s) + h)
  Q', V' <- (1 - tau) Q', V' + tau Q, V

All gradients are taken at the same parameters, then Adam updates all of them. SAC itself does
not need the value ``V``; MoPAC uses it as the terminal value of its plans.

No network is evaluated on non-finite numbers: ``0 * NaN`` would be NaN in the gradient. Where
``terminated`` is set, ``s'`` is ignored. Any other non-finite transition is replaced by the
first finite one of the batch.

Source: Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications"; ``V``: Morgan
et al. 2021 (MoPAC), released code.

Deviations:
  * The critics take actions scaled to -1 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mbrl_jax.learners.sac_loss import (
  Modules,
  Nets,
  SACHyperparams,
  SACState,
  loss,
  min_q,
  scalar_output,
)
from mbrl_jax.networks.actor import gaussian, make_net, squash
from mbrl_jax.networks.mlp import PRECISIONS
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import choice, positive
from mbrl_jax.types import Array, Key, Metrics, Params, Transition


class SAC(NamedTuple):
  """The learner as pure functions.

  Attributes:
    init: ``(key, SACHyperparams) -> SACState``.
    update: ``(state, batch, key) -> (state, metrics)``, one gradient step on transitions
      with leaves ``[B, ...]``, actions in the task's units. The metric ``nonfinite_rows``
      counts non-finite transitions; ``nonfinite_steps`` is 1 where the step is skipped
      because all are non-finite or the squared gradient is.
    act: ``(actor_params, obs [O], key, greedy [] bool) -> action [A]``, a sample of the
      policy or, if greedy, the squashed mean.
    q: ``(critics, obs [O], action [A]) -> []``, the smaller of the two critics' values.
    v: ``(value_params, obs [O]) -> []``; with ``value=True`` only.
  """

  init: Callable[[Key, SACHyperparams], SACState]
  update: Callable[[SACState, Transition, Key], tuple[SACState, Metrics]]
  act: Callable[[Params, Array, Key, Array | bool], Array]
  q: Callable[[Params, Array, Array], Array]
  v: Callable[[Params, Array], Array]


def make_sac(
  obs_dim: int,
  action_low: Any,
  action_high: Any,
  *,
  hidden: Sequence[int] = (256, 256),
  value: bool = False,
  precision: str = "float32",
) -> SAC:
  """Makes a soft actor-critic learner.

  Args:
    obs_dim: ``O``, size of the observation that the networks take.
    action_low, action_high: bounds ``[A]``, finite.
    hidden: widths of the hidden layers of all networks.
    value: also learn ``V``.
    precision: of the factors of the matrix products, ``"float32"`` or ``"bfloat16"``.

  Raises:
    ValueError: sizes that are not positive, an unknown precision.

  Example:
    >>> import jax
    >>> sac = make_sac(3, [-2.0], [2.0], hidden=(8,))
    >>> state = sac.init(jax.random.key(0), SACHyperparams(target_entropy=-1.0))
    >>> sac.act(state.nets.actor, jax.numpy.zeros(3), jax.random.key(1), True).shape
    (1,)
  """
  choice("precision", precision, PRECISIONS)
  positive(obs_dim=obs_dim, hidden=tuple(hidden))
  low, high = np.asarray(action_low, np.float32), np.asarray(action_high, np.float32)
  net = lambda outputs: make_net(outputs, hidden, precision)
  modules = Modules(net(2 * len(low)), net(1), low, high, value)

  def act(params: Params, obs: Array, key: Key, greedy: Array | bool) -> Array:
    mean, log_std = gaussian(modules.actor, params, obs)
    noise = jnp.where(greedy, 0.0, normal(key, mean.shape))
    return modules.to_bounds(squash(mean, log_std, noise)[0])

  return SAC(
    init=single(lambda key, hyperparams: _init(modules, obs_dim, key, hyperparams)),
    update=single(lambda state, batch, key: _update(modules, state, batch, key)),
    act=single(act),
    q=single(lambda critics, obs, a: min_q(modules, critics, obs, modules.from_bounds(a))),
    v=single(lambda params, obs: scalar_output(modules.critic, params, obs)),
  )


def _init(modules: Modules, obs_dim: int, key: Key, hyperparams: SACHyperparams) -> SACState:
  """Initialises the networks; the targets start as copies."""
  actor_key, critic_key, value_key = jax.random.split(key, 3)
  obs, pair = jnp.zeros(obs_dim), jnp.zeros(obs_dim + len(modules.low))
  fresh = lambda net, key, x: net.init(key, x)["params"]
  trained = Nets(
    actor=fresh(modules.actor, actor_key, obs),
    critics=jax.vmap(lambda key: fresh(modules.critic, key, pair))(
      jax.random.split(critic_key)
    ),
    value=fresh(modules.critic, value_key, obs) if modules.value else (),
    log_alpha=jnp.zeros(()),
  )
  copy = lambda tree: jax.tree.map(jnp.copy, tree)
  hyperparams = SACHyperparams(*(jnp.asarray(x, jnp.float32) for x in hyperparams))
  opt_state = optax.scale_by_adam().init(trained)
  return SACState(trained, copy(trained.critics), copy(trained.value), opt_state, hyperparams)


def _update(
  modules: Modules, state: SACState, batch: Transition, key: Key
) -> tuple[SACState, Metrics]:
  """Takes one gradient step."""
  noise = normal(key, (2, *batch.action.shape))
  gradient, metrics = jax.grad(loss, argnums=1, has_aux=True)(
    modules, state.nets, state, batch, noise
  )
  # Adam squares the gradient: an overflow would never leave the optimiser's state.
  usable = jnp.isfinite(optax.tree.norm(gradient, squared=True))
  usable &= metrics["nonfinite_rows"] < len(batch.reward)
  gradient = jax.tree.map(lambda x: jnp.where(usable, x, 0.0), gradient)
  steps, opt_state = optax.scale_by_adam().update(gradient, state.opt_state)
  rate, tau = (
    jnp.where(usable, x, 0.0) for x in (state.hyperparams.learning_rate, state.hyperparams.tau)
  )
  trained = jax.tree.map(lambda x, step: x - rate * step, state.nets, steps)
  polyak = lambda old, new: jax.tree.map(lambda a, b: a + tau * (b - a), old, new)
  metrics["nonfinite_steps"] = jnp.int32(~usable)
  state = state._replace(
    nets=trained,
    target_critics=polyak(state.target_critics, trained.critics),
    target_value=polyak(state.target_value, trained.value),
    opt_state=opt_state,
  )
  return state, metrics
