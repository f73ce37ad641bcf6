"""The Fisher matrix from a part of the samples."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from policy_gradient_cases import BASELINES, POLICY, trajectories

from mbrl_jax.learners import NPGHyperparams, make_npg
from mbrl_jax.learners.fisher import fisher_product
from mbrl_jax.learners.policy_gradient import Samples


@pytest.mark.parametrize("limit", [5, pytest.param(1000, marks=pytest.mark.slow)])
def test_curvature_of_a_part_is_that_of_samples_spread_over_all(limit):
  npg = make_npg(POLICY, BASELINES["linear"])
  state = npg.init(jax.random.key(0), NPGHyperparams())
  batch = trajectories(state)
  samples = Samples(batch.obs, batch.action, batch.reward, batch.valid)
  rows = np.asarray(batch.obs)[np.asarray(batch.valid)]
  assert 5 < len(rows) < batch.valid.size < 1000
  if limit < len(rows):
    rows = rows[np.arange(limit) * len(rows) // limit]
  part = Samples(
    rows[None], rows[None], jnp.zeros((1, len(rows))), jnp.ones((1, len(rows)), bool)
  )
  vector = jax.tree.map(jnp.ones_like, state.params)
  of = lambda samples, limit: fisher_product(POLICY, state.params, samples, 0.1, limit)(vector)
  chex.assert_trees_all_close(of(samples, limit), of(part, 0), rtol=1e-5)
  fewer = of(samples, batch.valid.size - 1)  # more than the valid ones
  chex.assert_trees_all_close(fewer, of(samples, 0), rtol=1e-5)
