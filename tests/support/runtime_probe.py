"""A small task and algorithm for tests of the training loop; also a training program."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.algorithms.step import init_state, make_evaluation, make_step
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.training import loop
from mbrl_jax.types import (
  Algorithm,
  Budget,
  EnvSpec,
  EnvState,
  Metrics,
  Success,
  TrainState,
  Transition,
)

LENGTH = 6


class ProbeEnv:
  """Random walk that terminates above a limit, so that episodes differ in length."""

  def __init__(self, limit: float = 2.0, success: Success | None = None):
    self.spec = EnvSpec(
      name="probe",
      obs_dim=2,
      action_low=np.full(1, -1.0, np.float32),
      action_high=np.full(1, 1.0, np.float32),
      dt=0.1,
      episode_length=LENGTH,
      reward=lambda obs, action, next_obs: next_obs[0],
      terminated=lambda obs, action, next_obs: next_obs[1] > limit,
      success=success,
    )

  def reset(self, key: Any) -> EnvState:
    obs = 0.1 * jax.random.normal(key, (2,))
    return EnvState(obs, obs, jnp.zeros((), jnp.int32))

  def step(self, state: EnvState, action: Any, key: Any) -> tuple[EnvState, Transition]:
    obs = state.obs + action + 0.3 * jax.random.normal(key, (2,))
    steps = state.steps + 1
    reward = self.spec.reward(state.obs, action, obs)
    terminated = self.spec.terminated(state.obs, action, obs)
    truncated = (steps >= LENGTH) & ~terminated
    return EnvState(obs, obs, steps), Transition(
      state.obs, action, reward, obs, terminated, truncated
    )

  def observe(self, physics: Any) -> Any:
    return physics

  def pose(self, state: EnvState) -> Any:
    return state.obs


class Learn(NamedTuple):
  w: Any
  count: Any
  due: Any
  total: Any


class BrokenEnd(ProbeEnv):
  """Observes NaN where an episode terminates."""

  def step(self, state: EnvState, action: Any, key: Any) -> tuple[EnvState, Transition]:
    after, row = super().step(state, action, key)
    return after, row._replace(next_obs=jnp.where(row.terminated, jnp.nan, row.next_obs))


def probe_algorithm(poison: int = -1, predict: bool = False, episodes: int = 0) -> Algorithm:
  """Makes an algorithm that acts at random with a drifting parameter.

  Args:
    poison: step after which the parameter becomes NaN; -1: never.
    predict: whether ``act`` reports predictions.
    episodes: number of episodes of a run; each starts after the update of the last one.
  """

  def init(key: Any, envs: int = 1) -> TrainState:
    learn = Learn(jnp.zeros(3), jnp.int32(0), jnp.zeros((), bool), jnp.float32(0.0))
    return TrainState(learn, jnp.full(envs, LENGTH, jnp.int32), None, key, jnp.int32(0))

  def act(w: Any, left: Any, obs: Any, key: Any) -> Any:
    action = jnp.clip(0.3 * jax.random.normal(key, (1,)) + w[:1], -1.0, 1.0)
    info = {"value": action[0], "nonfinite": jnp.int32(1), "random": 1.0 * (left > 0)}
    if predict:
      info["prediction"] = obs + jax.random.normal(key, (4, 5, 2))
    return action, jnp.maximum(left - 1, 0), info

  def observe(state: TrainState, transitions: Transition) -> TrainState:
    learn = state.learn
    due = learn.due | (transitions.terminated | transitions.truncated).any()
    count, total = learn.count + len(transitions.reward), learn.total + transitions.reward.sum()
    return state._replace(learn=Learn(learn.w, count, due, total))

  def update(state: TrainState) -> Any:
    learn, due = state.learn, state.learn.due
    shift = jnp.where(due, 0.01 * jnp.sin(learn.total), 0.0)
    bad = (learn.count > poison) & (poison >= 0)
    w = learn.w + jnp.where(bad, jnp.nan, shift)
    state = state._replace(learn=learn._replace(w=w, due=learn.due & False))
    metrics = {"loss": learn.total, "mse": jnp.ones(5) * shift, "ran": due.astype(jnp.float32)}
    return state, metrics

  return Algorithm(
    init=init,
    params=lambda state: state.learn.w,
    act=act,
    reset=lambda w, left: left,
    observe=observe,
    update=update,
    budget=Budget({}, "", episodes=episodes),
    deploy=lambda w: (w, jnp.int32(0)),
    idle=(lambda state: state.learn.due) if episodes else None,
  )


def run(
  path: Path,
  total: int,
  *,
  resume=False,
  seeds=None,
  delay=0.0,
  when=None,
  steps=2,
  rest=0,
  env=None,
  envs=1,
  after_chunk=None,
  **options,
):
  """Trains the probe in ``path``; ``when`` are fields of ``loop.Schedule``."""
  env, algorithm = env or ProbeEnv(), probe_algorithm(**options)
  if seeds:
    keys = jax.vmap(jax.random.key)(jnp.array(seeds))
    state = jax.vmap(lambda key: init_state(algorithm, env, key, envs))(keys)
  else:
    state = init_state(algorithm, env, jax.random.key(0), envs)
  width = len(seeds) if seeds else None
  make = lambda steps: make_step(algorithm, env, steps=steps, envs=envs, seeds=width)
  whole = loop.Segment(make(steps), total - rest)
  segments = [whole, loop.Segment(make(rest), total)] if rest else make(steps)
  rollout = make_evaluation(algorithm, env, episodes=2)

  def evaluate(state: TrainState, steps: int) -> Metrics:
    if delay:
      time.sleep(delay)
      return {"return": np.zeros(2)}
    key = jax.random.fold_in(jax.random.key(1), steps)
    if seeds:
      params = jax.vmap(algorithm.params)(state)
      return jax.vmap(lambda w: rollout(w, key))(params)
    return rollout(algorithm.params(state), key)

  open_folder = run_folder.open_run if resume is not False else None
  folder = open_folder(path) if open_folder else run_folder.create(path, {"algo": "probe"})
  schedule = loop.Schedule(total_steps=total, **(when or {}))
  return loop.train(
    segments,
    state,
    folder,
    schedule,
    seeds=seeds,
    envs=envs,
    evaluate=evaluate,
    resume=resume,
    after_chunk=after_chunk,
  )


if __name__ == "__main__":
  print("start", flush=True)
  done = run(
    Path(sys.argv[1]),
    int(sys.argv[2]),
    resume="resume" in sys.argv,
    seeds=[3, 4] if "seeds" in sys.argv else None,
    when={"eval_every": 1 if "seeds" in sys.argv or "slow" in sys.argv else 0},
    delay=0.05 if "slow" in sys.argv else 0.0,
  )
  print("end", done.step, done.signal, flush=True)
