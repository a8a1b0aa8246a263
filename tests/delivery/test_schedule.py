import base64
import copy
import io
import json
import os
import pickle
import pickletools
import subprocess
import zipfile
from importlib import import_module
from pathlib import Path

import cloudpickle
import pytest
from helpers.sb3_models import small_model
from stable_baselines3 import DQN, PPO, SAC

from rl_warmup import WarmupSchedule, for_sb3
from rl_warmup.schedules import cosine, linear, warmup

ROOT = Path(__file__).parents[2]
RATES = [
    WarmupSchedule(3e-4, "linear", 0.1),
    WarmupSchedule(cosine(3e-4), "polynomial", 0.5, start=0.2, power=3.0),
    for_sb3(warmup(linear(1e-3), "exponential", 0.2)),
    WarmupSchedule(1e-3, "helpers.own_schedules.my_ramp", 0.5),
]
AT = [1.0, 0.97, 0.9, 0.3, 0.0, -0.05]


def test_a_schedule_of_warmup() -> None:
    rate = WarmupSchedule(cosine(1e-3), "linear", 0.5)
    assert [rate(r) for r in AT] == [for_sb3(warmup(cosine(1e-3), "linear", 0.5))(r) for r in AT]
    assert repr(WarmupSchedule(3e-4, "linear", 0.1)) == (
        "WarmupSchedule(base=0.0003, shape='linear', length=0.1, start=None, power=2.0)"
    )
    assert WarmupSchedule(3e-4) == WarmupSchedule(3e-4, "linear", 0.1) != WarmupSchedule(3e-4, "linear", 0.2)


@pytest.mark.parametrize("rate", RATES, ids=repr)
def test_pickles_and_copies(rate) -> None:
    for again in (
        pickle.loads(pickle.dumps(rate)),
        copy.deepcopy(rate),
        cloudpickle.loads(cloudpickle.dumps(rate)),
    ):
        assert again == rate
        assert [again(r) for r in AT] == [rate(r) for r in AT]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3e-4, "radam", 0.1), "'radam' counts optimizer steps"),
        ((3e-4, "linear", 2000), "length=2000: give the share"),
        ((0.0, "linear", 0.1), "peak=0.0"),
        ((3e-4, "steep", 0.1), "no warmup shape 'steep'"),
        ((RATES[0], "linear", 0.1), "is a schedule of the progress that remains"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        WarmupSchedule(*arguments)


def pickles_of(path: Path) -> dict[str, bytes]:
    """Every pickle in the data of a saved model, by the name of the attribute."""
    with zipfile.ZipFile(path) as archive:
        data = json.loads(archive.read("data"))
    return {
        name: base64.b64decode(value[":serialized:"])
        for name, value in data.items()
        if isinstance(value, dict) and ":serialized:" in value
    }


def globals_of(content: bytes) -> set[tuple[str, str]]:
    """Module and name of everything that a pickle imports."""
    found, strings, memo = set(), [], {}
    for opcode, argument, _ in pickletools.genops(io.BytesIO(content)):
        if opcode.name == "GLOBAL":
            found.add(tuple(argument.split(" ", 1)))
        elif opcode.name == "STACK_GLOBAL":
            found.add((strings[-2], strings[-1]))
        elif isinstance(argument, str):
            strings.append(argument)
        elif opcode.name in ("BINGET", "LONG_BINGET"):  # a string that was there before
            strings.append(memo.get(argument, ""))
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
    return found


@pytest.mark.parametrize("rate", RATES, ids=repr)
@pytest.mark.parametrize(("name", "kind"), [("PPO", PPO), ("DQN", DQN), ("SAC", SAC)])
def test_a_saved_model_holds_no_code_and_keeps_its_rate(name, kind, rate, tmp_path) -> None:
    small_model(name, learning_rate=rate).save(tmp_path / "model.zip")
    pickles = pickles_of(tmp_path / "model.zip")
    assert {"learning_rate", "lr_schedule"} <= set(pickles)
    for attribute, content in pickles.items():
        for module, found in globals_of(content):
            assert "cloudpickle" not in module, (attribute, module, found)  # by value, not by name
            assert found != "CodeType"
            owner = import_module(module)
            for part in found.split("."):
                owner = getattr(owner, part)
    loaded = kind.load(tmp_path / "model.zip")
    assert loaded.learning_rate == rate
    assert [loaded.lr_schedule(r) for r in AT] == [rate(r) for r in AT]


def other_python(version: str) -> str:
    """A Python of this version that has numpy and cloudpickle; the test is skipped where there is none."""
    for path in (os.environ.get(f"PYTHON{version.replace('.', '')}"), f"python{version}"):
        if path is None:
            continue
        try:
            subprocess.run([path, "-c", "import numpy, cloudpickle"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return path
    pytest.skip(f"no Python {version} with numpy and cloudpickle; set PYTHON{version.replace('.', '')} to one")


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_a_saved_rate_under_another_python(version: str, tmp_path) -> None:
    """There the bytes of `learning_rate` load with numpy alone; bytes from there load here, in a model."""
    python = other_python(version)
    for rate in RATES:
        small_model("PPO", learning_rate=rate).save(tmp_path / "model.zip")
        (tmp_path / "here").write_bytes(pickles_of(tmp_path / "model.zip")["learning_rate"])
        program = (
            "import cloudpickle, json, pathlib, pickle, sys; here, there = map(pathlib.Path, sys.argv[1:]); "
            "rate = pickle.loads(here.read_bytes()); there.write_bytes(cloudpickle.dumps(rate)); "
            "assert 'torch' not in sys.modules and 'stable_baselines3' not in sys.modules; "
            f"print(json.dumps([rate(r) for r in {AT}]))"
        )
        done = subprocess.run(
            [python, "-c", program, str(tmp_path / "here"), str(tmp_path / "there")],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            **{"capture_output": True, "text": True, "check": True},
        )
        assert json.loads(done.stdout) == pytest.approx([rate(r) for r in AT], rel=1e-15)
        with zipfile.ZipFile(tmp_path / "model.zip") as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        data = json.loads(parts["data"])
        data["learning_rate"][":serialized:"] = base64.b64encode((tmp_path / "there").read_bytes()).decode()
        with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
            for name, content in {**parts, "data": json.dumps(data)}.items():
                archive.writestr(name, content)
        assert PPO.load(tmp_path / "other.zip").learning_rate == rate
