"""Broken tasks, each detected by one check, and the check_env program."""

import functools
import re

import broken_tasks as broken_by
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from broken_tasks import Wrapper, point, spec_with, task_with

from experiments import check_env as program
from experiments.command_line import cli
from mbrl_jax.envs import Physics, PhysicsState, load_model
from mbrl_jax.ops.missing import MissingReward, MissingTermination
from mbrl_jax.runtime.checks import NOTE, OK, WRONG, behaviour, check_env, contract, transitions
from mbrl_jax.runtime.checks.finding import Finding, run_check
from mbrl_jax.runtime.checks.recording import record_transitions

random = lambda obs, action, next_obs: jnp.float32(np.random.normal())
norm = lambda obs, action, next_obs: -jnp.sqrt(0 * next_obs[0])
high, wide = np.float32([1, 1]), np.float64([-1])

STATIC = [
  (contract.check_spec, spec_with(action_high=high), r"\(1,\) and action_high \(2,\)"),
  (contract.check_spec, spec_with(action_low=wide), "must be float32, not float64"),
  (contract.check_spec, spec_with(action_high=np.float32([-1])), "low < high"),
  (contract.check_spec, spec_with(action_high=np.float32([np.inf])), "must be finite"),
  (contract.check_spec, spec_with(obs_dim=0), "obs_dim=0 must be a positive int"),
  (contract.check_spec, spec_with(episode_length=2.5), "episode_length=2.5 must be a positive"),
  (contract.check_spec, spec_with(dt=np.nan), "dt=nan must be a positive number"),
  (contract.check_shapes, spec_with(obs_dim=3), r"float32 \[2\] and must be float32 \[3\]"),
  (contract.check_shapes, task_with(observe=lambda p: p.qpos > 0), r"observe.* is bool \[1\]"),
  (contract.check_functions, spec_with(reward=lambda o, a, n: n), r"reward is float32 \[2\]"),
  (
    contract.check_functions,
    spec_with(terminated=lambda o, a, n: n[0]),
    r"terminated is float32 \[\] and must be bool",
  ),
  (
    contract.check_functions,
    spec_with(encode=jnp.sum),
    r"encode is float32 \[\] and must be float32 \[1\]",
  ),
  (contract.check_functions, spec_with(decode=lambda o, t: t[:1]), r"decode is float32 \[1\]"),
  (contract.check_scan, broken_by.Growing, "changes the structure of the state"),
  (
    contract.check_scan,
    broken_by.Turning,
    r"state.physics.qpos from float32 \[1\] into int32 \[1\]",
  ),
]
RECORDED = [
  (
    transitions.check_finite,
    task_with(physics=Physics(PhysicsState, broken_by.explodes)),
    r"next_obs\[0\] is first not finite in step 1 of an episode of actions at their upper",
  ),
  (
    transitions.check_finite,
    spec_with(reward=lambda o, a, n: jnp.log(n[0])),
    "reward is first not f",
  ),
  (transitions.check_observed, broken_by.ResetsItself, "next_obs is not the obs of the state"),
  (
    transitions.check_observed,
    broken_by.Unclipped,
    r"the obs of the state is not observe\(physics\)",
  ),
  (transitions.check_pure, broken_by.HiddenReward, "by up to 2 in step 1 of an episode of"),
  (transitions.check_pure, broken_by.HiddenTermination, "terminated is not spec.terminated"),
  (transitions.check_transforms, spec_with(reward=random), "reward gives other results under"),
  (
    transitions.check_transforms,
    spec_with(reward=lambda o, a, n: n[0] if n[0] > 0 else n[1]),
    r"TracerBoolConversionError \(test_check_env.py, line \d+\)",
  ),
  (
    transitions.check_decode,
    spec_with(target=lambda obs, next_obs: (next_obs - obs) * np.float32([1, 2])),
    r"decode\(obs, target\(obs, next_obs\)\)\[1\] differs from next_obs\[1\] by up to 0.1",
  ),
  (
    transitions.check_encode,
    spec_with(encode=lambda obs: jnp.log(obs)),
    "encode is not finite",
  ),
  (
    transitions.check_termination,
    spec_with(terminated=lambda o, a, n: jnp.ones((), bool)),
    "all 270 episodes ended in their first step",
  ),
  (transitions.check_length, broken_by.Endless, "not truncated after its 20 steps"),
  (transitions.check_length, broken_by.Hasty, "truncated in step 3 of .* before its 20 steps"),
  (transitions.check_length, broken_by.Both, "terminated and truncated both in step 20"),
  (behaviour.check_determinism, broken_by.Counts, "step gives another result"),
  (behaviour.check_determinism, broken_by.ResetCounts, "reset gives another state"),
]
NOTES = [
  (transitions.check_gradient, spec_with(reward=norm), "derivative is not finite"),
  (
    transitions.check_termination,
    spec_with(terminated=lambda o, a, n: n[0] > 1e6),
    "not seen in 270 steps",
  ),
  (transitions.check_length, spec_with(dt=0.001), "0.02 s: is this intended"),
]


PURE = (
  transitions.check_transforms,
  transitions.check_decode,
  transitions.check_encode,
  transitions.check_gradient,
)
good_recording = functools.cache(lambda: record_transitions(point(), steps=30))


def recording_of(env, check):
  """Records a task; checks of the pure functions share the recording of the good task."""
  return good_recording() if check in PURE else record_transitions(env, steps=30)


def assert_finding(check, broken, level, text, *more):
  finding = run_check(check, broken, *more)
  assert finding.level == level, finding
  assert re.search(text, finding.text), finding.text


@pytest.mark.parametrize(("check", "break_it", "text"), STATIC)
def test_tracing_finds_wrong_shapes_and_types(check, break_it, text):
  assert_finding(check, break_it(point()), WRONG, text)


