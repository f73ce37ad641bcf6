"""TRPO: model-free trust region policy optimisation.

Every ``batch`` environment steps one step of a Gaussian policy within a trust region
(``learners.trpo``), from generalised advantages over a fitted baseline (``parts.on_policy``).

Sources: Schulman et al. 2015, "Trust region policy optimization", and 2016, "High-dimensional
continuous control using generalized advantage estimation".

Deviations, besides those of ``learners.trpo`` and ``parts.on_policy``:
  * Batches of 1,024 steps instead of 50,000, and running scales of observations and returns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mbrl_jax.algorithms.parts.natural_gradient import TRPOConfig, trpo_learner
from mbrl_jax.algorithms.parts.on_policy import OnPolicyConfig, make_on_policy
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.types import Algorithm, EnvSpec


@dataclass(frozen=True)
class Config(OnPolicyConfig):
  """TRPO; run length, policy and baseline fields are those of ``OnPolicyConfig``.

  Attributes:
    trpo: see its class.
  """

  trpo: TRPOConfig = field(default_factory=lambda: TRPOConfig(discount=0.995, gae_lambda=0.95))


@in_single_precision
def make_trpo_algorithm(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes TRPO for a task.

  Raises:
    ValueError: a count, size or rate out of range, an unknown name.
  """
  return make_on_policy(
    spec,
    config,
    lambda policy, baseline: trpo_learner(policy, baseline, config.trpo, config.policy),
    config.trpo.value_target,
    config.trpo.accept_first,
  )
