"""Defines the flags of ``experiments.train`` and describes the config for ``--help``."""

from __future__ import annotations

from absl import flags

from experiments.command_line import config_flags, env_reference
from mbrl_jax.algorithms import default_config, list_algorithms
from mbrl_jax.planners import SEARCHES

EVALUATION = ("eval_every", "eval_steps", "eval_episodes")
STORED = (
  *("algo", "env", "env_schedule", "init_policy", "physics", "preset"),
  *("seed", "seeds", "envs", *EVALUATION),
)
"""Flags that ``config.json`` stores; a resumed run reads them from there."""


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  here = {"flag_values": values}
  flags.DEFINE_string("algo", "pets", f"Algorithm: {', '.join(list_algorithms())}.", **here)
  flags.DEFINE_string("env", "cartpole", f"Task: {env_reference.known()}.", **here)
  flags.DEFINE_string(
    "env_schedule",
    "",
    "Changes of the task in mid-training, STEP:NAME=VALUE,STEP:NAME=VALUE: the arguments "
    "--env.NAME from that environment step on, such as 20000:forearm=0.2,40000:forearm=0.321. "
    "A multiple of --config.update_every, where the config has that field.",
    **here,
  )
  flags.DEFINE_string(
    "init_policy",
    "",
    "Run whose policy the new run starts with: RUN (newest checkpoint), RUN:STEP or RUN:best, "
    "such as runs/npg:best. Both algorithms must have a Gaussian policy of the same sizes; "
    "--algo=dagger imitates the planner of a run of mbmf or pets instead.",
    **here,
  )
  flags.DEFINE_string("logdir", None, "Run folder. Default: runs/ALGO_ENV_seedN.", **here)
  _define_sizes(values)
  flags.DEFINE_string(
    "preset",
    "cpu",
    "cpu (small, for two cores), paper (as published), or another of --algo's.",
    **here,
  )
  flags.DEFINE_string(
    "physics",
    "auto",
    "Simulator: mjx, mujoco (C engine) or auto (depends on the device).",
    **here,
  )
  flags.DEFINE_bool(
    "resume", False, "Continue the run in --logdir exactly where it stopped.", **here
  )
  flags.DEFINE_integer(
    "step", None, "With --resume: continue from this checkpoint and discard later ones.", **here
  )
  _define_schedule(values)
  _define_outputs(values)


def _define_outputs(values: flags.FlagValues) -> None:
  """Defines the flags of what a run writes."""
  here = {"flag_values": values}
  flags.DEFINE_bool("rollouts", True, "Write all rollouts to logs.npz and logs.mat.", **here)
  flags.DEFINE_bool("video", True, "Write a video of the last rollout.", **here)
  flags.DEFINE_string(
    "wandb",
    None,
    "Weights & Biases project that also receives the metrics (extra 'wandb').",
    **here,
  )
  flags.DEFINE_string(
    "compilation_cache", None, "Folder of the cache of compiled programs.", **here
  )


def _define_sizes(values: flags.FlagValues) -> None:
  """Defines the flags of seeds, environments and devices."""
  here = {"flag_values": values}
  flags.DEFINE_integer(
    "seed", 0, "Seed; equal seeds give equal runs on one machine.", 0, **here
  )
  flags.DEFINE_integer(
    "seeds", 1, "Number of seeds to train at once, starting at --seed.", 1, **here
  )
  flags.DEFINE_integer(
    "envs",
    1,
    "Environments that each learner steps at once. Steps and trials are counted over all of "
    "them, so this number must divide the config's numbers of steps or trials.",
    1,
    **here,
  )
  flags.DEFINE_integer(
    "devices",
    1,
    "Devices that share the seeds equally; on a CPU, cores count as devices.",
    1,
    **here,
  )


def _define_schedule(values: flags.FlagValues) -> None:
  """Defines the flags of evaluations and checkpoints."""
  here = {"flag_values": values}
  flags.DEFINE_integer(
    "eval_every",
    None,
    "Trials between evaluations in separate episodes; 0: the training episodes are the "
    "evaluation, as in the original PETS. Default: 5 for runs that count trials.",
    0,
    **here,
  )
  flags.DEFINE_integer(
    "eval_steps",
    None,
    "Environment steps between evaluations, instead of --eval_every; a multiple of "
    "--config.update_every or --config.batch. Default: a twentieth of the run, for runs that "
    "count steps.",
    0,
    **here,
  )
  flags.DEFINE_integer(
    "eval_episodes",
    None,
    "Episodes per evaluation. Default: 10 for runs that count steps, otherwise 1.",
    1,
    **here,
  )
  flags.DEFINE_integer(
    "checkpoint_every",
    None,
    "Episodes between checkpoints. Default: 1; for runs that count steps, a twentieth of the "
    "run.",
    1,
    **here,
  )
  flags.DEFINE_integer(
    "keep", 2, "Newest checkpoints to keep, in addition to the best.", 1, **here
  )


def more_help(argv: list[str]) -> str:
  """Describes the config that results from the arguments given with ``--help``."""
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
