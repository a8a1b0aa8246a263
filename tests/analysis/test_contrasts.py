"""Contrasts of several arms: declared, found among the runs, tested like a difference."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.synthetic import DECLARED, LEARNS, said, write_run

from rl_warmup.analysis.comparison import Comparison
from rl_warmup.analysis.statistics.sign_flips import SignFlips
from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.config.schema import StudyConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.study import write_declaration
from rl_warmup.run.compose import configured
from rl_warmup.run.declaring import refuse_redeclared

LINEAR, COSINE, NONE = ({"warmup.name": name} for name in ("linear", "cosine", "none"))


def contrast(*terms: tuple[float, dict[str, Any]], name: str = "shape") -> dict[str, Any]:
    return {"name": name, "arms": [{"weight": weight, "where": where} for weight, where in terms]}


SHAPE = contrast((0.5, LINEAR), (0.5, COSINE), (-1, NONE))
RATES = {"low": {"learning_rate": 1e-3}, "high": {"learning_rate": "1e-2"}}  # as YAML reads 1e-2
INTERACTION = contrast(
    (1, LINEAR | RATES["high"]),
    (-1, NONE | RATES["high"]),
    (-1, LINEAR | RATES["low"]),
    (1, NONE | RATES["low"]),
    name="interaction",
)


def write(study: Path, *contrasts: dict[str, Any], rates: tuple[float, ...] = (1e-3,), seeds: int = 8) -> Path:
    """Arms whose final return is moved by the seed, the warmup and the learning rate, each by a known amount."""
    for seed in range(seeds):
        for rate in rates:
            for warmup, shift in (("none", 0.0), ("linear", 4.0 + seed), ("cosine", -2.0)):
                moved = np.array(LEARNS) + (shift if rate < 5e-3 else 3 * shift)
                write_run(study, warmup, seed, moved, learning_rate=rate)
    write_declaration(study, DECLARED | {"contrasts": list(contrasts)})
    return study


def of(analysis: Analysis, metric: str = "final") -> list[Comparison]:
    return [found for found in analysis.comparisons if found.pairing.contrast and found.metric.name == metric]


def test_a_contrast_is_the_weighted_sum_of_each_seed_tested_like_a_difference(tmp_path: Path) -> None:
    (found,) = of(analyse(write(tmp_path / "s", SHAPE)))
    # half of 4 + seed and half of -2 over the control, in hundredths
    expected = [(0.5 * (4 + seed) - 1) / 100 for seed in range(8)]
    assert found.differences == pytest.approx(expected)
    assert found.seeds == tuple(range(8))
    assert (found.pairing.contrast, found.family, found.paired.n) == ("shape", "confirmatory", 8)
    assert found.paired.p_value == SignFlips.of(expected).p_value()
    assert found.paired.p_value == 2 / 2**8
    positive, negative = found.pairing.values("final")
    assert positive - negative == pytest.approx(expected)
    assert negative == pytest.approx([1.0] * 8)
    assert found.pairing.treatment.warmup["name"] == "linear"
    assert found.pairing.control.warmup["name"] == "none"
    assert found.pairing.treatment_label == "0.5 × linear 20% gradient steps + 0.5 × cosine 20% gradient steps"
    assert found.pairing.control_label == "1 × none"
    assert found.pairing.label == "contrast shape (toy ppo sb3)"


def test_a_contrast_is_one_more_member_of_the_confirmatory_family(tmp_path: Path) -> None:
    analysis = analyse(write(tmp_path / "s", SHAPE))
    declared = [found for found in analysis.comparisons if found.family == "confirmatory"]
    assert [found.metric.name for found in declared] == ["final", "area", "shortfall", "not_learned"] * 2
    (found,) = of(analysis)
    assert found.verdict.p_adjusted == pytest.approx(8 * 2 / 2**8)  # Holm over eight, final and area all the same p
    # sums of zeros and ones with weights are not tested by McNemar
    assert of(analysis, "not_learned")[0].paired.p_value == 1.0


def test_a_contrast_is_tested_in_every_block_that_has_all_its_arms(tmp_path: Path) -> None:
    study = write(tmp_path / "s", SHAPE, rates=(1e-3, 1e-2))
    write_run(study, "none", 0, learning_rate=0.1)
    analysis = analyse(study)
    assert [found.pairing.block.settings["learning_rate"] for found in of(analysis)] == [1e-3, 1e-2]
    lacking = ("lr=0.1", "the contrast shape has no runs of warmup.name=linear, warmup.name=cosine")
    assert said(analysis, *lacking)
    assert not said(analysis, "shape is not tested")


def test_an_interaction_takes_arms_of_several_blocks_of_a_group(tmp_path: Path) -> None:
    study = write(tmp_path / "s", INTERACTION, rates=(1e-3, 1e-2))
    analysis = analyse(study)
    (found,) = of(analysis)
    assert found.differences == pytest.approx([2 * (4 + seed) / 100 for seed in range(8)])
    assert found.pairing.block.settings["learning_rate"] == 1e-2
    assert found.pairing.treatment_label == "1 × linear 20% gradient steps at 0.01 + 1 × none at 0.001"
    assert found.pairing.control_label == "1 × none at 0.01 + 1 × linear 20% gradient steps at 0.001"
    assert found.pairing.barred == ()


def test_an_arm_that_is_no_or_two_cells_is_named_and_nothing_tested(tmp_path: Path) -> None:
    several = contrast((1, {"warmup.length": 8}), (-1, NONE), name="several")
    nowhere = contrast((1, {"warmup.name": "radam"}), (-1, NONE), name="nowhere")
    nothing = contrast((1, {"env.name": "pong"}), (-1, NONE | {"env.name": "pong"}), name="nothing")
    same = contrast((1, LINEAR), (-1, {"warmup.shape": "linear"}), name="same")
    analysis = analyse(write(tmp_path / "s", several, nowhere, nothing, same, seeds=2))
    assert of(analysis) == []
    assert said(analysis, "several is not tested: warmup.length=8 is 2 arms (", "cosine", "linear")
    assert said(analysis, "nowhere is not tested: warmup.name=radam has no runs")
    assert said(analysis, "the declared contrast nothing has no runs at all")
    assert said(analysis, "same is not tested: two of its arms are the same runs")


def test_seeds_and_learning_rates_of_a_contrast_are_checked_in_all_its_arms(tmp_path: Path) -> None:
    study = write(tmp_path / "s", SHAPE, seeds=4)
    for seed in (4, 5):
        write_run(study, "linear", seed)
    analysis = analyse(study)
    assert said(analysis, "contrast shape", "seeds 4, 5 not scored in all its arms, not paired")
    for seed in range(4):
        write_run(tmp_path / "t", "none", seed)
        write_run(tmp_path / "t", "linear", seed, np.add(LEARNS, 1))
        write_run(tmp_path / "t", "cosine", seed, np.add(LEARNS, 1), inert=True)
    write_declaration(tmp_path / "t", DECLARED | {"contrasts": [SHAPE]})
    analysis = analyse(tmp_path / "t")
    assert said(
        analysis, "contrast shape", "no verdict", "of cosine-20%", "do not differ at all from those of none"
    )
    assert {found.verdict.verdict for found in of(analysis)} == {"inconclusive"}


def test_a_study_with_a_wrong_contrast_counts_as_not_declared(tmp_path: Path) -> None:
    write_run(tmp_path / "s")
    wrong = contrast((1, LINEAR), (-0.5, NONE))
    write_declaration(tmp_path / "s", DECLARED | {"contrasts": [wrong]})
    analysis = analyse(tmp_path / "s")
    assert said(analysis, "study.yaml", "the study counts as not declared")
    assert analysis.left_out


# before training


def composed(*terms: tuple[float, str]) -> Any:
    arms = ", ".join(f"{{weight: {weight}, where: {{{where}}}}}" for weight, where in terms)
    return configured(["device=cpu", f"study.contrasts=[{{name: a, arms: [{arms}]}}]"], "s").study.contrasts


def test_a_study_with_contrasts_is_composed() -> None:
    (found,) = composed((1, "warmup.name: linear"), (-1, "warmup.name: none"))
    assert found["arms"][0] == {"weight": 1, "where": {"warmup.name": "linear"}}


def test_a_study_declared_before_there_were_contrasts_goes_on(tmp_path: Path) -> None:
    write_declaration(tmp_path, DECLARED)
    refuse_redeclared(tmp_path, StudyConfig(**DECLARED))
    with pytest.raises(ConfigError, match="was declared with another contrasts; a declaration is not changed"):
        refuse_redeclared(tmp_path, StudyConfig(**DECLARED | {"contrasts": [SHAPE]}))
    with pytest.raises(ConfigError, match="another comparisons, smallest_effect"):
        refuse_redeclared(tmp_path, StudyConfig(**DECLARED | {"comparisons": None, "smallest_effect": 0.1}))
