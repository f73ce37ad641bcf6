"""Trust region policy optimisation.

For standardised advantages ``A`` of samples ``(s, a)`` of the policy ``pi_old``::

  L(theta) = mean pi(a|s) / pi_old(a|s) A,     g = grad L(theta_old)
  x        = F^-1 g, by conjugate gradients from x = 0
  alpha    = sqrt(2 delta / (x^T F x))
  theta   <- theta + shrink^k alpha x, log_std clamped

with the smallest ``k = 0, 1, ...`` for which ``L`` improves and the mean KL divergence
``KL(pi_old || pi)`` is at most ``delta``. ``F`` is the Hessian of the latter plus ``damping``.
If there is no such ``k``, the step is refused and counted, unless ``update`` is told to force
it: then the shortest one is taken, whatever its divergence.

Source: Schulman et al. 2015, "Trust region policy optimization"; defaults as MBMF (Nagabandi et
al. 2017) sets them for the released ``rllab``.

Deviations from rllab:
  * Fisher products are exact; rllab takes finite differences of gradients.
  * A step that the line search refuses is not taken, unless forced; MBMF's copy of rllab takes
    that of its first iteration.
  * See ``policy_gradient`` for the advantages.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.learners.baseline import Baseline
from mbrl_jax.learners.fisher import fisher_product
from mbrl_jax.learners.policy_gradient import (
  PolicyGradient,
  PolicyStep,
  Samples,
  clamp_to,
  make_policy_gradient,
  mean_kl,
)
from mbrl_jax.networks.gaussian_policy import GaussianPolicy, GaussianPolicyParams
from mbrl_jax.ops.trust_region import (
  conjugate_gradient,
  line_search,
  trpo_step_size,
)
from mbrl_jax.ops.validate import between, positive
from mbrl_jax.types import Array


class TRPOHyperparams(NamedTuple):
  """Hyper-parameters that may change between updates, arrays ``[]`` in the state.

  Attributes:
    discount: ``gamma``.
    gae_lambda: ``lambda`` of the advantages.
    max_kl: ``delta``, the largest KL divergence of a step.
    damping: added to the Fisher matrix's diagonal.
    shrink: factor of the step between trials of the line search.
    accept_fraction: required fraction of the expected improvement ``g^T step``.
    min_log_std, max_log_std: bounds of the policy's log standard deviation.
  """

  discount: Array | float = 0.995
  gae_lambda: Array | float = 1.0
  max_kl: Array | float = 0.05
  damping: Array | float = 1e-5
  shrink: Array | float = 0.8
  accept_fraction: Array | float = 0.0
  min_log_std: Array | float = -13.8
  max_log_std: Array | float = 10.0


def make_trpo(
  policy: GaussianPolicy,
  baseline: Baseline,
  *,
  cg_iterations: int = 10,
  fisher_samples: int = 0,
  line_search_trials: int = 15,
  value_target: str = "monte_carlo",
) -> PolicyGradient:
  """Makes a trust region policy optimisation learner.

  Args:
    policy: the policy.
    baseline: the value function.
    cg_iterations: maximum number of conjugate gradient iterations.
    fisher_samples: estimate the Fisher matrix from at most so many samples; 0: from all.
    line_search_trials: maximum number of step lengths tried.
    value_target: regression target of the baseline, see ``make_policy_gradient``.

  Raises:
    ValueError: no iterations or trials, an unknown target.

  Example:
    >>> from mbrl_jax.learners import Trajectories, linear_baseline
    >>> from mbrl_jax.networks.gaussian_policy import make_gaussian_policy
    >>> trpo = make_trpo(make_gaussian_policy(2, 1, hidden=(8,)), linear_baseline(2))
    >>> state = trpo.init(jax.random.key(0), TRPOHyperparams(max_kl=0.01))
    >>> obs, action = jnp.ones((4, 5, 2)), jnp.linspace(-1, 1, 20).reshape(4, 5, 1)
    >>> no, time = jnp.zeros((4, 5), bool), jnp.tile(jnp.arange(5), (4, 1))
    >>> batch = Trajectories(obs, action, action[..., 0], obs, no, time == 4, ~no, time)
    >>> state, metrics = trpo.update(state, batch, jax.random.key(1))
    >>> metrics["refused"].item(), (metrics["kl"] <= 0.01).item()
    (0, True)
  """
  positive(cg_iterations=cg_iterations, line_search_trials=line_search_trials)
  between(0, float("inf"), fisher_samples=fisher_samples)

  def step(
    params: GaussianPolicyParams, hyperparams: TRPOHyperparams, samples: Samples
  ) -> PolicyStep:
    old_log_prob = policy.log_prob(params, samples.obs, samples.action)

    def surrogate(params: GaussianPolicyParams) -> Array:
      log_prob = policy.log_prob(params, samples.obs, samples.action)
      return samples.mean(jnp.exp(log_prob - old_log_prob) * samples.advantage)

    kl = mean_kl(policy, params, samples)
    before, gradient = jax.value_and_grad(surrogate)(params)
    fisher = fisher_product(policy, params, samples, hyperparams.damping, fisher_samples)
    zero = jax.tree.map(jnp.zeros_like, gradient)
    direction = conjugate_gradient(fisher, gradient, zero, iterations=cg_iterations)
    alpha = trpo_step_size(fisher, direction, hyperparams.max_kl)
    expected = alpha * optax.tree.vdot(gradient, direction)
    found = line_search(
      surrogate,
      kl,
      params,
      optax.tree.scale(alpha, direction),
      max_kl=hyperparams.max_kl,
      shrink=hyperparams.shrink,
      trials=line_search_trials,
      min_improvement=hyperparams.accept_fraction * expected,
      project=clamp_to(hyperparams),
    )
    return PolicyStep(
      params=found.tried,
      accepted=found.accepted,
      kl=found.kl,
      alpha=alpha * hyperparams.shrink**found.backtracks,
      surrogate_before=before,
      surrogate_after=found.objective,
      gradient_norm=optax.tree.norm(gradient),
      metrics={"backtracks": found.backtracks},
    )

  return make_policy_gradient(policy, baseline, step, value_target)
