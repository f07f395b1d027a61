"""Proof that a training which is killed and resumed is the training which was not."""
