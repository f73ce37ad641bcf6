"""Loss, gradient and predictions of the ensembles against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.models.ensemble import make_ensemble
from mbrl_jax.models.ensemble_nets import take_members

HIDDEN = (7, 5)
IN, OUT, B = 3, 2, 6
DECAY = (0.1, 0.2, 0.3)
KINDS = [("D", 1), ("P", 1), ("DE", 3), ("PE", 3)]


def build(kind, members, **options):
  """Returns a model, perturbed parameters, and inputs, targets and weights of a batch."""
  ensemble = make_ensemble(kind, members, HIDDEN, weight_decay=DECAY, **options)
  keys = jax.random.split(jax.random.key(0), 4)
  inputs = 2 + 3 * jax.random.normal(keys[0], (members, B, IN))
  targets = 5 * jax.random.normal(keys[1], (members, B, OUT)) + 1
  params = ensemble.init(keys[2], inputs, targets)
  params = ensemble.prepare(params, inputs[0], targets[0], B, keys[3])
  noise = jax.random.normal(keys[3], (2, OUT))
  params = params._replace(
    network=jax.tree.map(lambda leaf: leaf + 0.1, params.network),
    max_log_var=params.max_log_var + noise[0],
    min_log_var=params.min_log_var + noise[1],
  )
  weights = jnp.ones((members, B)).at[:, -2:].set(0.0)
  return ensemble, params, (inputs, targets, weights)


def reference(kind, flat, params, batch, scaled):
  """Computes the loss of the original program, in float64, member by member."""
  inputs, targets, weights = (np.asarray(x, np.float64) for x in batch)
  probabilistic = kind in ("P", "PE")
  mean = np.asarray(params.inputs.mean, np.float64)
  scale = np.asarray(params.inputs.scale, np.float64)
  total = 0.0
  for e in range(len(inputs)):
    x = (inputs[e][weights[e] > 0] - mean) / scale
    y = targets[e][weights[e] > 0]
    if scaled:
      y = (y - np.asarray(params.targets.mean)) / np.asarray(params.targets.scale)
    for i, decay in enumerate(DECAY):
      kernel, bias = flat[f"kernel_{i}"][e], flat[f"bias_{i}"][e]
      total += decay * 0.5 * (kernel**2).sum()
      x = x @ kernel + bias
      if i < len(HIDDEN):
        x = x / (1 + np.exp(-x))
    if not probabilistic:
      total += ((x - y) ** 2 / 2).mean()
      continue
    log_var = flat["max"] - np.log1p(np.exp(flat["max"] - x[:, OUT:]))
    log_var = flat["min"] + np.log1p(np.exp(log_var - flat["min"]))
    total += ((x[:, :OUT] - y) ** 2 / np.exp(log_var) + log_var).mean()
  if probabilistic:
    total += 0.01 * flat["max"].sum() - 0.01 * flat["min"].sum()
  return total


def flatten(params):
  layers = params.network
  flat = {"max": params.max_log_var, "min": params.min_log_var}
  for i in range(len(layers)):
    flat[f"kernel_{i}"] = layers[f"layer_{i}"]["kernel"]
    flat[f"bias_{i}"] = layers[f"layer_{i}"]["bias"]
  return {name: np.array(value, np.float64) for name, value in flat.items()}


@pytest.mark.parametrize(
  ("kind", "members", "scaled"),
  [*((*k, False) for k in KINDS), (*KINDS[2], True), (*KINDS[3], True)],
)
def test_loss_and_gradient_match_numpy(kind, members, scaled):
  ensemble, params, batch = build(kind, members, normalize_targets=scaled)
  (loss, _), gradient = jax.jit(jax.value_and_grad(ensemble.loss, has_aux=True))(params, *batch)
  flat, got = flatten(params), flatten(gradient)
  assert loss == pytest.approx(reference(kind, flat, params, batch, scaled), rel=1e-5)
  step = 1e-6
  for name, value in flat.items():
    numeric = np.zeros_like(value)
    for index in np.ndindex(value.shape):
      ends = []
      for sign in (1, -1):
        moved = value.copy()
        moved[index] += sign * step
        ends.append(reference(kind, flat | {name: moved}, params, batch, scaled))
      numeric[index] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(got[name], numeric, rtol=2e-3, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("scaled", [False, True])
def test_predictions_are_in_target_units(scaled):
  ensemble, params, (inputs, targets, weights) = build("PE", 3, normalize_targets=scaled)
  predict = jax.vmap(jax.vmap(ensemble.apply, (None, 0)), (ensemble.params_axes, 0))
  mean, variance = predict(params, inputs)
  log_var = jnp.log(variance)
  _, metrics = ensemble.loss(params, inputs, targets, weights)
  kept = np.asarray(jnp.square(mean - targets).mean(-1) * weights)
  np.testing.assert_allclose(metrics["mse"], kept.sum(1) / 4, rtol=1e-5)
  # The likelihood in target units is that of the loss, up to the change of variables.
  likelihood = jnp.square(mean - targets) * jnp.exp(-log_var) + log_var
  shift = 2 * np.log(np.asarray(params.targets.scale)).mean() if scaled else 0.0
  kept = np.asarray(likelihood.mean(-1) * weights).sum(1) / 4
  np.testing.assert_allclose(metrics["fit"], kept - shift, rtol=1e-4, atol=1e-5)


def test_log_variance_stays_within_the_learnt_bounds():
  ensemble, params, _ = build("PE", 3)
  x = 1e3 * jax.random.normal(jax.random.key(7), (100, IN))
  _, variance = jax.vmap(jax.vmap(ensemble.apply, (None, 0)), (ensemble.params_axes, None))(
    params, x
  )
  log_var = jnp.log(variance)
  assert (log_var >= params.min_log_var - 1e-4).all()
  assert (log_var <= params.max_log_var + 1e-3).all()
  assert log_var.std() > 1


@pytest.mark.parametrize(("kind", "members"), [("D", 1), ("DE", 3)])
def test_deterministic_nets_have_zero_variance(kind, members):
  ensemble, params, (inputs, _, _) = build(kind, members, normalize_targets=True)
  member = jax.tree.map(lambda leaf: leaf[0], params.network)

  def noisy(x):
    mean, variance = ensemble.apply(params._replace(network=member), x)
    return (mean + jnp.sqrt(variance + 1e-6) * 3).sum(), variance

  gradient, variance = jax.grad(noisy, has_aux=True)(inputs[0, 0])
  assert (variance == 0).all() and jnp.isfinite(gradient).all() and (gradient != 0).any()
  assert not ensemble.probabilistic


def test_init_needs_shapes_only_and_members_differ():
  ensemble = make_ensemble("PE", 4, (6,))
  shapes = jax.ShapeDtypeStruct((9, IN), jnp.float32), jax.ShapeDtypeStruct((OUT,), jnp.float32)
  params = ensemble.init(jax.random.key(0), *shapes)
  kernel = params.network["layer_0"]["kernel"]
  assert kernel.shape == (4, IN, 6)
  assert params.network["layer_1"]["kernel"].shape == (4, 6, 2 * OUT)
  assert not np.allclose(kernel[0], kernel[1])
  np.testing.assert_array_equal(params.max_log_var, np.full(OUT, 0.5, np.float32))
  np.testing.assert_array_equal(params.min_log_var, np.full(OUT, -10, np.float32))


def test_take_members_selects_elites():
  ensemble, params, (inputs, _, _) = build("PE", 3)
  elites = take_members(params, jnp.array([2, 0]))
  predict = jax.vmap(ensemble.apply, (ensemble.params_axes, None))
  means, elite_means = predict(params, inputs[0, 0])[0], predict(elites, inputs[0, 0])[0]
  np.testing.assert_allclose(elite_means, means[jnp.array([2, 0])], rtol=1e-5)
  assert ensemble._replace(members=2).members == 2


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"kind": "EP"}, r"kind='EP'.*Valid choices: .*'D'"),
    ({"kind": "P", "members": 5}, r"members=5.*kind='P'.*kind='PE'"),
    ({"kind": "PE", "members": 1}, r"members=1.*kind='PE'.*kind='P'"),
    ({"activation": "gelu"}, r"activation='gelu'.*'swish'"),
    ({"weight_decay": (1.0, 2.0)}, r"2 entries.*5 layers"),
    ({"weight_decay": -1.0}, "negative"),
    ({"hidden": (200, 0)}, r"hidden=\(200, 0\) must be positive"),
    ({"precision": "float16"}, r"precision='float16'.*'bfloat16'"),
    ({"scaling": "max"}, r"scaling='max'.*'mad'"),
  ],
)
def test_invalid_arguments_raise(arguments, words):
  with pytest.raises(ValueError, match=words):
    make_ensemble(**arguments)
