"""Evidence that a window is further from its baseline than the baseline ever wanders by itself.

The pieces, in the order in which they are used; `docs/detection.md` has the mathematics:

- `shares`: how far a share (missing, unseen, out of range) is from the expected one;
- `far`: how far the few rows are that are far out of range, from moments;
- `scale`: how far a discrepancy naturally goes, learnt from the baseline, as a standard score;
- `limits`: the score that is exceeded no more often than the budget of false pages allows;
- `accumulate`: an e-detector that adds up what single windows are too weak to prove.
"""
