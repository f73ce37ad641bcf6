"""MOReL: offline natural policy gradients in a pessimistic learned model.

Learns from a ``dataset`` alone. The first update fits the model to it, measures how far its
members disagree on it, and clones the recorded behaviour. Each update then takes one natural
gradient step on imagined episodes. They halt where the members disagree more than
``largest disagreement in the data / pessimism``: the policy cannot profit from what the model
does not know. The environment only scores the policy: its transitions are not learned from.

Source: Kidambi et al. 2020, "MOReL: Model-Based Offline Reinforcement Learning", and the
released code.

Deviations:
  * A halt counts as a termination; the released code bootstraps past it, and past falls.
  * See ``game`` and the parts named there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.difference_nets import (
  DifferenceModelConfig,
  ModelParams,
  ModelState,
)
from mbrl_jax.algorithms.parts.episode_buffer import (
  EpisodeBuffer,
  Rows,
  fill_episodes,
  init_episodes,
  whole_episodes,
)
from mbrl_jax.algorithms.parts.gaussian_actor import PolicyConfig, PolicyParams, reset_acting
from mbrl_jax.algorithms.parts.imagined_trajectories import Halt, disagreement
from mbrl_jax.algorithms.parts.natural_gradient import NPGConfig
from mbrl_jax.algorithms.parts.offline import check_capacity
from mbrl_jax.algorithms.parts.policy_improvement import (
  ImprovementConfig,
  Improver,
  PolicyState,
  acting_params,
  improve_policy,
  make_improver,
  put_policy,
)
from mbrl_jax.algorithms.parts.policy_warm_start import policy_warm_start
from mbrl_jax.algorithms.parts.value_baseline import BaselineConfig
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.learners.behaviour_cloning import clone_behaviour
from mbrl_jax.networks.actor import from_bounds
from mbrl_jax.ops.missing import MissingTermination
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.types import (
  Algorithm,
  Array,
  Budget,
  Diagnostics,
  EnvSpec,
  Key,
  Metrics,
  Preload,
  TrainState,
  Transition,
)

_BLOCK = 1000


@dataclass(frozen=True)
class Config(ImprovementConfig):
  """MOReL.

  Attributes:
    dataset: file of transitions, see runtime.storage.dataset; required.
    steps: environment steps of the run, which only score the policy.
    update_every: environment steps between two updates of the policy.
    capacity: rows of the buffer, at least those of the dataset.
    pessimism: of the halting threshold; 0: imagined episodes do not halt.
    halt_reward: added to the reward of a halt.
    cloning_epochs: of behaviour cloning; 0: the policy starts at random.
    cloning_batch_size: rows per gradient step of behaviour cloning.
  """

  dataset: str = ""
  steps: int = 100_000
  update_every: int = 200
  capacity: int = 100_000
  pessimism: float = 3.0
  halt_reward: float = 0.0
  policy_steps: int = 1
  cloning_epochs: int = 5
  cloning_batch_size: int = 256
  world_model: DifferenceModelConfig = field(
    default_factory=lambda: DifferenceModelConfig(batch_size=256, max_steps=100_000_000)
  )
  policy: PolicyConfig = field(
    default_factory=lambda: PolicyConfig(log_std=-0.25, min_log_std=-1.0)
  )
  baseline: BaselineConfig = field(default_factory=lambda: BaselineConfig(batch_size=256))
  npg: NPGConfig = field(
    default_factory=lambda: NPGConfig(step_size=0.02, discount=0.999, cg_iterations=20)
  )


class Hyperparams(NamedTuple):
  """Floats that may change between updates, ``[]``."""

  pessimism: Array
  halt_reward: Array


class Prepared(NamedTuple):
  """Results of the first update, ``[]``; zeros before it.

  Attributes:
    farthest: largest disagreement of the members in the dataset.
    model_loss: of the last epoch of the fit, see ``difference_model``.
    cloning_error: mean squared error of the last epoch of behaviour cloning.
  """

  farthest: Array
  model_loss: Array
  cloning_error: Array


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    policy: the policy's state.
    world_model: the model's state.
    real: the dataset.
    prepared: see its class.
    hyperparams: see its class.
  """

  policy: PolicyState
  world_model: ModelState
  real: EpisodeBuffer
  prepared: Prepared
  hyperparams: Hyperparams


class _Parts(NamedTuple):
  """Static parts of the algorithm."""

  spec: EnvSpec
  config: Config
  improver: Improver


