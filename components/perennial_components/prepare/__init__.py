"""Prepares rows before training, and values alike in training and serving."""
