"""The autoencoder core: posterior, likelihood, prior, regulariser, autoencoder."""
