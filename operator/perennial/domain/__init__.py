"""Decisions: pure functions of what was gathered and the time. No I/O, no clock, no randomness."""
