"""DAgger: imitates an expert in the states that the student visits.

The student starts from demonstrations. Then, again and again: it acts; the expert labels every
state that the student visited; the labels join all earlier ones; the mean of the student's
policy is fitted to all of them (``behaviour_cloning``, whose weights and moments stay from fit
to fit). The expert is any function of an observation and a key, such as a planner.

Sources: Ross, Gordon and Bagnell 2011, "A Reduction of Imitation Learning and Structured
Prediction to No-Regret Online Learning", algorithm 3.1, in which only the student acts;
Nagabandi et al. 2017, "Neural Network Dynamics for Model-Based Deep Reinforcement Learning with
Model-Free Fine-Tuning", and the released code.

Deviations from the released code:
  * An epoch passes over all labels. There the number of batches of an epoch stays that of the
    demonstrations, so that each epoch leaves out as many rows as were added.
  * The last, partial batch of an epoch is used.
  * An L2 penalty that is declared there, but never added to the loss, does not exist here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.buffers import ring
from mbrl_jax.learners.behaviour_cloning import continue_cloning, start_cloning
from mbrl_jax.networks.gaussian_policy import GaussianPolicy, GaussianPolicyParams
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.masked import masked_mean
from mbrl_jax.ops.validate import positive
from mbrl_jax.types import Array, Key, Metrics

Label = Callable[[Array, Key], Array]
"""The expert: ``(obs [O], key) -> action [A]``."""


class Labelled(NamedTuple):
  """Observations and the actions to imitate.

  Attributes:
    obs: ``[..., O']``, as the policy sees it.
    action: ``[..., A]``.
  """

  obs: Array
  action: Array


class DAggerState(NamedTuple):
  """State of the learner.

  Attributes:
    params: the student's policy.
    moments: of Adam.
    data: a ring of ``Labelled``: demonstrations and labels.
    learning_rate: Adam's, ``[]``.
  """

  params: GaussianPolicyParams
  moments: optax.OptState
  data: ring.Ring
  learning_rate: Array


class DAgger(NamedTuple):
  """The learner as pure functions.

  Attributes:
    init: ``(key, learning_rate=1e-3) -> DAggerState`` without labels.
    add: ``(state, obs [n, O], action [n, A]) -> state`` with demonstrations added.
    update: ``(state, obs [n, O], size [], label, key) -> (state, metrics)``: labels the first
      ``size`` observations, adds them, and fits the policy to all.

  Metrics of ``update``: ``imitation_error``, the mean squared error of the last epoch;
  ``label_distance``, the mean distance of the policy's mean from the labels of the new
  observations before the fit, 0 without any; ``rows``, demonstrations and labels so far.
  """

  init: Callable[..., DAggerState]
  add: Callable[[DAggerState, Array, Array], DAggerState]
  update: Callable[[DAggerState, Array, Array, Label, Key], tuple[DAggerState, Metrics]]


def make_dagger(
  policy: GaussianPolicy,
  obs_dim: int,
  action_dim: int,
  *,
  capacity: int,
  epochs: int = 100,
  batch_size: int = 512,
  label_batch_size: int = 8,
  observe: Callable[[Array], Array] = lambda obs: obs,
) -> DAgger:
  """Makes the learner.

  Args:
    policy: the student.
    obs_dim: ``O'``, size of what the policy sees.
    action_dim: ``A``.
    capacity: demonstrations and labels kept, the oldest overwritten first.
    epochs: passes over all rows per update.
    batch_size: rows per gradient step.
    label_batch_size: see ``label_rows``.
    observe: ``(obs [O]) -> [O']``, what the policy sees of an observation; the expert gets the
      observation itself.

  Raises:
    ValueError: sizes that are not positive.

  Example:
    >>> from mbrl_jax.networks.gaussian_policy import make_gaussian_policy
    >>> policy = make_gaussian_policy(1, 1, hidden=(16,))
    >>> dagger = make_dagger(policy, 1, 1, capacity=200, epochs=50, batch_size=16)
    >>> state, obs = dagger.init(jax.random.key(0)), jnp.linspace(-1, 1, 50)[:, None]
    >>> for i in range(3):
    ...   key = jax.random.key(i)
    ...   state, metrics = dagger.update(state, obs, 50, lambda obs, key: obs / 2, key)
    >>> metrics["rows"].item(), (metrics["label_distance"] < 0.02).item()
    (150, True)
  """
  positive(
    capacity=capacity,
    epochs=epochs,
    batch_size=batch_size,
    label_batch_size=label_batch_size,
  )

  def init(key: Key, learning_rate: Array | float = 1e-3) -> DAggerState:
    params = policy.init(key)
    data = ring.init(capacity, Labelled(jnp.zeros(obs_dim), jnp.zeros(action_dim)))
    return DAggerState(params, start_cloning(params), data, jnp.float32(learning_rate))

  def add(state: DAggerState, obs: Array, action: Array) -> DAggerState:
    rows = Labelled(jax.vmap(observe)(obs), action)
    return state._replace(data=ring.add_batch(state.data, rows))

  def update(
    state: DAggerState, obs: Array, size: Array, label: Label, key: Key
  ) -> tuple[DAggerState, Metrics]:
    label_key, fit_key = jax.random.split(key)
    action = label_rows(label, obs, size, label_key, label_batch_size)
    seen, new = jax.vmap(observe)(obs), jnp.arange(len(obs)) < size
    distance = jnp.linalg.norm(policy.mean(state.params, seen) - action, axis=-1)
    data = ring.add_many(state.data, Labelled(seen, action), new)
    params, moments, error = continue_cloning(
      *(policy, state.params, state.moments, data.data.obs, data.data.action, data.size),
      fit_key,
      epochs=epochs,
      batch_size=batch_size,
      learning_rate=state.learning_rate,
    )
    metrics = {
      "imitation_error": error,
      "label_distance": masked_mean(distance, new),
      "rows": data.size,
    }
    return DAggerState(params, moments, data, state.learning_rate), metrics

  return DAgger(single(init), single(add), single(update))


def label_rows(label: Label, obs: Array, size: Array | int, key: Key, batch_size: int) -> Array:
  """Labels the first ``size`` observations, ``batch_size`` of them at once.

  Only batches that hold such an observation are computed, so that the time depends on their
  number and the memory on ``batch_size``.

  Args:
    label: the expert.
    obs: ``[n, O]``.
    size: number of valid rows, ``[]``.
    key: typed key; row ``i`` gets ``fold_in(key, i)``.
    batch_size: static.

  Returns:
    Actions ``[n, A]``; those after ``size`` are of no meaning.

  Example:
    >>> label_rows(lambda obs, key: 2 * obs, jnp.ones((3, 1)), 3, jax.random.key(0), 2).tolist()
    [[2.0], [2.0], [2.0]]
  """
  (action_dim,) = jax.eval_shape(label, obs[0], key).shape
  column, last = jnp.arange(batch_size, dtype=jnp.int32), len(obs) - 1

  def batch(i: Array, found: Array) -> Array:
    place = i * batch_size + column
    keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(place)
    action = jax.vmap(label)(obs[jnp.minimum(place, last)], keys)
    return found.at[place].set(action, mode="drop")

  batches = (jnp.asarray(size, jnp.int32) + batch_size - 1) // batch_size
  return jax.lax.fori_loop(0, batches, batch, jnp.zeros((len(obs), action_dim)))
