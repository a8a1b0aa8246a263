"""What an unknown option or key is answered with: one line and, where one is near, the right one."""

import pytest

from rl_warmup.config.settings import ConfigError
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
        (
            ["algo=dqn", "algo.target_kl=0.01"],
            "Could not override 'algo.target_kl': it is a setting of algo=ppo alone",
        ),
        (["algo.loss=mse"], "Could not override 'algo.loss': it is a setting of algo=dqn alone"),
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
    ("option", "answer"),
    [
        ("ACROBOT-v1", "did you mean env=acrobot?"),
        (
            "CartPole-v0",
            "did you mean env=cartpole? The Gymnasium environment of this id is env=gym env.id=CartPole-v0",
        ),
        ("FrozenLake-v1", "a Gymnasium environment is given by its id: env=gym env.id=FrozenLake-v1"),
        ("my_package:Maze-v0", "a Gymnasium environment is given by its id: env=gym env.id=my_package:Maze-v0"),
        ("Taxi", ", or any Gymnasium environment by its id, env=gym env.id=..."),
    ],
)
def test_an_id_is_no_option_and_the_way_to_use_it_is_named(option: str, answer: str) -> None:
    with pytest.raises(ConfigError, match=f"Could not find 'env/{option}'; ") as caught:
        configured([f"env={option}"], "test")
    assert str(caught.value).endswith(answer)


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ('env.kwargs={"a": 1}', "of a dictionary without any: 'env.kwargs={name: value}'"),
        ("env.kwargs={a:", "is written in single quotes in a shell, "),
        ("env.kwargs=a:1", "; write 'env.kwargs={name: value}'"),
        ("env.wrappers=a.B", "; write 'env.wrappers=[a.Wrapper, {another.Wrapper: {argument: value}}]'"),
        ("env.wrappers={a.B:{}}", "; write 'env.wrappers=[a.Wrapper, {another.Wrapper: {argument: value}}]'"),
        ("env.wrapper=[a.B]", "did you mean env.wrappers?"),
        ("env.envpool=3", "env.envpool=3 is no mapping; use {name: value}, {} or null"),
    ],
)
def test_how_lists_and_dictionaries_are_written(override: str, answer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured([override], "test")
    assert answer in str(caught.value)
    assert "\n" not in str(caught.value)
