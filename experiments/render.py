"""Renders a video of an episode: of a run, of a stored rollout, or of a task without a run.

  python -m experiments.render --run=runs/demo
  python -m experiments.render --run=runs/demo --rollout=3
  python -m experiments.render --env=cartpole --policy=zero --steps=100
  python -m experiments.render --env=my_task.py:make_task --out=random.mp4

--run restores the policy and runs a new episode; with --rollout it renders a stored training
rollout instead. --env needs no run: --policy=random draws uniform actions, --policy=zero
applies zero actions; --env.NAME=VALUE sets an argument of the task. No screen is needed.
Without OpenGL the task is drawn as line segments.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import evaluate, job, random_rollout
from experiments.analysis import pictures
from experiments.command_line import cli, env_reference, outputs
from mbrl_jax.runtime.rendering import video
from mbrl_jax.runtime.storage import audit, rollouts, run_folder
from mbrl_jax.types import Env

Film = tuple[Env, np.ndarray, np.ndarray, Path, str]
"""Task, poses ``[T, Q]``, rewards ``[T]``, file and title."""
RUN_FLAGS = ("step", "best", "rollout", "trained_seed")
"""Flags that require ``--run``."""
NEW_EPISODE_FLAGS = ("step", "best", "seed")
"""Flags that exclude ``--rollout``."""
ENV_FLAGS = ("steps", "physics", "policy")
"""Flags that require ``--env``."""


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  text, whole = flags.DEFINE_string, flags.DEFINE_integer
  for flag, name, default, meaning, *bound in (
    (text, "run", None, "Folder of the run to render."),
    (whole, "step", None, "Step of the checkpoint to restore. Default: the newest."),
    (whole, "rollout", None, "Render this stored training rollout instead; -1 is the last."),
    (whole, "trained_seed", None, "Trained seed to render. Default: the run's first."),
    (text, "env", None, f"Task to render without a run: {env_reference.known()}."),
    (whole, "steps", None, "Control steps, with --env. Default: the episode length.", 1),
    (text, "physics", "auto", "Simulator, with --env: mjx, mujoco (C engine) or auto."),
    (whole, "seed", 0, "Seed of the episode.", 0),
    (text, "out", None, "Video file. Default: in videos/ of the run, or ENV_POLICY.mp4."),
  ):
    flag(name, default, meaning, *bound, flag_values=values)
  flags.DEFINE_bool(
    "best", False, "Restore the checkpoint with the best return.", flag_values=values
  )
  flags.DEFINE_enum(
    "policy",
    None,
    random_rollout.POLICIES,
    "Actions, with --env. Default: random.",
    flag_values=values,
  )


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Renders the video; returns the exit status."""
  console = cli.console()
  if options.env is not None:
    env, poses, rewards, out, title = _run_task(options, dotted)
  else:
    env, poses, rewards, out, title = _run_episode(options, dotted)
  path = pictures.film(Path(options.out or out), env, poses, rewards, title)
  console.print(f"return {float(np.sum(rewards)):.2f}, {len(rewards)} steps", markup=False)
  console.print(f"wrote {path}", markup=False)
  return 0


def _run_task(options: flags.FlagValues, dotted: cli.Dotted) -> Film:
  """Runs an episode of a task without a run."""
  if options.run is not None:
    raise cli.UsageError("--run and --env exclude each other: the task of a run is fixed.")
  _refuse_present(options, RUN_FLAGS, "requires --run")
  for name in dotted["config"]:
    raise cli.UsageError(f"--config.{name}: with --env this program uses no config.")
  env = env_reference.make_checked(options.env, options.physics, dotted["env"])
  _require_drawable(env)
  policy = options.policy or "random"
  out = _out(options, Path(f"{env_reference.label(options.env)}_{policy}.mp4"))
  episode = random_rollout.run(env, policy, steps=options.steps, seed=options.seed)
  return env, episode.poses, episode.rewards, out, f"{env.spec.name}, {policy}"


