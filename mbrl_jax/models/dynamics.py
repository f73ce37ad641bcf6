"""A learned model with a reward and a termination rule, as something to plan over."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.propagate import TRAJECTORY_SAMPLING, draws, make_sampler
from mbrl_jax.ops import missing
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.noise import normal
from mbrl_jax.types import Array, Dynamics, EnvSpec

_DEFAULTS = EnvSpec._field_defaults


def as_dynamics(
  ensemble: Ensemble,
  *,
  reward: Callable[[Array, Array, Array], Array],
  terminated: Callable[[Array, Array, Array], Array],
  encode: Callable[[Array], Array] = _DEFAULTS["encode"],
  decode: Callable[[Array, Array], Array] = _DEFAULTS["decode"],
  propagation: str = "TSinf",
  learn_reward: bool = False,
  outputs: int | None = None,
) -> Dynamics:
  """Makes a ``Dynamics`` of a learned model.

  One step: ``x = encode(obs) ++ action``; a prediction ``y`` sampled as ``propagation`` says;
  ``next_obs = decode(obs, y)``; reward and termination of ``(obs, action, next_obs)``.

  ``params`` are those of ``ensemble.init`` and ``fit``. With TSinf and TS1 the slices are the
  members; with DS, MM and E there is one slice, which holds all members. A subset of ``K``
  members (elites) is ``as_dynamics(ensemble._replace(members=K), ...)`` with ``take_members``.

  Args:
    ensemble: the model.
    reward, terminated: ``(obs, action, next_obs) -> []``, see ``EnvSpec``.
    encode, decode: see ``EnvSpec``.
    propagation: ``"TSinf"``, ``"TS1"``, ``"DS"``, ``"MM"`` or ``"E"``.
    learn_reward: the last output of the model is the reward, in place of ``reward``.
    outputs: of the model, how many. If given, noise is drawn for a whole batch in one call
      (``Dynamics.noise``), otherwise by a key for each step.

  Raises:
    ValueError: if ``propagation`` is unknown or the kind of model does not allow it, or the
      reward is not known as a function.
  """
  if not learn_reward:
    missing.require_known(reward)
  sample = make_sampler(ensemble, propagation)
  count = draws(ensemble, propagation)

  @single
  def move(params, obs, action, key):
    y = sample(params, jnp.concatenate([encode(obs), action]), key)
    y, gain = (y[:-1], y[-1]) if learn_reward else (y, None)
    next_obs = decode(obs, y)
    gain = gain if learn_reward else reward(obs, action, next_obs)
    return next_obs, gain, terminated(obs, action, next_obs)

  def step(params, obs, action, key):
    next_obs, gain, ended = move(params, obs, action, key)
    wide = jnp.result_type(obs) == np.float64  # a state of the user's stays as wide as it is
    return next_obs.astype(np.float64) if wide else next_obs, gain, ended

  def noise(key, shape):
    return normal(key, (*shape, count, outputs if count else 0))

  batched = outputs is not None or not count
  by_slice = propagation in TRAJECTORY_SAMPLING
  return Dynamics(
    step,
    slices=ensemble.members if by_slice else 1,
    params_axes=ensemble.params_axes if by_slice else None,
    noise=noise if batched else None,
    shuffle=propagation == "TS1",
  )
