"""Decorated functions compute with 32 bits under x64, see also ``meta/test_x64``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.ops.float32 import narrow, single

VALUES = {"real": np.float64([0.1, 0.2]), "integer": np.int64(3), "unsigned": np.uint64(7)}


@pytest.fixture
def x64():
  with jax.enable_x64(True):
    yield


def test_single_narrows_arguments_intermediates_and_results(x64):
  seen = {}

  @single
  def function(values, *, scale):
    seen.update(values=values["real"].dtype, scale=scale.dtype, made=jnp.zeros(2).dtype)
    return {"wide": np.float64(1.0), "product": values["real"] * scale}

  result = function(VALUES, scale=np.float64(2.0))
  assert set(map(str, seen.values())) == {"float32"}
  assert result["wide"].dtype == result["product"].dtype == np.float32
  assert jnp.zeros(2).dtype == np.float64  # x64 is enabled again


def test_single_calls_the_function_unchanged_without_x64():
  wide = single(lambda x: x)(VALUES["real"])
  assert wide is VALUES["real"]


def test_narrow_changes_only_64_bit_arrays(x64):
  key = jax.random.key(0)
  tree = {**VALUES, "half": jnp.float16(1), "flag": np.bool_(True), "key": key, "text": "a"}
  found = narrow(tree)
  dtypes = {name: str(found[name].dtype) for name in VALUES}
  assert dtypes == {"real": "float32", "integer": "int32", "unsigned": "uint32"}
  assert all(found[name] is tree[name] for name in ("half", "flag", "key", "text"))
