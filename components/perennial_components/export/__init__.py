"""Exports the fitted model as ONNX and proves that it answers alike."""
