"""Tools that quantize a checkpoint, each in a process and an environment of its own."""
