"""Trains a network to imitate a planner inside Brax's training loop.

  python -m experiments.examples.training_loop

`brax.training.agents.bc.train` runs DAgger in one compiled program: it collects observations,
queries a teacher for actions and fits a network to them. The teacher is a function
`(observations, key) -> (actions, extras)`; here it is a planner, traced into Brax's program.
The result is a network that swings the pendulum up without planning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from brax import envs
from brax.training import acting
from brax.training.agents.bc import networks, train

from mbrl_jax import EnvState, env_dynamics, icem, make_env, make_evaluate, make_planner
from mbrl_jax.envs import PhysicsState
from mbrl_jax.types import Array, Env, Key

STEPS = 100  # of an episode


class BraxPendulum(envs.Env):
  """The pendulum as a Brax environment, with actions from -1 to 1."""

  observation_size = {"state": (3,)}  # noqa: RUF012
  action_size = 1
  backend = "analytic"

  def __init__(self, env: Env):
    self.inner = env

  def reset(self, rng: Array) -> envs.State:
    """Draws an initial state."""
    state = self.inner.reset(rng)
    return envs.State(state, {"state": state.obs}, jnp.zeros(()), jnp.zeros(()))

  def step(self, state: envs.State, action: Array) -> envs.State:
    """Takes one control step."""
    action = self.inner.spec.action_high * action
    inner, transition = self.inner.step(state.pipeline_state, action, None)
    obs = {"state": inner.obs}
    return state.replace(pipeline_state=inner, obs=obs, reward=transition.reward)


def make_teacher(env: Env, samples: int = 32, iterations: int = 3) -> Callable:
  """Makes a Brax policy that plans from scratch for every observation."""
  planner = make_planner(
    icem(samples, elites=6),
    make_evaluate(env_dynamics(env)),
    horizon=40,
    knots=8,
    action_low=env.spec.action_low,
    action_high=env.spec.action_high,
    iterations=iterations,
  )

  def one(obs: Array) -> Array:
    physics = PhysicsState(jnp.arctan2(obs[1], obs[0])[None], obs[2:])
    state = EnvState(physics, obs, jnp.zeros((), jnp.int32))
    # A constant key: the network should imitate a deterministic policy.
    output, _ = planner.plan(None, state, planner.init(), jax.random.key(0))
    return output.action / env.spec.action_high

  def teacher(observations: dict[str, Array], key: Key | None) -> tuple[Array, dict]:
    actions = jax.vmap(one)(observations["state"])
    return actions, {"loc": jnp.arctanh(0.98 * actions)}  # Brax's networks squash by tanh

  return teacher


def imitate(dagger_steps: int = 30, num_envs: int = 32, **planner: int) -> dict[str, float]:
  """Trains with Brax's loop; returns the mean returns of network and teacher."""
  inner = make_env("pendulum")
  env, teacher = envs.training.wrap(BraxPendulum(inner), STEPS), make_teacher(inner, **planner)
  returns: list[float] = []
  train.train(
    env=env,
    teacher_inference_fn=teacher,
    dagger_steps=dagger_steps,
    num_envs=num_envs,
    demo_length=50,
    batch_size=num_envs,
    epochs=2,
    learning_rate=4e-3,
    num_evals=2,
    num_eval_envs=64,
    eval_length=STEPS,
    network_factory=partial(
      networks.make_bc_networks, policy_hidden_layer_sizes=(64, 64), policy_obs_key="state"
    ),
    progress_fn=lambda step, metrics: returns.append(float(metrics["eval/episode_reward"])),
  )
  key = jax.random.PRNGKey(1)  # Brax reads the shape of keys, which typed keys lack
  start = jax.jit(env.reset)(jax.random.split(key, num_envs))
  _, rollout = acting.generate_unroll(env, start, teacher, key, STEPS)
  planned = float(jnp.mean(jnp.sum(rollout.reward, axis=0)))
  return {"untrained network": returns[0], "trained network": returns[1], "planner": planned}


def main() -> None:
  """Trains the network and prints the mean returns."""
  for name, value in imitate().items():
    print(f"{name:18s} mean return {value:7.1f}")


if __name__ == "__main__":
  main()
