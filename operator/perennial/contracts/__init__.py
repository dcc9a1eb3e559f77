"""What crosses processes: operator, run pods and predictors agree here and nowhere else.

Structs are msgspec: strict decoding with the field's path in the error, no cost at start. Nothing of ours is imported.
"""
