"""`python -m rl_warmup.run`."""

from rl_warmup.run.command import main

main()
