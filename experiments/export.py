"""Exports the policy of a run, or its planner and model, to files that run without mbrl_jax.

  python -m experiments.export --run=runs/demo
  python -m experiments.export --run=runs/hopper --best --out=policy
  python experiments/examples/load_exported.py policy

Writes three files:

  policy.bin   the program, for CPU, CUDA and TPU; needs jax and flatbuffers
  policy.npz   its input arrays by name, as at the start of an episode
  policy.json  names and shapes of inputs and outputs, and the origin of the policy

The program is one control step without exploration: (params, carry, obs, key) -> (action,
changed entries of carry). obs is the observation of the task; action lies within the bounds of
the task. experiments/examples/load_exported.py is a loader to copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
from absl import flags

import mbrl_jax
from experiments import evaluate, job
from experiments.command_line import cli, outputs
from experiments.command_line.flag_error import flag_error
from mbrl_jax.ops.validate import choice
from mbrl_jax.runtime.storage import function_export
from mbrl_jax.runtime.storage.checkpoint import Restored
from mbrl_jax.types import TrainState


def define() -> None:
  """Defines the flags."""
  evaluate.define_choice()
  flags.adopt_module_key_flags(evaluate)
  flags.DEFINE_integer("seed", None, "Trained seed to export. Default: the run's first.")
  flags.DEFINE_string("out", None, "Output folder. Default: exported/ in the run folder.")


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Exports the run; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console()
  out = Path(options.out) if options.out else evaluate.open_run(options).path / "exported"
  outputs.check_folder(out)
  _, task, restored = evaluate.restore(options)
  algorithm, spec = task.algorithm, task.env.spec
  seed, state = _choose(task, restored, options.seed)
  key = jax.random.key(0, impl="threefry2x32")

  def control(given: dict[str, Any]) -> dict[str, Any]:
    action, carry, _ = algorithm.act(*(given[n] for n in ("params", "carry", "obs", "key")))
    return {"action": action, "carry": carry}

  obs = jax.jit(task.env.reset)(jax.random.key(0)).obs
  about = {
    "algo": task.settings["algo"],
    "env": task.settings["env"],
    "trained_seed": seed,
    "step": restored.step,
    "dt": spec.dt,
    "action_low": [float(x) for x in spec.action_low],
    "action_high": [float(x) for x in spec.action_high],
    "mbrl_jax": mbrl_jax.__version__,
  }
  params, carry = algorithm.deploy(jax.jit(algorithm.params)(state))
  inputs = {"params": params, "carry": carry, "key": key, "obs": obs}
  try:
    difference = function_export.export(control, inputs, out, "policy", about)
  except ImportError as error:
    hint = "Export needs flatbuffers: pip install 'mbrl_jax[export]'."
    raise cli.UsageError(hint) from error
  except ValueError as error:
    text = f"{task.settings['algo']} cannot be exported: {' '.join(str(error).split())}"
    raise cli.UsageError(text) from error
  for path in sorted(out.glob("policy.*")):
    console.print(f"wrote {path} ({path.stat().st_size / 1024:.1f} KiB)", markup=False)
  console.print(f"difference of exported and original action: {difference:.2g}", markup=False)
  return 0


def _choose(task: job.Job, restored: Restored, seed: int | None) -> tuple[int, TrainState]:
  """Returns a trained seed and its state."""
  trained = task.seeds or [task.settings["seed"]]
  seed = trained[0] if seed is None else seed
  try:
    choice("--seed", seed, trained)
  except ValueError as error:
    raise flag_error(error) from error
  if not task.seeds:
    return seed, restored.state
  return seed, jax.tree.map(lambda x: x[trained.index(seed)], restored.state)


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "")
