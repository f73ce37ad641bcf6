"""Takes gradient steps of Stable-Baselines3's soft actor-critic for the benchmark.

Uses its public class ``SAC`` with its default nets and learned temperature, on torch's default
number of CPU threads. Run by ``experiments.benchmark --peer=sb3``, in a Python in which it is
installed.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol, sac_sizes, versions

VENV = "sb3"
"""Virtual environment of ``peers.install``."""
ENVS = 8
"""Environment processes."""
JOBS = ("setup_sac", "learn", "setup_train", "train", "info")


def _space_env() -> Any:
  """Makes an environment that only defines the spaces; it is never stepped."""
  import gymnasium

  class SpaceEnv(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (sac_sizes.OBS_DIM,))
    action_space = gymnasium.spaces.Box(-1, 1, (sac_sizes.ACTION_DIM,))

  return SpaceEnv()


class Jobs:
  """Trains; keeps the learner between requests."""

  name, packages = "stable-baselines3", ("stable-baselines3", "torch")

  def sac(self) -> Any:
    """Returns the class to measure."""
    import stable_baselines3

    return stable_baselines3.SAC

  def setup_sac(self, seeds: int, steps: int) -> dict:
    """Fills the buffer and takes the first steps."""
    from stable_baselines3.common.logger import Logger

    if seeds != 1:
      raise ValueError(f"{self.name} trains one seed per process, got seeds={seeds}.")
    model = self.sac()(
      "MlpPolicy",
      _space_env(),
      batch_size=sac_sizes.BATCH,
      buffer_size=sac_sizes.ROWS,
      policy_kwargs={"net_arch": list(sac_sizes.HIDDEN)},
      seed=0,
      device="cpu",
    )
    model.set_logger(Logger(None, []))
    rows = sac_sizes.transitions()
    for obs, next_obs, action, reward in zip(
      rows["obs"], rows["next_obs"], rows["action"], rows["reward"], strict=True
    ):
      one = [x[None] for x in (obs, next_obs, action, reward)]
      model.replay_buffer.add(*one, np.zeros(1, bool), [{}])
    self.model, self.steps = model, steps
    self.learn()
    return {"compile_seconds": 0.0}

  def learn(self) -> dict:
    """Takes the gradient steps of one round."""
    start = time.perf_counter()
    self.model.train(gradient_steps=self.steps, batch_size=sac_sizes.BATCH)
    seconds = time.perf_counter() - start
    loss = self.model.logger.name_to_value["train/critic_loss"]
    return {"seconds": seconds, "finite": bool(np.isfinite(loss))}

  def setup_train(self, task: str, steps: int, per_update: int) -> dict:
    """Starts the environment processes and takes the first steps.

    Args:
      task: Gymnasium environment id.
      steps: environment steps per round.
      per_update: environment steps per gradient step.
    """
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.vec_env import SubprocVecEnv

    self.model = self.sac()(
      "MlpPolicy",
      make_vec_env(task, ENVS, seed=0, vec_env_cls=SubprocVecEnv),
      batch_size=sac_sizes.BATCH,
      buffer_size=100_000,
      learning_starts=1024,
      train_freq=per_update // ENVS,
      gradient_steps=1,
      policy_kwargs={"net_arch": list(sac_sizes.HIDDEN)},
      seed=0,
      device="cpu",
    )
    self.model.set_logger(Logger(None, []))
    self.steps = steps
    self.train()
    return {"compile_seconds": 0.0}

  def train(self) -> dict:
    """Takes the environment and gradient steps of one round."""
    start = time.perf_counter()
    self.model.learn(self.steps, log_interval=None, reset_num_timesteps=False)
    seconds = time.perf_counter() - start
    loss = self.model.logger.name_to_value["train/critic_loss"]
    return {"seconds": seconds, "finite": bool(np.isfinite(loss))}

  def info(self) -> dict:
    """Returns versions; raises ``ImportError`` if the library is not installed."""
    return {"name": self.name, **versions.versions(self.name, VENV, self.packages)}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in JOBS})
