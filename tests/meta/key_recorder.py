"""A random number generator that records which keys are consumed, and how.

Its numbers equal threefry's. Every draw, split and fold calls the host, so the record is that
of the run: loops count each iteration, branches not taken do not count.
"""

import collections

import jax
import numpy as np
from jax.experimental import io_callback
from jax.extend import random as extended

_THREEFRY = "threefry2x32"
_DATA = jax.ShapeDtypeStruct((2,), np.uint32)


class Recorder:
  """Records the consumption of keys made by ``key(seed)``."""

  def __init__(self):
    self.consumed = collections.Counter()
    self._spec = extended.define_prng_impl(
      key_shape=(2,),
      seed=lambda seed: jax.random.key_data(jax.random.key(seed, impl=_THREEFRY)),
      split=self._split,
      random_bits=self._bits,
      fold_in=self._fold,
      name=f"recording{id(self)}",
      tag=f"rec{id(self)}",
    )

  def key(self, seed):
    return jax.random.key(seed, impl=self._spec)

  def _record(self, how, data, message=None):
    """Returns ``data`` after recording its use on the host."""

    def record(data, message):
      self.consumed[tuple(data.tolist()), how, int(message)] += 1
      return data

    return io_callback(record, _DATA, data, np.int32(0) if message is None else message)

  def _split(self, data, shape):
    key = jax.random.wrap_key_data(self._record("split", data), impl=_THREEFRY)
    return jax.random.key_data(jax.random.split(key, shape))

  def _fold(self, data, message):
    recorded = self._record("fold", data, message)
    key = jax.random.wrap_key_data(recorded, impl=_THREEFRY)
    return jax.random.key_data(jax.random.fold_in(key, message))

  def _bits(self, data, bit_width, shape):
    key = jax.random.wrap_key_data(self._record("draw", data), impl=_THREEFRY)
    return jax.random.bits(key, shape, np.dtype(f"uint{bit_width}"))

  def violations(self):
    """Returns keys that were drawn from or split twice, or consumed in more than one way.

    Any number of ``fold_in`` is allowed if the key has no other use.
    """
    jax.effects_barrier()
    ways = collections.defaultdict(collections.Counter)
    for (key, how, _), times in self.consumed.items():
      ways[key][how] += times
    bad = lambda uses: len(uses) > 1 or max(uses["draw"], uses["split"]) > 1
    return {key: dict(uses) for key, uses in ways.items() if bad(uses)}
