"""Records transitions as a dataset: of a run's policy, or of random actions on a task.

  python -m experiments.collect --run=runs/demo --transitions=20000 --out=data.npz
  python -m experiments.collect --run=runs/pal --step=12000 --out=data.npz --greedy
  python -m experiments.collect --run=runs/mbmf --episodes=60 --min_return=0 --out=good.npz
  python -m experiments.collect --env=hopper_mbmf --env.reset=data --policy=random \
    --episodes=20 --out=random.npz
  python -m experiments.train --algo=morel --env=hopper --config.dataset=data.npz

Records whole episodes: at least --transitions control steps, or --episodes of them.
--min_return keeps only episodes of at least that return and runs up to --tries. If fewer than
--episodes reach it, the program says so and writes those, or nothing with --strict.

Episodes of a run have the exploration of training, but not its random warm-up actions; --greedy
records episodes of an evaluation. Several trained seeds contribute equally. --env needs no run:
--policy=random draws uniform actions within the bounds, --policy=zero applies zero actions;
--env.NAME=VALUE sets an argument of the task, such as --env.episode_length=200.

The file holds obs, action, reward, next_obs and terminated, one row for each control step.

Exit status: 0 written; 2 wrong usage, or too few episodes with --strict, or none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import rich.console
from absl import flags

from experiments import evaluate, random_rollout
from experiments.command_line import cli, env_reference, outputs
from experiments.recording import Enough, Recording, record
from mbrl_jax.algorithms.step import make_evaluation
from mbrl_jax.ops.key_stream import stream_key
from mbrl_jax.runtime.devices.compilation import compile_ahead
from mbrl_jax.runtime.storage import files
from mbrl_jax.types import Algorithm

BATCH = 10
"""Episodes of each trained seed in a compiled call, at most."""
TRANSITIONS = 20_000
TRIES = 10
"""Episodes to run for each one to keep, unless ``--tries`` is given."""
REPORT_SECONDS = 30.0
"""Seconds between lines of progress, at least."""
RUN_FLAGS = ("step", "best", "greedy")
"""Flags that require ``--run``."""


class Source(NamedTuple):
  """Where episodes come from.

  Attributes:
    batch: ``(key) -> metrics`` of evaluation episodes, see ``make_evaluation``.
    where: the checkpoint or the policy, for messages.
  """

  batch: Callable[[jax.Array], dict[str, Any]]
  where: str


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  evaluate.define_choice(values)
  text, whole, here = flags.DEFINE_string, flags.DEFINE_integer, {"flag_values": values}
  for flag, name, default, meaning, *bound in (
    (whole, "transitions", TRANSITIONS, "Control steps to record, at least.", 1),
    (whole, "episodes", None, "Episodes to record, instead of --transitions.", 1),
    (flags.DEFINE_float, "min_return", None, "Keep only episodes of at least this return."),
    (whole, "tries", None, "Episodes to run, at most. Default: 10 times --episodes.", 1),
    (flags.DEFINE_bool, "strict", False, "Write nothing if too few reach --min_return."),
    (flags.DEFINE_bool, "greedy", False, "Without exploration, as in an evaluation."),
    (text, "env", None, f"Task to record without a run: {env_reference.known()}."),
    (text, "physics", "auto", "Simulator, with --env: mjx, mujoco (C engine) or auto."),
    (whole, "seed", 0, "Seed of the episodes.", 0),
    (text, "out", "dataset.npz", "The file to write."),
  ):
    flag(name, default, meaning, *bound, **here)
  policies = random_rollout.POLICIES
  flags.DEFINE_enum("policy", None, policies, "Actions, with --env. Default: random.", **here)


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Records the dataset; returns the exit status."""
  console = cli.console()
  enough = _enough(options)
  out = outputs.check_file(Path(options.out), suffixes=(".npz",))
  if options.env is None:
    source = _of_run(options, dotted, console)
  else:
    source = _of_task(options, dotted, console)
  key = stream_key("collect", options.seed)
  batch = lambda index: source.batch(jax.random.fold_in(key, index))
  recording = record(batch, enough, _reporter(enough, console))
  _check_count(recording, enough, options.strict, console)
  data, totals = recording.data(), np.array([e.total for e in recording.episodes])
  out.parent.mkdir(parents=True, exist_ok=True)
  files.write_npz(out, data)
  console.print(
    f"wrote {out}: {len(data['reward'])} transitions of {len(totals)} episodes {source.where}, "
    f"return {totals.mean():.2f} ± {totals.std():.2f}",
    markup=False,
  )
  return 0


