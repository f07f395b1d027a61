"""The data sets that the project knows: where each comes from (`recipes`), how it is downloaded (`fetch`), unpacked
(`unpack`) and laid out as `trainA trainB testA testB` (`layout`), and all of that in one call (`prepare`). Nothing here
imports torch."""
