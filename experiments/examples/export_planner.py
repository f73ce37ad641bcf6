"""Exports a planner to files that another process runs without mbrl_jax.

  python -m experiments.examples.export_planner --out=/tmp/planner
  python experiments/examples/load_planner.py /tmp/planner

`jax.export` keeps the compiled planner as portable bytes for CPU, CUDA and TPU. A plan state is
handed over as a flat list of arrays, so whoever loads it needs no class of ours, only jax:

  planner.bin    the program (jax.export, StableHLO inside)
  planner.npz    the arrays that an episode begins with, by name
  planner.json   name, shape and dtype of every input and output, in their order

Inputs are the model's parameters, the measured state, the plan state and the two words of a
random key; outputs are the action and the next plan state. Parameters and the searches' floats
are inputs like any other: new ones need no new export.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import command
from experiments.examples.system_identification import TRUE, make_pendulum_planner
from mbrl_jax.runtime import files
from mbrl_jax.types import Planner

PLATFORMS = ("cpu", "cuda", "tpu")


def flatten(planner: Planner, params: Any, state: Any) -> tuple:
  """Returns `call(*arrays) -> (action, *plan_state)` and its first inputs, `name -> array`."""
  key = jax.random.key_data(jax.random.key(0, impl="threefry2x32"))
  example = {"params": params, "state": state, "plan_state": planner.init(), "key": key}
  paths, tree = jax.tree.flatten_with_path(example)
  names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths]

  def call(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    given = jax.tree.unflatten(tree, arrays)
    key = jax.random.wrap_key_data(given["key"], impl="threefry2x32")
    output, after = planner.plan(given["params"], given["state"], given["plan_state"], key)
    return output.action, *jax.tree.leaves(after)

  return call, dict(zip(names, (np.asarray(leaf) for _, leaf in paths), strict=True))


def export(planner: Planner, params: Any, state: Any, folder: Path) -> None:
  """Writes the three files for a planner, example parameters and an example state."""
  call, inputs = flatten(planner, params, state)
  shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs.values()]
  exported = jax.export.export(jax.jit(call), platforms=PLATFORMS)(*shapes)
  names = ["action", *(name for name in inputs if name.startswith("plan_state."))]
  describe = lambda name, x: {"name": name, "shape": list(x.shape), "dtype": str(x.dtype)}
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "planner.bin").write_bytes(exported.serialize())
  np.savez(folder / "planner.npz", **inputs)
  files.write_json(
    folder / "planner.json",
    {
      "platforms": PLATFORMS,
      "inputs": [describe(*item) for item in inputs.items()],
      "outputs": [describe(*item) for item in zip(names, exported.out_avals, strict=True)],
    },
  )


def main(options: flags.FlagValues, dotted: command.Dotted) -> int:
  """Exports the planner of a pendulum; returns the exit status."""
  command.refuse(dotted)
  folder, hanging = Path(options.out), np.float32([np.pi, 0.0])
  try:
    export(make_pendulum_planner(), TRUE, hanging, folder)
  except ImportError as error:
    hint = "jax.export writes with flatbuffers: pip install 'mbrl_jax[export]'."
    raise command.UsageError(hint) from error
  for path in sorted(folder.glob("planner.*")):
    print(f"wrote {path} ({path.stat().st_size / 1024:.1f} KiB)")
  return 0


if __name__ == "__main__":
  define = lambda: flags.DEFINE_string("out", "runs/planner", "Folder of the files.")
  command.run(main, define, __doc__ or "")
