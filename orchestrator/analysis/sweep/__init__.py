"""Numbers of a whole sweep: summaries, intervals, comparisons, recommendations, Pareto fronts."""
