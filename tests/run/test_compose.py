"""What an unknown option or key is answered with: one line and, where one is near, the right one."""

import pytest

from rl_warmup.config.schema import ConfigError
from rl_warmup.run.compose import configured


@pytest.mark.parametrize(
    ("overrides", "meant"),
    [
        (["env=CartPole"], "did you mean env=cartpole?"),
        (["env=CartPole-v1"], "did you mean env=cartpole?"),
        (["env=cartpole-v1"], "did you mean env=cartpole?"),
        (["algo=PPO"], "did you mean algo=ppo?"),
        (["warmup=lin"], "did you mean warmup=linear?"),
        (["trainer=stack"], "did you mean trainer=stacked?"),
        (["study=quik"], "did you mean study=quick?"),
        (["hydra/launcher=stack"], "did you mean hydra/launcher=stacked?"),
        (["tracking=mlflow"], "use one of disabled, wandb"),
        (["learningrate=1"], "did you mean learning_rate?"),
        (["wamrup=linear"], "did you mean warmup?"),
        (["warmup.lenght=0.5"], "did you mean warmup.length?"),
        (["+warmup.lenght=0.5"], "did you mean warmup.length?"),
        (["n_epochs=3"], "did you mean algo.n_epochs?"),
        (["algo=dqn", "learning_start=3"], "did you mean algo.learning_starts?"),
        (["hydra/launcher=stacked", "hydra.launcher.wrokers=2"], "did you mean hydra.launcher.workers?"),
        (["hydra.launcher.qqqq=2"], "there is no such key; see --help"),
        (["zzzz=3"], "there is no such key; see --help"),
        (["+zzzz=3"], "there is no such key; leave it out, or see --help"),
    ],
)
def test_what_was_meant(overrides: list[str], meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured([*overrides, "device=cpu"], "test")
    assert str(caught.value).endswith(meant)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("id_", "name"),
    [("LunarLander-v3", "lunarlander"), ("MinAtar/Breakout-v1", "breakout"), ("my_package:Maze-v0", "maze")],
)
def test_an_id_is_no_option_and_the_way_to_use_it_is_named(id_: str, name: str) -> None:
    with pytest.raises(ConfigError, match="Could not find") as caught:
        configured([f"env={id_}"], "test")
    assert f"; {id_} is a Gymnasium id: use env.id={id_} env.name={name}, and give what env= would set: " in str(
        caught.value
    )
