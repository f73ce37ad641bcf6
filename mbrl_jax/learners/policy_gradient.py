"""Shared parts of NPG and TRPO: trajectories, advantages, fit of the baseline, refusal.

One update on trajectories of the current policy:

1. Values ``V(s, t)`` of the old baseline give generalised advantages (``ops.returns``), which
   are standardised over all valid steps.
2. The policy takes a step (``npg``, ``trpo``). It is refused if any number is not finite.
3. The baseline is fitted to the returns of the same trajectories.

Deviations from the released ``mjrl`` of Rajeswaran et al.:
  * Advantages are bootstrapped from ``next_obs`` of the last step at time ``t + 1``. mjrl does
    not record it, and repeats the value of the last observation.
  * Terminations and truncations are separate and may occur at any step of a row.
  * Padded steps are excluded from advantages, their statistics, gradients, KL and fits.
  * If a valid step is not finite, policy and baseline stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from mbrl_jax.learners.baseline import Baseline
from mbrl_jax.networks.gaussian_policy import (
  GaussianPolicy,
  GaussianPolicyParams,
  clamp_log_std,
  entropy,
)
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.masked import masked_mean, masked_standardize
from mbrl_jax.ops.returns import discounted_returns, generalized_advantages
from mbrl_jax.ops.trust_region import all_finite, select
from mbrl_jax.ops.validate import choice
from mbrl_jax.types import Array, Key, Metrics

VALUE_TARGETS = ("monte_carlo", "lambda_return")


class Trajectories(NamedTuple):
  """Trajectories of the current policy, with padding.

  Attributes:
    obs: ``[N, T, O]`` before each step.
    action: ``[N, T, A]`` as sampled from the policy, before any clipping.
    reward: ``[N, T]``.
    next_obs: ``[N, T, O]`` after each step and before any reset; ignored where terminated.
    terminated: ``[N, T]`` bool, the task ended.
    truncated: ``[N, T]`` bool, the episode was cut short.
    valid: ``[N, T]`` bool; other steps are padding, of any content.
    time: ``[N, T]`` steps since the episode began.
  """

  obs: Array
  action: Array
  reward: Array
  next_obs: Array
  terminated: Array
  truncated: Array
  valid: Array
  time: Array


class Samples(NamedTuple):
  """Inputs of a policy step, ``[N, T, ...]``, all finite.

  Attributes:
    obs, action: as in ``Trajectories``, 0 where invalid.
    advantage: ``[N, T]``, standardised.
    valid: ``[N, T]`` bool.
  """

  obs: Array
  action: Array
  advantage: Array
  valid: Array

  def mean(self, x: Array) -> Array:
    """Averages ``x [N, T]`` over the valid steps."""
    return masked_mean(x, self.valid)


class PolicyGradientState(NamedTuple):
  """State of the learner.

  Attributes:
    params: the policy.
    baseline: state of the baseline.
    hyperparams: the learner's record, as arrays ``[]``.
    refused: ``[]`` int32, policy steps refused so far.
  """

  params: GaussianPolicyParams
  baseline: Any
  hyperparams: Any
  refused: Array


class PolicyGradient(NamedTuple):
  """The learner as pure functions.

  Attributes:
    init: ``(key, hyperparams) -> PolicyGradientState``.
    update: ``(state, trajectories, key, force=False) -> (state, metrics)``, one policy step and
      one fit of the baseline; ``force``, ``[]`` bool: take the proposed step even if the rule
      refuses it.
    act: ``(params, obs [O], key, greedy [] bool) -> action [A]``, a sample of the policy or,
      if greedy, its mean.

  Metrics of ``update``: ``kl``, ``alpha``, ``surrogate_before``, ``surrogate_after``,
  ``surrogate_improvement``, ``gradient_norm``, ``entropy``, ``refused`` (1 if the policy step
  was refused; ``kl`` and ``alpha`` are 0 then), ``nonfinite_rows`` (valid steps that are not
  finite), those of ``Baseline.fit`` and of the policy step.
  """

  init: Callable[[Key, Any], PolicyGradientState]
  update: Callable[..., tuple[PolicyGradientState, Metrics]]
  act: Callable[[GaussianPolicyParams, Array, Key, Array | bool], Array]


class PolicyStep(NamedTuple):
  """A proposed step.

  Attributes:
    params: after the step.
    accepted: ``[]`` bool, by the rule itself.
    kl, alpha, surrogate_before, surrogate_after, gradient_norm: ``[]``.
    metrics: further metrics.
  """

  params: GaussianPolicyParams
  accepted: Array
  kl: Array
  alpha: Array
  surrogate_before: Array
  surrogate_after: Array
  gradient_norm: Array
  metrics: Metrics


class PolicyStepFn(Protocol):
  """Proposes a policy step."""

  def __call__(
    self, params: GaussianPolicyParams, hyperparams: Any, samples: Samples
  ) -> PolicyStep:
    """Returns the proposed step."""


def make_policy_gradient(
  policy: GaussianPolicy,
  baseline: Baseline,
  policy_step: PolicyStepFn,
  value_target: str = "monte_carlo",
) -> PolicyGradient:
  """Assembles a learner from a policy, a baseline and a policy step.

  Args:
    policy: the policy.
    baseline: the value function.
    policy_step: proposes the step, see ``PolicyStepFn``.
    value_target: regression target of the baseline: ``"monte_carlo"``, the discounted return
      up to the end of the trajectory, or ``"lambda_return"``, advantage plus value, which
      bootstraps.

  Raises:
    ValueError: an unknown target.
  """
  choice("value_target", value_target, VALUE_TARGETS)

  def init(key: Key, hyperparams: Any) -> PolicyGradientState:
    policy_key, baseline_key = jax.random.split(key)
    floats = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), hyperparams)
    none = jnp.zeros((), jnp.int32)
    return PolicyGradientState(
      policy.init(policy_key), baseline.init(baseline_key), floats, none
    )

  def update(
    state: PolicyGradientState,
    trajectories: Trajectories,
    key: Key,
    force: Array | bool = False,
  ) -> tuple[PolicyGradientState, Metrics]:
    batch, nonfinite = _drop_invalid(trajectories)
    advantages, returns = _targets(baseline, state, batch, value_target)
    standardized = masked_standardize(advantages, batch.valid)
    samples = Samples(batch.obs, batch.action, standardized, batch.valid)
    step = policy_step(state.params, state.hyperparams, samples)
    usable = (nonfinite == 0) & batch.valid.any()
    accepted = usable & (step.accepted | force) & all_finite(step[:-1])
    rows = (batch.obs, batch.time, returns, batch.valid)
    obs, time, target, valid = (x.reshape(-1, *x.shape[2:]) for x in rows)
    fitted, fit_metrics = baseline.fit(state.baseline, obs, time, target, valid, key)
    refused = jnp.int32(~accepted)
    metrics = {
      **_step_metrics(step, accepted),
      **fit_metrics,
      "refused": refused,
      "nonfinite_rows": nonfinite,
    }
    state = state._replace(
      params=select(accepted, step.params, state.params),
      baseline=select(usable & all_finite(fitted), fitted, state.baseline),
      refused=state.refused + refused,
    )
    return state, {**metrics, "entropy": entropy(state.params)}

  def act(params: GaussianPolicyParams, obs: Array, key: Key, greedy: Array | bool) -> Array:
    return jnp.where(greedy, policy.mean(params, obs), policy.sample(params, obs, key))

  return PolicyGradient(single(init), single(update), single(act))


def clamp_to(hyperparams: Any) -> Callable[[GaussianPolicyParams], GaussianPolicyParams]:
  """Returns the clamping of log standard deviations to ``min_log_std`` and ``max_log_std``."""
  low, high = hyperparams.min_log_std, hyperparams.max_log_std
  return lambda params: clamp_log_std(params, low, high)


def mean_kl(
  policy: GaussianPolicy, params: GaussianPolicyParams, samples: Samples
) -> Callable[[GaussianPolicyParams], Array]:
  """Returns ``new -> KL(params || new) []``, averaged over the samples' states."""
  return lambda new: samples.mean(policy.kl(params, new, samples.obs))


