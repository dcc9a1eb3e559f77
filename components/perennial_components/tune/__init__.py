"""Searches the parameters of every candidate and fits the best one."""
