"""Train a language model: the screen, without the work."""
