"""Loading tasks from files, and the errors where that fails."""

import pytest

from mbrl_jax.runtime.task_file import fingerprint, is_task_file, load_task

GOOD = """
import dataclasses
from mbrl_jax.envs import make_env

def make_swing(physics="auto", length=50):
  env = make_env("pendulum", physics)
  return dataclasses.replace(env, spec=env.spec._replace(episode_length=length, name=physics))

def plain(backend):
  return make_env("pendulum", backend)

ready = make_env("pendulum")
"""


@pytest.fixture
def write(tmp_path):
  def write(text):
    path = tmp_path / "mine.py"
    path.write_text(text)
    return str(path)

  return write


def test_the_only_factory_is_found(write):
  env = load_task(write(GOOD), "analytic")
  assert (env.spec.name, env.spec.episode_length) == ("analytic", 50)


@pytest.mark.parametrize("name", ["make_swing", "plain", "ready"])
def test_a_named_function_or_task_is_loaded(write, name):
  assert load_task(f"{write(GOOD)}:{name}").spec.action_dim == 1


def test_overrides_are_passed_to_the_function_first(write):
  file = write(GOOD)
  assert load_task(file, length=7).spec.episode_length == 7
  assert load_task(f"{file}:ready", episode_length=8).spec.episode_length == 8
  assert load_task(file, action_noise=0.5).std == 0.5


def test_files_of_the_same_name_are_separate_modules(tmp_path):
  specs = []
  for folder, length in (("a", 3), ("b", 4)):
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "mine.py"
    path.write_text(GOOD.replace("length=50", f"length={length}"))
    specs.append(load_task(str(path)).spec.episode_length)
  assert specs == [3, 4]


@pytest.mark.parametrize(
  ("text", "name", "overrides", "message"),
  [
    (GOOD, ":make_swong", {}, "make_swong.*Did you mean 'make_swing'.*plain.*ready"),
    (GOOD, "", {"lenght": 3}, "lenght.*episode_length"),
    (GOOD, "", {"episode_length": 0}, "episode_length=0 must be positive"),
    ("x = 1\n", ":make_it", {}, "defines no function and no task"),
    ("x = 1\n", "", {}, "has no function make_"),
    ("def make_a(): pass\ndef make_b(): pass\n", "", {}, "has make_a, make_b: name one"),
    ("x = 1\n\nx =\n", "", {}, r"mine.py, line 3: SyntaxError"),
    ("x = 1\nimport nonesuch\n", "", {}, r"mine.py, line 2: ModuleNotFoundError.*nonesuch"),
    ("def make_a():\n  return 1 / 0\n", "", {}, r"line 2: ZeroDivisionError: division by zero"),
    ("def make_a():\n  return 3\n", "", {}, "returns a int without spec, reset, step"),
    ("def make_a(b, c): pass\n", "", {}, r"make_a requires arguments \(b, c\)"),
  ],
)
def test_errors_name_the_cause_and_the_line(write, text, name, overrides, message):
  with pytest.raises(ValueError, match=message):
    load_task(write(text) + name, **overrides)


def test_a_missing_file_is_an_error(tmp_path):
  with pytest.raises(ValueError, match=r"There is no file .*none.py"):
    load_task(str(tmp_path / "none.py:make_it"))
  (tmp_path / "notes.txt").write_text("")
  with pytest.raises(ValueError, match="not a Python file"):
    load_task(str(tmp_path / "notes.txt"))


def test_files_and_registered_names_are_distinguished():
  assert all(map(is_task_file, ("mine.py", "a/mine.py:make_it", "a.b/mine.py:")))
  assert not any(map(is_task_file, ("cartpole", "mine.python", "py")))


def test_the_fingerprint_changes_with_the_file_and_the_xml_it_names(tmp_path):
  file, model, other = (tmp_path / name for name in ("mine.py", "arm.xml", "leg.xml"))
  file.write_text("MODEL = 'arm.xml'")
  model.write_text("<mujoco/>")
  other.write_text("<mujoco/>")
  first = fingerprint(f"{file}:make_it")
  other.write_text("<mujoco></mujoco>")
  assert fingerprint(str(file)) == first
  model.write_text("<mujoco></mujoco>")
  second = fingerprint(str(file))
  file.write_text("MODEL = 'arm.xml' ")
  assert len({first, second, fingerprint(str(file))}) == 3
  with pytest.raises(ValueError, match=r"There is no file .*none.py"):
    fingerprint(str(tmp_path / "none.py:make_it"))


RANDOM = """
from mbrl_jax import make_env

def make_varied(physics="auto"):
  return make_env("inverted_pendulum", physics)
"""


def test_the_model_of_a_task_file_can_be_randomised(write):
  env = load_task(write(RANDOM), "mujoco", randomise={"count": 3, "masses": (0.5, 2.0)})
  assert env.physics.variants == 3
