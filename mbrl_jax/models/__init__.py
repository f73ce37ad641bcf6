"""Learned dynamics models: ensembles and GPs, training, and planning with them."""

from mbrl_jax.models.dynamics import as_dynamics
from mbrl_jax.models.ensemble import make_ensemble
from mbrl_jax.models.ensemble_nets import take_members
from mbrl_jax.models.fit import fit
from mbrl_jax.models.gp import make_gp
from mbrl_jax.models.optimizer import init_optimizer, make_optimizer

__all__ = [
  "as_dynamics",
  "fit",
  "init_optimizer",
  "make_ensemble",
  "make_gp",
  "make_optimizer",
  "take_members",
]
