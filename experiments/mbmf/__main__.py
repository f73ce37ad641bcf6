r"""Runs MBMF (Nagabandi et al. 2017): model-based, imitated, fine-tuned, and model-free beside.

  python -m experiments.mbmf --agent=cheetah --seeds=3
  python -m experiments.mbmf --agent=swimmer --stages=random,model --out=runs/swimmer
  python -m experiments.mbmf --agent=ant --path=u_turn
  python -m experiments.mbmf --agent=hopper --set=hybrid:config.steps=2000000 \
    --set=rollouts:strict=true
  python -m experiments.mbmf.sheet --runs runs/mbmf_ant_u_turn runs/mbmf_ant_straight

Stages of each seed, in the folder seed0/, seed1/, ... of --out:

  random      random.npz    rollouts of uniform actions
  model       model/        model and planner, with aggregation of the planner's rollouts
  rollouts    rollouts.npz  good rollouts of the planner
  imitation   imitation/    DAgger: a policy like the planner
  hybrid      hybrid/       TRPO from the imitated policy
  model_free  model_free/   TRPO from scratch

With --path the agent follows a path, and only random and model run. Each stage is an ordinary
command, printed before it starts, that also runs by hand. --set=STAGE:NAME=VALUE adds the flag
--NAME=VALUE to a stage's command, or replaces it; it may be repeated. config.model.* and
config.planner.* of the stage model apply to imitation, too. A stage needs those that it builds
on, in the same call or done before.

The same command skips what is done and resumes the interrupted stage. Ctrl-C lets the running
stage save, then ends; a second Ctrl-C kills it. Only one pipeline can use an --out.

At the end --out receives comparison.png and .csv (returns over environment steps), speed_up.csv
(steps to equal returns), losses.png and .csv, forward.png and .csv (open-loop predictions
against the truth); with --path paths.png and .csv instead of the first two; and report.html.

Exit status: 0 done; 1 a stage failed; 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP;
2 wrong usage.

What the authors' programs write to run_<n>/, and where it is here, in seed<n>/ of --out:

  params.pkl, params.txt                  model/config.json; stages.json: all commands
  training_data/dataX, dataY, dataZ       random.npz: obs, action, next_obs - obs
  training_data/data*_new_iter<i>         model/logs.npz: rollouts of the planner
  training_data/states_val, controls_val  model/logs.npz
  models/model_aggIter<i>, finalModel     model/checkpoints/ (--set=model:keep=99: all)
  training_losses, losses/list_*_loss     model/metrics.csv: model/loss_old and loss_new;
                                          losses.png and .csv of --out
  errors_<1,5,10,50,100>_per_agg          model/metrics.csv: model/error_1 to error_100;
                                          losses.png and .csv of --out
  avg_rollout_rewards_per_agg,
  datapoints_MB, performance_MB           comparison.csv of --out; model/metrics.csv
  saved_trajfollow/*_iter<i>              model/logs.npz; paths.png and .csv of --out
  saved_forwardsim/*, forwardsim_* data   forward.png and .csv of --out
  savedRollouts, savedRollouts_avg<r>     rollouts.npz
  savedRollouts_startingStates            rollouts.npz: the first obs of each episode
  datapoints_IMIT, performance_IMIT       imitation/evaluations.csv, without noise; metrics.csv
  mbmf/policy_mlp, policy_tf_values       imitation/checkpoints/
  TRPO's progress.csv and snapshots       hybrid/, model_free/: metrics.csv, checkpoints/
  plotting/plot_mbmf.py                   comparison.png of --out
  videos                                  model/videos/; python -m experiments.render
"""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

import jax
import rich.console
from absl import flags

from experiments.command_line import cli, outputs
from experiments.mbmf import check, pipeline, results
from experiments.mbmf.agents import AGENTS, Agent
from experiments.mbmf.commands import Overrides, Request
from experiments.mbmf.stages import FOLLOWING, STAGES, SeedStages, missing
from mbrl_jax.ops.validate import choice, seeds
from mbrl_jax.runtime.storage import lock
from mbrl_jax.runtime.training.interrupt import Interrupt

