"""From the record files of a study to verdicts: metrics of each run, statistics over paired seeds, caveats."""
