"""Prompts: named, versioned templates, and how a sample becomes a request through one."""
