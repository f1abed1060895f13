"""Weights files: where they lie, whether they are whole, what is in them. Knows no neural network."""
