"""The images that come with kernelkit: made from Debian's packages, served by a registry, without the internet."""
