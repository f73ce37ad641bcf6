"""Turns an environment into ``Dynamics``, to plan over the truth."""

from __future__ import annotations

from mbrl_jax.types import Array, Dynamics, Env, EnvState, Key, Params


def env_dynamics(env: Env) -> Dynamics:
  """Wraps ``env`` so that planners can plan over it as the exact model.

  The state is the ``EnvState``; ``params`` are unused (pass ``None``). The time limit
  is no termination: plans may look past the end of an episode.

  Args:
    env: any environment; its ``step`` must be jax-traceable.
  """

  def step(
    params: Params, state: EnvState, action: Array, key: Key
  ) -> tuple[EnvState, Array, Array]:
    del params
    state, transition = env.step(state, action, key)
    return state, transition.reward, transition.terminated

  return Dynamics(step)
