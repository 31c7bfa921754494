"""The verdicts on a setting compared with the best one, in the order of their numbers in metrics, from 1."""

VERDICTS = ("best", "indistinguishable", "too few repeats", "slower")
