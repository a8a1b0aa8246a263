"""What pyproject.toml says about other packages."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions

from helpers.paths import ROOT
from packaging.requirements import Requirement

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = [text for name, texts in PROJECT["optional-dependencies"].items() if name != "dev" for text in texts]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> Iterator[str]:
    """Top-level names of the modules that the package and its Hydra plugins import, late imports included."""
    for path in [*(ROOT / "rl_warmup").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (name.name.partition(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def test_what_is_imported_is_declared() -> None:
    declared = {plain(Requirement(text).name) for text in [*PROJECT["dependencies"], *EXTRAS]}
    homes = packages_distributions()
    modules = set(imported()) - set(sys.stdlib_module_names) - {"rl_warmup", "hydra_plugins", "submitit"}
    assert "yaml" in modules
    assert [
        name for name in modules if name in homes and not declared & {plain(home) for home in homes[name]}
    ] == []


def test_the_floors_are_the_versions_that_were_tried() -> None:
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    tried = {plain(name): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}
    for requirement in map(Requirement, PROJECT["dependencies"]):
        (floor,) = (specifier.version for specifier in requirement.specifier if specifier.operator == ">=")
        if requirement.name == "torch":  # no older build was at hand; the floor is that of Stable-Baselines3
            continue
        assert re.fullmatch(rf"{re.escape(floor)}(\.0)*", tried[plain(requirement.name)]), requirement
        assert requirement.specifier.contains(tried[plain(requirement.name)])
