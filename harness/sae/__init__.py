"""Sparse autoencoders: their mathematics on tensors, without files or models."""
