"""Methods that train autoencoders of one domain of small images: VAE, CVAE, M1, M2, AAE, WAE and their kin."""
