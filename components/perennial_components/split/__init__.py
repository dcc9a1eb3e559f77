"""Encodes the data and decides which rows are held out."""
