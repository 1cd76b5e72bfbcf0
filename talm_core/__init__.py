"""Train a language model: the work, without a screen."""
