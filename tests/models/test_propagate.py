"""Propagation modes: moments against closed forms, valid combinations, noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.models.dynamics import as_dynamics
from mbrl_jax.models.ensemble import make_ensemble
from mbrl_jax.models.gp import make_gp
from mbrl_jax.models.propagate import MODES, VALID
from mbrl_jax.types import PARTICLES

OUT, A = 3, 2
OBS, ACTION = jnp.array([0.3, -1.0, 2.0]), jnp.array([0.5, -0.2])


@functools.cache
def model(kind):
  ensemble = make_gp(4) if kind == "GP" else make_ensemble(kind, len(kind) ** 2, (8,))
  ensemble = ensemble if len(kind) == 2 else make_ensemble(kind, 1, (8,))
  params = ensemble.init(jax.random.key(0), jnp.zeros(OUT + A), jnp.zeros(OUT))
  return ensemble, params


def dynamics(kind, propagation, **options):
  ensemble, params = model(kind)
  made = as_dynamics(
    ensemble,
    reward=lambda obs, action, next_obs: next_obs.sum() - obs.sum() + action.sum(),
    terminated=lambda obs, action, next_obs: next_obs[0] > 1e6,
    propagation=propagation,
    **options,
  )
  return made, params


def rollout(made, params, noise, obs=OBS):
  """Steps all slices and particles once; ``noise [slices, P, ...]``."""
  particles = jax.vmap(
    lambda p, z: made.step(p, obs, ACTION, z)[0], (None, 0), axis_name=PARTICLES
  )
  return jax.jit(jax.vmap(particles, (made.params_axes, 0)))(params, noise)


def member_moments(kind):
  ensemble, params = model(kind)
  x = jnp.concatenate([OBS, ACTION])
  mean, variance = jax.vmap(ensemble.apply, (ensemble.params_axes, None))(params, x)
  return np.asarray(mean, np.float64), np.asarray(variance, np.float64)


def test_trajectory_sampling_draws_from_each_member():
  made, params = dynamics("PE", "TSinf", outputs=OUT)
  noise = made.noise(jax.random.key(1), (made.slices, 20_000))
  samples = np.asarray(rollout(made, params, noise)) - OBS
  means, variances = member_moments("PE")
  assert made.slices == 4 and not made.shuffle
  np.testing.assert_allclose(samples.mean(1), means, atol=0.04)
  np.testing.assert_allclose(samples.var(1), variances, rtol=0.06)


def test_ts1_is_tsinf_with_shuffled_particles():
  once, _ = dynamics("PE", "TSinf")
  always, _ = dynamics("PE", "TS1")
  assert always.shuffle and not once.shuffle
  assert always.slices == once.slices and always.params_axes == once.params_axes


@pytest.mark.parametrize("kind", ["P", "PE", "DE"])
def test_ds_draws_from_the_pooled_gaussian(kind):
  made, params = dynamics(kind, "DS", outputs=OUT)
  noise = made.noise(jax.random.key(1), (1, 20_000))
  samples = np.asarray(rollout(made, params, noise))[0] - OBS
  means, variances = member_moments(kind)
  assert made.slices == 1 and made.params_axes is None
  np.testing.assert_allclose(samples.mean(0), means.mean(0), atol=0.04)
  np.testing.assert_allclose(samples.var(0), variances.mean(0) + means.var(0), rtol=0.06)


def test_mm_resamples_from_the_moments_of_the_predictions():
  """Each particle has its own observation; the moments are those of the predicted deltas."""
  made, params = dynamics("PE", "MM", outputs=OUT)
  ds, _ = dynamics("PE", "DS", outputs=OUT)
  count = 7
  obs = OBS + jnp.arange(count)[:, None]
  noise = made.noise(jax.random.key(2), (count,))
  assert noise.shape == (count, 2, OUT)
  step = jax.jit(jax.vmap(made.step, (None, 0, None, 0), axis_name=PARTICLES))
  got = step(params, obs, ACTION, noise)[0] - obs
  plain = (
    jax.jit(jax.vmap(ds.step, (None, 0, None, 0)))(params, obs, ACTION, noise[:, :1])[0] - obs
  )
  plain = np.asarray(plain, np.float64)
  expected = plain.mean(0) + plain.std(0) * np.asarray(noise[:, 1])
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_mm_does_not_mix_candidates():
  made, params = dynamics("PE", "MM", outputs=OUT)
  noise = made.noise(jax.random.key(2), (2, 6))
  step = jax.vmap(made.step, (None, None, None, 0), axis_name=PARTICLES)
  both = jax.jit(jax.vmap(step, (None, None, 0, 0)))(
    params, OBS, jnp.stack([ACTION, -ACTION]), noise
  )
  alone = jax.jit(step)(params, OBS, ACTION, noise[0])
  np.testing.assert_allclose(both[0][0], alone[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["D", "P", "DE", "PE"])
def test_expectation_follows_the_mean_of_all_members(kind):
  made, params = dynamics(kind, "E")
  next_obs, reward, terminated = made.step(params, OBS, ACTION, jax.random.key(0))
  expected = np.asarray(OBS) + member_moments(kind)[0].mean(0)
  np.testing.assert_allclose(next_obs, expected, atol=1e-5)
  assert reward == pytest.approx(float(expected.sum() - OBS.sum() + ACTION.sum()), abs=1e-4)
  assert not terminated


def test_deterministic_members_follow_their_own_mean():
  made, params = dynamics("DE", "TSinf")
  noise = made.noise(jax.random.key(1), (made.slices, 3))
  assert noise.size == 0
  samples = rollout(made, params, noise) - OBS
  np.testing.assert_allclose(
    samples, np.repeat(member_moments("DE")[0][:, None], 3, 1), atol=1e-5
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  ("kind", "propagation"),
  [*(("PE", mode) for mode in MODES), ("DE", "TSinf"), ("D", "E"), ("P", "MM"), ("GP", "DS")],
)
def test_a_key_and_its_noise_give_the_same_step(kind, propagation):
  batched, params = dynamics(kind, propagation, outputs=OUT)
  keyed, _ = dynamics(kind, propagation)
  keys = jax.random.split(jax.random.key(5), (batched.slices, 4))
  noise = jax.vmap(jax.vmap(lambda key: batched.noise(key, ())))(keys)
  from_noise, from_keys = (rollout(batched, params, z) for z in (noise, keys))
  np.testing.assert_allclose(from_noise, from_keys, atol=1e-6)
  np.testing.assert_allclose(rollout(keyed, params, keys), from_keys, atol=1e-6)


def test_encoding_and_decoding_hooks_are_used():
  ensemble = make_ensemble("D", 1, (8,))
  params = ensemble.init(jax.random.key(0), jnp.zeros(OUT + 1 + A), jnp.zeros(OUT))
  made = as_dynamics(
    ensemble,
    reward=lambda obs, action, next_obs: next_obs[0],
    terminated=lambda obs, action, next_obs: next_obs[0] == 7.0,
    encode=lambda obs: jnp.concatenate([jnp.sin(obs[:1]), jnp.cos(obs[:1]), obs[1:]]),
    decode=lambda obs, y: (obs + y).at[0].set(7.0),
    propagation="E",
  )
  _, reward, terminated = made.step(params, OBS, ACTION, jax.random.key(0))
  assert reward == 7.0 and terminated


@pytest.mark.parametrize("kind", list(VALID))
@pytest.mark.parametrize("propagation", MODES)
def test_invalid_combinations_raise_with_the_reason(kind, propagation):
  if propagation in VALID[kind]:
    dynamics(kind, propagation)
    return
  with pytest.raises(ValueError, match=f"propagation='{propagation}' needs.*{kind!r}.*valid"):
    dynamics(kind, propagation)


def test_the_message_lists_the_valid_modes():
  words = r"'TS1' needs an ensemble: kind 'P' has one net; valid for 'P': E, DS, MM\."
  with pytest.raises(ValueError, match=words):
    dynamics("P", "TS1")
  with pytest.raises(ValueError, match=r"propagation='TSInf'.*Did you mean 'TSinf'"):
    dynamics("PE", "TSInf")
