"""The flags of ``experiments.train`` and its help."""

from __future__ import annotations

from absl import flags

from experiments.command_line import config_flags, env_reference
from mbrl_jax.algorithms import default_config, list_algorithms
from mbrl_jax.planners import SEARCHES

EVALUATION = ("eval_every", "eval_steps", "eval_episodes")
STORED = ("algo", "env", "physics", "preset", "seed", "seeds", "envs", *EVALUATION)
"""Flags that ``config.json`` keeps and that a resumed run takes from there."""


def define() -> None:
  """Defines the flags."""
  flags.DEFINE_string("algo", "pets", f"Algorithm: {', '.join(list_algorithms())}.")
  flags.DEFINE_string("env", "cartpole", f"Task: {env_reference.known()}.")
  flags.DEFINE_string("logdir", None, "Folder of the run. Default: runs/ALGO_ENV_SEED.")
  flags.DEFINE_integer("seed", 0, "Seed; equal seeds give equal runs on one machine.", 0)
  flags.DEFINE_integer("seeds", 1, "Seeds to train at once: --seed and those after it.", 1)
  flags.DEFINE_integer(
    "envs",
    1,
    "Environments that each learner acts in at once. Steps are counted over all of them, so it "
    "divides the config's counts of steps, or of trials.",
    1,
  )
  flags.DEFINE_integer(
    "devices",
    1,
    "Devices to train the seeds on, each its share of --seeds; cores count as devices on CPUs.",
    1,
  )
  flags.DEFINE_string("preset", "cpu", "cpu (small, for two cores) or paper (the original's).")
  flags.DEFINE_string(
    "physics", "auto", "mjx, mujoco (C engine), or auto: what suits the device."
  )
  flags.DEFINE_bool("resume", False, "Continue the run in --logdir exactly where it stopped.")
  flags.DEFINE_integer(
    "step", None, "With --resume: continue from this checkpoint; what came later is dropped."
  )
  _define_schedule()
  flags.DEFINE_bool("rollouts", True, "Write all rollouts to logs.npz and logs.mat.")
  flags.DEFINE_bool("video", True, "Write a video of the last rollout.")
  flags.DEFINE_string(
    "wandb", None, "Project of Weights & Biases that the metrics go to as well (extra 'wandb')."
  )
  flags.DEFINE_string("compilation_cache", None, "Folder in which compiled programs are kept.")


def _define_schedule() -> None:
  """Defines the flags that say when a run is evaluated and saved."""
  flags.DEFINE_integer(
    "eval_every",
    None,
    "Trials between evaluations in episodes of their own; 0: the training episodes are the "
    "evaluation, as in the original PETS. Default: 5 where the run is counted in trials.",
    0,
  )
  flags.DEFINE_integer(
    "eval_steps",
    None,
    "Environment steps between evaluations, in place of --eval_every; a multiple of "
    "--config.update_every. Default: a twentieth of the run where it is counted in steps.",
    0,
  )
  flags.DEFINE_integer(
    "eval_episodes",
    None,
    "Episodes of one evaluation. Default: 10 where the run is counted in steps, else 1.",
    1,
  )
  flags.DEFINE_integer(
    "checkpoint_every",
    None,
    "Episodes between checkpoints. Default: 1, or with each evaluation where the run is "
    "counted in steps.",
    1,
  )
  flags.DEFINE_integer("keep", 2, "Newest checkpoints to keep besides the best.", 1)


def more_help(argv: list[str]) -> str:
  """Describes the config that the arguments given with ``--help`` lead to."""
  typed = dict(word.lstrip("-").split("=", 1) for word in argv[1:] if "=" in word)
  algo = typed.get("algo") if typed.get("algo") in list_algorithms() else "pets"
  known = config_flags.presets(algo)
  preset = typed.get("preset") if typed.get("preset") in known else "cpu"
  values = config_flags.preset_values(algo, preset, typed.get("env", "cartpole"))
  config = config_flags.override(default_config(algo), values)
  planner = typed.get("config.planner.name")
  if planner in SEARCHES and "planner.name" in config_flags.fields(config):
    config = config_flags.override(config, {"planner.name": planner})
  title = f"Config of {algo} with --preset={preset} (presets: {', '.join(known)}):\n"
  return title + config_flags.describe(config_flags.fields(config))
