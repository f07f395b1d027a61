"""The autoencoder core: posterior, likelihood, prior, regularizer, autoencoder."""
