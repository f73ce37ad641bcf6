"""NPG: model-free natural policy gradient.

Every ``batch`` environment steps one normalised natural gradient step of a Gaussian policy
(``learners.npg``), from generalised advantages over a fitted baseline (``parts.on_policy``).

Sources: Kakade 2001, "A natural policy gradient"; Rajeswaran et al. 2017, "Towards
generalization and simplicity in continuous control", and the released ``mjrl``.

Deviations from mjrl, besides those of ``learners.npg`` and ``parts.on_policy``:
  * Batches of 1,024 steps instead of 10,000 and running scales of observations and returns.
  * Where batches cut episodes, the baseline learns lambda-returns, which bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mbrl_jax.algorithms.parts.natural_gradient import NPGConfig, npg_learner
from mbrl_jax.algorithms.parts.on_policy import OnPolicyConfig, make_on_policy
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.types import Algorithm, EnvSpec


@dataclass(frozen=True)
class Config(OnPolicyConfig):
  """NPG; run length, policy and baseline fields are those of ``OnPolicyConfig``.

  Attributes:
    npg: see its class.
  """

  npg: NPGConfig = field(
    default_factory=lambda: NPGConfig(gae_lambda=0.95, value_target="lambda_return")
  )


@in_single_precision
def make_npg_algorithm(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes NPG for a task.

  Raises:
    ValueError: a count, size or rate out of range, an unknown name.
  """
  return make_on_policy(
    spec,
    config,
    lambda policy, baseline: npg_learner(policy, baseline, config.npg, config.policy),
    config.npg.value_target,
  )
