"""Checks the flags of a stage's command before any stage starts."""

from __future__ import annotations

from collections.abc import Callable

from absl import flags

from experiments import collect, run_settings
from experiments.command_line import cli, flag_checks
from experiments.mbmf import commands
from experiments.mbmf.commands import Request
from experiments.train import options as train_options

DEFINE: dict[str, Callable[[flags.FlagValues], None]] = {
  "experiments.collect": collect.define,
  "experiments.train": train_options.define,
}
"""Defines the flags of each program."""


def check(stage: str, request: Request) -> None:
  """Refuses what the stage's command would refuse: unknown flags, values and config fields.

  Arguments of tasks (``env.``) are left to the command.

  Raises:
    UsageError: names the flag.
  """
  _, _, program, *words = commands.words(stage, request)
  values, dotted = flags.FlagValues(), {"config": {}, "env": {}}
  DEFINE[program](values)
  try:
    values([program, *cli.split(words, dotted)])
    flag_checks.check_values(values)
    flag_checks.check_dotted(dotted)
  except (flags.Error, ValueError) as error:
    message = flag_checks.reword(str(error), values, dotted)
    raise cli.UsageError(f"--set: stage {stage}: {message}") from error
  try:
    if program == "experiments.train":
      given = {name: values[name].value for name in train_options.STORED}
      run_settings.make_settings(
        **given, env_overrides=dotted["env"], config_overrides=dotted["config"]
      )
    elif values["run"].present:
      cli.refuse(dotted)
    else:
      cli.refuse({"config": dotted["config"]})
  except cli.UsageError as error:
    raise cli.UsageError(f"--set: stage {stage}: {error}") from error
