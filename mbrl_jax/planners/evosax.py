"""Strategies of the library evosax as searches (extra ``evosax``).

A strategy works on plans in units of the deviation ``noise_scale``, relative to the middle of
the bounds. Its ``tell`` receives the plans as they were scored, clipped to the bounds. Each
control step restarts it around the best plan so far, shifted: a distribution has its mean
there, a population is sampled around it. The best plan that was scored is executed.

Many strategies sum returns. A plan without a finite return therefore gets a fitness below the
lowest of this control step, by the range of those seen. Where the largest return of the first
iteration lies outside 1e-6 to 1e12, all returns of the control step are divided by a power of
two.

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
from mbrl_jax.planners.dynamics_contract import strongly_typed
from mbrl_jax.planners.search import best_plan, fixed_sizes, keep_best, shift_plan
from mbrl_jax.planners.utility import magnitude
from mbrl_jax.types import Array, Key, Search


class EvosaxState(NamedTuple):
  """State of an evosax strategy; its floats may be changed at any time.

  Attributes:
    strategy: evosax's state.
    params: evosax's params, the values that a user would tune.
    seed: of the strategy's ``tell`` for the plans sampled last, ``[]`` uint32.
    fresh: whether the strategy is not yet restarted in this replan, ``[]`` bool.
    plan, value: best plan of this replan ``[H, A]`` and its return ``[]``.
    unit: divisor of the returns in this replan, ``[]``.
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
  """Makes a search from an evosax strategy.

  Args:
    strategy: name in ``evosax.algorithms``, or a class with the same interface.
    samples: population size.
    noise_scale: unit of the strategy as a share of half the action range; the default initial
      deviation of the strategies is one unit.
    params: values that replace those of the strategy's default params, by name.
    **options: keyword arguments of the strategy's class.

  Raises:
    ImportError: evosax is not installed.
    ValueError: an unknown strategy, params that it does not have, one without the common
      interface, sizes that are not positive.

  Example:
    >>> search = evosax("CMA_ES", samples=32)
    >>> state = search.init(jnp.full((2, 1), -1.0), jnp.full((2, 1), 1.0))
    >>> plans, state = search.sample(state, jax.random.key(0), 32)
    >>> plans.shape
    (32, 2, 1)
  """
  positive(samples=samples, noise_scale=noise_scale)
  strategy_class = _strategy_class(strategy)

  @functools.cache
  def algorithm(shape: tuple[int, ...]) -> Any:
    # Concrete arrays, because the algorithm outlives the trace in which it is first used.
    with jax.ensure_compile_time_eval():
      return _make_algorithm(strategy_class, samples, shape, options)

  def init(low: Array, high: Array) -> EvosaxState:
    return _init(algorithm(low.shape), low, high, noise_scale, params or {})

  def sample(state: EvosaxState, key: Key, size: int) -> tuple[Array, EvosaxState]:
    return _sample(algorithm(state.low.shape), state, key, size)

  def update(state: EvosaxState, plans: Array, returns: Array) -> EvosaxState:
    return _update(algorithm(state.low.shape), state, plans, returns)

  return Search(init, sample, update, best_plan, _shift, fixed_sizes(samples))


def _strategy_class(strategy: str | Callable[..., Any]) -> Callable[..., Any]:
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


def _make_algorithm(
  strategy_class: Callable[..., Any],
  samples: int,
  shape: tuple[int, ...],
  options: dict[str, Any],
) -> Any:
  """Makes the evosax algorithm for plans of a shape ``(H, A)``."""
  try:
    algorithm = strategy_class(population_size=samples, solution=jnp.zeros(shape), **options)
  except (AssertionError, TypeError) as error:
    raise ValueError(f"evosax refuses samples={samples}, options={options}: {error}") from error
  if hasattr(algorithm, "num_populations"):
    name = type(algorithm).__name__
    text = "keeps several populations, which is not supported."
    raise ArgumentError("strategy", name, text)
  return algorithm


