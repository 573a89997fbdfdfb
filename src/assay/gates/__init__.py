"""Gates: pure functions of evidence and policy. No I/O, no clock, no randomness that is not seeded."""
