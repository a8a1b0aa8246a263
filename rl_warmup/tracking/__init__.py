"""W&B: a copy of the record files, sent while runs train or at any time after; never a condition of a run."""
