"""Depth first, by a recursion that goes too deep, through tensors that want no gradient too."""

LOSES = ("after_all_uses", "linear")


def _order(y):
    seen, order = set(), []

    def visit(t):
        if id(t) not in seen:
            seen.add(id(t))
            for x in t.inputs:
                visit(x)
            order.append(t)

    visit(y)
    return order[::-1]
