"""Tasks: a data set, how it becomes a prompt, and its default scorer. One task a file."""

from assay.tasks.base import Task
from assay.tasks.registry import find, load, names

__all__ = ["Task", "find", "load", "names"]
