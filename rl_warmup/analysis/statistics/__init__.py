"""Statistics over seeds; every function takes numbers, one for each run, and knows no metric.

A comparison pairs runs by seed: D = treatment - control, [pairs]. What is tested is the mean of D.

- verdicts: a comparison (estimate, interval, p values), then better, worse, equivalent or inconclusive in a family
- dirichlet: the test of a bounded mean that holds its level whatever rare runs do, its interval, equivalence
- sign_flips: the test of the mean of D by its 2^n sign vectors, the interval that inverts it, equivalence
- subsets: the sums that make that test exact up to 28 pairs; not needed to understand it
- failures: runs that fail in either arm, pairs won, the rate of losses that would undo an effect
- proved: two wider tests of a bounded mean whose level is proved
- sequential: sign flips of a study that is looked at several times; spending: how its level is spent over the looks
- looking: a comparison at each of these looks
- planning: pairs that decide, of each verdict, planned from a pilot, and what stays open with so many
- pooled: one comparison over several environments; gatekeeping: the order in which it and theirs are tested
- estimators: what describes or cross-checks: IQM, McNemar, Welch, permutations, Brown-Forsythe, tail means
- across_seeds: dispersion over the runs of one arm, shares of runs with Wilson intervals
- survival: times to a threshold that some runs never reach (Kaplan-Meier)
- robustness: the learning rate at which half of the runs still learn, and sensitivities over a grid of rates
"""
