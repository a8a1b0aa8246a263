"""Statistics over paired seeds that take a metric as numbers: tests, intervals, robustness, verdicts."""
