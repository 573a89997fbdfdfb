"""Running a plan: engine, journal, state, scores, results."""
