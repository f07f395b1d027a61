"""The autoencoder core: posterior, likelihood, regulariser, autoencoder."""
