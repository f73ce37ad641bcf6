"""Runs files of `export_planner` or `experiments.export`; needs only jax and flatbuffers.

  python experiments/examples/load_exported.py FOLDER [STEPS]

Prints one action per line, for the constant exported measurement; a robot would set
`inputs["obs"]` (`inputs["state"]` for a planner) at each step.
"""

import json
import pathlib
import sys

import jax
import numpy as np


def load(folder: pathlib.Path) -> tuple:
  """Returns `control(inputs) -> (action, inputs)` and the inputs at the start of an episode."""
  (binary,) = folder.glob("*.bin")
  program = jax.export.deserialize(bytearray(binary.read_bytes()))
  signature = json.loads(binary.with_suffix(".json").read_text())
  call = jax.jit(program.call)
  names = [entry["name"] for entry in signature["inputs"]]
  outputs = [entry["name"] for entry in signature["outputs"]]

  def control(inputs: dict) -> tuple:
    found = dict(zip(outputs, call(*(inputs[name] for name in names)), strict=True))
    action = found.pop("action")
    return action, {**inputs, **found}

  return control, dict(np.load(binary.with_suffix(".npz")))


def main() -> None:
  """Takes control steps and prints the actions."""
  control, inputs = load(pathlib.Path(sys.argv[1]))
  for step in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3):
    inputs["key"] = np.uint32([0, step])  # any two words, different for every step
    action, inputs = control(inputs)
    print(" ".join(f"{x:.9g}" for x in np.asarray(action)))  # 9 digits identify a float32
  assert "mbrl_jax" not in sys.modules


if __name__ == "__main__":
  main()
