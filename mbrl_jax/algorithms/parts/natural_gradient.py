"""Natural policy gradients and trust region policy optimisation, from configuration."""

from __future__ import annotations

from dataclasses import dataclass

from mbrl_jax.algorithms.parts.gaussian_actor import PolicyConfig
from mbrl_jax.learners.baseline import Baseline
from mbrl_jax.learners.npg import NPGHyperparams, make_npg
from mbrl_jax.learners.policy_gradient import PolicyGradient
from mbrl_jax.learners.trpo import TRPOHyperparams, make_trpo
from mbrl_jax.networks.gaussian_policy import GaussianPolicy
from mbrl_jax.ops.validate import between, positive, prefixed


@dataclass(frozen=True)
class NPGConfig:
  """A natural policy gradient step.

  Attributes:
    step_size: delta, about twice the KL divergence of a step.
    discount: discount of the returns.
    gae_lambda: lambda of the generalised advantages.
    damping: added to the diagonal of the Fisher matrix.
    cg_iterations: maximum number of conjugate gradient iterations.
    fisher_samples: estimate the Fisher matrix from at most so many samples; 0: from all.
    value_target: regression target of the baseline, monte_carlo or lambda_return.
  """

  step_size: float = 0.05
  discount: float = 0.995
  gae_lambda: float = 0.97
  damping: float = 1e-3
  cg_iterations: int = 25
  fisher_samples: int = 0
  value_target: str = "monte_carlo"


@dataclass(frozen=True)
class TRPOConfig:
  """A trust region step.

  Attributes:
    max_kl: delta, the largest KL divergence of a step.
    discount: discount of the returns.
    gae_lambda: lambda of the generalised advantages.
    damping: added to the diagonal of the Fisher matrix.
    cg_iterations: maximum number of conjugate gradient iterations.
    fisher_samples: estimate the Fisher matrix from at most so many samples; 0: from all.
    shrink: factor of the step between trials of the line search.
    line_search_trials: maximum number of step lengths tried.
    accept_fraction: required fraction of the expected improvement.
    accept_first: the first step of a run is taken at its shortest length if the line search
      refuses all lengths, as in MBMF's copy of rllab; later ones never.
    value_target: regression target of the baseline, monte_carlo or lambda_return.
  """

  max_kl: float = 0.01
  discount: float = 0.99
  gae_lambda: float = 0.97
  damping: float = 1e-3
  cg_iterations: int = 25
  fisher_samples: int = 0
  shrink: float = 0.8
  line_search_trials: int = 15
  accept_fraction: float = 0.0
  accept_first: bool = False
  value_target: str = "lambda_return"


@prefixed("npg")
def npg_learner(
  policy: GaussianPolicy, baseline: Baseline, config: NPGConfig, bounds: PolicyConfig
) -> tuple[PolicyGradient, NPGHyperparams]:
  """Makes the learner and its hyper-parameters; ``bounds`` are those of the deviation.

  Raises:
    ValueError: a rate or size out of range, an unknown target.
  """
  positive(step_size=config.step_size)
  _check(config)
  learner = make_npg(
    policy,
    baseline,
    cg_iterations=config.cg_iterations,
    fisher_samples=config.fisher_samples,
    value_target=config.value_target,
  )
  hyperparams = NPGHyperparams(
    config.discount,
    config.gae_lambda,
    config.step_size,
    config.damping,
    bounds.min_log_std,
    bounds.max_log_std,
  )
  return learner, hyperparams


@prefixed("trpo")
def trpo_learner(
  policy: GaussianPolicy, baseline: Baseline, config: TRPOConfig, bounds: PolicyConfig
) -> tuple[PolicyGradient, TRPOHyperparams]:
  """Makes the learner and its hyper-parameters; see ``npg_learner``.

  Raises:
    ValueError: a rate or size out of range, an unknown target.
  """
  positive(max_kl=config.max_kl)
  between(0.0, 1.0, shrink=config.shrink, accept_fraction=config.accept_fraction)
  _check(config)
  learner = make_trpo(
    policy,
    baseline,
    cg_iterations=config.cg_iterations,
    fisher_samples=config.fisher_samples,
    line_search_trials=config.line_search_trials,
    value_target=config.value_target,
  )
  hyperparams = TRPOHyperparams(
    config.discount,
    config.gae_lambda,
    config.max_kl,
    config.damping,
    config.shrink,
    config.accept_fraction,
    bounds.min_log_std,
    bounds.max_log_std,
  )
  return learner, hyperparams


def _check(config: NPGConfig | TRPOConfig) -> None:
  """Checks the fields that both rules have."""
  between(0.0, 1.0, discount=config.discount, gae_lambda=config.gae_lambda)
  between(0.0, float("inf"), damping=config.damping)