def _enough(options: flags.FlagValues) -> Enough:
  """Returns the limits that the flags set."""
  if options.episodes is None:
    for name in ("min_return", "tries", "strict"):
      if options[name].present:
        raise cli.UsageError(f"--{name} requires --episodes.")
    return Enough(transitions=options.transitions)
  if options["transitions"].present:
    raise cli.UsageError("--transitions and --episodes exclude each other.")
  if options.min_return is None:
    for name in ("tries", "strict"):
      if options[name].present:
        raise cli.UsageError(f"--{name} requires --min_return.")
    return Enough(episodes=options.episodes)
  tries = options.tries or TRIES * options.episodes
  if tries < options.episodes:
    raise cli.UsageError(f"--tries={tries} is less than --episodes={options.episodes}.")
  return Enough(None, options.episodes, tries, options.min_return)


def _batch_size(options: flags.FlagValues) -> int:
  return min(BATCH, options.episodes or BATCH)


def _of_run(
  options: flags.FlagValues, dotted: cli.Dotted, console: rich.console.Console
) -> Source:
  """Compiles episodes of a run's policy."""
  if options.run is None:
    raise cli.UsageError("Give --run, a run folder, or --env, a task, such as --env=cartpole.")
  cli.refuse(dotted)
  for name in ("physics", "policy"):
    if options[name].present:
      raise cli.UsageError(f"--{name} requires --env.")
  _, task, restored = evaluate.restore(options)
  if not options.greedy:
    task = task._replace(algorithm=exploring(task.algorithm))
  rollout, seconds = task.evaluation(_batch_size(options), restored.state)
  console.print(f"compiled the episodes in {seconds:.1f} s", markup=False)
  return Source(lambda key: rollout(restored.state, key), f"at step {restored.step}")


def _of_task(
  options: flags.FlagValues, dotted: cli.Dotted, console: rich.console.Console
) -> Source:
  """Compiles episodes of a task without a run."""
  if options.run is not None:
    raise cli.UsageError("--run and --env exclude each other: the task of a run is fixed.")
  for name in RUN_FLAGS:
    if options[name].present:
      raise cli.UsageError(f"--{name} requires --run.")
  for name in dotted["config"]:
    raise cli.UsageError(f"--config.{name}: with --env this program uses no config.")
  env = env_reference.make_checked(options.env, options.physics, dotted["env"])
  policy = options.policy or "random"
  rollout = make_evaluation(
    random_rollout.acting(env.spec, policy), env, episodes=_batch_size(options)
  )
  compiled, seconds = compile_ahead(rollout, (), jax.random.key(0))
  console.print(f"compiled the episodes in {seconds:.1f} s", markup=False)
  where = f"of {policy} actions on {env.spec.name}"
  return Source(lambda key: jax.device_get(compiled((), key)), where)


def _reporter(enough: Enough, console: rich.console.Console) -> Callable[[Recording], None]:
  """Returns a function that prints progress now and then."""
  last = time.perf_counter()

  def report(recording: Recording) -> None:
    nonlocal last
    if time.perf_counter() - last < REPORT_SECONDS:
      return
    last = time.perf_counter()
    wanted = "" if enough.episodes is None else f" of {enough.episodes}"
    kept = f"{len(recording.episodes)}{wanted} episodes recorded, {recording.tried} run"
    console.print(kept, markup=False)

  return report


def _check_count(
  recording: Recording, enough: Enough, strict: bool, console: rich.console.Console
) -> None:
  """Reports that too few episodes reached the return; refuses to go on if strict, or none."""
  kept = len(recording.episodes)
  if enough.episodes is None or kept == enough.episodes:
    return
  text = (
    f"{kept} of {recording.tried} episodes reached a return of {enough.min_return:g}, "
    f"{enough.episodes} were requested"
  )
  if strict or not kept:
    raise cli.UsageError(f"{text}: nothing was written. Lower --min_return, or raise --tries.")
  console.print(f"{text}: going on with these", markup=False)


def exploring(algorithm: Algorithm) -> Algorithm:
  """Returns the algorithm whose evaluations explore, as in training."""
  return algorithm._replace(deploy=lambda params: (params, algorithm.deploy(params)[1]))


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "")