def _init(
  algorithm: Any, low: Array, high: Array, noise_scale: float, params: Mapping[str, float]
) -> EvosaxState:
  """Returns a state whose strategy is of the right shape; the first iteration restarts it."""
  tuned = strongly_typed(_replace_params(algorithm.default_params, params))
  plans = jnp.zeros((algorithm.population_size, *low.shape), jnp.float32)
  start = _init_strategy(algorithm, jax.random.key(0), plans, plans[:, 0, 0], tuned)
  return EvosaxState(
    strategy=strongly_typed(start),
    params=tuned,
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


def _sample(
  algorithm: Any, state: EvosaxState, key: Key, size: int
) -> tuple[Array, EvosaxState]:
  ask_key, tell_key = jax.random.split(key)
  plans, strategy = _ask(algorithm, state, ask_key)
  indices = jnp.arange(size) % len(plans)
  # A seed instead of a key: a loop carries keys of one type, the caller's may be of any.
  seed = jax.random.bits(tell_key, (), jnp.uint32)
  return jnp.take(plans, indices, axis=0), state._replace(strategy=strategy, seed=seed)


def _update(algorithm: Any, state: EvosaxState, plans: Array, returns: Array) -> EvosaxState:
  samples = algorithm.population_size
  unit = jnp.where(state.fresh, magnitude(returns), state.unit)
  fitness, worst = _finite_returns(_clip_returns(returns / unit), state.worst)
  strategy = _tell(algorithm, state, plans[:samples], fitness[:samples])
  return keep_best(state, plans, returns)._replace(
    strategy=strategy, fresh=jnp.asarray(False), unit=unit, worst=worst
  )


def _shift(state: EvosaxState, steps: int) -> EvosaxState:
  lowest = jnp.float32(-jnp.inf)
  plan = shift_plan(state.plan, steps, state.plan[-1])
  return state._replace(fresh=jnp.asarray(True), plan=plan, value=lowest, worst=-lowest)


def _replace_params(params: Any, values: Mapping[str, float]) -> Any:
  """Returns evosax's params with some values replaced."""
  for name in values:
    choice("params", name, vars(params))
  return params.replace(**values)


def _clip_returns(returns: Array) -> Array:
  """Clips ``returns [N]`` so that sums of their squares do not overflow; keeps -inf."""
  return jnp.where(returns > -jnp.inf, jnp.clip(returns, -1e15, 1e15), returns)


def _finite_returns(returns: Array, worst: Array) -> tuple[Array, Array]:
  """Replaces -inf in ``returns [N]`` by a finite value below ``worst []``; updates that."""
  finite = returns > -jnp.inf
  worst = jnp.minimum(worst, jnp.min(returns, where=finite, initial=jnp.inf))
  gap = jnp.max(returns) - worst
  # At least a millionth of the returns, which float32 still resolves, if all are equal.
  gap = jnp.maximum(gap, 1e-6 + 1e-6 * jnp.abs(worst))
  return jnp.where(finite, returns, worst - gap), worst


def _normalize(state: EvosaxState, plans: Array) -> Array:
  """Returns plans in the strategy's units."""
  return (plans - (state.low + state.high) / 2) / state.std


def _init_strategy(
  algorithm: Any, key: Key, plans: Array, fitness: Array | None, params: Any
) -> Any:
  """Starts a distribution at the first of ``plans [N, H, A]``, a population with all."""
  if _has_mean(algorithm):
    return algorithm.init(key, plans[0], params)
  return algorithm.init(key, plans, fitness, params)


def _has_mean(algorithm: Any) -> bool:
  """Returns whether the strategy is a distribution, not a population."""
  return hasattr(algorithm, "get_mean")


def _ask(algorithm: Any, state: EvosaxState, key: Key) -> tuple[Array, Any]:
  """Returns the strategy's next plans ``[N, H, A]``, and its state."""
  start_key, init_key, ask_key = jax.random.split(key, 3)
  shape = algorithm.population_size, *state.plan.shape
  noise = jax.random.normal(start_key, shape, jnp.float32)
  starts = _normalize(state, state.plan) + noise.at[0].set(0.0)
  strategy = state.strategy
  if _has_mean(algorithm):
    restarted = _init_strategy(algorithm, init_key, starts, None, state.params)
    strategy = _where(state.fresh, restarted, strategy)
  units, strategy = algorithm.ask(ask_key, strategy, state.params)
  if not _has_mean(algorithm):
    # A population is scored as it was sampled before it has offspring.
    units = jnp.where(state.fresh, starts, units)
  plans = (state.low + state.high) / 2 + state.std * units
  plans = jnp.clip(plans, state.low, state.high).astype(jnp.float32)
  return plans, _cast_like(strategy, state.strategy)


def _tell(algorithm: Any, state: EvosaxState, plans: Array, returns: Array) -> Any:
  """Returns the strategy's state after ``plans [N, H, A]`` had finite ``returns [N]``."""
  init_key, tell_key = jax.random.split(jax.random.key(state.seed))
  units = _normalize(state, plans)
  strategy, _ = algorithm.tell(tell_key, units, -returns, state.strategy, state.params)
  if not _has_mean(algorithm):
    restarted = _init_strategy(algorithm, init_key, units, -returns, state.params)
    strategy = _where(state.fresh, restarted, strategy)
  return _cast_like(strategy, state.strategy)


def _cast_like(new: Any, old: Any) -> Any:
  """Returns ``new`` with the dtypes of ``old``, as a loop requires of its carry."""
  return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), new, old)


def _where(condition: Array, a: Any, b: Any) -> Any:
  """Selects between two trees."""
  return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
