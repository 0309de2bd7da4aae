# mypy: allow-untyped-defs, allow-untyped-calls
"""The gradient of the stored entries of a sparse matrix: one dot product over the batch for each."""

from minisparse.kernels.jit import jit


@jit()
def values_grad(xt, gt, n, columns, starts, out):
    """Fill out[p, r] with the product of feature columns[p] of x and output row * block + r of g."""
    block = out.shape[1]
    for row in range(starts.size - 1):
        for p in range(starts[row], starts[row + 1]):
            a = xt[columns[p] * n : (columns[p] + 1) * n]
            for r in range(block):
                o = row * block + r
                b = gt[o * n : (o + 1) * n]  # empty beyond the last output
                s = out.dtype.type(0)
                for i in range(b.size):
                    s += a[i] * b[i]
                out[p, r] = s
