"""Exports a function to files that run without mbrl_jax.

``jax.export`` serialises the function for CPU, CUDA and TPU. Its inputs and outputs are flat
lists of arrays, so a loader needs only jax and flatbuffers; copy
``experiments/examples/load_exported.py``:

  NAME.bin    the program (jax.export, StableHLO inside)
  NAME.npz    the arrays that it was exported with, by name
  NAME.json   name, shape and dtype of every input and output, in their order

An output with the name of an input is that input of the next call. Random keys are two words
each. All arrays are inputs, including parameters: new parameters need no new export.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.extend
import numpy as np

from mbrl_jax.ops.key_stream import is_key
from mbrl_jax.runtime.storage import files

PLATFORMS = ("cpu", "cuda", "tpu")
_IMPL = "threefry2x32"


def export(
  function: Callable[[dict[str, Any]], dict[str, Any]],
  inputs: dict[str, Any],
  folder: Path,
  name: str,
  about: Mapping[str, Any] | None = None,
) -> float:
  """Writes the three files, loads the program again and runs it once.

  Args:
    function: ``inputs -> outputs``, both dictionaries of pytrees.
    inputs: example inputs, which are written as well; typed keys must be threefry.
    folder: folder of the files.
    name: of the files.
    about: additional fields of the JSON file.

  Returns:
    The largest difference between the program's outputs and the function's.

  Raises:
    ImportError: flatbuffers is missing.
    ValueError: jax cannot export an operation of the function.

  Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> import jax.numpy as jnp
    >>> from mbrl_jax.runtime.storage import function_export
    >>> double = lambda inputs: {"y": 2 * inputs["x"]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...   function_export.export(double, {"x": jnp.ones(3)}, Path(folder), "double")
    0.0
  """
  call, arrays, names = flatten(function, inputs)
  shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays.values()]
  exported = jax.export.export(jax.jit(call), platforms=PLATFORMS)(*shapes)
  program = exported.serialize()
  folder.mkdir(parents=True, exist_ok=True)
  files.write_atomic(folder / f"{name}.bin", lambda file: file.write(program))
  files.write_npz(folder / f"{name}.npz", arrays)
  describe = lambda name, x: {"name": name, "shape": list(x.shape), "dtype": str(x.dtype)}
  files.write_json(
    folder / f"{name}.json",
    {
      **(about or {}),
      "platforms": PLATFORMS,
      "inputs": [describe(*item) for item in arrays.items()],
      "outputs": [describe(*item) for item in zip(names, exported.out_avals, strict=True)],
    },
  )
  again = jax.jit(jax.export.deserialize(bytearray(program)).call)(*arrays.values())
  pairs = zip(again, jax.jit(call)(*arrays.values()), strict=True)
  apart = [np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)) for a, b in pairs]
  return float(max(np.max(x, initial=0.0) for x in apart))


def flatten(
  function: Callable[[dict[str, Any]], dict[str, Any]], inputs: dict[str, Any]
) -> tuple[Callable[..., tuple], dict[str, np.ndarray], list[str]]:
  """Converts a function of pytrees to a function of arrays.

  Args:
    function: see ``export``.
    inputs: see ``export``; every leaf is an array.

  Returns:
    ``call(*arrays) -> arrays``, the input arrays by name, and the outputs' names. Inputs that
    are returned unchanged, such as parameters, are left out of the outputs.
  """
  leaves, tree = jax.tree.flatten(inputs)
  keyed = [jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]

  def run(*arrays: jax.Array) -> dict[str, Any]:
    wrap = lambda x, is_key: jax.random.wrap_key_data(x, impl=_IMPL) if is_key else x
    outputs = function(jax.tree.unflatten(tree, map(wrap, arrays, keyed)))
    return {name: _data(leaf) for name, leaf in _named(outputs)}

  arrays = {name: np.asarray(_data(leaf)) for name, leaf in _named(inputs)}
  jaxpr, shapes = jax.make_jaxpr(run, return_shape=True)(*arrays.values())
  given = set(jaxpr.jaxpr.invars)
  names = sorted(shapes)  # as jax sorts dictionaries
  kept = [n for n, v in zip(names, jaxpr.jaxpr.outvars, strict=True) if _is_new(v, given)]

  def call(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    outputs = run(*arrays)
    return tuple(outputs[name] for name in kept)

  return call, arrays, kept


def _is_new(variable: Any, given: set) -> bool:
  return not isinstance(variable, jax.extend.core.Var) or variable not in given


def _named(tree: Any) -> list[tuple[str, Any]]:
  paths, _ = jax.tree.flatten_with_path(tree)
  return [(jax.tree_util.keystr(p, simple=True, separator="."), leaf) for p, leaf in paths]


def _data(leaf: Any) -> Any:
  return jax.random.key_data(leaf) if is_key(leaf) else leaf
