"""A random number generator that writes down which keys are consumed, and how.

Its numbers are threefry's. Every drawing, splitting and folding calls the host, so what is
recorded is what runs: loops count each time, branches that are not taken do not.
"""

import collections

import jax
import numpy as np
from jax.experimental import io_callback
from jax.extend import random as extended

_THREEFRY = "threefry2x32"
_DATA = jax.ShapeDtypeStruct((2,), np.uint32)


class Recorder:
  """Records what is consumed while it is entered; ``key(seed)`` makes keys that tell it."""

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

  def _note(self, how, data, message=None):
    """Returns ``data``, once the host has been told."""

    def note(data, message):
      self.consumed[tuple(data.tolist()), how, int(message)] += 1
      return data

    return io_callback(note, _DATA, data, np.int32(0) if message is None else message)

  def _split(self, data, shape):
    key = jax.random.wrap_key_data(self._note("split", data), impl=_THREEFRY)
    return jax.random.key_data(jax.random.split(key, shape))

  def _fold(self, data, message):
    noted = self._note("fold", data, message)
    key = jax.random.wrap_key_data(noted, impl=_THREEFRY)
    return jax.random.key_data(jax.random.fold_in(key, message))

  def _bits(self, data, bit_width, shape):
    key = jax.random.wrap_key_data(self._note("draw", data), impl=_THREEFRY)
    return jax.random.bits(key, shape, np.dtype(f"uint{bit_width}"))

  def violations(self):
    """Lists keys that were drawn from or split twice, or consumed in more than one way.

    Numbers may be folded into a key any number of times, if it serves nothing else.
    """
    jax.effects_barrier()
    ways = collections.defaultdict(collections.Counter)
    for (key, how, _), times in self.consumed.items():
      ways[key][how] += times
    bad = lambda uses: len(uses) > 1 or max(uses["draw"], uses["split"]) > 1
    return {key: dict(uses) for key, uses in ways.items() if bad(uses)}
