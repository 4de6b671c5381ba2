"""The few fast paths, each beside a plain twin that a test holds it to."""
