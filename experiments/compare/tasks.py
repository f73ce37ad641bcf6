"""The tasks that planners are compared on: plant, exact model, loop around every search."""

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
  """What is the same for every search.

  Attributes:
    horizon: control steps that a plan covers.
    knots: of the linear spline that makes a plan; 0: every action by itself.
    iterations: in each control step.
    episode: control steps.
  """

  horizon: int
  knots: int
  iterations: int
  episode: int


class CompareTask(NamedTuple):
  """A task with its exact model.

  Attributes:
    env: the plant.
    dynamics: what is planned over.
    view: ``(EnvState) -> state`` of the dynamics.
    loop: its settings.
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
  """Makes a task of ``LOOPS`` by name; both are swing-ups that start hanging.

  The cart-pole is planned over by its equations, which a test compares with MuJoCo: MuJoCo
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
  """Draws a pendulum's start near the bottom, as the cart-pole's starts are drawn.

  The task itself starts anywhere. Between starts from which it pumps once and those from which
  it pumps twice, chance decides on a third of the return, for every planner.
  """
  angle, speed = SCALE * jax.random.normal(key, (2, 1))
  return jnp.pi + angle, speed
