"""The documentation: README stays short, and every link, path, command and snippet in it works."""

import importlib.util
import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from helpers.paths import ROOT

from rl_warmup.report.verdicts import MEANINGS, SYMBOLS

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "runs/README.md", *sorted(ROOT.glob("docs/*.md"))]


def fenced(language: str) -> list[str]:
    """Blocks of README in a language ("": without one)."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [text for of, text in blocks if of == language]


def missing(paths: list[str], folder: Path = ROOT) -> list[str]:
    return [path for path in paths if not (folder / path).exists()]


def test_readme_is_short_and_its_file_map_shows_every_package() -> None:
    assert len(README.splitlines()) <= 150
    (shown,) = (block.splitlines() for block in fenced("") if block.startswith("conf/"))
    assert len(shown) <= 20
    paths = [("rl_warmup/" if line.startswith("  ") else "") + line.split()[0] for line in shown]
    assert missing(paths) == []
    assert {f"rl_warmup/{path.parent.name}/" for path in ROOT.glob("rl_warmup/*/__init__.py")} <= set(paths)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_path_of_a_page_exists(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert missing(links, page.parent) == []
    named = re.findall(r"(?<![\w/])(?:rl_warmup|tests|benchmarks|conf|docs)/[\w./-]+\.(?:py|yaml|md)\b", text)
    assert missing(named) == []


def test_every_command_that_is_named_exists() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for path in chain(
        PAGES, ROOT.glob("conf/**/*.yaml"), ROOT.glob("benchmarks/*.py"), ROOT.glob("rl_warmup/**/*.py")
    ):
        text = path.read_text()
        for module in set(re.findall(r"python -m (rl_warmup(?:\.[a-z_]+)*)", text)):
            assert importlib.util.find_spec(module), f"{path}: {module}"
        assert missing(re.findall(r"python (benchmarks/\w+\.py)", text)) == [], path
        if path in PAGES:
            made = " ".join(re.findall(r"(?:`|^    )make ([a-z -]+)", text, flags=re.MULTILINE)).split()
            assert set(made) <= set(targets), path


def test_every_python_block_of_readme_runs() -> None:
    names: dict[str, Any] = {}
    for block in fenced("python"):
        shorter = block.replace("100_000", "1_024").replace(
            '"CartPole-v1"', '"CartPole-v1", n_steps=64, n_epochs=1'
        )
        exec(compile(shorter, "README.md", "exec"), names)


def test_the_table_of_verdicts_is_that_of_the_reports() -> None:
    rows = re.findall(
        r"^\| (\S) \| (.+?) \| (.+?) \|$", (ROOT / "docs/verdicts.md").read_text(), flags=re.MULTILINE
    )
    assert [(verdict, symbol, meaning) for symbol, verdict, meaning in rows] == [
        (verdict, symbol, MEANINGS[verdict]) for verdict, symbol in SYMBOLS.items()
    ]