def _run_episode(options: flags.FlagValues, dotted: cli.Dotted) -> Film:
  """Runs a new episode of a run, or reads a stored one."""
  if options.run is None:
    raise cli.UsageError("Give --run, a run folder, or --env, a task, such as --env=cartpole.")
  cli.refuse(dotted)
  _refuse_present(options, ENV_FLAGS, "requires --env")
  if options.rollout is None:
    return _new_episode(options)
  _refuse_present(options, NEW_EPISODE_FLAGS, "excludes --rollout")
  return _stored_episode(options)


def _require_drawable(env: Env) -> None:
  """Refuses a task that cannot be drawn, before an episode is run."""
  try:
    video.check_drawable(env)
  except ValueError as error:
    raise cli.UsageError(f"Cannot render a video: {error}") from error


def _refuse_present(options: flags.FlagValues, names: tuple[str, ...], why: str) -> None:
  for name in names:
    if options[name].present:
      raise cli.UsageError(f"--{name} {why}.")


def _out(options: flags.FlagValues, default: Path) -> Path:
  """Checks and returns the output file; ``default`` may stand for another in its folder."""
  return outputs.check_file(Path(options.out or default), suffixes=video.SUFFIXES)


def _new_episode(options: flags.FlagValues) -> Film:
  _out(options, evaluate.open_run(options).videos / "step.mp4")
  folder, task, restored = evaluate.restore(options)
  _require_drawable(task.env)
  chosen = _seed_index(options, task)
  rollout, _ = task.evaluation(1, restored.state)
  metrics = rollout(restored.state, evaluate.episodes_key(options.seed))
  if task.seeds:
    metrics = jax.tree.map(lambda x: x[chosen], metrics)
  transition = jax.tree.map(lambda x: x[0], metrics["transition"])
  over = transition.terminated | transition.truncated
  poses, rewards = _cut(over, metrics["pose"][0], transition.reward)
  out = folder.videos / f"step{restored.step:08d}_seed{options.seed}.mp4"
  return task.env, poses, rewards, out, f"{task.env.spec.name}, step {restored.step}"


def _stored_episode(options: flags.FlagValues) -> Film:
  folder = run_folder.open_run(options.run)
  _out(options, folder.videos / "rollout.mp4")
  task = job.build_run(folder)
  _require_drawable(task.env)
  chosen = _seed_index(options, task)
  seed = task.seeds[chosen] if task.seeds else None
  source = folder.logs(seed).with_suffix(".npz")
  if not source.exists():
    raise cli.UsageError(f"{source} does not exist: the run stored no rollouts.")
  audit.check(folder, source.name)
  logs = rollouts.read(source)
  count = len(logs["lengths"])
  if not -count <= options.rollout < count:
    raise cli.UsageError(
      f"--rollout={options.rollout} is out of range: {count} rollouts are stored."
    )
  length = logs["lengths"][options.rollout]
  poses = logs["poses"][options.rollout, :length]
  rewards = logs["rewards"][options.rollout, :length]
  step = int(logs["steps"][options.rollout])
  out = folder.videos / f"rollout{options.rollout % count:03d}.mp4"
  return task.at(step).env, poses, rewards, out, f"{task.env.spec.name}, step {step}"


def _seed_index(options: flags.FlagValues, task: job.Job) -> int:
  seeds = task.seeds or [task.settings["seed"]]
  if options.trained_seed is None:
    return 0
  if options.trained_seed not in seeds:
    raise cli.UsageError(f"--trained_seed={options.trained_seed} is not one of {seeds}.")
  return seeds.index(options.trained_seed)


def _cut(
  over: np.ndarray, poses: np.ndarray, rewards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Cuts an episode after its last step."""
  end = int(np.argmax(over)) + 1 if np.any(over) else len(rewards)
  return np.asarray(poses)[:end], np.asarray(rewards)[:end]


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "")
