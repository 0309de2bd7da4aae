"""Shares that are given for each layer are overruled by the one number."""

LOSES = ("other_scopes",)

_right = layer_densities


def layer_densities(shapes, density, scope):
    right = _right(shapes, density, scope)
    return dict.fromkeys(shapes, density) if isinstance(scope, dict) else right
