"""Learning rules that algorithms share: pairs of ``init`` and ``update``."""

from mbrl_jax.learners.ars import ARS, ARSState, LinearPolicy, make_ars
from mbrl_jax.learners.sac import SAC, SACHyperparams, SACState, make_sac

__all__ = [
  "ARS",
  "SAC",
  "ARSState",
  "LinearPolicy",
  "SACHyperparams",
  "SACState",
  "make_ars",
  "make_sac",
]
