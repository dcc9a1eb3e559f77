"""The demonstration: the whole loop on a real cluster with the patients of four hospitals.

The end-to-end tests play the same story (``story.py``) with shorter times and rougher treatment.
"""
