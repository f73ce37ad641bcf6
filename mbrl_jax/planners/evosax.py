"""Any strategy of the library evosax as a search (extra ``evosax``).

The strategy works on plans ``x`` in units of the deviation ``noise_scale``, around the middle
of the box, and is told of the plans as they were scored: clipped to the bounds. Each control
step begins it anew around the best plan so far, shifted: a distribution has its mean there, a
population is drawn around it. The best plan that was scored is executed.

A plan without a finite return is told to be worse than all that this control step has seen, by
as much as those differ, because many strategies add up returns. For the same reason returns
whose largest lies outside 1e-6 to 1e12 at the first iteration of a control step are divided by
a power of two in all of them.

Source: Lange 2022, "evosax: JAX-based Evolution Strategies"; written for evosax 0.3, which
minimises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import ArgumentError, choice, positive
from mbrl_jax.planners.search import shift_plan
from mbrl_jax.planners.utility import magnitude
from mbrl_jax.types import Array, Key, Search


class EvosaxState(NamedTuple):
  """State of an evosax strategy; its floats may be changed at any time.

  Attributes:
    strategy: evosax's state.
    params: evosax's params, what a user would tune.
    seed: of what the strategy draws when it is told of the plans sampled last, ``[]`` uint32.
    fresh: the strategy has not been asked in this replan, ``[]`` bool.
    plan, value: best plan of this replan ``[H, A]`` and its return ``[]``.
    unit: what returns are divided by before the strategy is told in this replan, ``[]``.
    worst: lowest finite return of this replan in that unit, ``[]``.
    std: ``noise_scale`` in units of action, ``[H, A]``.
    low, high: bounds, ``[H, A]``.
  """

  strategy: Any
  params: Any
  seed: Array
  fresh: Array
  plan: Array
  value: Array
  unit: Array
  worst: Array
  std: Array
  low: Array
  high: Array


def evosax(
  strategy: str | Callable[..., Any] = "CMA_ES",
  samples: int = 128,
  *,
  noise_scale: float = 0.5,
  params: Mapping[str, float] | None = None,
  **options: Any,
) -> Search:
  """Makes a search of an evosax strategy.

  Args:
    strategy: name of one of ``evosax.algorithms``, or a class like those.
    samples: population size.
    noise_scale: unit of the strategy as a share of half the action range; the strategies' own
      initial deviation is one of these.
    params: values that replace those of the strategy's default params, by name.
    **options: keyword arguments of the strategy's class.

  Raises:
    ImportError: evosax is not installed.
    ValueError: an unknown strategy, params that it does not have, one that does not keep
      the common interface, sizes that are not positive.
  """
  positive(samples=samples, noise_scale=noise_scale)
  kind = _kind(strategy)

  @functools.cache
  def made(shape: tuple[int, int]) -> Any:
    # Concrete, because it outlives the trace in which it is asked for.
    with jax.ensure_compile_time_eval():
      return _make(kind, samples, shape, options)

  def init(low: Array, high: Array) -> EvosaxState:
    algorithm = made(low.shape)
    chosen = _strong(_replace(algorithm.default_params, params or {}))
    plans = jnp.zeros((samples, *low.shape), jnp.float32)
    # Of the right shape only: the first iteration begins it.
    start = _begin(algorithm, jax.random.key(0), plans, plans[:, 0, 0], chosen)
    return EvosaxState(
      strategy=_strong(start),
      params=chosen,
      seed=jnp.zeros((), jnp.uint32),
      fresh=jnp.asarray(True),
      plan=(low + high) / 2,
      value=jnp.float32(-jnp.inf),
      unit=jnp.float32(1.0),
      worst=jnp.float32(jnp.inf),
      std=noise_scale * (high - low) / 2,
      low=low,
      high=high,
    )

  def sample(state: EvosaxState, key: Key, size: int) -> tuple[Array, EvosaxState]:
    ask_key, tell_key = jax.random.split(key)
    plans, strategy = _ask(made(state.low.shape), state, ask_key)
    rows = jnp.arange(size) % samples
    # A seed, because a loop carries keys of one kind, and the caller's may be of any.
    seed = jax.random.bits(tell_key, (), jnp.uint32)
    return jnp.take(plans, rows, axis=0), state._replace(strategy=strategy, seed=seed)

  def update(state: EvosaxState, plans: Array, returns: Array) -> EvosaxState:
    unit = jnp.where(state.fresh, magnitude(returns), state.unit)
    told, worst = _told(_limited(returns / unit), state.worst)
    strategy = _tell(made(state.low.shape), state, plans[:samples], told[:samples])
    best = jnp.argmax(returns)
    better = returns[best] > state.value
    return state._replace(
      strategy=strategy,
      fresh=jnp.asarray(False),
      plan=jnp.where(better, plans[best], state.plan),
      value=jnp.where(better, returns[best], state.value),
      unit=unit,
      worst=worst,
    )

  def shift(state: EvosaxState, steps: int) -> EvosaxState:
    none = jnp.float32(-jnp.inf)
    plan = shift_plan(state.plan, steps, state.plan[-1])
    return state._replace(fresh=jnp.asarray(True), plan=plan, value=none, worst=-none)

  sizes = lambda iterations: (samples,) * iterations
  return Search(init, sample, update, lambda state: state.plan, shift, sizes)


def _kind(strategy: str | Callable[..., Any]) -> Callable[..., Any]:
  """Returns the class of a strategy."""
  if callable(strategy):
    return strategy
  try:
    from evosax.algorithms import algorithms
  except ImportError as error:
    raise ImportError(
      "Searches by evosax need the extra: pip install 'mbrl_jax[evosax]'."
    ) from error
  return algorithms[choice("strategy", strategy, algorithms)]


def _make(
  kind: Callable[..., Any], samples: int, shape: tuple[int, int], options: dict[str, Any]
) -> Any:
  """Makes the strategy for plans of a shape."""
  try:
    algorithm = kind(population_size=samples, solution=jnp.zeros(shape), **options)
  except (AssertionError, TypeError) as error:
    raise ValueError(f"evosax refuses samples={samples}, options={options}: {error}") from error
  if hasattr(algorithm, "num_populations"):
    name = type(algorithm).__name__
    text = "keeps several populations, which is not supported."
    raise ArgumentError("strategy", name, text)
  return algorithm


def _replace(params: Any, values: Mapping[str, float]) -> Any:
  """Returns evosax's params with some values replaced."""
  for name in values:
    choice("params", name, vars(params))
  return params.replace(**values)


