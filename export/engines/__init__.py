"""Engines made of ONNX files ahead of time, for TensorRT and TensorRT for RTX."""
