"""Tasks for comparing planners: plant, exact model and settings of the closed loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.compare.cartpole_equations import cartpole_equations
from mbrl_jax import env_dynamics, make_env
from mbrl_jax.envs.tasks.pets.cartpole import SCALE
from mbrl_jax.ops.validate import choice
from mbrl_jax.types import Array, Dynamics, Env, EnvState, Key


class ClosedLoop(NamedTuple):
  """Settings of the closed loop, the same for every search.

  Attributes:
    horizon: control steps of a plan.
    knots: of the linear spline of a plan; 0: every action.
    iterations: per control step.
    episode: control steps of an episode.
  """

  horizon: int
  knots: int
  iterations: int
  episode: int


class CompareTask(NamedTuple):
  """A task with its exact model.

  Attributes:
    env: the plant.
    dynamics: the planner's model.
    view: ``(EnvState) -> state`` of the dynamics.
    loop: settings of the closed loop.
  """

  env: Env
  dynamics: Dynamics
  view: Callable[[EnvState], Any]
  loop: ClosedLoop


LOOPS = {
  "pendulum": ClosedLoop(horizon=20, knots=4, iterations=3, episode=200),
  "cartpole": ClosedLoop(horizon=25, knots=6, iterations=3, episode=200),
}


def make_task(name: str) -> CompareTask:
  """Makes a task of ``LOOPS`` by name; both are swing-ups from hanging.

  The cart-pole's model is its equations of motion, which a test compares with MuJoCo: MuJoCo
  itself takes fifty times as long for a batch of plans and is not differentiable.

  Raises:
    ValueError: an unknown name.
  """
  env = make_env(choice("--envs", name, LOOPS))
  if name == "cartpole":
    return CompareTask(env, cartpole_equations(env), lambda state: state.obs, LOOPS[name])
  env = dataclasses.replace(env, initial=_hanging)
  return CompareTask(env, env_dynamics(env), lambda state: state, LOOPS[name])


def _hanging(key: Key) -> tuple[Array, Array]:
  """Draws the pendulum's initial state near the bottom, as for the cart-pole.

  The task itself draws any angle; a third of the return then depends on whether the initial
  state needs one swing or two, for every planner.
  """
  angle, speed = SCALE * jax.random.normal(key, (2, 1))
  return jnp.pi + angle, speed
