"""Runs a planner that `export_planner` wrote; needs jax and flatbuffers, but not mbrl_jax.

  python experiments/examples/load_planner.py FOLDER [STEPS]

Prints one action a line for a state that stays as it was exported; a robot puts its own
measurement in `inputs["state"]` at each step.
"""

import json
import pathlib
import sys

import jax
import numpy as np


def load(folder: pathlib.Path) -> tuple:
  """Returns `plan(inputs) -> (action, inputs)` and the inputs that an episode begins with."""
  program = jax.export.deserialize(bytearray((folder / "planner.bin").read_bytes()))
  signature = json.loads((folder / "planner.json").read_text())
  call = jax.jit(program.call)
  names = [entry["name"] for entry in signature["inputs"]]
  kept = [entry["name"] for entry in signature["outputs"]][1:]

  def plan(inputs: dict) -> tuple:
    action, *after = call(*(inputs[name] for name in names))
    return action, {**inputs, **dict(zip(kept, after, strict=True))}

  return plan, dict(np.load(folder / "planner.npz"))


def main() -> None:
  """Plans a few control steps."""
  plan, inputs = load(pathlib.Path(sys.argv[1]))
  for step in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3):
    inputs["key"] = np.uint32([0, step])  # any two words, new ones for every step
    action, inputs = plan(inputs)
    print(" ".join(f"{x:.9g}" for x in np.asarray(action)))  # 9 digits are all of a float32
  assert "mbrl_jax" not in sys.modules


if __name__ == "__main__":
  main()
