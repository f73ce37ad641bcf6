"""Checks that registered tasks or your own keep the contract of a task.

  python -m experiments.check_env --env=cartpole
  python -m experiments.check_env --env my_task.py:make_task hopper --steps=5000
  python -m experiments.check_env --env=all
  python -m experiments.check_env --env=ant --mjx
  python -m experiments.check_env --env=my_task.py:make_task --env.length=0.5

Each check prints one line: ok, note (possibly intended) or wrong.

  spec         action bounds, sizes and times are valid
  shapes       reset, step, observe and pose return the right shapes and dtypes
  functions    reward, terminated, encode, target and decode do too
  scan         a step keeps the types of the state, so that lax.scan accepts it
  run          the task runs with random, held and zero actions and with actions at the bounds
  finite       observations and rewards are finite
  observed     state, transition and observe agree on the observation
  pure         reward and termination equal the pure functions of the transition
  transforms   reward, terminated and encode are the same alone, under jit and under vmap
  decode       decode(obs, target(obs, next_obs)) equals next_obs
  encode       inputs and targets of a learned model are finite
  gradient     the reward's gradient is finite (otherwise a note: gradient planners need it)
  termination  whether episodes terminated, how soon and under which actions
  length       an episode is truncated at its length, which is plausible
  determinism  equal keys and actions give equal bits, also after retracing
  speed        time of a step, which compiles once
  resets       different keys give different states (otherwise a note)
  bounds       actions beyond the bounds are clipped (otherwise a note)
  mjx          with --mjx: the model loads and steps in MJX; takes seconds to minutes

Tests can call mbrl_jax.check_env(env), which runs the same checks. --env.NAME=VALUE sets an
argument of the task.

Exit status: 0 nothing is wrong; 1 something is wrong; 2 wrong usage.
"""

from __future__ import annotations

import rich.console
from absl import flags

from experiments.command_line import cli, env_reference
from mbrl_jax.envs.registry import list_envs
from mbrl_jax.runtime.checks import NOTE, OK, WRONG, Finding, check_env

STYLES = {OK: "green", NOTE: "yellow", WRONG: "bold red"}


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  meaning, more = f"Tasks: all, or any of {env_reference.known()}", {"flag_values": values}
  flags.DEFINE_multi_string("env", [], meaning, **more)
  flags.DEFINE_string("physics", "auto", "Simulator: mjx, mujoco (C engine) or auto.", **more)
  flags.DEFINE_integer("steps", 1000, "Control steps in each of nine rollouts.", 1, **more)
  flags.DEFINE_integer("seed", 0, "Seed of initial states and actions.", 0, **more)
  flags.DEFINE_bool("mjx", False, "Also load and step the model in MJX.", **more)


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Checks the tasks; returns the exit status."""
  for name in dotted["config"]:
    raise cli.UsageError(f"--config.{name}: this program uses no config.")
  if not options.env:
    raise cli.UsageError(f"--env is missing: all, or any of {env_reference.known()}.")
  console = cli.console()
  names = list_envs() if options.env == ["all"] else options.env
  bad = [name for name in names if not _passes(name, options, dotted["env"], console)]
  if len(names) > 1:
    text = f"{len(names) - len(bad)} of {len(names)} tasks keep the contract"
    console.print(f"{text}; not: {', '.join(bad)}" if bad else text, markup=False)
  return 1 if bad else 0


def _passes(
  name: str, options: flags.FlagValues, overrides: dict[str, str], console: rich.console.Console
) -> bool:
  """Checks one task and prints the findings; returns whether none is wrong."""
  env = env_reference.make(name, options.physics, overrides)
  console.print(name, style="bold", markup=False)
  findings = check_env(env, steps=options.steps, seed=options.seed, mjx=options.mjx)
  for finding in findings:
    console.print(_line(finding), style=STYLES[finding.level], markup=False)
  return all(finding.level != WRONG for finding in findings)


def _line(finding: Finding) -> str:
  return f"  {finding.level:5s}  {finding.check:11s}  {finding.text}"


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", repeated="env")
