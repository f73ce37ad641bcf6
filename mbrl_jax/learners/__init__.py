"""Learning rules that algorithms share: pairs of ``init`` and ``update``."""

from mbrl_jax.learners.sac import SAC, SACState, SACTuning, make_sac

__all__ = ["SAC", "SACState", "SACTuning", "make_sac"]