def _strong(tree: Any) -> Any:
  """Makes every leaf an array of a definite type."""
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), tree)


def _limited(returns: Array) -> Array:
  """Returns ``returns [N]`` whose squares strategies may add up; -inf stays."""
  return jnp.where(returns > -jnp.inf, jnp.clip(returns, -1e15, 1e15), returns)


def _told(returns: Array, worst: Array) -> tuple[Array, Array]:
  """Returns finite ``returns [N]`` and the lowest one seen so far ``[]``."""
  finite = returns > -jnp.inf
  worst = jnp.minimum(worst, jnp.min(returns, where=finite, initial=jnp.inf))
  gap = jnp.max(returns) - worst
  # Where all are equal, a millionth of them is the least that still counts in float32.
  gap = jnp.maximum(gap, 1e-6 + 1e-6 * jnp.abs(worst))
  return jnp.where(finite, returns, worst - gap), worst


def _units(state: EvosaxState, plans: Array) -> Array:
  return (plans - (state.low + state.high) / 2) / state.std


def _begin(algorithm: Any, key: Key, plans: Array, fitness: Array, params: Any) -> Any:
  """Begins a distribution around the first of ``plans [N, H, A]``, a population with all."""
  if _has_mean(algorithm):
    return algorithm.init(key, plans[0], params)
  return algorithm.init(key, plans, fitness, params)


def _has_mean(algorithm: Any) -> bool:
  return hasattr(algorithm, "get_mean")


def _ask(algorithm: Any, state: EvosaxState, key: Key) -> tuple[Array, Any]:
  """Returns the plans ``[N, H, A]`` that a strategy tries, and its state."""
  start_key, begin_key, ask_key = jax.random.split(key, 3)
  shape = algorithm.population_size, *state.plan.shape
  noise = jax.random.normal(start_key, shape, jnp.float32)
  drawn = _units(state, state.plan) + noise.at[0].set(0.0)
  strategy = state.strategy
  if _has_mean(algorithm):
    begun = _begin(algorithm, begin_key, drawn, None, state.params)
    strategy = _choose(state.fresh, begun, strategy)
  units, asked = algorithm.ask(ask_key, strategy, state.params)
  if not _has_mean(algorithm):
    # A population is scored as it was drawn before it has offspring.
    units = jnp.where(state.fresh, drawn, units)
  plans = (state.low + state.high) / 2 + state.std * units
  plans = jnp.clip(plans, state.low, state.high).astype(jnp.float32)
  return plans, _typed_as(state.strategy, asked)


def _tell(algorithm: Any, state: EvosaxState, plans: Array, returns: Array) -> Any:
  """Returns the strategy's state after ``plans [N, H, A]`` had finite ``returns [N]``."""
  begin_key, tell_key = jax.random.split(jax.random.key(state.seed))
  units = _units(state, plans)
  strategy, _ = algorithm.tell(tell_key, units, -returns, state.strategy, state.params)
  if not _has_mean(algorithm):
    begun = _begin(algorithm, begin_key, units, -returns, state.params)
    strategy = _choose(state.fresh, begun, strategy)
  return _typed_as(state.strategy, strategy)


def _typed_as(old: Any, new: Any) -> Any:
  """Returns ``new`` in the types of ``old``, as a loop must carry it."""
  return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), new, old)


def _choose(first: Array, a: Any, b: Any) -> Any:
  return jax.tree.map(lambda x, y: jnp.where(first, x, y), a, b)
