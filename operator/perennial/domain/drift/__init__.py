"""Drift, judged from counters alone: the statistics, the window, the verdict, and what is done about it."""
