"""The experiments: one module and one file of published figures each."""
