"""The words for how a setting compares with the best one, in the order of their numbers in metrics, from 1."""

VERDICTS = ("best", "indistinguishable", "too few repeats", "slower")
