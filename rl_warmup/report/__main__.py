"""`python -m rl_warmup.report`."""

import sys

from rl_warmup.report.command import main

sys.exit(main())
