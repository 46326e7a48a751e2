"""Contextual token vectors from encoders in ONNX files, and the preset ``minilm``."""
