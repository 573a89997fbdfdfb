"""Statistics: pure functions over numbers. What every run needs is written in the standard library alone; what compares
runs and resamples them uses numpy. See docs/statistics.md."""
