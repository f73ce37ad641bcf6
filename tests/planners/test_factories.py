"""Factories of searches reject invalid arguments."""

import pytest

from mbrl_jax.planners import (
  adam,
  categorical,
  cem,
  dial,
  icem,
  mirror_descent,
  mppi,
  predictive_sampling,
)


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: cem(samples=10, elites=20), "elites=20 exceed samples=10"),
    (lambda: cem(alpha=1.5), "alpha=1.5 must lie between 0.0 and 1.0"),
    (lambda: cem(samples=0), "samples=0 must be positive"),
    (lambda: icem(samples=10, elites=6), "elites=6"),
    (lambda: icem(sample_decay=0.5), "sample_decay=0.5"),
    (lambda: mppi(temperature=0.0), "temperature=0.0 must be positive"),
    (lambda: mirror_descent(utility="treshold"), "Did you mean 'threshold'"),
    (lambda: mirror_descent(covariance="ful"), "Did you mean 'full'"),
    (lambda: mirror_descent(utility="expected", covariance="full"), "='full' must be 'fixed'"),
    (lambda: mirror_descent(divergence="euclidean", covariance="full"), "'euclidean' moves"),
    (lambda: mirror_descent(divergence="euclidian"), "Did you mean 'euclidean'"),
    (lambda: mirror_descent(tail="repeet"), "Did you mean 'repeat'"),
    (lambda: mirror_descent(9, elites=20, utility="threshold"), "elites=20 exceed samples=9"),
    (lambda: categorical(categories=1), "categories=1 must be at least 2"),
    (lambda: categorical(utility="expected"), "divergence='kl' must be 'euclidean' with"),
    (lambda: categorical(forget=1.0), "forget=1.0 must lie between 0.0 and 0.99"),
    (lambda: predictive_sampling(noise_scale=0.0), "noise_scale=0.0 must be positive"),
    (lambda: dial(iteration_decay=1.5), "iteration_decay=1.5 must lie between"),
    (lambda: adam(learning_rate=-0.1), "learning_rate=-0.1 must be positive"),
    (lambda: mirror_descent(step_size=1.5), "step_size=1.5 must lie between"),
    (lambda: mppi(ess_fraction=2.0), "ess_fraction=2.0 must lie between 0.0 and 1.0"),
  ],
)
def test_invalid_arguments_are_named(make, message):
  with pytest.raises(ValueError, match=message):
    make()