@pytest.mark.parametrize(("check", "break_it", "text"), RECORDED)
def test_recorded_episodes_reveal_errors(check, break_it, text):
  broken = break_it(point())
  assert_finding(check, broken, WRONG, text, recording_of(broken, check))


@pytest.mark.parametrize(("check", "break_it", "text"), NOTES)
def test_unusual_but_valid_tasks_get_a_note(check, break_it, text):
  broken = break_it(point())
  assert_finding(check, broken, NOTE, text, recording_of(broken, check))


def test_an_unknown_reward_function_is_a_note():
  """Like an adapted Gymnasium environment, whose own reward is in the transitions."""

  class Adapted(Wrapper):
    def __init__(self):
      super().__init__(point())
      self.spec = self.task.spec._replace(reward=MissingReward("pass reward=fn"))

  findings = {finding.check: finding for finding in check_env(Adapted(), steps=30)}
  notes = {name for name, finding in findings.items() if finding.level == NOTE}
  assert (
    notes == {"functions", "pure", "gradient"}
    and findings["functions"].text == "pass reward=fn"
  )
  assert not any(finding.level == WRONG for finding in findings.values())


def test_an_unknown_termination_function_is_a_note():
  class Adapted(broken_by.HiddenTermination):
    def __init__(self):
      super().__init__(point())
      self.spec = self.task.spec._replace(terminated=MissingTermination("pass terminated=fn"))

  found = {finding.check: finding for finding in check_env(Adapted(), steps=30)}["pure"]
  assert found.level == NOTE and found.text == "the termination is not known as a function"


def test_a_constant_initial_state_is_a_note():
  constant = task_with(initial=lambda key: (jnp.zeros(1), jnp.zeros(1)))(point())
  assert_finding(behaviour.check_resets, constant, NOTE, "one from 16 keys")
  assert_finding(behaviour.check_resets, point(), OK, "16 states")


def test_unclipped_actions_are_a_note():
  assert_finding(
    behaviour.check_bounds, broken_by.Unclipped(point()), NOTE, "beyond the upper bounds"
  )
  assert_finding(behaviour.check_bounds, point(), OK, "effect of those at the bounds")


def test_a_step_that_recompiles_is_wrong():
  class Narrow(Wrapper):
    def reset(self, key):
      state = self.task.reset(key)
      return state._replace(steps=jnp.int16(state.steps))

    def step(self, state, action, key):
      return self.task.step(state._replace(steps=jnp.int32(state.steps)), action, key)

  env = Narrow(point())
  assert_finding(
    behaviour.check_speed, env, WRONG, "compiled 2 times", recording_of(point(), PURE[0])
  )


def test_a_model_that_mjx_does_not_support_is_wrong():
  xml = """<mujoco><worldbody><body><joint name="a"/><geom size=".1"/></body></worldbody>
    <actuator><position joint="a" delay=".004" nsample="4"/></actuator></mujoco>"""
  env = task_with(model=load_model(xml))(point())
  assert_finding(behaviour.check_mjx, env, WRONG, "MJX cannot simulate")
  assert_finding(behaviour.check_mjx, point(), NOTE, "no MuJoCo model")


def test_a_correct_task_passes_every_check():
  findings = check_env(point(), steps=30)
  assert {finding.level for finding in findings} == {OK}, findings
  assert len(findings) == len({finding.check for finding in findings}) == 18
  documented = program.__doc__.split("Each check prints one line")[1]
  assert all(f"\n  {finding.check} " in documented for finding in findings)


def test_a_failed_contract_skips_the_other_checks():
  findings = check_env(broken_by.Growing(point()), steps=30)
  assert [f.check for f in findings] == ["spec", "shapes", "functions", "scan", "others"]
  with pytest.raises(ValueError, match="steps=0 must be positive"):
    check_env(point(), steps=0)


FILE = """
from mbrl_jax import make_env
import dataclasses, jax.numpy as jnp

def make_good():
  return make_env("linear_quadratic")

def make_bad():
  env = make_good()
  return dataclasses.replace(env, spec=env.spec._replace(decode=lambda obs, target: obs))
"""


def call(*arguments, env=None):
  values = flags.FlagValues()
  program.define(values)
  values(["check_env", *arguments])
  return program.main(values, {"config": {}, "env": env or {}})


def test_the_program_lists_the_wrong_tasks(tmp_path, capsys, monkeypatch):
  def found(env, **settings):
    assert settings == {"steps": 10, "seed": 0, "mjx": False}
    level = WRONG if float(env.spec.decode(1.0, 1.0)) == 1.0 else OK
    return [Finding("decode", level, "a message")]

  monkeypatch.setattr(program, "check_env", found)
  file = tmp_path / "mine.py"
  file.write_text(FILE)
  good, bad = f"--env={file}:make_good", f"--env={file}:make_bad"
  assert call(good, "--steps=10") == 0
  assert "ok     decode       a message" in capsys.readouterr().out
  assert call(good, bad, "--steps=10") == 1
  said = capsys.readouterr().out
  assert "wrong  decode" in said
  assert f"1 of 2 tasks keep the contract; not: {file}:make_bad" in said
  with pytest.raises(cli.UsageError, match="--env is missing"):
    call()
  with pytest.raises(cli.UsageError, match=r"--env='pendulm' is not known. Did you mean 'pen"):
    call("--env=pendulm")


def test_all_means_every_registered_task(capsys, monkeypatch):
  monkeypatch.setattr(program, "check_env", lambda env, **settings: [])
  monkeypatch.setattr(program, "list_envs", lambda: ["pendulum", "linear_quadratic"])
  assert call("--env=all") == 0
  assert "2 of 2 tasks keep the contract" in capsys.readouterr().out
