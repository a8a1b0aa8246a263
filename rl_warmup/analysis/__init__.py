"""From the record files of a study to verdicts: metrics of each run, statistics over paired seeds, caveats."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
