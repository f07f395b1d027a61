"""Plain networks: they know nothing of configs, losses or training."""