def _drop_invalid(batch: Trajectories) -> tuple[Trajectories, Array]:
  """Marks non-finite steps as invalid, counts them ``[]``, and zeroes all invalid steps."""
  wide = lambda mask, x: mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))
  next_obs = jnp.where(wide(batch.terminated, batch.next_obs), 0.0, batch.next_obs)
  batch = batch._replace(next_obs=next_obs)
  finite = batch.valid
  for x in (batch.obs, batch.action, batch.reward, batch.next_obs, batch.time):
    finite &= jnp.isfinite(x).reshape(*finite.shape, -1).all(-1)
  count = jnp.sum(batch.valid & ~finite, dtype=jnp.int32)
  zeroed = jax.tree.map(lambda x: jnp.where(wide(finite, x), x, jnp.zeros_like(x)), batch)
  return zeroed._replace(valid=finite), count


def _targets(
  baseline: Baseline, state: PolicyGradientState, batch: Trajectories, value_target: str
) -> tuple[Array, Array]:
  """Returns advantages and the baseline's targets, ``[N, T]`` each."""
  floats = state.hyperparams
  values = baseline.value(state.baseline, batch.obs, batch.time)
  next_values = baseline.value(state.baseline, batch.next_obs, batch.time + 1)

  def advantage(*row: Array) -> Array:
    return generalized_advantages(*row, discount=floats.discount, lam=floats.gae_lambda)

  ends = (batch.terminated, batch.truncated)
  advantages = jax.vmap(advantage)(batch.reward, values, next_values, *ends, batch.valid)
  if value_target == "lambda_return":
    return advantages, advantages + values
  sums = lambda reward, ended, valid: discounted_returns(reward, ended, floats.discount, valid)
  return advantages, jax.vmap(sums)(batch.reward, ends[0] | ends[1], batch.valid)


def _step_metrics(step: PolicyStep, accepted: Array) -> Metrics:
  """Returns the metrics of the step taken, those of no step if it was refused."""
  after = jnp.where(accepted, step.surrogate_after, step.surrogate_before)
  return {
    "kl": jnp.where(accepted, step.kl, 0.0),
    "alpha": jnp.where(accepted, step.alpha, 0.0),
    "surrogate_before": step.surrogate_before,
    "surrogate_after": after,
    "surrogate_improvement": after - step.surrogate_before,
    "gradient_norm": step.gradient_norm,
    **step.metrics,
  }
