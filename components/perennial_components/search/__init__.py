"""A share of the search for the best candidate, in a pod of its own."""
