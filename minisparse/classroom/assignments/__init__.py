"""The assignments, one folder each; `common` is what their properties share."""
