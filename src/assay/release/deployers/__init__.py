"""Servers that a checkpoint is deployed on, each a process of its own that ends with whoever started it."""
