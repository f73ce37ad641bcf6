"""Exports a planner to files that run without mbrl_jax.

  python -m experiments.examples.export_planner --out=/tmp/planner
  python experiments/examples/load_exported.py /tmp/planner

The inputs are the model's parameters, the measured state, the plan state and the two words of
a random key; the outputs are the action and the changed entries of the plan state. Parameters
and the search's floats are inputs, so new values need no new export. The files are those of
``runtime.storage.function_export``; ``experiments.export`` writes them for a trained run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.command_line import cli
from experiments.examples.system_identification import TRUE, make_pendulum_planner
from mbrl_jax.runtime.storage import function_export
from mbrl_jax.types import Planner


def export(planner: Planner, params: Any, state: Any, folder: Path) -> None:
  """Exports a planner with example parameters and an example state."""

  def plan(given: dict[str, Any]) -> dict[str, Any]:
    parts = (given[name] for name in ("params", "state", "plan_state", "key"))
    output, after = planner.plan(*parts)
    return {"action": output.action, "plan_state": after}

  key = jax.random.key(0, impl="threefry2x32")
  inputs = {"params": params, "state": state, "plan_state": planner.init(), "key": key}
  function_export.export(plan, inputs, folder, "planner")


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Exports the planner of a pendulum; returns the exit status."""
  cli.refuse(dotted)
  folder, hanging = Path(options.out), np.float32([np.pi, 0.0])
  try:
    export(make_pendulum_planner(), TRUE, hanging, folder)
  except ImportError as error:
    hint = "Export needs flatbuffers: pip install 'mbrl_jax[export]'."
    raise cli.UsageError(hint) from error
  for path in sorted(folder.glob("planner.*")):
    print(f"wrote {path} ({path.stat().st_size / 1024:.1f} KiB)")
  return 0


if __name__ == "__main__":
  define = lambda: flags.DEFINE_string("out", "runs/planner", "Output folder.")
  cli.run(main, define, __doc__ or "")
