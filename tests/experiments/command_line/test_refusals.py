"""Every program refuses wrong command lines with one sentence, before any work."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import refusals_probe
from programs import ROOT, TINY
from refusals_probe import PROGRAMS

OUT = {
  "compare": ("--out", ""),
  "contact_sheet": ("--out", ".png"),
  "plan": ("--out", ""),
  "plot": ("--out", ".png"),
  "render": ("--out", ".gif"),
  "benchmark": ("--out", ""),
  "sweep": ("--logdir", ""),
  "train": ("--logdir", ""),
}
"""The flag that says where a program writes, and the suffix of what it writes."""
BASE = {
  "compare": ["--envs=pendulum", "--planners=cem"],
  "contact_sheet": ["--env=linear_quadratic"],
  "plan": ["--env=linear_quadratic"],
  "plot": ["--band=iqm", "--table=a:b={folder}/evaluations.csv"],
  "render": ["--env=linear_quadratic"],
  "benchmark": ["--what=env"],
  "sweep": [*TINY, "--sweep.planner.samples=10,12"],
  "train": TINY,
}
WRONG = [
  *((name, ["--nonesuch=1"], "Unknown flag --nonesuch.") for name in PROGRAMS),
  *((name, ["left over"], "Unexpected argument 'left over'") for name in PROGRAMS),
  ("train", ["--sed=3"], "Did you mean --seed?"),
  ("train", ["--cofig.trials=3"], "Did you mean --config.trials?"),
  ("train", ["--config..trials=3"], "has an empty name"),
  ("train", ["--log_dir=runs/a"], "Did you mean --logdir?"),
  ("train", ["--noresume=1"], "noresume"),
  ("train", ["--video=3"], "--video=3: expected true or false."),
  ("train", ["--logdir="], "--logdir is empty"),
  ("train", ["--logdir", "--video=false"], "--logdir needs a value: '--video=false', which"),
  ("train", ["--config.trials", "--seed=1"], "--config.trials needs a value, such as"),
  ("train", ["--seeds=1.5"], "--seeds=1.5: expected an integer."),
  ("train", ["--seeds=1000000"], "--seeds=1000000 is too large: the maximum is 10000, since"),
  (
    "train",
    ["--keep=99999999999"],
    "--keep=99999999999 is too large: the maximum is 2147483647",
  ),
  (
    "train",
    ["--config.planner.iterations=1000000"],
    "=1000000 is too large: the maximum is 10000",
  ),
  (
    "train",
    ["--config.planner.elites=2", "--config.planner.name=mppi"],
    "--config.planner.elites is no setting of mppi: it has samples, temperature, ess_fraction,",
  ),
  (
    "sweep",
    ["--logdir={folder}/x", "--sweep.planner.temperature=1,2"],
    "--sweep.planner.temperature is no setting of cem: it has samples, elites, alpha, epsilon,",
  ),
  ("plan", ["--env=pendulum", "--set", "kappa=3"], "--set kappa is no setting of cem"),
  ("train", ["--algo=sac", "--config.update_every=0"], "update_every=0 must be positive"),
  ("train", ["--eval_every=3", "--eval_steps=3"], "exclude each other"),
  ("train", ["--env=[red]x"], "--env='[red]x' is not known"),
  ("train", ["--env=\udcff"], "is not valid UTF-8."),
  ("plan", ["--env=pendulum", "--speed=nan"], "--speed=nan must be a finite number."),
  ("plan", ["--env=pendulum", "--tolerance=inf"], "--tolerance=inf must be a finite number."),
  ("plan", ["--env=pendulum", "--speed=x"], "--speed=x: expected a number."),
  (
    "plan",
    ["--env=pendulum", "--horizon=1000000000"],
    "the maximum is 100000, since a plan is",
  ),
  (
    "plan",
    ["--env=pendulum", "--seed=4294967296"],
    "the maximum is 4294967295, since random keys",
  ),
  ("plan", ["--env=[/]", "--samples=8"], "--env='[/]' is not known"),
  ("plot", ["--runs={folder}", "--threshold=1"], "has no config.json"),
  ("plot", ["--runs="], "--runs is empty"),
  (
    "render",
    ["--env=pendulum", "--env.action_noise=x"],
    "env.action_noise='x' must",
  ),
  (
    "render",
    ["--env=pendulum", "--env.action_noise=[1,2]"],
    "env.action_noise=[1, 2] must",
  ),
  (
    "render",
    ["--env=pendulum", "--env.episode_length=1.5"],
    "env.episode_length=1.5 must",
  ),
  (
    "render",
    ["--env=ant_follow", "--env.as_released=yes"],
    "env.as_released='yes' must",
  ),
  (
    "render",
    ["--env=stochlite", "--env.velocity=(1,2)"],
    "env.velocity=(1, 2) must",
  ),
  ("render", ["--env=pendulum", "--out=a.xyz"], "the name must end in .mp4 or .gif"),
  ("report", ["--runs={folder}", "--video_mb=inf"], "--video_mb=inf must be a finite number."),
  ("report", ["--runs={folder}", "--out=report.txt"], "contains no run"),
  ("compare", ["--envs=pendulum,pendulum"], "--envs lists pendulum twice."),
  ("compare", ["--envs="], "--envs is empty"),
  ("compare", ["--set", "mppi.tau=1"], "--set mppi.tau is no setting of mppi: it has samples,"),
  ("compare", ["--set", "mppi=1"], "--set 'mppi=1' must have the form PLANNER.NAME=VALUE."),
  ("compare", ["--planners=cem", "--set", "mppi.base=1"], "--set='mppi' is not known."),
  (
    "compare",
    ["--set", "cem.elites=500"],
    "--set cem.elites=500 exceed --set cem.samples=400.",
  ),
  ("benchmark", ["--what=sweep", "--nets="], "--nets is empty"),
  ("compare", ["--samples=4"], "--samples requires --what=samples."),
  ("benchmark", ["--what=env,env"], "--what lists env twice."),
  ("benchmark", ["--what=plan", "--devices=2"], "--devices belongs to --what=sweep."),
  (
    "benchmark",
    ["--what=fit", "--peer_python=python"],
    "--peer_python=python belongs to --peer.",
  ),
  ("benchmark", ["--what=fit", "--peer=mbrl", "--peer_python={folder}"], "cannot be started"),
  (
    "benchmark",
    ["--what=plan", "--plans=9999999999"],
    "--plans=9999999999 is too large: ",
  ),
]


PLACES = {
  "{folder}/file/x": "is a file, not a folder",
  "n" * 300: "cannot be written: File name too long",
}
NO_PLACE = [
  (program, [*BASE[program], f"{flag}={place}{suffix}"], text)
  for program, (flag, suffix) in OUT.items()
  for place, text in PLACES.items()
] + [
  (program, [*BASE[program], f"{flag}={{folder}}/folder{suffix}"], "is a folder; give a file.")
  for program, (flag, suffix) in OUT.items()
  if suffix
]
NAMES = [
  "--band=iqm", "--table=[red]a:[/]b={folder}/evaluations.csv", "--title=$\\frac{$",
  "--out={folder}/a.png",
]  # fmt: skip


@pytest.fixture(scope="module")
def called(tmp_path_factory):
  """Calls the programs in forks of one process; returns folder, its content and answers."""
  folder = tmp_path_factory.mktemp("refusals")
  (folder / "evaluations.csv").write_text("step,seed,eval/return\n1,0,2\n2,0,3\n")
  (folder / "file").write_text("kept")
  for _, suffix in OUT.values():
    (folder / f"folder{suffix}").mkdir(exist_ok=True)
  before = sorted(folder.rglob("*"))
  cases = [(program, words) for program, words, _ in [*WRONG, *NO_PLACE]] + [("plot", NAMES)]
  done = subprocess.run(
    [sys.executable, refusals_probe.__file__],
    input=json.dumps(cases).replace("{folder}", str(folder)),
    capture_output=True,
    text=True,
    cwd=folder,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    check=True,
  )
  return folder, before, json.loads(done.stdout)


@pytest.mark.parametrize("index", range(len(WRONG) + len(NO_PLACE)))
def test_a_wrong_command_line_is_refused_with_one_sentence(index, called):
  status, output = called[2][index]
  text = [*WRONG, *NO_PLACE][index][2]
  lines = [line for line in output.splitlines() if line]
  assert status in (1, 2) and lines[0].startswith("error: ") and len(lines) <= 3, output
  assert text in output, output


def test_refusals_create_no_files(called):
  folder, before, _ = called
  assert {p.name for p in set(folder.rglob("*")) - set(before)} == {"a.png", "a.csv"}


def test_labels_are_written_literally(called):
  folder, _, answers = called
  assert answers[-1] == [0, ""]
  assert (folder / "a.csv").read_text().splitlines()[1].startswith("[/]b,[red]a,1")
