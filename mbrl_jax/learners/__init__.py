"""Learning rules that algorithms share: pairs of ``init`` and ``update``."""

from mbrl_jax.learners.ars import ARS, ARSState, LinearPolicy, make_ars
from mbrl_jax.learners.sac import SAC, SACState, SACTuning, make_sac

__all__ = [
  "ARS",
  "SAC",
  "ARSState",
  "LinearPolicy",
  "SACState",
  "SACTuning",
  "make_ars",
  "make_sac",
]
