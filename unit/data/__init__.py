"""Images in and out: folders, sampling, augmentation, digit sets and toy maps."""
