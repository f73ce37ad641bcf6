"""Learning rules that algorithms share: pairs of ``init`` and ``update``."""

from mbrl_jax.learners.ars import ARS, ARSState, LinearPolicy, make_ars
from mbrl_jax.learners.sac import SAC, make_sac
from mbrl_jax.learners.sac_loss import SACHyperparams, SACState

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
