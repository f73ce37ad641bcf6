"""Trains Stable-Baselines3's soft actor-critic on a task of mbrl_jax.

  pip install stable-baselines3
  python -m experiments.examples.sb3_trains_ours --out=sb3_pendulum.csv

Writes a row per evaluation: environment steps, mean and standard deviation of the return.
"""

from __future__ import annotations

from typing import Any

from absl import flags

from experiments.examples import brax_trains_ours
from mbrl_jax import make_env, to_gymnasium

EPISODES = 10
"""Episodes per evaluation."""


def train(name: str, *, steps: int, evaluations: int, seed: int) -> list[dict[str, float]]:
  """Trains SB3's SAC on the task ``name``; returns a row per evaluation."""
  from stable_baselines3 import SAC
  from stable_baselines3.common.callbacks import BaseCallback
  from stable_baselines3.common.evaluation import evaluate_policy
  from stable_baselines3.common.monitor import Monitor

  task, every = make_env(name), max(1, steps // evaluations)
  eval_env = Monitor(to_gymnasium(task))
  rows: list[dict[str, float]] = []

  class Evaluate(BaseCallback):
    def _on_step(self) -> bool:
      if self.num_timesteps % every == 0:
        found = evaluate_policy(self.model, eval_env, EPISODES, deterministic=True)
        rows.append(brax_trains_ours.row(self.num_timesteps, seed, *found))
      return True  # continue training

  settings: dict[str, Any] = {"policy_kwargs": {"net_arch": [64, 64]}, "learning_starts": 1000}
  model = SAC(
    "MlpPolicy", to_gymnasium(task), learning_rate=1e-3, seed=seed, device="cpu", **settings
  )
  model.learn(steps, callback=Evaluate())
  return rows


if __name__ == "__main__":
  brax_trains_ours.define("sb3.csv")
  flags.adopt_module_key_flags(brax_trains_ours)  # so that --help lists them
  flags.DEFINE_integer("steps", 5_000, "Environment steps.", 1)
  flags.DEFINE_integer("evaluations", 25, "Evaluations.", 1)
  brax_trains_ours.run(train)
