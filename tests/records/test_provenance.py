import os
import shlex
import subprocess
import sys

from hydra._internal.utils import get_args_parser

from rl_warmup.records.provenance import command, hardware
from rl_warmup.records.study import read_commands, record_command


def test_hardware_counts_the_cores_and_names_the_processor():
    text = hardware("cpu")
    cores, name, memory = text.partition(" x ")[0], text.partition(" x ")[2].split(",")[0], text.split(", ")[-1]
    assert int(cores) == os.cpu_count()
    assert name
    assert memory.endswith(" GiB")
    assert int(memory.split()[0]) >= 1


def test_a_command_line_comes_back_word_by_word():
    text = command(
        ["hydra/launcher=joblib", "hydra.mode=MULTIRUN"], ["seed=range(0,3)", "study.description=it's a test"]
    )
    assert shlex.split(text) == [
        *("python", "-m", "rl_warmup.run", "-m", "hydra/launcher=joblib"),
        *("seed=range(0,3)", "study.description=it's a test"),
    ]
    get_args_parser().parse_args(shlex.split(text)[3:])  # Hydra takes it
    assert command(["hydra.mode=RUN"], []) == "python -m rl_warmup.run"


def test_a_command_is_one_line_that_bash_reads_word_by_word():
    words = ["study.description='two\nlines\\'", "study.name=a b", "warmup.length=0.1\r"]
    text = command([], words, ["--config-dir", "it's mine"])
    assert len(text.splitlines()) == 1
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True).stdout
    assert read.decode().split("\0")[3:-1] == ["--config-dir", "it's mine", *words]


def test_a_mode_that_was_given_is_kept(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rl_warmup.run", "hydra.mode=RUN", "study=quick"])
    assert command(["hydra.mode=RUN"], ["study=quick"]) == "python -m rl_warmup.run hydra.mode=RUN study=quick"


def test_commands_are_kept_in_order_each_once(tmp_path):
    assert read_commands(tmp_path) == []
    for text in ("one", "two", "one"):
        record_command(tmp_path, text)
    assert read_commands(tmp_path) == ["one", "two"]
    assert [path.name for path in tmp_path.iterdir()] == ["commands.txt"]
