"""Identifies a system by `jax.grad` through `Dynamics.params`, then plans with the result.

  python -m experiments.examples.system_identification

The dynamics are one function of their physical constants. Its gradient fits the constants to
recorded trajectories (Adam on the multi-step prediction error). The planner uses the same
function, with the constants as an argument.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mbrl_jax import Dynamics, cem, make_evaluate, make_planner
from mbrl_jax.types import Array, Key, Planner

GRAVITY, DT, TORQUE = 9.81, 0.05, 2.0  # m/s^2, s, Nm


class Constants(NamedTuple):
  """Logarithms of a pendulum's physical constants, so that these stay positive.

  Attributes:
    mass: of the bob, log kg.
    length: log m.
    damping: log Nms.
  """

  mass: Array
  length: Array
  damping: Array


TRUE = Constants(*np.log(np.float32([0.8, 0.6, 0.15])))
GUESS = Constants(*np.log(np.float32([1.5, 1.0, 0.05])))


def step(params: Constants, state: Array, action: Array, key: Key) -> tuple:
  """Integrates `state = [angle (0 is up), speed]` over `DT` in three substeps."""
  mass, length, damping = jax.tree.map(jnp.exp, params)
  angle, speed = state
  for _ in range(3):
    torque = action[0] - damping * speed + mass * GRAVITY * length * jnp.sin(angle)
    speed = speed + DT / 3 * torque / (mass * length**2)
    angle = angle + DT / 3 * speed
  reward = jnp.cos(angle) - 0.01 * speed**2 - 0.01 * action[0] ** 2
  return jnp.stack([angle, speed]), reward, jnp.array(False)


def roll(params: Constants, state: Array, actions: Array) -> Array:
  """Returns the states `[T, 2]` after each of `actions [T, 1]`."""
  move = lambda state, action: (step(params, state, action, None)[0],) * 2
  return jax.lax.scan(move, state, actions)[1]


def record(key: Key, count: int = 32, length: int = 20, noise: float = 0.01) -> tuple:
  """Returns starts `[n, 2]`, actions `[n, T, 1]` and noisy states after them `[n, T, 2]`."""
  keys = jax.random.split(key, 3)
  starts = jax.random.uniform(keys[0], (count, 2), minval=-3.0, maxval=3.0)
  actions = jax.random.uniform(keys[1], (count, length, 1), minval=-TORQUE, maxval=TORQUE)
  states = jax.vmap(roll, (None, 0, 0))(TRUE, starts, actions)
  return starts, actions, states + noise * jax.random.normal(keys[2], states.shape)


def identify(data: tuple, guess: Constants = GUESS, updates: int = 400) -> tuple:
  """Fits the constants to `data`; returns them and the loss at each update."""
  starts, actions, states = data
  optimizer = optax.adam(0.03)

  def loss(params: Constants) -> Array:
    error = jax.vmap(roll, (None, 0, 0))(params, starts, actions) - states
    return jnp.mean(error**2)

  def update(carry: tuple, _: None) -> tuple[tuple, Array]:
    params, moments = carry
    value, gradient = jax.value_and_grad(loss)(params)
    change, moments = optimizer.update(gradient, moments)
    return (optax.apply_updates(params, change), moments), value

  carry = guess, optimizer.init(guess)
  (found, _), losses = jax.jit(lambda c: jax.lax.scan(update, c, length=updates))(carry)
  return found, losses


def make_pendulum_planner() -> Planner:
  """Makes a planner whose `plan(params, ...)` accepts the constants."""
  limit = np.float32([TORQUE])
  return make_planner(
    cem(64, 8),
    make_evaluate(Dynamics(step)),
    horizon=25,
    action_low=-limit,
    action_high=limit,
    iterations=3,
  )


def swing_up(planner: Planner, params: Constants, steps: int = 80) -> Array:
  """Plans with `params` in the true system, from hanging; returns the return."""

  def control_step(carry: tuple, key: Key) -> tuple[tuple, Array]:
    state, plan_state = carry
    output, plan_state = planner.plan(params, state, plan_state, key)
    state, reward, _ = step(TRUE, state, output.action, key)
    return (state, plan_state), reward

  start, keys = jnp.array([jnp.pi, 0.0]), jax.random.split(jax.random.key(1), steps)
  return jnp.sum(jax.lax.scan(control_step, (start, planner.init()), keys)[1])


def main() -> None:
  """Identifies the constants; prints them and the returns."""
  found, losses = identify(record(jax.random.key(0)))
  print(f"prediction error {losses[0]:.3g} -> {losses[-1]:.3g}")
  print("          " + "".join(f"{name:>9s}" for name in [*Constants._fields, "return"]))
  planner = make_pendulum_planner()
  planned = jax.jit(lambda params: swing_up(planner, params))
  for name, params in (("true", TRUE), ("guess", GUESS), ("found", found)):
    values = [*np.exp(params), planned(params)]
    print(f"{name:10s}" + "".join(f"{value:9.3f}" for value in values))


if __name__ == "__main__":
  main()
