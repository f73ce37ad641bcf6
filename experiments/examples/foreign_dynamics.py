"""Plans over other simulators: a function of another signature, and an `mjx.Model`.

  python -m experiments.examples.foreign_dynamics

Any function `(params, state, action, key) -> (state, reward, terminated)` can be the model of
a planner. The state is any pytree; no registration or base class is needed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax import Dynamics, icem, make_evaluate, make_planner, mppi
from mbrl_jax.envs import mjx_dynamics, mjx_model, mjx_state
from mbrl_jax.types import Array

ARM = """<mujoco><option timestep="0.01"/><worldbody>
  <body><joint name="shoulder" axis="0 1 0" damping="0.1"/>
    <geom type="capsule" fromto="0 0 0 0 0 -0.4" size="0.03" mass="0.5"/>
    <body pos="0 0 -0.4"><joint name="elbow" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.4" size="0.03" mass="0.5" contype="0"/></body>
  </body></worldbody>
  <actuator><motor joint="shoulder" gear="4" ctrlrange="-1 1"/>
    <motor joint="elbow" gear="2" ctrlrange="-1 1"/></actuator></mujoco>"""


def their_step(u: Array, robot: dict, *, dt: float) -> dict:
  """Simulates a unicycle, as an example of code that you cannot change."""
  speed, turn = u
  heading = robot["heading"] + dt * turn
  position = robot["position"] + dt * speed * jnp.stack([jnp.cos(heading), jnp.sin(heading)])
  cost = jnp.sum(position**2) + 0.01 * jnp.sum(u**2)
  return {"robot": {"position": position, "heading": heading}, "cost": cost}


def step(params: float, state: dict, action: Array, key: Array) -> tuple:
  """Wraps `their_step`: order of arguments, sign of the cost, no termination."""
  answer = their_step(action, state, dt=params)
  return answer["robot"], -answer["cost"], jnp.array(False)


def drive(steps: int = 60, samples: int = 64) -> tuple[float, float]:
  """Drives to the origin; returns the distances before and after in metres."""
  planner = make_planner(
    icem(samples),
    make_evaluate(Dynamics(step)),
    horizon=15,
    action_low=[-1.0, -2.0],
    action_high=[1.0, 2.0],
    iterations=3,
  )
  plan, plan_state, dt = jax.jit(planner.plan), planner.init(), np.float32(0.1)
  start = robot = {"position": jnp.array([-1.0, 1.5]), "heading": jnp.array(0.0)}
  for key in jax.random.split(jax.random.key(0), steps):
    output, plan_state = plan(dt, robot, plan_state, key)
    robot = their_step(output.action, robot, dt=dt)["robot"]
  return tuple(float(jnp.linalg.norm(x["position"])) for x in (start, robot))


def reach(steps: int = 60, samples: int = 32) -> tuple[float, float]:
  """Raises an arm in MJX; returns the height of its tip before and after in metres."""
  height = lambda obs: -0.4 * (jnp.cos(obs[0]) + jnp.cos(obs[0] + obs[1]))

  # From a model file to an action.
  model = mujoco.MjModel.from_xml_string(ARM)
  reward = lambda obs, action, next_obs: height(next_obs) - 0.01 * jnp.sum(next_obs[2:] ** 2)
  dynamics = mjx_dynamics(model, reward=reward, substeps=4)  # obs is [positions, velocities]
  low, high = model.actuator_ctrlrange.T
  search, evaluate = mppi(samples, ess_fraction=0.1), make_evaluate(dynamics)
  planner = make_planner(
    search, evaluate, horizon=12, knots=4, action_low=low, action_high=high, iterations=2
  )
  params, state, plan_state = mjx_model(model), mjx_state(model), planner.init()
  plan = jax.jit(planner.plan)

  move, heights = jax.jit(dynamics.step), [float(height(state.qpos))]
  for key in jax.random.split(jax.random.key(0), steps):
    output, plan_state = plan(params, state, plan_state, key)
    state, _, _ = move(params, state, output.action, None)  # MJX draws nothing
    heights.append(float(height(state.qpos)))
  return heights[0], heights[-1]


def main() -> None:
  """Runs both and prints the results."""
  print("unicycle: distance from the goal {:.2f} m -> {:.2f} m".format(*drive()))
  print("MJX arm: height of the tip {:.2f} m -> {:.2f} m (0.80 is upright)".format(*reach()))


if __name__ == "__main__":
  main()