OWN = ("seed", "out", "run", "logdir", "resume")
"""Flags of stages that the pipeline sets itself."""


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  text, here = flags.DEFINE_string, {"flag_values": values}
  text("agent", None, f"Agent (required): {', '.join(AGENTS)}.", **here)
  text("path", None, f"Path to follow: {_known_paths()}. Default: run forward.", **here)
  flags.DEFINE_integer("seeds", 1, "Number of seeds, starting at --seed.", 1, **here)
  flags.DEFINE_integer("seed", 0, "First seed.", 0, **here)
  flags.DEFINE_list(
    "stages",
    [],
    f"Stages, comma-separated: {', '.join(STAGES)}. Default: all; with --path random, model.",
    **here,
  )
  flags.DEFINE_multi_string(
    "set", [], "STAGE:NAME=VALUE, a flag of a stage, such as model:config.steps=2000", **here
  )
  text("out", None, "Folder of the results. Default: runs/mbmf_AGENT or _AGENT_PATH.", **here)


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Runs the stages and draws the pictures; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console(width=120)
  # This process trains nothing and leaves the accelerator's memory to the stages.
  jax.config.update("jax_platforms", "cpu")
  agent = _agent(options)
  chosen, overrides = _stages(options), _overrides(options)
  name = "_".join(filter(None, ("mbmf", options.agent, options.path)))
  out = outputs.check_folder(Path(options.out or f"runs/{name}"))
  made = [
    SeedStages(Request(agent, options.path, seed, out / f"seed{seed}", overrides))
    for seed in range(options.seed, options.seed + options.seeds)
  ]
  for stage in chosen:
    check.check(stage, made[0].request)  # those of other seeds differ in paths only
  for one in made:
    _check_needs(one, chosen, options, out)
  out.mkdir(parents=True, exist_ok=True)
  try:
    with lock.writing(out), Interrupt() as interrupt:
      end = pipeline.run(made, chosen, console, interrupt)
  except KeyboardInterrupt:
    print("killed; the same command resumes from the last checkpoint", file=sys.stderr)
    return 128 + signal.SIGINT
  status = _status(end, interrupt, console)
  for path in [] if interrupt else results.write(out, made, console):
    console.print(f"wrote {path}", markup=False)
  return status


def _status(end: pipeline.End, interrupt: Interrupt, console: rich.console.Console) -> int:
  """Says where the pipeline ended early; returns the exit status."""
  if end.stage is None:
    if interrupt:
      console.print("stopped before the pictures; the same command draws them", markup=False)
      return 128 + interrupt.signal
    return 0
  where = f"in stage {end.stage} of seed {end.seed}"
  if interrupt:
    console.print(f"stopped {where}; the same command goes on there", markup=False)
    return 128 + interrupt.signal
  why = f"its command ended with status {end.status}" if end.status else "it is not complete"
  print(f"error: the pipeline ended {where}: {why}.", file=sys.stderr)
  return 1


def _agent(options: flags.FlagValues) -> Agent:
  """Returns the chosen agent; refuses an unknown one and a path that it cannot follow."""
  if options.agent is None:
    raise cli.UsageError(f"--agent is missing: one of {', '.join(AGENTS)}.")
  try:
    agent = AGENTS[choice("--agent", options.agent, AGENTS)]
    seeds(options.seed, options.seeds, "--seed")
    if options.path is not None:
      if agent.follow is None:
        able = ", ".join(name for name, each in AGENTS.items() if each.follow)
        raise cli.UsageError(
          f"--path={options.path}: {options.agent} follows no path; {able} do."
        )
      choice("--path", options.path, sorted(agent.follow.paths))
  except ValueError as error:
    raise cli.UsageError(str(error)) from error
  return agent


def _stages(options: flags.FlagValues) -> list[str]:
  """Returns the chosen stages in order."""
  known = list(STAGES) if options.path is None else list(FOLLOWING)
  for name in options.stages:
    try:
      choice("--stages", name, STAGES)
    except ValueError as error:
      raise cli.UsageError(str(error)) from error
    if name not in known:
      raise cli.UsageError(f"--stages={name}: with --path there are only {', '.join(known)}.")
  return [name for name in known if name in (options.stages or known)]


def _overrides(options: flags.FlagValues) -> Overrides:
  """Reads ``--set``."""
  found: dict[str, dict[str, str]] = {}
  for text in options.set:
    stage, colon, flag = text.partition(":")
    name, equals, value = flag.partition("=")
    if not (colon and name and equals):
      raise cli.UsageError(f"--set={text!r} must have the form STAGE:NAME=VALUE.")
    try:
      choice("--set", stage, STAGES)
    except ValueError as error:
      raise cli.UsageError(str(error)) from error
    if name in OWN:
      raise cli.UsageError(f"--set={text}: the pipeline sets --{name} of each stage.")
    found.setdefault(stage, {})[name] = value
  return found


def _check_needs(
  seed: SeedStages, chosen: list[str], options: flags.FlagValues, out: Path
) -> None:
  """Refuses a stage without those that it builds on."""
  lacking = missing(seed, chosen)
  if not lacking:
    return
  words = [f"--agent={options.agent}", f"--seed={seed.request.seed}", f"--out={out}"]
  path = [] if options.path is None else [f"--path={options.path}"]
  stages = f"--stages={','.join(lacking)}"
  command = shlex.join(["python", "-m", "experiments.mbmf", *words, *path, stages])
  raise cli.UsageError(
    f"--stages={','.join(chosen)}: {seed.output(lacking[-1])} must be made first: {command}"
  )


def _known_paths() -> str:
  return "; ".join(
    f"{name}: {', '.join(agent.follow.paths)}" for name, agent in AGENTS.items() if agent.follow
  )


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "")
