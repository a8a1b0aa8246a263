import pytest

from rl_warmup.sweep import _launch


def test_an_error_out_of_an_interrupt_is_the_interrupt():
    def launch(jobs):
        try:
            raise KeyboardInterrupt
        finally:
            raise UnboundLocalError("clean-up was cut short")

    with pytest.raises(KeyboardInterrupt):
        _launch(launch, [])


def test_any_other_error_of_a_launcher_is_said_and_the_report_may_follow(capsys):
    def launch(jobs):
        raise RuntimeError("a worker died")

    _launch(launch, [])
    assert "the launcher stopped: RuntimeError: a worker died" in capsys.readouterr().err
