"""`python -m rl_warmup.run`."""

import sys

from rl_warmup.run.command import main

sys.exit(main())
