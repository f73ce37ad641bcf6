"""Lists the features of joints, contacts and actuators that MJX and Warp ignore."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

Rule = tuple[str, str, Callable[[Any], Any]]
"""Kind of object, ignored feature, and ``(model) -> [n] bool``: the objects that use it."""

_FAST = mujoco.mjtIntegrator.mjINT_IMPLICITFAST


def _mixed(solref: np.ndarray) -> np.ndarray:
  """Returns which ``solref [..., 2]`` mix the two formats; C replaces them by the default."""
  return (solref[..., 0] > 0) != (solref[..., 1] > 0)


def _narrow(limited: np.ndarray, bounds: np.ndarray, margin: np.ndarray) -> np.ndarray:
  """Returns which limits can both be active; MJX has one constraint for the two."""
  return (limited != 0) & (bounds[:, 1] - bounds[:, 0] < 2 * margin)


def _of_dofs(model: mujoco.MjModel, bad: np.ndarray) -> np.ndarray:
  """Returns which joints have a degree of freedom in ``bad``."""
  return np.isin(np.arange(model.njnt), model.dof_jntid[bad])


def _scalar(model: mujoco.MjModel) -> np.ndarray:
  return model.jnt_type >= int(mujoco.mjtJoint.mjJNT_SLIDE)


def _disabled(model: mujoco.MjModel) -> np.ndarray:
  """Returns the actuators that ``actuatorgroupdisable`` switches off."""
  group = model.actuator_group
  off = (model.opt.disableactuator >> np.clip(group, 0, 30)) & 1
  return (off != 0) & (group >= 0) & (group <= 30)


def _clipped(model: mujoco.MjModel) -> np.ndarray:
  """Returns the actuators whose force MJX's ``implicitfast`` differentiates unlike C."""
  gain, bias, kind = model.actuator_gaintype, model.actuator_biastype, mujoco.mjtGain
  affine_gain = (gain == int(kind.mjGAIN_AFFINE)) & (model.actuator_gainprm[:, 2] != 0)
  affine_bias = (bias == int(mujoco.mjtBias.mjBIAS_AFFINE)) & (
    model.actuator_biasprm[:, 2] != 0
  )
  spans = zip(model.actuator_ctrladr, model.actuator_ctrlnum, strict=True)
  control = np.array([model.actuator_ctrllimited[a : a + n].any() for a, n in spans], bool)
  clipped = (model.actuator_forcelimited != 0) | (affine_gain & control)
  clipped |= bool(model.jnt_actfrclimited.any() or model.tendon_actfrclimited.any())
  muscle = gain == int(kind.mjGAIN_MUSCLE)
  fast = model.opt.integrator == _FAST
  return fast & (muscle | ((affine_gain | affine_bias) & clipped))


WARP_RULES: tuple[Rule, ...] = (
  ("joint", "springyield", lambda m: m.jnt_plasticadr >= 0),
  ("tendon", "springyield", lambda m: m.tendon_plasticadr >= 0),
  ("actuator", "actuatorgroupdisable", _disabled),
  ("actuator", "armature", lambda m: m.actuator_armature != 0),
  ("actuator", "delay or nsample", lambda m: m.actuator_history[:, 0] > 0),
  ("sensor", "delay, interval or nsample", lambda m: m.sensor_history[:, 0] > 0),
)
_JOINTS: tuple[Rule, ...] = (
  ("joint", "polynomial stiffness", lambda m: m.jnt_stiffnesspoly.any(-1)),
  ("joint", "polynomial damping", lambda m: _of_dofs(m, m.dof_dampingpoly.any(-1))),
  (
    "joint",
    "range narrower than two margins",
    lambda m: _narrow(m.jnt_limited, m.jnt_range, m.jnt_margin) & _scalar(m),
  ),
  (
    "joint",
    "solreflimit of mixed signs",
    lambda m: _mixed(m.jnt_solref) & (m.jnt_limited != 0),
  ),
  (
    "joint",
    "solreffriction of mixed signs",
    lambda m: _of_dofs(m, _mixed(m.dof_solref) & (m.dof_frictionloss > 0)),
  ),
  ("tendon", "polynomial stiffness", lambda m: m.tendon_stiffnesspoly.any(-1)),
  ("tendon", "polynomial damping", lambda m: m.tendon_dampingpoly.any(-1)),
  (
    "tendon",
    "range narrower than two margins",
    lambda m: _narrow(m.tendon_limited, m.tendon_range, m.tendon_margin),
  ),
  (
    "tendon",
    "solreflimit of mixed signs",
    lambda m: _mixed(m.tendon_solref_lim) & (m.tendon_limited != 0),
  ),
  (
    "tendon",
    "solreffriction of mixed signs",
    lambda m: _mixed(m.tendon_solref_fri) & (m.tendon_frictionloss > 0),
  ),
  ("equality", "solref of mixed signs", lambda m: _mixed(m.eq_solref)),
)
_CONTACTS: tuple[Rule, ...] = (
  ("geom", "surfacevel", lambda m: m.geom_surfacevel.any(-1)),
  ("geom", "adhesion", lambda m: m.geom_adhesion != 0),
  ("pair", "adhesion", lambda m: m.pair_adhesion != 0),
  ("geom", "solref of mixed signs", lambda m: _mixed(m.geom_solref)),
  ("pair", "solref of mixed signs", lambda m: _mixed(m.pair_solref)),
  (
    "pair",
    "solreffriction of mixed signs",
    lambda m: _mixed(m.pair_solreffriction) & (m.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC),
  ),
  (
    "geom",
    "fluidshape='ellipsoid'",
    lambda m: (m.geom_fluid[:, 0] > 0) & (m.opt.density > 0 or m.opt.viscosity > 0),
  ),
)
_ACTUATORS: tuple[Rule, ...] = (
  ("actuator", "damping", lambda m: (m.actuator_damping != 0) | m.actuator_dampingpoly.any(-1)),
  ("actuator", "actearly", lambda m: (m.actuator_actearly != 0) & (m.actuator_actnum > 0)),
  (
    "actuator",
    "integrator='implicitfast' with the clipped or muscular, velocity-dependent force",
    _clipped,
  ),
)
MJX_RULES = (*WARP_RULES, *_JOINTS, *_CONTACTS, *_ACTUATORS)
