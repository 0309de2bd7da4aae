"""The kinds of training that experiments are made of."""
