"""The loop: a queue of keys; for each, gather → decide → apply."""
