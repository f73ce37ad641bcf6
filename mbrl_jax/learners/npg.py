"""Natural policy gradient with a normalised step.

For standardised advantages ``A`` of samples ``(s, a)`` of the policy ``pi``::

  g      = grad mean log pi(a|s) A
  x      = F^-1 g, by conjugate gradients
  alpha  = sqrt(|delta / (g^T x + 1e-10)|)
  theta <- theta + alpha x, then log_std is clamped

``F`` is the Hessian of the mean KL divergence ``KL(pi_old || pi)``, plus ``damping``. The KL
of a step is ``delta / 2`` to second order. There is no line search and no bound on it: with
few samples and little damping it can be several times larger.

Sources: Kakade 2001, "A natural policy gradient"; Rajeswaran et al. 2017, "Towards
generalization and simplicity in continuous control", and 2020, "A game theoretic framework for
model based reinforcement learning", the released ``mjrl`` and its defaults.

Deviations from mjrl:
  * Conjugate gradients start at 0. mjrl's start ``x = g`` (``cg_start="gradient"``) leaves
    rounding errors of about ``eps |F| |g|`` in the residual, which the inverse amplifies by
    up to ``1 / damping``: in single precision, policies of small deviation then take steps of
    arbitrary KL.
  * A step that is not finite is refused and counted.
  * See ``policy_gradient``.
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
  npg_step_size,
)
from mbrl_jax.ops.validate import between, choice, positive
from mbrl_jax.types import Array

CG_STARTS = ("zero", "gradient")


class NPGHyperparams(NamedTuple):
  """Hyper-parameters that may change between updates, arrays ``[]`` in the state.

  Attributes:
    discount: ``gamma``.
    gae_lambda: ``lambda`` of the advantages.
    step_size: ``delta``, about twice the KL divergence of a step.
    damping: added to the Fisher matrix's diagonal.
    min_log_std, max_log_std: bounds of the policy's log standard deviation.
  """

  discount: Array | float = 0.995
  gae_lambda: Array | float = 0.97
  step_size: Array | float = 0.05
  damping: Array | float = 1e-4
  min_log_std: Array | float = -2.5
  max_log_std: Array | float = 1.0


def make_npg(
  policy: GaussianPolicy,
  baseline: Baseline,
  *,
  cg_iterations: int = 10,
  fisher_samples: int = 0,
  cg_start: str = "zero",
  value_target: str = "monte_carlo",
) -> PolicyGradient:
  """Makes a natural policy gradient learner.

  Args:
    policy: the policy.
    baseline: the value function.
    cg_iterations: maximum number of conjugate gradient iterations.
    fisher_samples: estimate the Fisher matrix from at most so many samples; 0: from all.
    cg_start: initial ``x``, ``"zero"`` or, as released, ``"gradient"``.
    value_target: regression target of the baseline, see ``make_policy_gradient``.

  Raises:
    ValueError: no iterations, an unknown start or target.

  Example:
    >>> from mbrl_jax.learners import Trajectories, linear_baseline
    >>> from mbrl_jax.networks.gaussian_policy import make_gaussian_policy
    >>> npg = make_npg(make_gaussian_policy(2, 1, hidden=(8,)), linear_baseline(2))
    >>> state = npg.init(jax.random.key(0), NPGHyperparams(step_size=0.02))
    >>> obs, action = jnp.ones((4, 5, 2)), jnp.linspace(-1, 1, 20).reshape(4, 5, 1)
    >>> no, time = jnp.zeros((4, 5), bool), jnp.tile(jnp.arange(5), (4, 1))
    >>> batch = Trajectories(obs, action, action[..., 0], obs, no, time == 4, ~no, time)
    >>> state, metrics = npg.update(state, batch, jax.random.key(1))
    >>> metrics["refused"].item(), (metrics["surrogate_improvement"] > 0).item()
    (0, True)
  """
  between(0, float("inf"), fisher_samples=fisher_samples)
  positive(cg_iterations=cg_iterations)
  choice("cg_start", cg_start, CG_STARTS)

  def step(
    params: GaussianPolicyParams, hyperparams: NPGHyperparams, samples: Samples
  ) -> PolicyStep:
    def surrogate(params: GaussianPolicyParams) -> Array:
      log_prob = policy.log_prob(params, samples.obs, samples.action)
      return samples.mean(log_prob * samples.advantage)

    kl = mean_kl(policy, params, samples)
    before, gradient = jax.value_and_grad(surrogate)(params)
    fisher = fisher_product(policy, params, samples, hyperparams.damping, fisher_samples)
    start = gradient if cg_start == "gradient" else jax.tree.map(jnp.zeros_like, gradient)
    direction = conjugate_gradient(fisher, gradient, start, iterations=cg_iterations)
    alpha = npg_step_size(gradient, direction, hyperparams.step_size)
    moved = jax.tree.map(lambda x, dx: x + alpha * dx, params, direction)
    moved = clamp_to(hyperparams)(moved)
    return PolicyStep(
      params=moved,
      accepted=jnp.ones((), bool),
      kl=kl(moved),
      alpha=alpha,
      surrogate_before=before,
      surrogate_after=surrogate(moved),
      gradient_norm=optax.tree.norm(gradient),
      metrics={},
    )

  return make_policy_gradient(policy, baseline, step, value_target)
