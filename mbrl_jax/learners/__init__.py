"""Learning rules that algorithms share: pairs of ``init`` and ``update``."""

from mbrl_jax.learners.ars import ARS, ARSState, LinearPolicy, make_ars
from mbrl_jax.learners.baseline import Baseline, linear_baseline, network_baseline
from mbrl_jax.learners.dagger import DAgger, DAggerState, make_dagger
from mbrl_jax.learners.npg import NPGHyperparams, make_npg
from mbrl_jax.learners.policy_gradient import (
  PolicyGradient,
  PolicyGradientState,
  Trajectories,
)
from mbrl_jax.learners.sac import SAC, make_sac
from mbrl_jax.learners.sac_loss import SACHyperparams, SACState
from mbrl_jax.learners.trpo import TRPOHyperparams, make_trpo

__all__ = [
  "ARS",
  "SAC",
  "ARSState",
  "Baseline",
  "DAgger",
  "DAggerState",
  "LinearPolicy",
  "NPGHyperparams",
  "PolicyGradient",
  "PolicyGradientState",
  "SACHyperparams",
  "SACState",
  "TRPOHyperparams",
  "Trajectories",
  "linear_baseline",
  "make_ars",
  "make_dagger",
  "make_npg",
  "make_sac",
  "make_trpo",
  "network_baseline",
]
