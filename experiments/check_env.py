"""Checks tasks, registered ones or your own, and says what is right and what is wrong.

  python -m experiments.check_env --env=cartpole
  python -m experiments.check_env --env my_task.py:make_task hopper --steps=5000
  python -m experiments.check_env --env=all
  python -m experiments.check_env --env=ant --mjx
  python -m experiments.check_env --env=my_task.py:make_task --env.length=0.5

Each check is one line: ok, note (it may be meant so) or wrong.

  spec         bounds, sizes and times are what they must be
  shapes       reset, step, observe and pose return float32, bool and int32 of the right shapes
  functions    so do reward, terminated, encode, target and decode
  scan         a step keeps the types of the state, so that episodes scan
  run          the task runs, in rows of random, held and zero actions and at the bounds
  finite       no NaN and no infinity in observations and rewards
  observed     state, transition and observe agree on the observation
  pure         the plant's reward and termination are the pure functions of its transitions
  transforms   reward, terminated and encode are the same alone, under jit and under vmap
  decode       decode(obs, target(obs, next_obs)) is next_obs
  encode       features and targets of a learned model are finite
  gradient     so are the reward's derivatives (else a note: planners that follow them need it)
  termination  whether it was seen, how soon and under which actions
  length       an episode is cut at its length, and that is a sensible one
  determinism  the same keys and actions give the same, bit for bit, also when traced anew
  speed        time of a step; it compiles once
  resets       different keys give different states (a note where it starts always alike)
  bounds       actions beyond the bounds act as those at them (else a note)
  mjx          with --mjx: the model loads in MJX and steps there; seconds to minutes

The same checks for tests of your own: mbrl_jax.check_env(env). Exit status: 0 nothing is
wrong; 1 something is; 2 wrong usage.
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
  meaning, more = f"Tasks: all, or of {env_reference.known()}.", {"flag_values": values}
  flags.DEFINE_multi_string("env", [], meaning, **more)
  flags.DEFINE_string("physics", "auto", "mjx, mujoco (C engine) or auto.", **more)
  flags.DEFINE_integer("steps", 1000, "Control steps in each of nine rows.", 1, **more)
  flags.DEFINE_integer("seed", 0, "Seed of states and actions.", 0, **more)
  flags.DEFINE_bool("mjx", False, "Also compile the model with MJX.", **more)


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Checks; returns the exit status."""
  for name in dotted["config"]:
    raise cli.UsageError(f"--config.{name}: a check learns nothing.")
  if not options.env:
    raise cli.UsageError(f"Give --env, a task to check: all, or of {env_reference.known()}.")
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
  """Checks one task and prints what was found; says whether nothing was wrong."""
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
