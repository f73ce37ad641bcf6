"""Linear-quadratic regulator: a linear system with quadratic cost and a known optimum.

``x' = A x + B u`` with reward ``-(x'Qx + u'Ru)`` on the state before the step. Over a finite
horizon the optimal return from ``x`` with ``k`` steps to go is ``-x' P_k x``, and the optimal
action ``-K_k x``, by the Riccati recursion from ``P_0 = 0`` (Bertsekas, "Dynamic
Programming and Optimal Control", section on linear systems and quadratic cost).
It tests whether a planner finds the optimum.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.physics.base import Physics, PhysicsState
from mbrl_jax.envs.task import Task, never
from mbrl_jax.ops import validate
from mbrl_jax.ops.matmul import matmul
from mbrl_jax.types import Array, EnvSpec, Key


class LinearQuadratic(NamedTuple):
  """A linear system and its quadratic cost (numpy, float64).

  Attributes:
    a: ``A [O, O]``.
    b: ``B [O, A]``.
    q: ``Q [O, O]``, symmetric, not negative.
    r: ``R [A, A]``, symmetric, positive.
    dt: seconds of one step.
    spread: initial states are uniform in ``[-spread, spread]``.
    limit: actions are bounded by ``[-limit, limit]``.
  """

  a: np.ndarray
  b: np.ndarray
  q: np.ndarray
  r: np.ndarray
  dt: float = 0.1
  spread: float = 1.0
  limit: float = 4.0


def double_integrator(dt: float = 0.1) -> LinearQuadratic:
  """Returns a unit mass on a line: state ``[position, velocity]``, action force.

  Its optimal force is below 3 from all initial states, so the bounds are never active.

  Example:
    >>> from mbrl_jax.envs import double_integrator, optimal_return
    >>> round(optimal_return(double_integrator(), [1.0, 0.0], steps=50), 3)
    -12.813
  """
  return LinearQuadratic(
    a=np.array([[1.0, dt], [0.0, 1.0]]),
    b=np.array([[0.5 * dt**2], [dt]]),
    q=np.diag([1.0, 0.1]),
    r=np.array([[0.5]]),
    dt=dt,
  )


def riccati(problem: LinearQuadratic, steps: int) -> tuple[np.ndarray, np.ndarray]:
  """Solves the finite-horizon problem backwards.

  Args:
    problem: system and cost.
    steps: ``T``, the longest horizon.

  Returns:
    ``(P [T + 1, O, O], K [T, A, O])``: ``P[k]`` values a state with ``k`` steps to go
    (``P[0] = 0``), ``K[k]`` is the gain with ``k + 1`` steps to go, so that the first
    of ``T`` actions is ``-K[T - 1] x``.

  Raises:
    ValueError: ``steps`` is not positive.
  """
  validate.positive(steps=steps)
  a, b, q, r = problem.a, problem.b, problem.q, problem.r
  values, gains = [np.zeros_like(q)], []
  for _ in range(steps):
    p = values[-1]
    gain = np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)
    value = q + a.T @ p @ (a - b @ gain)
    values.append((value + value.T) / 2)
    gains.append(gain)
  return np.stack(values), np.stack(gains)


def optimal_return(problem: LinearQuadratic, obs: np.ndarray, steps: int) -> float:
  """Returns the optimal return of ``steps`` steps from ``obs [O]``."""
  obs = np.asarray(obs, np.float64)
  return float(-obs @ riccati(problem, steps)[0][-1] @ obs)


def optimal_plan(problem: LinearQuadratic, obs: np.ndarray, steps: int) -> np.ndarray:
  """Returns the optimal sequence of actions ``[steps, A]`` from ``obs [O]``."""
  x, actions = np.asarray(obs, np.float64), []
  for gain in riccati(problem, steps)[1][::-1]:
    actions.append(-gain @ x)
    x = problem.a @ x + problem.b @ actions[-1]
  return np.stack(actions)


def make_linear_quadratic(
  physics: str = "auto", *, problem: LinearQuadratic | None = None
) -> Task:
  """Builds the task; the observation is the whole state.

  Args:
    physics: ``"auto"`` or ``"analytic"``.
    problem: system and cost, ``double_integrator()`` by default.
  """
  validate.choice("physics", physics, ("auto", "analytic"))
  problem = double_integrator() if problem is None else problem
  a, b, q, r = (np.asarray(m, np.float32) for m in (problem.a, problem.b, problem.q, problem.r))
  obs_dim, action_dim = b.shape

  def init(qpos: Array, qvel: Array) -> PhysicsState:
    return PhysicsState(qpos, qvel)

  def step(state: PhysicsState, ctrl: Array) -> PhysicsState:
    return state._replace(qpos=matmul(a, state.qpos) + matmul(b, ctrl))

  def reward(obs: Array, action: Array, next_obs: Array) -> Array:
    del next_obs
    return -(matmul(matmul(obs, q), obs) + matmul(matmul(action, r), action))

  def initial(key: Key) -> tuple[Array, Array]:
    spread = problem.spread
    x = jax.random.uniform(key, (obs_dim,), minval=-spread, maxval=spread)
    return x, jnp.zeros(0)

  limit = np.full(action_dim, problem.limit, np.float32)
  spec = EnvSpec(
    name="linear_quadratic",
    obs_dim=obs_dim,
    action_low=-limit,
    action_high=limit,
    dt=problem.dt,
    episode_length=50,
    reward=reward,
    terminated=never,
    full_length=True,
  )
  return Task(spec, Physics(init, step), initial, _observe, segments=_segments)


def _observe(physics: PhysicsState) -> Array:
  return physics.qpos


def _segments(pose: np.ndarray) -> np.ndarray:
  x, height = float(pose[0]), 0.15
  corners = [(x - height, 0), (x - height, height), (x + height, height), (x + height, 0)]
  box = [[corners[i], corners[(i + 1) % 4]] for i in range(4)]
  return np.array([[(-2.0, 0.0), (2.0, 0.0)], *box])
