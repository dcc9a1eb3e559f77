"""Chooses among what the shares of a search have found."""
