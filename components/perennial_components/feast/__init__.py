"""Reads historical features of a Feast repository, in an image of its own: Feast wants a pandas before 3, and a run's
components another one. What it writes is the rows of a run, which are taken in as any other Parquet.
"""