@in_single_precision
def make_morel(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes MOReL for a task.

  Raises:
    ValueError: no dataset, sizes that are not positive or do not fit each other, no pessimism
      for a task whose termination function is unknown.
  """
  budget = _budget(config)
  known = not isinstance(spec.terminated, MissingTermination)
  ends = known or not config.pessimism
  improver = make_improver(spec, config, recent=config.update_every, ends=ends)
  parts = _Parts(spec, config, improver)
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=_params,
    act=improver.actor.act,
    reset=reset_acting,
    observe=lambda state, transitions: state,
    update=lambda state: _update(parts, state),
    budget=budget,
    deploy=improver.actor.deploy,
    plans=False,
    diagnostics=Diagnostics(
      improver.model.dynamics, lambda state: state.learn.world_model.params
    ),
    warm_start=policy_warm_start(_params, put_policy),
    preload=Preload(config.dataset, _preload),
  )


def _params(state: TrainState) -> PolicyParams:
  """Returns the parameters for acting."""
  return acting_params(state.learn.policy)


def _budget(config: Config) -> Budget:
  """Returns the budget; checks the configuration."""
  if not config.dataset:
    text = (
      "is missing: MOReL learns from recorded transitions, a .npz file or a run's logs.npz."
    )
    raise ArgumentError("dataset", config.dataset, text)
  counts = {"steps": config.steps, "update_every": config.update_every}
  positive(**counts, capacity=config.capacity, cloning_batch_size=config.cloning_batch_size)
  between(0, float("inf"), cloning_epochs=config.cloning_epochs)
  between(0.0, float("inf"), pessimism=config.pessimism)
  return Budget(counts, "steps", steps=config.steps, chunk=config.update_every)


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
  config = parts.config
  init_key, key = jax.random.split(key)
  policy, world_model = parts.improver.init(init_key)
  learn = Learn(
    policy=policy,
    world_model=world_model,
    real=init_episodes(parts.spec, config.capacity, envs),
    prepared=Prepared(*(jnp.zeros(()) for _ in Prepared._fields)),
    hyperparams=Hyperparams(jnp.float32(config.pessimism), jnp.float32(config.halt_reward)),
  )
  carry = parts.improver.actor.initial_carry(envs)
  return TrainState(learn, carry, None, key, jnp.zeros((), jnp.int32))


def _preload(state: TrainState, transitions: Transition) -> TrainState:
  """Stores the dataset in a new run.

  Raises:
    ValueError: more transitions than the capacity.
  """
  capacity, count = state.learn.real.items.capacity, len(transitions.reward)
  check_capacity(capacity, count)
  real = fill_episodes(state.learn.real, transitions)
  return state._replace(learn=state.learn._replace(real=real))


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Prepares model and policy in the first call; improves the policy in each."""
  learn, improver = state.learn, parts.improver
  prepare_key, policy_key, key = jax.random.split(state.key, 3)
  rows = whole_episodes(learn.real)
  learn = _prepare(parts, learn, rows, prepare_key)
  floats, halt = learn.hyperparams, None
  if parts.config.pessimism:
    halt = Halt(learn.prepared.farthest / floats.pessimism, floats.halt_reward)
  policy, metrics = improve_policy(
    improver, learn.policy, learn.world_model.params, learn.real, rows, policy_key, halt=halt
  )
  learn = learn._replace(policy=policy)
  report = {**metrics, **learn.prepared._asdict(), "ran": jnp.ones(())}
  return state._replace(learn=learn, key=key), report


def _prepare(parts: _Parts, learn: Learn, rows: Rows, key: Key) -> Learn:
  """Fits the model and clones the behaviour, if that has not been done."""
  config, actor, spec = parts.config, parts.improver.actor, parts.spec
  fit_key, cloning_key = jax.random.split(key)
  first = learn.world_model.opt_state.count == 0
  world_model, report = parts.improver.model.fit(
    learn.world_model, rows, rows.size, fit_key, first
  )
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  params, error = clone_behaviour(
    actor.policy,
    learn.policy.learner.params,
    jax.vmap(lambda obs: actor.observe(learn.policy.scaling, obs))(rows.data.obs),
    from_bounds(rows.data.action, low, high),
    rows.size,
    cloning_key,
    epochs=jnp.where(first, config.cloning_epochs, 0),
    batch_size=config.cloning_batch_size,
  )
  learner = learn.policy.learner._replace(params=params)
  farthest = _farthest(parts.improver, world_model.params, rows, first)
  new = Prepared(farthest, report["model_loss"], error)
  return learn._replace(
    policy=learn.policy._replace(learner=learner),
    world_model=world_model,
    prepared=jax.tree.map(lambda x, y: jnp.where(first, x, y), new, learn.prepared),
  )


def _farthest(improver: Improver, params: ModelParams, rows: Rows, active: Array) -> Array:
  """Returns the largest disagreement of the members in the rows, ``[]``; 0 unless active."""
  last = len(rows.data.reward) - 1
  each = jax.vmap(lambda obs, action: disagreement(improver.model, params, obs, action))

  def block(i: Array, largest: Array) -> Array:
    index = i * _BLOCK + jnp.arange(_BLOCK, dtype=jnp.int32)
    row = jnp.minimum(index, last)
    found = each(rows.data.obs[row], rows.data.action[row])
    return jnp.maximum(largest, jnp.where(index < rows.size, found, 0.0).max())

  blocks = jnp.where(active, (rows.size + _BLOCK - 1) // _BLOCK, 0)
  return jax.lax.fori_loop(0, blocks, block, jnp.zeros(()))
