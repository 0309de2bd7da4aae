"""Wrong and right gradients in plain NumPy, by class of mistake: what a checker is tried on."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    name: str
    f: Any
    inputs: tuple
    backward: Any
    causes: tuple = ()  # empty: the gradient is right
    options: dict = field(default_factory=dict)  # further arguments of gradcheck


MUTANTS: list[Case] = []
INNOCENTS: list[Case] = []


def mutant(name, f, inputs, backward, *causes):
    assert causes
    MUTANTS.append(Case(name, f, tuple(inputs), backward, causes))


def innocent(name, f, inputs, backward):
    INNOCENTS.append(Case(name, f, tuple(inputs), backward))


def draw(*shape, seed=1, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal(shape)


X = draw(4, 5)
Y = draw(4, 5, seed=2)
V = draw(7, seed=3)
SQUARE = draw(4, 4, seed=4)
POSITIVE = np.exp(draw(4, 5, seed=5))
ZEROS = np.where(draw(6, 5, seed=6) < 0.4, 0.0, draw(6, 5, seed=7))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(g, x):
    s = softmax(x)
    return s * (g - (g * s).sum(axis=-1, keepdims=True))


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(__import__("math").erf)(x / np.sqrt(2)))


def gelu_slope(x):
    phi = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return 0.5 * (1 + np.vectorize(__import__("math").erf)(x / np.sqrt(2))) + x * phi


def gelu_tanh_slope(x):
    a, b = np.sqrt(2 / np.pi), 0.044715
    t = np.tanh(a * (x + b * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * a * (1 + 3 * b * x**2)


def layer_norm(x, gamma, beta, eps=1e-5):
    m = x.mean(-1, keepdims=True)
    return (x - m) / np.sqrt(x.var(-1, keepdims=True) + eps) * gamma + beta


def layer_norm_backward(g, x, gamma, beta, eps=1e-5):
    m, s = x.mean(-1, keepdims=True), np.sqrt(x.var(-1, keepdims=True) + eps)
    h = (x - m) / s
    gh = g * gamma
    dx = (gh - gh.mean(-1, keepdims=True) - h * (gh * h).mean(-1, keepdims=True)) / s
    return dx, (g * h).sum(0), g.sum(0)


def conv1d(x, w):
    n, k = x.shape[0], w.shape[0]
    return np.array([x[i : i + k] @ w for i in range(n - k + 1)])


def conv1d_backward(g, x, w):
    k = w.shape[0]
    dx = np.zeros_like(x)
    dw = np.zeros_like(w)
    for i in range(g.shape[0]):
        dx[i : i + k] += g[i] * w
        dw += g[i] * x[i : i + k]
    return dx, dw


def conv2d(x, w):
    kh, kw = w.shape
    p = np.pad(x, 1)
    h, v = p.shape[0] - kh + 1, p.shape[1] - kw + 1
    return np.array([[(p[i : i + kh, j : j + kw] * w).sum() for j in range(v)] for i in range(h)])


def conv2d_backward(g, x, w, pad_right=True):
    kh, kw = w.shape
    p = np.pad(x, 1)
    dp, dw = np.zeros_like(p), np.zeros_like(w)
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            dp[i : i + kh, j : j + kw] += g[i, j] * w
            dw += g[i, j] * p[i : i + kh, j : j + kw]
    dx = dp[1:-1, 1:-1] if pad_right else dp[: x.shape[0], : x.shape[1]]
    return dx, dw


def max_pool(x):
    n, m = x.shape[0] // 2, x.shape[1] // 2
    return x.reshape(n, 2, m, 2).max(axis=(1, 3))


def max_pool_backward(g, x, first=True):
    n, m = g.shape
    w = x.reshape(n, 2, m, 2).transpose(0, 2, 1, 3).reshape(n, m, 4)
    hit = np.eye(4)[w.argmax(-1)] if first else (w == w.max(-1, keepdims=True)) * 1.0
    return (hit * g[..., None]).reshape(n, m, 2, 2).transpose(0, 2, 1, 3).reshape(x.shape)


def cross_entropy(x, labels):
    p = softmax(x)
    return -np.log(p[np.arange(len(x)), labels]).mean()


def cross_entropy_backward(g, x, labels):
    d = softmax(x)
    d[np.arange(len(x)), labels] -= 1
    return g * d / len(x)


def scatter(x, index):
    return x[index]


def scatter_backward(g, x, index):
    d = np.zeros_like(x)
    np.add.at(d, index, g)
    return d


def scatter_assign(g, x, index):
    d = np.zeros_like(x)
    d[index] = g
    return d


INDEX = np.array([0, 2, 2, 3, 5, 5, 5])
LABELS = np.array([0, 2, 4, 2])
MASK = draw(4, 5, seed=9) > 0

# ---- wrong factors ----------------------------------------------------------------------------
mutant("square: factor 2 missing", np.square, (X,), lambda g, x: g * x, "constant-factor")
mutant(
    "tanh: wrong sign", np.tanh, (X,), lambda g, x: -g * (1 - np.tanh(x) ** 2), "constant-factor"
)
mutant("mean: not divided", np.mean, (X,), lambda g, x: np.full(x.shape, g), "constant-factor")
mutant(
    "sum: divided by n", np.sum, (X,), lambda g, x: np.full(x.shape, g / x.size), "constant-factor"
)
mutant(
    "dropout: scale missing",
    lambda x, m, p: x * m / (1 - p),
    (X, MASK, 0.3),
    lambda g, x, m, p: (g * m, None, None),
    "constant-factor",
)
mutant(
    "cross-entropy: mean of the batch missing",
    cross_entropy,
    (X, LABELS),
    lambda g, x, y: cross_entropy_backward(g, x, y) * len(x),
    "constant-factor",
)
mutant(
    "var: n - 1 for n",
    np.var,
    (draw(200),),
    lambda g, x: g * 2 * (x - x.mean()) / 199,
    "constant-factor",
)
mutant(
    "norm: not divided by the norm",
    np.linalg.norm,
    (V,),
    lambda g, x: g * x,
    "constant-factor",
    "unknown",
)
mutant(
    "exp of a number: factor 1 + 1e-5",
    np.exp,
    (V,),
    lambda g, x: g * np.exp(x) * (1 + 1e-5),
    "constant-factor",
)
mutant("sine of one number: cos missing", np.sin, (np.array(0.3),), lambda g, x: g, "wrong-formula")
mutant(
    "product: other factor forgotten",
    np.multiply,
    (X, Y),
    lambda g, x, y: (g, g * x),
    "missing-factor",
)
mutant(
    "division: squared denominator forgotten",
    np.divide,
    (X, POSITIVE),
    lambda g, x, y: (g / y, -g * x / y),
    "missing-factor",
)
mutant(
    "power: exponent not lowered", lambda x: x**3, (X,), lambda g, x: 3 * g * x**3, "missing-factor"
)
mutant("log: gradient of exp", np.log, (POSITIVE,), lambda g, x: g * x, "missing-factor")
mutant(
    "exp(x^2): inner derivative missing",
    lambda x: np.exp(x**2),
    (X,),
    lambda g, x: g * np.exp(x**2),
    "missing-factor",
)

# ---- the cotangent ----------------------------------------------------------------------------
mutant(
    "sigmoid: upstream ignored",
    sigmoid,
    (X,),
    lambda g, x: sigmoid(x) * (1 - sigmoid(x)),
    "upstream-ignored",
)
mutant(
    "sigmoid: upstream averaged",
    sigmoid,
    (X,),
    lambda g, x: g.mean() * sigmoid(x) * (1 - sigmoid(x)),
    "upstream-ignored",
)
mutant(
    "tanh: upstream summed",
    np.tanh,
    (X,),
    lambda g, x: g.sum() * (1 - np.tanh(x) ** 2),
    "upstream-ignored",
)
mutant(
    "tanh: upstream of the first row",
    np.tanh,
    (X,),
    lambda g, x: g[:1] * (1 - np.tanh(x) ** 2),
    "upstream-ignored",
    "unknown",
)
mutant(
    "tanh: upstream averaged along rows",
    np.tanh,
    (X,),
    lambda g, x: g.mean(1, keepdims=True) * (1 - np.tanh(x) ** 2),
    "upstream-ignored",
)
mutant(
    "exp: sign of the upstream",
    np.exp,
    (X,),
    lambda g, x: np.sign(g) * np.exp(x),
    "upstream-ignored",
)
mutant("exp: |upstream|", np.exp, (X,), lambda g, x: np.abs(g) * np.exp(x), "upstream-ignored")
mutant("exp: upstream squared", np.exp, (X,), lambda g, x: g**2 * np.exp(x), "upstream-ignored")
mutant(
    "exp: upstream clipped",
    np.exp,
    (X,),
    lambda g, x: np.clip(g, -5, 5) * np.exp(x),
    "upstream-ignored",
)
mutant(
    "square: weight decay added",
    np.square,
    (X,),
    lambda g, x: 2 * g * x + 0.01 * x,
    "upstream-ignored",
)
mutant("softmax: for a cotangent of ones", softmax, (X,), lambda g, x: 0 * g, "zero-gradient")
mutant(
    "square: small upstream flushed",
    np.square,
    (X,),
    lambda g, x: np.where(np.abs(g) < 1e-3, 0, g) * 2 * x,
    "upstream-ignored",
)
mutant(
    "sum: upstream ignored (one number)",
    lambda x: (x**2).sum(),
    (X,),
    lambda g, x: 2 * x,
    "upstream-ignored",
)

# ---- places -----------------------------------------------------------------------------------
mutant(
    "matmul: transpose missing (square)",
    np.matmul,
    (SQUARE, SQUARE @ SQUARE),
    lambda g, a, b: (g @ b, a.T @ g),
    "transposed",
)
mutant(
    "matmul: other transpose missing",
    np.matmul,
    (SQUARE, SQUARE @ SQUARE),
    lambda g, a, b: (g @ b.T, a @ g),
    "transposed",
)
mutant(
    "matmul: result transposed",
    np.matmul,
    (SQUARE, SQUARE @ SQUARE),
    lambda g, a, b: (g @ b.T, (a.T @ g).T),
    "transposed",
)
mutant(
    "linear: weight gradient transposed (not square)",
    np.matmul,
    (X, draw(5, 3)),
    lambda g, x, w: (g @ w.T, g.T @ x),
    "transposed",
    "bad-shape",
)
mutant(
    "transpose: permutation not inverted",
    lambda x: x.transpose(1, 2, 0),
    (draw(3, 3, 3),),
    lambda g, x: g.transpose(1, 2, 0),
    "transposed",
)
mutant(
    "reshape: Fortran order",
    lambda x: x.reshape(10, 2),
    (X,),
    lambda g, x: g.reshape(x.shape, order="F"),
    "transposed",
)
mutant(
    "inv: transposes missing",
    np.linalg.inv,
    (SQUARE,),
    lambda g, x: -np.linalg.inv(x) @ g @ np.linalg.inv(x),
    "transposed",
)
mutant("flip: not flipped back", lambda x: x[::-1], (V,), lambda g, x: g, "transposed")
mutant(
    "roll: rolled the wrong way",
    lambda x: np.roll(x, 1),
    (V,),
    lambda g, x: np.roll(g, 1),
    "transposed",
)
mutant("sort: gradient left sorted", np.sort, (V,), lambda g, x: g, "transposed")
mutant(
    "sort: permutation not inverted",
    np.sort,
    (draw(9),),
    lambda g, x: g[np.argsort(x)],
    "transposed",
)
mutant(
    "ravel of a transposed input",
    np.square,
    (draw(4, 5).T,),
    lambda g, x: 2 * (g.ravel() * x.ravel(order="K")).reshape(x.shape),
    "transposed",
    "wrong-formula",
)
mutant(
    "product: gradients swapped",
    lambda a, b: a * b**2,
    (X, Y),
    lambda g, a, b: (2 * g * a * b, g * b**2),
    "swapped-arguments",
)
mutant(
    "linear: gradients swapped, shapes differ",
    np.matmul,
    (X, draw(5, 3)),
    lambda g, x, w: (x.T @ g, g @ w.T),
    "swapped-arguments",
)
mutant(
    "subtraction: gradients swapped",
    np.subtract,
    (X, Y),
    lambda g, a, b: (-g, g),
    "swapped-arguments",
    "constant-factor",
)
mutant(
    "one gradient for both",
    lambda a, b: a * b**2,
    (X, Y),
    lambda g, a, b: (g * b**2, g * b**2),
    "swapped-arguments",
    "wrong-formula",
)
mutant(
    "cumsum: not reversed",
    np.cumsum,
    (V,),
    lambda g, x: np.cumsum(g),
    "wrong-structure",
    "transposed",
)

# ---- zeros, sums, shapes ----------------------------------------------------------------------
mutant("softmax: zeros", softmax, (X,), lambda g, x: np.zeros_like(x), "zero-gradient")
mutant(
    "add: second gradient zero",
    np.add,
    (X, Y),
    lambda g, x, y: (g, np.zeros_like(y)),
    "zero-gradient",
)
mutant("add: None for the second", np.add, (X, Y), lambda g, x, y: (g, None), "zero-gradient")
mutant(
    "bias: mean for sum", np.add, (X, draw(5)), lambda g, x, b: (g, g.mean(0)), "constant-factor"
)
mutant("bias: sum missing", np.add, (X, draw(5)), lambda g, x, b: (g, g), "missing-broadcast-sum")
mutant(
    "bias: first row only", np.add, (X, draw(5)), lambda g, x, b: (g, g[0]), "missing-broadcast-sum"
)
mutant(
    "bias: last row only", np.add, (X, draw(5)), lambda g, x, b: (g, g[-1]), "missing-broadcast-sum"
)
mutant(
    "scale by one number: sum missing",
    np.multiply,
    (X, np.array(0.7)),
    lambda g, x, a: (g * a, g * x),
    "missing-broadcast-sum",
)
mutant(
    "bias of images: one axis summed",
    np.add,
    (draw(2, 3, 4, 5), draw(5)),
    lambda g, x, b: (g, g.sum(0)),
    "missing-broadcast-sum",
)
mutant(
    "column: keepdims forgotten",
    np.multiply,
    (X, draw(4, 1)),
    lambda g, x, c: (g * c, (g * x).sum(1)),
    "bad-shape",
)
mutant(
    "column: sum missing",
    np.multiply,
    (X, draw(4, 1)),
    lambda g, x, c: (g * c, g * x),
    "missing-broadcast-sum",
)
mutant(
    "flattened gradient",
    np.tanh,
    (X,),
    lambda g, x: (g * (1 - np.tanh(x) ** 2)).ravel(),
    "bad-shape",
)
mutant("extra axis", np.tanh, (X,), lambda g, x: (g * (1 - np.tanh(x) ** 2))[None], "bad-shape")
mutant(
    "summed gradient", np.tanh, (X,), lambda g, x: (g * (1 - np.tanh(x) ** 2)).sum(), "bad-shape"
)
mutant(
    "last column lost", np.tanh, (X,), lambda g, x: (g * (1 - np.tanh(x) ** 2))[:, :-1], "bad-shape"
)
mutant("one gradient for two arguments", np.add, (X, Y), lambda g, x, y: g, "bad-shape")
mutant("three gradients for two arguments", np.add, (X, Y), lambda g, x, y: (g, g, g), "bad-shape")
mutant(
    "0-d input, shape (1,)",
    np.tanh,
    (np.array(0.4),),
    lambda g, x: np.reshape(g * (1 - np.tanh(x) ** 2), (1,)),
    "bad-shape",
)
mutant(
    "shapes do not match inside",
    np.matmul,
    (X, draw(5, 3)),
    lambda g, x, w: (g @ w, x.T @ g),
    "bad-shape",
)

# ---- dtypes and digits ------------------------------------------------------------------------
mutant(
    "float32 gradient",
    np.tanh,
    (X,),
    lambda g, x: (g * (1 - np.tanh(x) ** 2)).astype(np.float32),
    "bad-dtype",
)
mutant("integer gradient", np.round, (X,), lambda g, x: np.zeros(x.shape, int), "bad-dtype")
mutant("boolean gradient", relu, (X,), lambda g, x: x > 0, "bad-dtype", "upstream-ignored")
mutant("complex gradient", np.tanh, (X,), lambda g, x: g * (1 - np.tanh(x) ** 2) + 0j, "bad-dtype")
mutant(
    "object gradient",
    np.tanh,
    (X,),
    lambda g, x: (g * (1 - np.tanh(x) ** 2)).astype(object),
    "bad-dtype",
)
mutant(
    "float32 forward",
    lambda x: np.tanh(x.astype(np.float32)),
    (X,),
    lambda g, x: g * (1 - np.tanh(x) ** 2),
    "bad-dtype",
    "low-precision",
)
mutant(
    "integer forward", lambda x: np.zeros(3, int), (X,), lambda g, x: np.zeros_like(x), "bad-dtype"
)
mutant(
    "float32 inside the backward",
    np.tanh,
    (X,),
    lambda g, x: (g * (1 - np.tanh(x.astype(np.float32)) ** 2)).astype(float),
    "low-precision",
)
mutant(
    "float32 cotangent",
    np.tanh,
    (X,),
    lambda g, x: g.astype(np.float32) * (1 - np.tanh(x) ** 2),
    "low-precision",
)
mutant(
    "float32 result",
    np.tanh,
    (X,),
    lambda g, x: (g * (1 - np.tanh(x) ** 2)).astype(np.float32).astype(float),
    "low-precision",
)
mutant(
    "float32 in the middle",
    np.tanh,
    (X,),
    lambda g, x: g * (1 - (np.tanh(x) ** 2).astype(np.float32).astype(float)),
    "low-precision",
)
mutant(
    "float16 in the middle",
    np.tanh,
    (X,),
    lambda g, x: g * (1 - (np.tanh(x) ** 2).astype(np.float16).astype(float)),
    "low-precision",
    "wrong-formula",
)
mutant(
    "float16 cotangent",
    np.tanh,
    (X,),
    lambda g, x: g.astype(np.float16).astype(float) * (1 - np.tanh(x) ** 2),
    "low-precision",
)
mutant(
    "float32 inside the forward",
    lambda x: np.tanh(x).astype(np.float32).astype(float),
    (X,),
    lambda g, x: g * (1 - np.tanh(x) ** 2),
    "low-precision",
)
mutant(
    "float32 before the matmul",
    lambda x, w: x.astype(np.float32).astype(float) @ w,
    (X, draw(5, 3)),
    lambda g, x, w: (g @ w.T, x.T @ g),
    "low-precision",
)
mutant(
    "forward difference",
    np.tanh,
    (X,),
    lambda g, x: g * (np.tanh(x + 1e-6) - np.tanh(x)) / 1e-6,
    "low-precision",
    "unknown",
)
mutant(
    "gelu: tanh formula for erf", gelu, (X,), lambda g, x: g * gelu_tanh_slope(x), "wrong-formula"
)


def one_small_element(g, w):
    gradient = (X * TINY).T @ g
    gradient[2, 1] *= 1.001
    return gradient


# A transposed w has the same slopes, as the map is linear: it explains nothing.
TINY = np.array([1, 1, 1e-6, 1, 1])
mutant(
    "one small element, linear",
    lambda w: (X * TINY) @ w,
    (draw(5, 5),),
    one_small_element,
    "wrong-elements",
)

# ---- values -----------------------------------------------------------------------------------
mutant(
    "norm: 0/0",
    lambda x: np.sqrt((x**2).sum(-1)),
    (np.vstack([X, np.zeros(5)]),),
    lambda g, x: g[:, None] * x / np.sqrt((x**2).sum(-1, keepdims=True)),
    "not-finite",
)
mutant(
    "sqrt at 0", np.sqrt, (np.array([0.0, 1.0]),), lambda g, x: g / (2 * np.sqrt(x)), "not-finite"
)
mutant(
    "log of the upstream",
    np.exp,
    (X,),
    lambda g, x: np.exp(np.log(g) + x),
    "not-finite",
    "upstream-ignored",
)
mutant(
    "overflow in the backward",
    sigmoid,
    (np.array([1.0, -800.0]),),
    lambda g, x: g * np.exp(-x) / (1 + np.exp(-x)) ** 2,
    "not-finite",
)
mutant(
    "forward overflows", np.exp, (np.array([1.0, 800.0]),), lambda g, x: g * np.exp(x), "not-finite"
)

# ---- only somewhere ---------------------------------------------------------------------------
mutant("relu: mask missing", relu, (X,), lambda g, x: g, "wrong-region")
mutant("abs: sign missing", np.abs, (X,), lambda g, x: g, "wrong-region")
mutant(
    "leaky relu: slope missing",
    lambda x: np.where(x > 0, x, 0.1 * x),
    (X,),
    lambda g, x: g * (x > 0),
    "wrong-region",
)
mutant(
    "elu: derivative of the wrong side",
    lambda x: np.where(x > 0, x, np.expm1(x)),
    (X,),
    lambda g, x: g * np.where(x > 0, 1, np.expm1(x)),
    "wrong-region",
)
mutant(
    "clip: one side open",
    lambda x: np.clip(x, -0.8, 0.8),
    (X,),
    lambda g, x: g * (x < 0.8),
    "wrong-region",
)
mutant(
    "softplus: saturates too early",
    lambda x: np.logaddexp(0, x),
    (draw(12, scale=6),),
    lambda g, x: g * np.where(x > 4, 1, sigmoid(x)),
    "wrong-region",
)
mutant(
    "getitem: = for +=",
    scatter,
    (draw(6, 2), INDEX),
    lambda g, x, i: (scatter_assign(g, x, i), None),
    "wrong-region",
)
mutant(
    "getitem: index hidden in the function",
    lambda x: x[INDEX],
    (draw(6),),
    lambda g, x: scatter_assign(g, x, INDEX),
    "wrong-region",
)
mutant("mask ignored", lambda x, m: x * m, (X, MASK), lambda g, x, m: (g, None), "wrong-region")
mutant(
    "first row forgotten",
    np.tanh,
    (X,),
    lambda g, x: np.vstack([np.zeros((1, 5)), (g * (1 - np.tanh(x) ** 2))[1:]]),
    "wrong-region",
)
mutant("triangle: upper half too", np.tril, (SQUARE,), lambda g, x: g, "wrong-region")
mutant(
    "convolution: border cut off",
    conv2d,
    (draw(6, 5), draw(3, 3)),
    lambda g, x, w: (
        conv2d_backward(g, x, w)[0] * np.pad(np.ones((4, 3)), 1),
        conv2d_backward(g, x, w)[1],
    ),
    "wrong-region",
)
mutant(
    "convolution: overlaps overwritten",
    conv1d,
    (V, draw(3)),
    lambda g, x, w: (np.r_[g * w[0], 0, 0], conv1d_backward(g, x, w)[1]),
    "unknown",
    "wrong-region",
    "constant-factor",
)
mutant(
    "|x| large: linear tail",
    np.cosh,
    (draw(10, scale=2),),
    lambda g, x: g * np.where(np.abs(x) > 2.5, x, np.sinh(x)),
    "wrong-region",
)
mutant(
    "|x|: derivative at 0 is NaN-guarded wrongly",
    np.abs,
    (np.r_[draw(6), 0.0],),
    lambda g, x: g * np.where(x == 0, 3, np.sign(x)),
    "kink",
)
mutant(
    "maximum of two: always the first",
    np.maximum,
    (X, Y),
    lambda g, a, b: (g, np.zeros_like(b)),
    "zero-gradient",
    "wrong-region",
)
mutant(
    "sign on half of the array",
    np.tanh,
    (draw(8, 3),),
    lambda g, x: g * (1 - np.tanh(x) ** 2) * np.where(np.arange(8) < 4, 1, -1)[:, None],
    "wrong-region",
)
mutant(
    "masked softmax: masked entries",
    lambda x, m: softmax(np.where(m, x, -1e9)),
    (X, MASK),
    lambda g, x, m: (softmax_backward(g, np.where(m, x, -1e9)) + g * ~m, None),
    "wrong-region",
)


# ---- single elements --------------------------------------------------------------------------
def spoiled(slope, at, factor=0.0):
    def backward(g, x):
        d = g * slope(x)
        d.flat[at] *= factor
        return d

    return backward


mutant("one of 20", np.exp, (X,), spoiled(np.exp, 7), "wrong-elements")
mutant("one of 2000", np.exp, (draw(2000),), spoiled(np.exp, 1234), "wrong-elements")
mutant(
    "one of 2000, half a percent",
    np.exp,
    (draw(2000),),
    spoiled(np.exp, 77, 1.005),
    "wrong-elements",
)
mutant("two of 30", np.exp, (draw(30),), spoiled(np.exp, [3, 17]), "wrong-elements")
mutant(
    "one with a tiny gradient",
    np.square,
    (np.r_[1e6, draw(10), 1e-6],),
    spoiled(lambda x: 2 * x, 11),
    "wrong-elements",
    "wrong-region",
)
mutant(
    "the smallest of mixed scales",
    lambda x: (x**2).sum(),
    (np.array([1e12, 3.0, 1e-12, -5e5]),),
    spoiled(lambda x: 2 * x, 2),
    "wrong-elements",
    "wrong-region",
)

# ---- kinks ------------------------------------------------------------------------------------
mutant(
    "max over a tie: [1, 1]",
    np.max,
    (np.array([1.0, 2.0, 2.0, 0.5]),),
    lambda g, x: g * (x == x.max()),
    "kink",
)
mutant(
    "max over a tie: [0, 0]",
    np.max,
    (np.array([1.0, 2.0, 2.0, 0.5]),),
    lambda g, x: 0.0 * x,
    "kink",
    "zero-gradient",
)
mutant("relu: 2 at 0", relu, (ZEROS,), lambda g, x: g * ((x > 0) + 2 * (x == 0)), "kink")
mutant("relu: -1 at 0", relu, (ZEROS,), lambda g, x: g * ((x > 0) * 1.0 - (x == 0)), "kink")
mutant(
    "max pool over ties: all of them",
    max_pool,
    (np.round(draw(6, 6)),),
    lambda g, x: max_pool_backward(g, x, first=False),
    "kink",
)
mutant(
    "maximum(x, x): both",
    lambda x: np.maximum(x, x[::-1]),
    (np.array([1.0, 2.0, 2.0, 1.0]),),
    lambda g, x: g + g[::-1],
    "kink",
)
mutant(
    "hinge: wrong at the hinge",
    lambda x: np.maximum(0, 1 - x),
    (np.array([1.0, 0.3, 2.0]),),
    lambda g, x: -g * np.where(x == 1, 2.0, x < 1),
    "kink",
)
mutant(
    "round: straight-through, undeclared",
    np.round,
    (X,),
    lambda g, x: g,
    "wrong-structure",
    "wrong-region",
)


# ---- promises ---------------------------------------------------------------------------------
def writes_input(x):
    x *= 2
    return np.tanh(x)


def writes_cotangent(g, x):
    g *= 1 - np.tanh(x) ** 2
    return g


def writes_in_backward(g, x):
    x -= x.mean()
    return 2 * g * x


class Counter:
    """Calls change the result."""

    def __init__(self):
        self.calls = 0
        self.total = 0.0
        self.first = None
        self.last = []

    def drifting(self, x):
        self.calls += 1
        return np.tanh(x) + 1e-6 * self.calls

    def adding(self, g, x):
        self.total = self.total + g * np.cos(x)
        return self.total

    def remembers(self, x):
        if self.first is None:
            self.first = x.copy()
        return np.sin(x)

    def stale(self, g, x):
        return g * np.cos(self.first)

    def keeps(self, x):
        self.last.append(x.copy())
        return np.sin(x)

    def one_too_old(self, g, x):
        return g * np.cos(self.last[-2])


c = Counter()
mutant(
    "forward writes to its input",
    writes_input,
    (X,),
    lambda g, x: g * (1 - np.tanh(2 * x) ** 2),
    "mutates-input",
)
mutant("backward writes to the cotangent", np.tanh, (X,), writes_cotangent, "mutates-input")
mutant(
    "backward writes to its input",
    lambda x: (x - x.mean()) ** 2,
    (V,),
    writes_in_backward,
    "mutates-input",
)
mutant(
    "forward draws noise",
    lambda x: np.tanh(x) + 1e-3 * np.random.default_rng().standard_normal(x.shape),
    (X,),
    lambda g, x: g * (1 - np.tanh(x) ** 2),
    "nondeterministic",
)
mutant(
    "backward draws noise",
    np.tanh,
    (X,),
    lambda g, x: (
        g * (1 - np.tanh(x) ** 2) + 1e-9 * np.random.default_rng().standard_normal(x.shape)
    ),
    "nondeterministic",
)
mutant(
    "forward counts its calls",
    c.drifting,
    (X,),
    lambda g, x: g * (1 - np.tanh(x) ** 2),
    "nondeterministic",
)
mutant("backward adds up over calls", np.sin, (X,), c.adding, "nondeterministic")
mutant(
    "backward uses the first input ever", c.remembers, (X,), c.stale, "nondeterministic", "unknown"
)
mutant("backward uses the call before", c.keeps, (X,), c.one_too_old, "nondeterministic")
mutant(
    "softmax: only the diagonal",
    softmax,
    (X,),
    lambda g, x: g * softmax(x) * (1 - softmax(x)),
    "missing-terms",
)
mutant(
    "layer norm: mean term missing",
    layer_norm,
    (X, draw(5), draw(5)),
    lambda g, x, a, b: (
        g * a / np.sqrt(x.var(-1, keepdims=True) + 1e-5),
        *layer_norm_backward(g, x, a, b)[1:],
    ),
    "missing-terms",
)
mutant(
    "two outputs: second ignored",
    lambda x: (np.sin(x), np.cos(x)),
    (X,),
    lambda g, x: g[0] * np.cos(x),
    "missing-terms",
)
mutant(
    "two outputs: swapped",
    lambda x: (np.sin(x), np.exp(x)),
    (X,),
    lambda g, x: g[1] * np.cos(x) + g[0] * np.exp(x),
    "wrong-formula",
    "swapped-arguments",
    "transposed",
)
mutant(
    "empty sum: gradient not empty-safe",
    lambda x, w: x @ w,
    (np.zeros((0, 3)), draw(3, 2)),
    lambda g, x, w: (g @ w.T, np.ones_like(w)),
    "upstream-ignored",
    "wrong-formula",
    "wrong-region",
    "constant-factor",
)

# ---- innocents --------------------------------------------------------------------------------
innocent("relu at zeros", relu, (ZEROS,), lambda g, x: g * (x > 0))
innocent("relu'(0) = 1", relu, (ZEROS,), lambda g, x: g * (x >= 0))
innocent("relu'(0) = 1/2", relu, (ZEROS,), lambda g, x: g * ((x > 0) + 0.5 * (x == 0)))
for distance in (1e-4, 1e-6, 1e-7, 1e-9, 1e-12):
    near = np.array([distance, -distance, 1.0, -2.0, 0.0])
    innocent(f"relu, {distance} from the kink", relu, (near,), lambda g, x: g * (x > 0))
    innocent(
        f"sum of relu, {distance} from the kink",
        lambda x: relu(x).sum(),
        (near,),
        lambda g, x: g * (x > 0),
    )
    innocent(f"abs, {distance} from the kink", np.abs, (near,), lambda g, x: g * np.sign(x))
    innocent(
        f"hinge, {distance} from the hinge",
        lambda x: np.maximum(0, 1 - x).sum(),
        (1 + near,),
        lambda g, x: -g * (x < 1),
    )
    innocent(
        f"clip, {distance} from the edge",
        lambda x: np.clip(x, -1, 1),
        (np.r_[1 + near, -1 + near],),
        lambda g, x: g * (np.abs(x) < 1),
    )
    innocent(
        f"max, {distance} from a tie",
        np.max,
        (np.array([1.0, 1.0 + distance, 0.3]),),
        lambda g, x: g * np.array([0.0, 1.0, 0.0]),
    )
innocent(
    "max over a tie: first",
    np.max,
    (np.array([1.0, 2.0, 2.0]),),
    lambda g, x: g * np.array([0.0, 1.0, 0.0]),
)
innocent(
    "max over a tie: shared",
    np.max,
    (np.array([1.0, 2.0, 2.0]),),
    lambda g, x: g * np.array([0.0, 0.5, 0.5]),
)
innocent("max pool over ties", max_pool, (np.round(draw(6, 6)),), max_pool_backward)
innocent(
    "top-1 of |x| with a tie",
    lambda x: np.abs(x).max(),
    (np.array([1.0, -2.0, 2.0]),),
    lambda g, x: g * np.array([0.0, -1.0, 0.0]),
)
innocent(
    "sort with ties",
    np.sort,
    (np.array([3.0, 1, 2, 1, 2, 2]),),
    lambda g, x: g[np.argsort(np.argsort(x, kind="stable"))],
)
innocent(
    "median with ties",
    np.median,
    (np.array([3.0, 1, 2, 2, 2]),),
    lambda g, x: g * np.array([0.0, 0, 1, 0, 0]),
)
for step in (np.round, np.floor, np.sign):
    innocent(f"{step.__name__}: 0", step, (X,), lambda g, x: 0 * g)
    innocent(
        f"{step.__name__} at its jumps: 0",
        step,
        (np.array([0.0, 1.0, -2.0, 0.5, 0.3]),),
        lambda g, x: 0 * g,
    )
innocent("x > 0 as numbers", lambda x: (x > 0) * 1.0, (X,), lambda g, x: 0 * g)
innocent("softmax", softmax, (X,), softmax_backward)
innocent(
    "softmax, saturated",
    softmax,
    (np.array([[1000.0, 0, -1000], [40, 0, -40], [1, 2, 700]]),),
    softmax_backward,
)
innocent(
    "cross-entropy",
    cross_entropy,
    (X, LABELS),
    lambda g, x, y: (cross_entropy_backward(g, x, y), None),
)
innocent("cross-entropy, one gradient", cross_entropy, (X, LABELS), cross_entropy_backward)
innocent(
    "logsumexp of large numbers",
    lambda x: np.log(np.exp(x - x.max()).sum()) + x.max(),
    (draw(6, scale=300),),
    lambda g, x: g * softmax(x),
)
innocent("layer norm", layer_norm, (X, draw(5), draw(5)), layer_norm_backward)
innocent(
    "sum of squares, mixed scales",
    lambda x: (x**2).sum(),
    (np.array([1e12, 1e-12, 1.0, -3e5]),),
    lambda g, x: 2 * g * x,
)
innocent(
    "square, mixed scales",
    np.square,
    (np.array([1e12, 1e-12, 1.0, -3e5, 0.0]),),
    lambda g, x: 2 * g * x,
)
innocent("log, mixed scales", np.log, (np.array([1e12, 1e-12, 1.0]),), lambda g, x: g / x)
innocent("1e12 x", lambda x: 1e12 * x, (X,), lambda g, x: 1e12 * g)
innocent("1e-12 x^2", lambda x: 1e-12 * x**2, (X,), lambda g, x: 2e-12 * g * x)
innocent("1e12 + x", lambda x: 1e12 + x, (X,), lambda g, x: g * 1.0)
innocent("sin(1e4 x)", lambda x: np.sin(1e4 * x), (X,), lambda g, x: 1e4 * g * np.cos(1e4 * x))
innocent(
    "tanh(1e6 x)",
    lambda x: np.tanh(1e6 * x),
    (1e-6 * X,),
    lambda g, x: 1e6 * g / np.cosh(1e6 * x) ** 2,
)
innocent("exp(50 x)", lambda x: np.exp(50 * x), (X,), lambda g, x: 50 * g * np.exp(50 * x))
innocent(
    "Rosenbrock",
    lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
    (np.array([-1.2, 1.0]),),
    lambda g, x: (
        g * np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])
    ),
)
innocent("log near 0", np.log, (np.array([1e-3, 1e-9, 1.0]),), lambda g, x: g / x)
innocent("sqrt near 0", np.sqrt, (np.array([1e-3, 1e-9, 1.0]),), lambda g, x: g / (2 * np.sqrt(x)))
innocent(
    "arccos near its edge",
    np.arccos,
    (np.array([0.9999, -0.99999999, 0.0]),),
    lambda g, x: -g / np.sqrt(1 - x**2),
)
innocent("x^1.5 at 0", lambda x: x**1.5, (np.array([0.0, 1.0]),), lambda g, x: 1.5 * g * np.sqrt(x))
innocent(
    "inverse", np.linalg.inv, (SQUARE,), lambda g, x: -np.linalg.inv(x).T @ g @ np.linalg.inv(x).T
)
innocent(
    "inverse of a Hilbert matrix",
    np.linalg.inv,
    (1 / (np.arange(7)[:, None] + np.arange(7) + 1.0),),
    lambda g, x: -np.linalg.inv(x).T @ g @ np.linalg.inv(x).T,
)
innocent(
    "determinant", np.linalg.det, (SQUARE,), lambda g, x: g * np.linalg.det(x) * np.linalg.inv(x).T
)
innocent(
    "step away from the point",
    lambda x: x + (x > 1.001),
    (np.array([1.0, 2.0]),),
    lambda g, x: g * 1.0,
)
innocent(
    "labels and settings",
    lambda x, n, p, word: x[:n] * p,
    (V, 3, 0.5, "same"),
    lambda g, x, n, p, word: (np.r_[g * p, np.zeros(4)],),
)
innocent(
    "two outputs",
    lambda x: (np.sin(x), np.cos(x).sum()),
    (X,),
    lambda g, x: g[0] * np.cos(x) - g[1] * np.sin(x),
)
innocent(
    "independent of one input",
    lambda x, y: np.tanh(x),
    (X, Y),
    lambda g, x, y: (g * (1 - np.tanh(x) ** 2), np.zeros_like(y)),
)
innocent("constant", lambda x: np.ones(3), (X,), lambda g, x: np.zeros_like(x))
innocent("one number", np.sin, (np.array(0.7),), lambda g, x: g * np.cos(x))
innocent("Python float", lambda x: x * x, (3.0,), lambda g, x: 2 * g * x)
innocent("empty", np.tanh, (np.zeros((0, 3)),), lambda g, x: g * (1 - np.tanh(x) ** 2))
innocent(
    "empty batch", np.matmul, (np.zeros((0, 3)), draw(3, 2)), lambda g, x, w: (g @ w.T, x.T @ g)
)
innocent("strided", np.tanh, (draw(6, 8)[::2, ::-3],), lambda g, x: g * (1 - np.tanh(x) ** 2))
innocent("transposed", np.square, (X.T,), lambda g, x: 2 * g * x)
innocent("broadcast view", np.square, (np.broadcast_to(V, (3, 7)),), lambda g, x: 2 * g * x)
innocent("sum of thousands", lambda x: (x**3).sum(), (draw(20000),), lambda g, x: 3 * g * x**2)
innocent("bias over thousands", np.add, (draw(4000, 3), draw(3)), lambda g, x, b: (g, g.sum(0)))
innocent(
    "dropout, fixed seed",
    lambda x: x * (np.random.default_rng(3).random(x.shape) > 0.4) / 0.6,
    (X,),
    lambda g, x: g * (np.random.default_rng(3).random(x.shape) > 0.4) / 0.6,
)
innocent(
    "dropout, rng keyword",
    lambda x, rng: x * (rng.random(x.shape) > 0.4),
    (X,),
    lambda g, x, rng: g * (rng.random(x.shape) > 0.4),
)
innocent("convolution", conv2d, (draw(6, 5), draw(3, 3)), conv2d_backward)
innocent("convolution 1d", conv1d, (V, draw(3)), conv1d_backward)
innocent(
    "scatter with repeats",
    scatter,
    (draw(6, 2), INDEX),
    lambda g, x, i: (scatter_backward(g, x, i), None),
)
innocent("gelu", gelu, (X,), lambda g, x: g * gelu_slope(x))
innocent(
    "masked with minus infinity",
    lambda x, m: softmax(np.where(m, x, -np.inf)),
    (X, MASK | np.eye(4, 5, dtype=bool)),
    lambda g, x, m: (np.where(m, softmax_backward(g, np.where(m, x, -np.inf)), 0.0), None),
)
innocent("identity that returns its input", lambda x: x, (X,), lambda g, x: g)
innocent(
    "not made for complex numbers",
    lambda x: np.array([float(v) ** 2 for v in x]),
    (V,),
    lambda g, x: 2 * g * x,
)

# ---- a backward that raises -------------------------------------------------------------------
mutant(
    "a name that is not there",
    np.tanh,
    (X,),
    lambda g, x: g * (1 - np.no_such_function(x) ** 2),
    "backward-raises",
)
mutant("a key of the cache", np.tanh, (X,), lambda g, x: g * {"y": x}["z"], "backward-raises")
