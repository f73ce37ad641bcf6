"""Converts an environment to ``Dynamics``, to plan with the true model."""

from __future__ import annotations

from mbrl_jax.types import Array, Dynamics, Env, EnvState, Key, Params


def env_dynamics(env: Env) -> Dynamics:
  """Makes dynamics whose step is ``env.step``: the exact model, for planners.

  The state is the ``EnvState``; ``params`` are unused (pass ``None``). The time limit
  does not terminate: plans may extend past the end of an episode.

  Args:
    env: any environment; its ``step`` must be jax-traceable.

  Example:
    >>> import jax
    >>> from mbrl_jax import env_dynamics, make_env
    >>> env = make_env("pendulum")
    >>> state = env.reset(jax.random.key(0))
    >>> dynamics = env_dynamics(env)
    >>> state, reward, terminated = dynamics.step(None, state, [0.0], jax.random.key(1))
    >>> int(state.steps), bool(terminated)
    (1, False)
  """

  def step(
    params: Params, state: EnvState, action: Array, key: Key
  ) -> tuple[EnvState, Array, Array]:
    del params
    state, transition = env.step(state, action, key)
    return state, transition.reward, transition.terminated

  return Dynamics(step)
