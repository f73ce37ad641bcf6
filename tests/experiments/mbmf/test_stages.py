"""The pipeline runs its stages in order, skips what is done, resumes and refuses."""

from __future__ import annotations

import json
import signal

import pytest
import rich.console
import standins
from absl import flags

from experiments.command_line import cli
from experiments.mbmf import __main__ as mbmf
from experiments.mbmf import pipeline, results, stages
from experiments.mbmf.stages import STAGES, SeedStages
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.training.interrupt import Interrupt

ALL = ["random.npz", "model", "rollouts.npz", "imitation", "hybrid", "model_free"]


@pytest.fixture
def quick(monkeypatch):
  standins.replace(monkeypatch)
  monkeypatch.setattr(results, "write", lambda out, seeds, console: [])


def called(*arguments, status=0):
  """Calls the program in this process; returns the message of an error of usage."""
  values = flags.FlagValues()
  mbmf.define(values)
  values(["mbmf", *map(str, arguments)])
  call = lambda: mbmf.main(values, {"config": {}, "env": {}})
  if status != cli.USAGE:
    assert call() == status
    return None
  with pytest.raises((cli.UsageError, RunFolderError)) as error:
    call()
  assert "\n" not in str(error.value)
  return str(error.value)


def test_all_stages_of_all_seeds_run_once(quick, tmp_path, capfd):
  words = ["--agent=cheetah", "--seeds=2", "--seed=4", f"--out={tmp_path}"]
  called(*words)
  for seed in (4, 5):
    assert standins.calls(tmp_path / f"seed{seed}") == ALL
  text = capfd.readouterr().out
  assert "seed 1 of 2, stage 2 of 6: model, ETA unknown" in text
  assert "seed 2 of 2, stage 6 of 6: model_free, ETA 0:0" in text
  assert text.count("stage_probe.py") == 12, "commands are shown"
  record = json.loads((tmp_path / "seed5" / "stages.json").read_text())
  assert list(record) == list(STAGES) and all(entry["done"] for entry in record.values())
  called(*words)
  assert capfd.readouterr().out.count("done before") == 12
  assert standins.calls(tmp_path / "seed4") == ALL


def test_a_path_has_two_stages(quick, tmp_path):
  called("--agent=ant", "--path=u_turn", f"--out={tmp_path}")
  assert standins.calls(tmp_path / "seed0") == ALL[:2]


def test_a_failed_stage_ends_the_pipeline_and_is_resumed(tmp_path, monkeypatch, capfd):
  words = ["--agent=hopper", f"--out={tmp_path}", "--stages=random,model,model_free"]
  monkeypatch.setattr(results, "write", lambda out, seeds, console: [])
  standins.replace(monkeypatch, failing=["model"])
  called(*words, status=1)
  assert "ended in stage model of seed 0: its command ended with status 3" in (
    capfd.readouterr().err
  )
  standins.replace(monkeypatch)
  called(*words)
  made = ["random.npz", "model", "model --resume", "model_free"]
  assert standins.calls(tmp_path / "seed0") == made


def test_a_command_without_complete_result_is_not_done(tmp_path, monkeypatch, capfd):
  standins.replace(monkeypatch)
  monkeypatch.setattr(stages, "is_complete", lambda path: False)
  monkeypatch.setattr(results, "write", lambda out, seeds, console: [])
  called("--agent=ant", f"--out={tmp_path}", "--stages=random,model", status=1)
  assert "in stage model of seed 0: it is not complete" in capfd.readouterr().err


