"""Inference: arrays, files and folders through a finished model."""
