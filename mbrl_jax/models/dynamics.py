"""Dynamics from a learned model, a reward and a termination function."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.propagate import (
  TRAJECTORY_SAMPLING,
  make_sampler,
  normals_per_output,
)
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.missing import require_known
from mbrl_jax.ops.noise import normal
from mbrl_jax.types import (
  Array,
  Dynamics,
  EnvSpec,
  Key,
  KeyOrNoise,
  Params,
  RewardFn,
  StepFn,
  TerminationFn,
)

_DEFAULTS = EnvSpec._field_defaults


def as_dynamics(
  ensemble: Ensemble,
  *,
  reward: RewardFn,
  terminated: TerminationFn,
  encode: Callable[[Array], Array] = _DEFAULTS["encode"],
  decode: Callable[[Array, Array], Array] = _DEFAULTS["decode"],
  propagation: str = "TSinf",
  learn_reward: bool = False,
  outputs: int | None = None,
) -> Dynamics:
  """Makes a ``Dynamics`` from a learned model.

  One step: ``x = encode(obs) ++ action``; a prediction ``y`` sampled by ``propagation``;
  ``next_obs = decode(obs, y)``; reward and termination of ``(obs, action, next_obs)``.

  ``params`` are those of ``ensemble.init`` and ``fit``. With TSinf and TS1 the slices are the
  members; with DS, MM and E there is one slice, which holds all members. A subset of ``K``
  members (elites) is ``as_dynamics(ensemble._replace(members=K), ...)`` with ``take_members``.

  Args:
    ensemble: the model.
    reward, terminated: ``(obs, action, next_obs) -> []``, see ``EnvSpec``.
    encode, decode: see ``EnvSpec``.
    propagation: ``"TSinf"``, ``"TS1"``, ``"DS"``, ``"MM"`` or ``"E"``.
    learn_reward: use the last output of the model as the reward, in place of ``reward``.
    outputs: number of outputs of the model. If given, noise is drawn for a whole batch in one
      call (``Dynamics.noise``), otherwise from a key at each step.

  Raises:
    ValueError: if ``propagation`` is unknown or the kind of model does not support it, or the
      reward function is missing.

  Example:
    >>> import jax
    >>> from mbrl_jax.models import make_ensemble
    >>> model = make_ensemble("DE", members=2, hidden=(8,))
    >>> dynamics = as_dynamics(
    ...   model, reward=lambda s, a, t: -t @ t, terminated=lambda s, a, t: jnp.array(False)
    ... )
    >>> dynamics.slices
    2
  """
  if not learn_reward:
    require_known(reward)
  step = _make_step(ensemble, propagation, reward, terminated, encode, decode, learn_reward)
  count = normals_per_output(ensemble, propagation)

  def noise(key: Key, shape: tuple[int, ...]) -> Array:
    return normal(key, (*shape, count, outputs if count and outputs else 0))

  batched = outputs is not None or not count
  by_slice = propagation in TRAJECTORY_SAMPLING
  return Dynamics(
    step,
    slices=ensemble.members if by_slice else 1,
    params_axes=ensemble.params_axes if by_slice else None,
    noise=noise if batched else None,
    shuffle=propagation == "TS1",
  )


def _make_step(
  ensemble: Ensemble,
  propagation: str,
  reward: RewardFn,
  terminated: TerminationFn,
  encode: Callable[[Array], Array],
  decode: Callable[[Array, Array], Array],
  learn_reward: bool,
) -> StepFn:
  """Makes ``Dynamics.step``; see ``as_dynamics``."""
  sample = make_sampler(ensemble, propagation)

  @single
  def predict(
    params: Params, obs: Array, action: Array, key: KeyOrNoise
  ) -> tuple[Array, Array, Array]:
    y = sample(params, jnp.concatenate([encode(obs), action]), key)
    y, learnt = (y[:-1], y[-1]) if learn_reward else (y, None)
    next_obs = decode(obs, y)
    gain = reward(obs, action, next_obs) if learnt is None else learnt
    return next_obs, gain, terminated(obs, action, next_obs)

  def step(
    params: Params, state: Array, action: Array, key: KeyOrNoise
  ) -> tuple[Array, Array, Array]:
    next_obs, gain, ended = predict(params, state, action, key)
    wide = jnp.result_type(state) == np.float64  # the user's state keeps its width
    return next_obs.astype(np.float64) if wide else next_obs, gain, ended

  return step
