"""Checkpoints to ONNX to engines, offline; how the default networks were made."""
