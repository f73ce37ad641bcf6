"""Films an episode: of a trained policy, of a stored rollout, or of random actions.

  python -m experiments.render --run=runs/demo
  python -m experiments.render --run=runs/demo --rollout=3
  python -m experiments.render --env=cartpole --policy=random --out=random.mp4

Without --rollout a fresh episode is run by the restored policy. No screen is needed.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import rich.console
from absl import flags

from experiments import command, evaluate, pictures
from mbrl_jax.envs.registry import list_envs, make_env
from mbrl_jax.runtime import run_folder
from mbrl_jax.types import Env

POLICIES = ("trained", "random")


def define() -> None:
  """Defines the flags."""
  flags.DEFINE_string("run", None, "Folder of the run whose policy is filmed.")
  flags.DEFINE_integer("step", None, "Checkpoint to restore. Default: the newest.")
  flags.DEFINE_bool("best", False, "Restore the checkpoint with the best return.")
  flags.DEFINE_integer(
    "rollout", None, "Film this stored training rollout instead; -1 is the last one."
  )
  flags.DEFINE_integer("trained_seed", None, "Of a run with several seeds. Default: the first.")
  flags.DEFINE_string("env", None, f"Task for --policy=random: {', '.join(list_envs())}.")
  flags.DEFINE_string("physics", "auto", "Physics for --policy=random.")
  flags.DEFINE_enum("policy", "trained", POLICIES, "What acts.")
  flags.DEFINE_integer("seed", 0, "Seed of the episode.", 0)
  flags.DEFINE_string("out", None, "Video file. Default: in the run folder's videos/.")


def main(options: flags.FlagValues, dotted: command.Dotted) -> int:
  """Films; returns the exit status."""
  command.refuse(dotted)
  console = rich.console.Console(highlight=False, soft_wrap=True)
  if options.policy == "random":
    env, poses, rewards = _random_episode(options)
    out, title = options.out or f"{env.spec.name}_random.mp4", f"{env.spec.name}, random"
  elif options.rollout is not None:
    env, poses, rewards, out, title = _stored_episode(options)
  else:
    env, poses, rewards, out, title = _fresh_episode(options)
  path = pictures.film(Path(options.out or out), env, poses, rewards, title)
  console.print(f"return {float(np.sum(rewards)):.2f}", markup=False)
  console.print(f"wrote {path}", markup=False)
  return 0


def _random_episode(options: flags.FlagValues) -> tuple[Env, np.ndarray, np.ndarray]:
  if options.env is None:
    raise command.UsageError("--policy=random needs --env, the task to film.")
  try:
    env = make_env(options.env, options.physics)
  except ValueError as error:
    raise command.UsageError(str(error)) from error
  low, high = env.spec.action_low, env.spec.action_high

  @jax.jit
  def rollout(key):
    def body(state, key):
      act_key, env_key = jax.random.split(key)
      action = jax.random.uniform(act_key, low.shape, minval=low, maxval=high)
      state, transition = env.step(state, action, env_key)
      over = transition.terminated | transition.truncated
      return state, (env.pose(state), transition.reward, over)

    keys = jax.random.split(key, env.spec.episode_length + 1)
    return jax.lax.scan(body, env.reset(keys[0]), keys[1:])[1]

  poses, rewards, over = map(np.asarray, rollout(jax.random.key(options.seed)))
  return env, *_until(over, poses, rewards)


def _fresh_episode(options: flags.FlagValues) -> tuple[Env, np.ndarray, np.ndarray, Path, str]:
  folder, task, restored = evaluate.restore(options)
  rollout, _ = task.evaluation(1, restored.state.act)
  metrics = rollout(restored.state.act, options.seed)
  if task.seeds:
    chosen = _seed_index(options, task.seeds)
    metrics = jax.tree.map(lambda x: x[chosen], metrics)
  transition = jax.tree.map(lambda x: x[0], metrics["transition"])
  over = transition.terminated | transition.truncated
  poses, rewards = _until(over, metrics["pose"][0], transition.reward)
  out = folder.videos / f"step{restored.step:08d}_seed{options.seed}.mp4"
  return task.env, poses, rewards, out, f"{task.env.spec.name}, step {restored.step}"


def _stored_episode(options: flags.FlagValues) -> tuple[Env, np.ndarray, np.ndarray, Path, str]:
  if options.run is None:
    raise command.UsageError("--rollout needs --run, the folder of a run.")
  folder = run_folder.open_run(options.run)
  task = evaluate.job.build(folder.config())
  seed = task.seeds[_seed_index(options, task.seeds)] if task.seeds else None
  source = folder.logs(seed).with_suffix(".npz")
  if not source.exists():
    raise command.UsageError(f"There is no {source}: no rollouts were kept.")
  with np.load(source) as logs:
    count = len(logs["lengths"])
    if not -count <= options.rollout < count:
      raise command.UsageError(f"--rollout={options.rollout} is not among the {count} stored.")
    length = int(logs["lengths"][options.rollout])
    poses = logs["poses"][options.rollout, :length]
    rewards = logs["rewards"][options.rollout, :length]
    step = int(logs["steps"][options.rollout])
  out = folder.videos / f"rollout{options.rollout % count:03d}.mp4"
  return task.env, poses, rewards, out, f"{task.env.spec.name}, step {step}"


def _seed_index(options: flags.FlagValues, seeds: list[int]) -> int:
  if options.trained_seed is None:
    return 0
  if options.trained_seed not in seeds:
    raise command.UsageError(f"--trained_seed={options.trained_seed} is not among {seeds}.")
  return seeds.index(options.trained_seed)


def _until(
  over: np.ndarray, poses: np.ndarray, rewards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Cuts an episode where it ended."""
  end = int(np.argmax(over)) + 1 if np.any(over) else len(rewards)
  return np.asarray(poses)[:end], np.asarray(rewards)[:end]


if __name__ == "__main__":
  command.run(main, define, __doc__ or "")
