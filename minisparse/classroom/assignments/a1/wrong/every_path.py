"""Counts a tensor once for an operation that uses it twice; forgets leaves."""

LOSES = ("after_all_uses", "small_graphs", "linear", "together")


def _order(y):
    order, ready = [], [y]
    while ready:
        t = ready.pop()
        order.append(t)
        ready += [x for x in dict.fromkeys(t.inputs) if x.requires_grad and x.op is not None]
    return order
