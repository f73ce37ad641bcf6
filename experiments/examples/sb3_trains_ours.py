"""Stable-Baselines3's soft actor-critic learns one of our tasks.

  pip install stable-baselines3
  python -m experiments.examples.sb3_trains_ours --out=sb3_pendulum.csv

Writes a row for each evaluation: environment steps, mean return and its deviation.
"""

from __future__ import annotations

from typing import Any

from absl import app, flags

from experiments.examples.brax_trains_ours import row, write
from mbrl_jax import make_env, to_gymnasium

EPISODES = 10
"""Of an evaluation."""


def train(name: str, *, steps: int, evaluations: int, seed: int) -> list[dict[str, float]]:
  """Trains and returns the rows."""
  from stable_baselines3 import SAC
  from stable_baselines3.common.callbacks import BaseCallback
  from stable_baselines3.common.evaluation import evaluate_policy
  from stable_baselines3.common.monitor import Monitor

  task, every = make_env(name), max(1, steps // evaluations)
  shown = Monitor(to_gymnasium(task))
  rows: list[dict[str, float]] = []

  class Evaluate(BaseCallback):
    def _on_step(self) -> bool:
      if self.num_timesteps % every == 0:
        found = evaluate_policy(self.model, shown, EPISODES, deterministic=True)
        rows.append(row(self.num_timesteps, seed, *found))
      return True  # go on

  settings: dict[str, Any] = {"policy_kwargs": {"net_arch": [64, 64]}, "learning_starts": 1000}
  model = SAC(
    "MlpPolicy", to_gymnasium(task), learning_rate=1e-3, seed=seed, device="cpu", **settings
  )
  model.learn(steps, callback=Evaluate())
  return rows


def main(argv: list[str]) -> None:
  """Trains and writes the table."""
  del argv
  options = flags.FLAGS
  rows = train(
    options.env, steps=options.steps, evaluations=options.evaluations, seed=options.seed
  )
  write(options.out, rows)


if __name__ == "__main__":
  flags.DEFINE_string("env", "pendulum", "Task.")
  flags.DEFINE_integer("steps", 5_000, "Environment steps.", 1)
  flags.DEFINE_integer("evaluations", 25, "Evaluations.", 1)
  flags.DEFINE_integer("seed", 0, "Seed.")
  flags.DEFINE_string("out", "sb3.csv", "Table to write.")
  app.run(main)
