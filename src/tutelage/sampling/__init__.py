"""One Sampler protocol, several ways to fulfil it."""
