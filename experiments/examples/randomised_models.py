"""Plans over 8 randomised MJX models at once, for their mean and for the worst cases (CVaR).

  python -m experiments.examples.randomised_models

A slide must reach a goal without overshoot; its mass and the gain of its motor are unknown.
`randomise` makes eight models from one. To a planner they are slices of the dynamics, like the
members of an ensemble; a risk measure sets the weight of bad cases.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax import icem, make_evaluate, make_planner
from mbrl_jax.envs import mjx_dynamics, mjx_model, mjx_state, randomise
from mbrl_jax.ops import risk
from mbrl_jax.types import Array, Dynamics, Key, Planner

SLIDE = """<mujoco><option timestep="0.05" gravity="0 0 0"/><worldbody>
  <body><joint name="slide" type="slide" axis="1 0 0" damping="3"/>
    <geom size="0.1" mass="1"/></body></worldbody>
  <actuator><motor joint="slide" gear="8" ctrlrange="-1 1"/></actuator></mujoco>"""
GOAL, STEEP = 1.0, 30.0
RANGES = {"masses": (0.5, 2.0), "gains": (0.7, 1.3)}
NAMES = ("nominal model", "8 models, mean", "8 models, CVaR 0.25")


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Penalises the distance from the goal, `STEEP` times more beyond it."""
  ahead = next_obs[0] - GOAL
  return -jnp.abs(ahead) - STEEP * jnp.maximum(ahead, 0.0)


def make(dynamics: Dynamics, over_models: risk.Risk, samples: int) -> Planner:
  """Makes a planner with a risk measure over models."""
  evaluate = make_evaluate(dynamics, risk=over_models)
  sizes = {"horizon": 15, "iterations": 3}
  # Equal populations: MJX is compiled once, not three times.
  search = icem(samples, sample_decay=1.0)
  return make_planner(search, evaluate, action_low=[-1.0], action_high=[1.0], **sizes)


def compare(steps: int = 20, systems: int = 16, samples: int = 48) -> dict[str, Array]:
  """Returns the returns `[systems]` of each planner in systems that none of them knows."""
  model = mujoco.MjModel.from_xml_string(SLIDE)
  make_dynamics = lambda **kwargs: mjx_dynamics(model, reward=reward, substeps=2, **kwargs)
  models = randomise(model, jax.random.key(0), 8, **RANGES)
  truths = randomise(model, jax.random.key(1), systems, **RANGES)
  nominal, eight = make_dynamics(), make_dynamics(slices=8, params_axes=models.axes)

  def episode(planner: Planner, params: object, truth: object, key: Key) -> Array:
    def control_step(carry: tuple, key: Key) -> tuple[tuple, Array]:
      state, plan_state = carry
      output, plan_state = planner.plan(params, state, plan_state, key)
      state, value, _ = nominal.step(truth, state, output.action, None)  # deterministic
      return (state, plan_state), value

    start = mjx_state(model), planner.init()
    return jnp.sum(jax.lax.scan(control_step, start, jax.random.split(key, steps))[1])

  returns, keys = {}, jax.random.split(jax.random.key(2), systems)
  planners = (
    (make(nominal, risk.mean(), samples), mjx_model(model)),
    (make(eight, risk.mean(), samples), models.params),
    (make(eight, risk.cvar(0.25), samples), models.params),
  )
  for name, (planner, params) in zip(NAMES, planners, strict=True):
    run = lambda truth, key, p=planner, params=params: episode(p, params, truth, key)
    returns[name] = jax.jit(jax.vmap(run, (truths.axes, 0)))(truths.params, keys)
  return returns


def main() -> None:
  """Prints the mean and the worst return of each planner."""
  for name, values in compare().items():
    values = np.asarray(values)
    print(f"{name:20s} return {values.mean():6.2f}, worst {values.min():6.2f}")


if __name__ == "__main__":
  main()