@pytest.mark.parametrize(
  ("made", "asked", "stages_first"),
  [
    ([], "imitation", "random,model,rollouts"),
    (["random"], "imitation", "model,rollouts"),
    (["random", "model"], "rollouts,imitation", None),
    (["random", "model"], "imitation,hybrid", "rollouts"),
    ([], "model_free", None),
    ([], "model", "random"),
  ],
)
def test_a_stage_without_the_one_before_it_names_the_command(
  quick, tmp_path, made, asked, stages_first
):
  words = ["--agent=swimmer", f"--out={tmp_path}"]
  if made:
    called(*words, f"--stages={','.join(made)}")
  if stages_first is None:
    return called(*words, f"--stages={asked}")
  message = called(*words, f"--stages={asked}", status=2)
  last = STAGES[stages_first.split(",")[-1]].output
  assert f"{tmp_path / 'seed0' / last} must be made first" in message
  command = f"python -m experiments.mbmf --agent=swimmer --seed=0 --out={tmp_path}"
  assert message.endswith(f"{command} --stages={stages_first}")
  return None


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ([], "--agent is missing: one of swimmer, cheetah, hopper, ant"),
    (["--agent=hoper"], "--agent='hoper' is not known. Did you mean 'hopper'?"),
    (["--agent=ant", "--path=circle"], "Valid choices: 'left_turn', 'right_turn', 'straight'"),
    (["--agent=hopper", "--path=straight"], "hopper follows no path; swimmer, cheetah, ant do"),
    (["--agent=ant", "--stages=random,modle"], "--stages='modle' is not known. Did you mean"),
    (["--agent=ant", "--path=u_turn", "--stages=hybrid"], "there are only random, model"),
    (["--agent=ant", "--set=model"], "must have the form STAGE:NAME=VALUE"),
    (["--agent=ant", "--set=modle:keep=2"], "--set='modle' is not known"),
    (["--agent=ant", "--set=model:seed=2"], "the pipeline sets --seed of each stage"),
  ],
)
def test_wrong_usage_is_refused_with_one_sentence(quick, tmp_path, words, message):
  assert message in called(*words, f"--out={tmp_path / 'x'}", status=2)
  assert not (tmp_path / "x").exists()


def test_flags_of_a_stage_reach_its_command_and_other_files_are_refused(quick, tmp_path):
  words = ["--agent=ant", f"--out={tmp_path}", "--stages=random,model"]
  called(*words, "--set=model:config.steps=20", "--set=model:keep=9")
  own = ["random.npz", "model --config.steps=20 --keep=9"]
  assert standins.calls(tmp_path / "seed0") == own
  # A run that was made with other flags is resumed, which extends or refuses it.
  called(*words, "--set=model:config.steps=40")
  assert standins.calls(tmp_path / "seed0") == [*own, "model --config.steps=40 --resume"]
  message = called(*words, "--set=random:episodes=3", status=2)
  assert "random.npz was made by another command" in message and "delete it" in message


def test_a_run_from_which_others_were_made_is_not_extended(quick, tmp_path):
  """The rollouts would be those of the old model, and count as done."""
  words = ["--agent=ant", f"--out={tmp_path}"]
  called(*words)
  message = called(*words, "--set=model:config.steps=40", status=2)
  assert "model was made by another command" in message
  assert "delete rollouts.npz, imitation, hybrid, or choose another --out" in message
  called(*words, "--set=hybrid:config.steps=40")  # nothing builds on it
  assert standins.calls(tmp_path / "seed0") == [*ALL, "hybrid --config.steps=40 --resume"]


def test_files_made_by_hand_count_and_a_damaged_record_is_refused(quick, tmp_path):
  folder = tmp_path / "seed0"
  folder.mkdir()
  (folder / "random.npz").write_text("")
  called("--agent=ant", f"--out={tmp_path}", "--stages=model")
  assert standins.calls(folder) == ["model"]
  (folder / "stages.json").write_text("[1]")
  message = called("--agent=ant", f"--out={tmp_path}", "--stages=model", status=2)
  assert "stages.json is damaged" in message


def test_an_interrupt_stops_the_running_stage_and_starts_no_other(quick, tmp_path, monkeypatch):
  """The stage would sleep for a minute."""
  request = standins.request(tmp_path)
  sleep = ["python", "-c", "import time; time.sleep(60)"]
  monkeypatch.setattr(SeedStages, "command", lambda self, name: sleep)
  console = rich.console.Console(file=open(tmp_path / "out", "w"))  # noqa: SIM115
  interrupt, real = Interrupt(), pipeline.Process

  class Stopped(real):
    def poll(self):
      interrupt.signal = signal.SIGINT
      return super().poll()

  monkeypatch.setattr(pipeline, "Process", Stopped)
  end = pipeline.run([SeedStages(request)], ["random", "model"], console, interrupt)
  assert (end.stage, end.seed, end.status) == ("random", 0, -signal.SIGTERM)
  assert mbmf._status(end, interrupt, console) == 130


def test_an_interrupt_during_the_last_stage_says_that_the_pictures_are_missing(capfd):
  interrupt = Interrupt()
  interrupt.signal = signal.SIGTERM
  assert mbmf._status(pipeline.End(), interrupt, cli.console()) == 143
  assert "stopped before the pictures; the same command draws them" in capfd.readouterr().out
