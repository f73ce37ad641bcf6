"""Branched rollouts: short rollouts of a learned model from real states.

Each row is assigned to one slice of the dynamics, an elite of the ensemble, whose weights are
read once for all its rows. With ``redraw`` the rows are reassigned at random after each step
(MBPO), otherwise they stay (MoPAC).

Source: Janner et al. 2019, "When to Trust Your Model: Model-Based Policy Optimization".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.actor_critic import ActorCritic, policy_params
from mbrl_jax.buffers import ring
from mbrl_jax.learners import SACState
from mbrl_jax.planners.rollout import slice_mapper, split_keys
from mbrl_jax.types import Array, Dynamics, Key, Params, Transition

Actor = Callable[[Array, Array, Array, Key], Array]
"""``(t [], row [], obs [O], key) -> action [A]``; ``row`` is the index of the start state."""

Store = Callable[[Any, Transition, Array], Any]
"""``(carry, transitions [B, ...], alive [B]) -> carry``."""

RolloutFn = Callable[[Any, ring.Ring, Params, SACState, Array, Array, Key, Key], ring.Ring]
"""``(hyperparams, buffer, params, sac, starts [B, O], steps [], key, epoch_key) -> buffer``.

Adds the transitions of rollouts over the elites with ``params``; ``epoch_key`` is the same for
all calls of one epoch.
"""


class Branches(NamedTuple):
  """Current states of the rollouts.

  Attributes:
    obs: ``[E, B / E, O]``.
    row: index of the start state, ``[E, B / E]`` int32.
    alive: not yet terminated, ``[E, B / E]``.
  """

  obs: Array
  row: Array
  alive: Array


def branched_rollout(
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
  """Rolls out a learned model and passes every step to ``store``.

  A row ends with a termination or a non-finite step, which buffers do not store.

  Args:
    dynamics: learned, over observations.
    params: of the dynamics.
    starts: ``[B, O]``, ``B`` a multiple of the slices; in random order.
    actor: see ``Actor``.
    steps: length of the rollouts; may be traced.
    key: typed key.
    store: see ``Store``.
    carry: initial carry of ``store``.
    redraw: reassign the rows to the slices at random after each step.

  Returns:
    The last carry of ``store``.

  Raises:
    ValueError: start states that do not divide among the slices.
  """
  count = len(starts)
  shape = _rows_of_slices(count, dynamics.slices)
  over_slices = slice_mapper(dynamics, params)
  over_rows = jax.vmap(dynamics.step, (None, 0, 0, 0))
  flat = lambda tree: jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), tree)
  fold = lambda tree: jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tree)

  def body(t: Array, loop: tuple[Branches, Any]) -> tuple[Branches, Any]:
    now, carry = loop
    act_key, noise_key, redraw_key = jax.random.split(jax.random.fold_in(key, t), 3)
    rows = flat(now)
    keys = split_keys(act_key, (count,))
    action = jax.vmap(actor, (None, 0, 0, 0))(t, rows.row, rows.obs, keys)
    noise = (dynamics.noise or split_keys)(noise_key, shape)
    next_obs, reward, terminated = flat(over_slices(over_rows, now.obs, fold(action), noise))
    truncated = jnp.zeros_like(terminated)
    transitions = Transition(rows.obs, action, reward, next_obs, terminated, truncated)
    carry = store(carry, transitions, rows.alive)
    alive = rows.alive & (~terminated & jax.vmap(ring.is_finite)(transitions))
    rows = Branches(next_obs, rows.row, alive)
    if redraw:
      order = jax.random.permutation(redraw_key, count)
      rows = jax.tree.map(lambda x: x[order], rows)
    return fold(rows), carry

  rows = Branches(starts, jnp.arange(count), jnp.ones(count, bool))
  return jax.lax.fori_loop(0, steps, body, (fold(rows), carry))[1]


def _rows_of_slices(count: int, slices: int) -> tuple[int, int]:
  """Returns the shape ``(E, B / E)`` of rows by slice; raises ValueError if uneven."""
  if count % slices:
    raise ValueError(f"{count} start states do not divide among {slices} elites.")
  return slices, count // slices


def policy_rollouts(agent: ActorCritic, dynamics: Dynamics) -> RolloutFn:
  """Makes branched rollouts of the policy, as MBPO takes them."""

  def rollouts(
    hyperparams: tuple[()],
    buffer: ring.Ring,
    params: Params,
    sac: SACState,
    starts: Array,
    steps: Array,
    key: Key,
    epoch_key: Key,
  ) -> ring.Ring:
    del hyperparams, epoch_key
    policy, warm_up = policy_params(sac), jnp.zeros((), jnp.int32)
    return branched_rollout(
      dynamics,
      params,
      starts,
      lambda t, row, obs, key: agent.act(policy, warm_up, obs, key)[0],
      steps,
      key,
      store=ring.add_many,
      carry=buffer,
      redraw=True,
    )

  return rollouts
