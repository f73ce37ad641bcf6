"""Policy gradient steps on trajectories imagined in a learned model."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.difference_model import DifferenceModel, ModelParams
from mbrl_jax.algorithms.parts.gaussian_actor import GaussianActor, PolicyParams
from mbrl_jax.algorithms.parts.imagined_trajectories import Halt, episode_metrics, imagine
from mbrl_jax.learners.policy_gradient import PolicyGradient, PolicyGradientState
from mbrl_jax.ops.normalize import Normalizer
from mbrl_jax.types import Array, Key, Metrics


class Imagination(NamedTuple):
  """What a policy is improved in.

  Attributes:
    params: of the model's members.
    scaling: of the observations.
    limit: see ``imagine``.
    halt: see ``imagine``.
  """

  params: ModelParams
  scaling: Normalizer
  limit: Array
  halt: Halt | None = None


def improve_policy(
  actor: GaussianActor,
  learner: PolicyGradient,
  model: DifferenceModel,
  imagination: Imagination,
  state: PolicyGradientState,
  draw_starts: Callable[[Key], Array],
  horizon: int,
  steps: Array | int,
  key: Key,
) -> tuple[PolicyGradientState, Metrics]:
  """Takes policy gradient steps, each on new imagined trajectories.

  Args:
    actor, learner, model: functions of policy, learner and model.
    imagination: see its class.
    state: the learner's.
    draw_starts: ``(key) -> [N, O]``, start states.
    horizon: steps of an imagined episode, static.
    steps: number of policy steps, ``[]``; with 0 the state is unchanged and metrics are zero.
    key: typed key.

  Returns:
    The state, and means over the steps of the metrics of the learner and of
    ``episode_metrics``; ``refused`` is a sum.
  """

  def improve(state: PolicyGradientState, key: Key) -> tuple[PolicyGradientState, Metrics]:
    start_key, imagine_key, update_key = jax.random.split(key, 3)
    acting = PolicyParams(state.params, imagination.scaling, jnp.zeros((), bool))
    trajectories = imagine(
      actor,
      model,
      imagination.params,
      acting,
      draw_starts(start_key),
      horizon,
      imagine_key,
      limit=imagination.limit,
      halt=imagination.halt,
    )
    state, metrics = learner.update(state, trajectories, update_key)
    return state, {**metrics, **episode_metrics(trajectories)}

  def body(
    i: Array, loop: tuple[PolicyGradientState, Metrics]
  ) -> tuple[PolicyGradientState, Metrics]:
    state, metrics = improve(loop[0], jax.random.fold_in(key, i))
    return state, jax.tree.map(lambda total, x: total + x, loop[1], metrics)

  shapes = jax.eval_shape(improve, state, key)[1]
  zeros = {name: jnp.zeros((), jnp.float32) for name in shapes}
  state, totals = jax.lax.fori_loop(0, steps, body, (state, zeros))
  count = jnp.maximum(steps, 1)
  means = {name: x if name == "refused" else x / count for name, x in totals.items()}
  return state, means
