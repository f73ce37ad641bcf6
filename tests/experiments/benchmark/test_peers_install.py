"""Installation of the benchmark's peers from pinned requirements, without a network."""

import importlib.util
import re
import subprocess
import sys

import pytest

from experiments.benchmark import request
from experiments.benchmark.peers import install, sb3, sbx
from experiments.benchmark.peers.worker import ROOT

PIN = re.compile(r"[\w.-]+(\[\w+\])?==[\w.]+|-e git\+https://[\w./-]+@[0-9a-f]{40}#egg=\w+")
FILES = sorted(install.REQUIREMENTS.glob("*.txt"))


def lines(path):
  text = path.read_text(encoding="utf-8").splitlines()
  return [line for line in text if line and not line.startswith("#")]


@pytest.fixture
def pip(monkeypatch):
  """Replaces venv and pip: records the arguments, fails where ``fails`` occurs in them."""

  class Pip:
    def __init__(self):
      self.calls, self.fails, self.stderr = [], None, ""

    def run(self, command, **options):
      self.calls.append(command)
      failed = self.fails is not None and any(self.fails in word for word in command)
      return subprocess.CompletedProcess(command, int(failed), None, self.stderr)

  def create(folder):
    folder.mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()

  pip = Pip()
  monkeypatch.setattr(install, "_create_venv", create)
  monkeypatch.setattr(install.subprocess, "run", pip.run)
  return pip


def test_every_peer_of_the_benchmark_has_requirements():
  assert sorted(sum(install.PEERS.values(), ())) == sorted(request.PEERS)
  assert {path.stem.removesuffix(".nodeps") for path in FILES} == set(install.PEERS)
  assert all((install.REQUIREMENTS / f"{name}.txt").is_file() for name in install.PEERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_requirements_are_pinned(path):
  found = lines(path)
  assert found and [line for line in found if not PIN.fullmatch(line)] == []
  names = [re.split(r"[\[=]", line)[0].lower().replace("_", "-") for line in found]
  assert len(set(names)) == len(names)


@pytest.mark.parametrize("line", ["torch", "torch>=2.13", "-e git+https://x.org/a@main#egg=a"])
def test_unpinned_requirement_is_recognised(line):
  assert not PIN.fullmatch(line)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ["mbrl_lib", "gym"],
      "'gym' is not known; choose among mbrl_lib, sb3, pytorch_mppi, hydrax.",
    ),
    ([], "Name what to install, among mbrl_lib, sb3, pytorch_mppi, hydrax."),
    (["sb3", "--into="], "--into is empty; give it a value or leave it out."),
    (["sb3", "--torch_index="], "--torch_index is empty; give it a value or leave it out."),
    (["sb3", "--folder=x"], "unrecognized arguments: --folder=x"),
  ],
)
def test_bad_arguments_are_rejected_in_a_sentence(arguments, message, capsys, pip):
  with pytest.raises(SystemExit) as ended:
    install.main(arguments)
  assert ended.value.code == 2 and capsys.readouterr().err == f"error: {message}\n"
  assert pip.calls == []


def test_folder_without_a_venv_is_rejected_before_any_installation(tmp_path, capsys, pip):
  (tmp_path / "sb3").mkdir()
  (tmp_path / "file").touch()
  for names, into, message in (
    (["mbrl_lib", "sb3"], tmp_path, f"{tmp_path / 'sb3'} exists and is not a venv"),
    (["mbrl_lib"], tmp_path / "file", f"{tmp_path / 'file'} is not a folder"),
  ):
    with pytest.raises(SystemExit) as ended:
      install.main([*names, f"--into={into}"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {message}; choose another --into.\n"
  assert pip.calls == [] and not (tmp_path / "mbrl_lib").exists()


def test_pip_gets_the_pinned_files_and_the_torch_index(tmp_path, capsys, pip):
  index = "https://x.org/cpu"
  assert install.main(["mbrl_lib", "sb3", f"--into={tmp_path}", f"--torch_index={index}"]) == 0
  python = {name: str(tmp_path / name / "bin" / "python") for name in ("mbrl_lib", "sb3")}
  called = [(command[0], command[command.index("install") + 1 :]) for command in pip.calls]
  file = lambda name: str(install.REQUIREMENTS / name)
  assert called == [
    (python["mbrl_lib"], ["--no-deps", "--requirement", file("mbrl_lib.nodeps.txt")]),
    (python["mbrl_lib"], ["--requirement", file("mbrl_lib.txt"), "--extra-index-url", index]),
    (python["sb3"], ["--requirement", file("sb3.txt"), "--extra-index-url", index]),
  ]
  lines = capsys.readouterr().out.splitlines()
  assert [line.split("with ")[1] for line in lines] == [
    f"--peer=mbrl --peer_python={python['mbrl_lib']}",
    f"--peer=sb3 --peer_python={python['sb3']}",
    f"--peer=sbx --peer_python={python['sb3']}",
  ]


def test_failed_peer_is_reported_and_the_rest_is_installed(tmp_path, capsys, pip):
  pip.fails, pip.stderr = "hydrax", "  fatal: unable to access 'x': no host\nerror: exited\n"
  assert install.main(["hydrax", "sb3", f"--into={tmp_path}"]) == 1
  printed = capsys.readouterr()
  assert printed.err == "error: hydrax was not installed: unable to access 'x': no host.\n"
  assert "--peer=sbx" in printed.out and "--peer=hydrax" not in printed.out
  assert [path.name for path in tmp_path.iterdir()] == ["sb3"]  # the unfinished venv is removed


def test_existing_venv_is_kept_when_pip_fails(tmp_path, capsys, pip):
  install.main(["sb3", f"--into={tmp_path}"])
  pip.fails = "sb3.txt"
  assert install.main(["sb3", f"--into={tmp_path}"]) == 1
  assert "remove it to start over" in capsys.readouterr().err
  assert (tmp_path / "sb3" / "pyvenv.cfg").is_file()


@pytest.mark.slow
def test_pip_error_is_reported_from_a_real_venv(tmp_path):
  install._create_venv(tmp_path / "made")
  with pytest.raises(
    install.InstallError, match=r"No matching distribution found for mbrl==0\."
  ):
    install._pip(tmp_path / "made", ["--no-index", "mbrl==0.2.0"])


@pytest.mark.parametrize(
  ("stderr", "expected"),
  [
    (
      "WARNING: a\nERROR: first\nERROR: No matching distribution.\n",
      "No matching distribution",
    ),
    ("error: subprocess\nERROR: Cannot find command 'git'\n", "Cannot find command 'git'"),
    ("python: No module named pip\n", "python: No module named pip"),
    ("", "pip failed"),
  ],
)
def test_pip_error_is_the_most_specific_line(stderr, expected):
  assert install.pip_error(stderr) == expected


def test_installer_needs_no_package():
  """It runs before anything is installed: -I -S excludes site-packages."""
  code = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); import experiments.benchmark.peers.install"
  )
  out = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
  assert out.returncode == 0, out.stderr


def test_sbx_does_the_jobs_of_stable_baselines3():
  assert request.PEERS["sbx"][1] == request.PEERS["sb3"][1]
  assert all(callable(getattr(sbx.Jobs(), job)) for job in sb3.JOBS)
  if importlib.util.find_spec("sbx") is None:
    with pytest.raises(
      ImportError,
      match=rf"Install sbx with\n  python -m experiments.benchmark.peers.install {sb3.VENV}\n",
    ):
      sbx.Jobs().info()
