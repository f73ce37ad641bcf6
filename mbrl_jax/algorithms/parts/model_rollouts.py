"""Short rollouts of a learned model from states that were really visited.

Every start state belongs to one slice of the dynamics, an elite of the ensemble, whose
weights are read once for all its rows. With ``redraw`` the rows are dealt to the slices anew
after each step (MBPO), otherwise they stay (MoPAC).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.buffers import ring
from mbrl_jax.planners.rollout import slice_mapper, split_keys
from mbrl_jax.types import Array, Dynamics, Key, Params, Transition

Actor = Callable[[Array, Array, Array, Key], Array]
"""``(t [], row [], obs [O], key) -> action [A]``; ``row`` is that of the start state."""

Store = Callable[[Any, Transition, Array], Any]
"""``(carry, transitions [B, ...], alive [B]) -> carry``."""


class Branches(NamedTuple):
  """Where rollouts stand.

  Attributes:
    obs: ``[E, B / E, O]``.
    row: which start state each began at, ``[E, B / E]`` int32.
    alive: whether it has not terminated, ``[E, B / E]``.
  """

  obs: Array
  row: Array
  alive: Array


def imagine(
  dynamics: Dynamics,
  params: Params,
  starts: Array,
  actor: Actor,
  steps: Array | int,
  key: Key,
  *,
  store: Store,
  carry: Any,
  redraw: bool,
) -> Any:
  """Rolls out and hands every step to ``store``; rows that have terminated are not alive.

  Nor are rows after a step that was not finite; that step itself no buffer stores.

  Args:
    dynamics: of a learned model, its state being the observation.
    params: its parameters.
    starts: ``[B, O]``, ``B`` a multiple of the slices; in random order.
    actor: see ``Actor``.
    steps: length of the rollouts, data.
    key: typed key.
    store: see ``Store``.
    carry: what ``store`` is given first.
    redraw: deal the rows to the slices anew after each step.

  Returns:
    What ``store`` returned last.

  Raises:
    ValueError: start states that do not divide among the slices.
  """
  count, slices = len(starts), dynamics.slices
  if count % slices:
    raise ValueError(f"{count} start states do not divide among {slices} elites.")
  shape = (slices, count // slices)
  over_slices = slice_mapper(dynamics, params)
  flat = lambda tree: jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), tree)
  fold = lambda tree: jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tree)

  def advance(params: Params, obs: Array, action: Array, noise: Any) -> tuple:
    return jax.vmap(dynamics.step, (None, 0, 0, 0))(params, obs, action, noise)

  def body(t: Array, loop: tuple[Branches, Any]) -> tuple[Branches, Any]:
    now, carry = loop
    act_key, noise_key, deal_key = jax.random.split(jax.random.fold_in(key, t), 3)
    rows = flat(now)
    keys = split_keys(act_key, (count,))
    action = jax.vmap(actor, (None, 0, 0, 0))(t, rows.row, rows.obs, keys)
    noise = (dynamics.noise or split_keys)(noise_key, shape)
    answer = over_slices(advance, now.obs, fold(action), noise)
    next_obs, reward, terminated = flat(answer)
    flag = jnp.zeros_like(terminated)
    made = Transition(rows.obs, action, reward, next_obs, terminated, flag)
    carry = store(carry, made, rows.alive)
    going_on = ~terminated & jax.vmap(ring.is_finite)(made)
    after = Branches(next_obs, rows.row, rows.alive & going_on)
    if redraw:
      order = jax.random.permutation(deal_key, count)
      after = jax.tree.map(lambda x: x[order], after)
    return fold(after), carry

  rows = Branches(starts, jnp.arange(count), jnp.ones(count, bool))
  return jax.lax.fori_loop(0, steps, body, (fold(rows), carry))[1]
