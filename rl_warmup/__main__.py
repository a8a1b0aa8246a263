"""`rl-warmup COMMAND ...` and `python -m rl_warmup COMMAND ...`: the nine commands under one name."""

import os
import re
import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version

from rl_warmup import terminal

COMMANDS = {  # name: (module, what it does)
    "run": ("rl_warmup.run.command", "train one run or, with -m or study=NAME, a sweep"),
    "preview": ("rl_warmup.preview", "show the learning rates that a config will deliver"),
    "measure": ("rl_warmup.measure", "measure the constants of an environment, and write its YAML file"),
    "power": ("rl_warmup.power", "tell how many pairs of seeds a verdict takes, or plan the study after a pilot"),
    "enjoy": ("rl_warmup.enjoy", "let the agent that a run kept play: its return, a video, a window"),
    "report": ("rl_warmup.report.command", "compare the arms of a study: verdicts, tables, figures"),
    "status": ("rl_warmup.status.command", "show how far a study is, and what is left to do"),
    "publish": ("rl_warmup.publish", "send the records of a study to W&B"),
    "dashboard": ("rl_warmup.dashboard", "make the workspaces and the report of a study at W&B"),
}
HELP = "\n".join(
    [
        "usage: rl-warmup COMMAND ...\n\nWhat learning-rate warmup does to PPO and DQN.\n\ncommands:",
        *(f"  {name:<11}{does}" for name, (_, does) in COMMANDS.items()),
        "\n`rl-warmup COMMAND --help` explains a command; `python -m rl_warmup.COMMAND ...` is the same.",
        "`rl-warmup --version` prints the version. Tab completion in bash:",
        'eval "$(rl-warmup run -sc install=bash)"',
    ]
)


@terminal.command("nothing is changed")
def main() -> int:
    """Import and run the command that the first argument names, with the other arguments; the exit code."""
    name = sys.argv[1] if sys.argv[1:] else ""
    code = 0
    if name in ("-h", "--help"):
        print(HELP)
    elif name == "--version":
        print(f"rl-warmup {version('rl-warmup')}")
    elif name == "-sc":
        _complete(os.environ.get("COMP_LINE", ""))
    elif name in COMMANDS:
        del sys.argv[1]
        code = import_module(COMMANDS[name][0]).main()
    else:
        print(f"error: {_unknown(name)}", file=sys.stderr)
        code = 2
    return code


def _unknown(name: str) -> str:
    if "=" in name:
        return f"{name!r} is not a command; did you mean rl-warmup run {name}?"
    near = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(COMMANDS)}"
    return f"{name!r} is not a command; {hint}" if name else f"a command is missing; {hint}"


def _complete(line: str) -> None:
    """Print what may come next in the command line `line`; Hydra's tab completion asks, and knows no commands."""
    overrides = re.match(r"(\S+\s+)(?:run|preview|measure)\s+(.*)", line)
    if overrides:
        os.environ["COMP_LINE"] = "".join(overrides.groups())
        import_module(COMMANDS["run"][0]).main()
    elif re.fullmatch(r"\S+\s+\S*", line):
        print(*COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
