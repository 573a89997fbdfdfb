"""Untrusted code in, outcome out. Knows nothing of models or tasks; see docs/sandbox.md for what it stops.

Inside a worker every module here runs under a bare interpreter, so only `pool`, `worker` and what they need for
themselves may import anything but the standard library and this package.
"""
