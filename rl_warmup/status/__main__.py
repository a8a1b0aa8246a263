"""`python -m rl_warmup.status`."""

import sys

from rl_warmup.status.command import main

sys.exit(main())
