"""Learned models: what predicts, how it is trained, how it becomes something to plan over."""

from mbrl_jax.models.dynamics import as_dynamics
from mbrl_jax.models.ensemble import make_ensemble, take_members
from mbrl_jax.models.fit import fit, init_optimizer, make_optimizer
from mbrl_jax.models.gp import make_gp

__all__ = [
  "as_dynamics",
  "fit",
  "init_optimizer",
  "make_ensemble",
  "make_gp",
  "make_optimizer",
  "take_members",
]
