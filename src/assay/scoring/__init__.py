"""Scorers: from a sample and a completion to a score. `registry` makes them by name, `matrix` says what fits
what."""
