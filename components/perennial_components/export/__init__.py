"""Exports the fitted model as ONNX and proves that it answers alike; where it cannot, the model is served as it is."""
