"""LOOP: off-policy actor-critic with online planning (ARC).

The loop of ``demorl`` with exponential weights, the planner also in evaluations, and without
planned transitions. ``lookahead.pessimism`` gives its offline variant, ``lookahead.cost_limit``
its safe variant.

Source: Sikchi, Zhou and Held 2021, "Learning Off-Policy with Online Planning".

Deviations:
  * Offline the actor-critic is plain SAC, where LOOP's authors use learners made for it (from
    memory).
  * See ``parts.lookahead`` for the planner's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mbrl_jax.algorithms import demorl
from mbrl_jax.algorithms.parts.lookahead import LookaheadConfig
from mbrl_jax.types import Algorithm, EnvSpec


@dataclass(frozen=True)
class Config(demorl.Config):
  """LOOP; fields are those of M-DeMoRL."""

  real_ratio: float = 1.0
  evaluate: str = "planner"
  lookahead: LookaheadConfig = field(
    default_factory=lambda: LookaheadConfig(utility="exponential")
  )


def make_loop(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes LOOP for a task.

  Raises:
    ValueError: see ``demorl.make_demorl``.
  """
  return demorl.make_demorl(spec, config)
