"""Where data comes from, pinned by digest, and samples by position. Knows nothing of tasks."""
