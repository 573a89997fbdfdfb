"""Statistics: pure functions over numbers, in the standard library alone. See docs/statistics.md."""
