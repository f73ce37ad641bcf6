"""Takes gradient steps of Stable-Baselines3's soft actor-critic for the benchmark.

Its public class ``SAC`` with its default nets and temperature learning, on torch's CPU threads
as torch sets them. Run by ``experiments.benchmark --peer=sb3``, in any Python that has it.
"""

from __future__ import annotations

import time

import numpy as np

from experiments.benchmark.peers import protocol, sac_sizes

INSTALL = "python -m experiments.benchmark.peers.install sb3"
ENVS = 8
"""Processes with an environment each."""
JOBS = ("setup_sac", "learn", "setup_train", "train", "info")


def _task():
  """Makes an environment that only has the sizes; it is never stepped."""
  import gymnasium

  class Sized(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (sac_sizes.OBS_DIM,))
    action_space = gymnasium.spaces.Box(-1, 1, (sac_sizes.ACTION_DIM,))

  return Sized()


class Jobs:
  """What this worker holds between requests."""

  name, packages = "stable-baselines3", ("stable-baselines3", "torch")

  def sac(self):
    """Returns the class that is measured."""
    import stable_baselines3

    return stable_baselines3.SAC

  def setup_sac(self, seeds: int, steps: int) -> dict:
    """Fills the buffer and takes the first steps."""
    from stable_baselines3.common.logger import Logger

    if seeds != 1:
      raise ValueError(f"{self.name} has one seed in a process, got {seeds}.")
    model = self.sac()(
      "MlpPolicy",
      _task(),
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
    """Takes the steps of one turn."""
    start = time.perf_counter()
    self.model.train(gradient_steps=self.steps, batch_size=sac_sizes.BATCH)
    seconds = time.perf_counter() - start
    loss = self.model.logger.name_to_value["train/critic_loss"]
    return {"seconds": seconds, "finite": bool(np.isfinite(loss))}

  def setup_train(self, task: str, steps: int, per_update: int) -> dict:
    """Starts the environments in processes and takes the first steps.

    Args:
      task: an id of Gymnasium's.
      steps: environment steps of a turn.
      per_update: environment steps for each gradient step.
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
    """Takes the environment steps of one turn, and the gradient steps that they are worth."""
    start = time.perf_counter()
    self.model.learn(self.steps, log_interval=None, reset_num_timesteps=False)
    seconds = time.perf_counter() - start
    loss = self.model.logger.name_to_value["train/critic_loss"]
    return {"seconds": seconds, "finite": bool(np.isfinite(loss))}

  def info(self) -> dict:
    """Reports versions, and so whether the library is there at all."""
    from importlib.metadata import PackageNotFoundError, version

    try:
      versions = {name: version(name) for name in self.packages}
    except PackageNotFoundError as error:
      raise ImportError(
        f"{error}. Install {self.name} with\n  {INSTALL}\n"
        "and pass --peer_python=peers/sb3/bin/python to the benchmark."
      ) from error
    return {"name": self.name, **versions}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in JOBS})
