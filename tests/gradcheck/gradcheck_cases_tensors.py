"""Operations, functions of tensors, and modules on our own tape, right and wrong."""

import numpy as np
from gradcheck_cases import Case, draw

from minisparse import Tensor, autodiff, nn
from minisparse.autodiff import Op

MUTANTS: list[Case] = []
INNOCENTS: list[Case] = []


def mutant(name, f, inputs, *causes, **options):
    assert causes
    MUTANTS.append(Case(name, f, tuple(inputs), None, causes, options))


def innocent(name, f, inputs, **options):
    INNOCENTS.append(Case(name, f, tuple(inputs), None, (), options))


def operation(forward, backward, **attributes):
    """Return a class of operations: what every one of the mutants below is made with."""
    attributes |= {
        "forward": lambda self, *arrays: forward(*arrays),
        "backward": lambda self, grad, y, *inputs: backward(grad, y, *inputs),
    }
    return type("Mutant", (Op,), attributes)


X = draw(3, 4, seed=90)
Y = draw(3, 4, seed=91)
W = draw(4, 2, seed=92)
ROW = draw(4, seed=93)
IMAGES = draw(2, 6, 6, 1, seed=94)
LABELS = np.array([1, 3, 0])

# ---- operations -----------------------------------------------------------------------------------
Square = operation(np.square, lambda g, y, x: g * x * 2.0, saves=(0,))
innocent("square", Square(), (X,))
innocent("square, as a class", Square, (X,))
innocent("square, to second order", Square(), (X,), order=2)
mutant(
    "square: 2 missing",
    operation(np.square, lambda g, y, x: g * x, saves=(0,)),
    (X,),
    "constant-factor",
)
mutant(
    "square: upstream ignored",
    operation(np.square, lambda g, y, x: x * 2.0, saves=(0,)),
    (X,),
    "upstream-ignored",
    "bad-shape",
)
mutant("exp: x for y", operation(np.exp, lambda g, y, x: g * x, saves=(0,)), (X,), "wrong-formula")
mutant("exp: nothing returned", operation(np.exp, lambda g, y, x: None), (X,), "zero-gradient")
mutant(
    "add: no sum over the broadcast axis",
    operation(np.add, lambda g, y, a, b: (g, g)),
    (X, ROW),
    "missing-broadcast-sum",
)
mutant(
    "multiply: factors exchanged",
    operation(np.multiply, lambda g, y, a, b: (g * a, g * b), saves=(0, 1)),
    (X, Y),
    "swapped-arguments",
    "unknown",
)
mutant(
    "subtract: same sign for both",
    operation(np.subtract, lambda g, y, a, b: (g, g)),
    (X, Y),
    "constant-factor",
)
mutant(
    "matmul: one transpose missing",
    operation(np.matmul, lambda g, y, a, b: (g @ b, autodiff.transpose(a) @ g), saves=(0, 1)),
    (draw(4, 4, seed=95), draw(4, 4, seed=96)),
    "transposed",
)
mutant(
    "relu: >= at zeros doubled",
    operation(
        lambda x: np.maximum(x, 0),
        lambda g, y, x: g * Tensor((x.numpy() > 0) + 2.0 * (x.numpy() == 0)),
        saves=(0,),
        branch=lambda self, y, x: x > 0,
    ),
    (np.where(X < 0, 0, X),),
    "kink",
)
mutant(
    "relu: mask of the output's negative",
    operation(
        lambda x: np.maximum(x, 0), lambda g, y, x: g * Tensor((x.numpy() < 0) * 1.0), saves=(0,)
    ),
    (X,),
    "wrong-structure",
    "wrong-region",
)
mutant(
    "relu: branch recorded, mask missing",
    operation(lambda x: np.maximum(x, 0), lambda g, y, x: g, branch=lambda self, y, x: x > 0),
    (X,),
    "wrong-region",
)
mutant(
    "float32 gradient",
    operation(
        np.sin,
        lambda g, y, x: autodiff.astype(g * Tensor(np.cos(x.numpy())), np.float32),
        saves=(0,),
    ),
    (X,),
    "bad-dtype",
    "low-precision",
)
mutant(
    "gradient with one axis too many",
    operation(
        np.sin, lambda g, y, x: autodiff.reshape(g * Tensor(np.cos(x.numpy())), 3, 4, 1), saves=(0,)
    ),
    (X,),
    "bad-shape",
)
mutant(
    "nan gradient",
    operation(np.abs, lambda g, y, x: g * (x / Tensor(np.abs(x.numpy()))), saves=(0,)),
    (np.append(X[0], 0.0),),
    "not-finite",
)
mutant(
    "writes to its input",
    operation(lambda x: np.multiply(x, 2, out=x), lambda g, y, x: g * 2.0),
    (X,),
    "mutates-input",
)
mutant(
    "draws noise",
    operation(lambda x: x + np.random.default_rng().standard_normal(x.shape), lambda g, y, x: g),
    (X,),
    "nondeterministic",
)
mutant(
    "second order: taken as a constant",
    operation(np.square, lambda g, y, x: g * Tensor(2.0 * x.numpy()), saves=(0,)),
    (X,),
    "unknown",
    "zero-gradient",
    order=2,
)
mutant(
    "second order: half of it",
    operation(lambda x: x**3, lambda g, y, x: g * 3.0 * x * Tensor(x.numpy()), saves=(0,)),
    (X,),
    "constant-factor",
    order=2,
)
innocent(
    "first order of what is constant in second",
    operation(np.square, lambda g, y, x: g * Tensor(2.0 * x.numpy()), saves=(0,)),
    (X,),
)

# ---- functions ----------------------------------------------------------------------------------
Wrong = operation(np.tanh, lambda g, y, x: g * (1.0 - y), saves=("y",))
innocent("chain", lambda x, w: autodiff.logsumexp(autodiff.tanh(x @ w), axis=1), (X, W))
mutant(
    "chain with a wrong link",
    lambda x, w: autodiff.exp(Wrong()(x @ w)),
    (X, W),
    "wrong-formula",
    "wrong-structure",  # where tanh is flat, a claimed slope looks as if it went to a wrong element
)
innocent("one tensor used twice", lambda x: x * autodiff.sum_(x), (X,))
innocent("one argument unused", lambda x, y: autodiff.sigmoid(x), (X, Y))
innocent("several outputs", lambda x: (autodiff.exp(x), autodiff.sum_(x * x)), (X,))
innocent("tensors as inputs", lambda x, w: x @ w, (Tensor(X), Tensor(W, requires_grad=True)))
innocent("labels beside logits", autodiff.cross_entropy, (X, LABELS))
innocent(
    "cross entropy to second order", lambda x: autodiff.cross_entropy(x, LABELS), (X,), order=2
)
innocent("detached factor", lambda x: x * Tensor(Y), (X,))
mutant("factor detached by mistake", lambda x: x * x.detach(), (X,), "constant-factor")
mutant(
    "detour through NumPy",
    lambda x: autodiff.sum_(x) + float(x.numpy()[0, 0] ** 2),
    (X,),
    "wrong-elements",
    "wrong-region",
)
innocent(
    "relu of zeros, then a product", lambda x, w: autodiff.relu(x) @ w, (np.where(X < 0.3, 0, X), W)
)
innocent(
    "relu(x) - relu(-x) at zero",
    lambda x: autodiff.relu(x) - autodiff.relu(-x),
    (np.array([0.0, 1.0, -2.0]),),
)
innocent(
    "deep relu net of zeros",
    lambda x, w, v: autodiff.relu(autodiff.relu(x @ w) @ v),
    (X, 0 * W, draw(2, 3, seed=97)),
)
innocent(
    "top two of a row",
    lambda x: autodiff.max_(x, axis=1) + autodiff.max_(-autodiff.absolute(x), axis=1),
    (np.round(X),),
)
innocent(
    "soft threshold",
    lambda w: autodiff.relu(w - 0.5) - autodiff.relu(-w - 0.5),
    (np.array([0.5, -0.5, 0.2, 1.0, 0.0]),),
)
innocent(
    "second order at kinks",
    lambda x: autodiff.relu(x) * x,
    (np.array([0.0, 1.0, -2.0, 0.0]),),
    order=2,
)
innocent("dropout", lambda x, rng: autodiff.dropout(x, 0.5, rng), (X,))
innocent("0-d", lambda x: autodiff.exp(x) * x, (np.array(0.4),))
innocent("empty", lambda x: autodiff.tanh(x), (np.zeros((0, 4)),))
innocent("strided", lambda x: autodiff.tanh(x), (draw(6, 8, seed=98)[::2, ::-2],))
innocent("float32", lambda x, w: autodiff.tanh(x @ w), (X.astype(np.float32), W.astype(np.float32)))

Rounding = operation(np.round, lambda g, y, x: g, surrogate=lambda self, x: x)
innocent("straight-through, declared", Rounding(), (X,))
innocent("straight-through inside", lambda x: autodiff.tanh(Rounding()(3.0 * x)) * x, (X,))
innocent(
    "binary mask, straight-through, of a score",
    lambda s, w: (
        operation(lambda s: (s > 0) * 1.0, lambda g, y, s: g, surrogate=lambda self, s: s)()(s) * w
    ),
    (X, Y),
)
innocent(
    "hard tanh for the sign",
    operation(
        np.sign,
        lambda g, y, x: g * Tensor((np.abs(x.numpy()) < 1) * 1.0),
        saves=(0,),
        surrogate=lambda self, x: autodiff.clip(x, -1.0, 1.0),
    ),
    (X,),
)
mutant(
    "hard tanh for the sign: not masked",
    operation(np.sign, lambda g, y, x: g, surrogate=lambda self, x: autodiff.clip(x, -1.0, 1.0)),
    (2 * X,),
    "wrong-region",
)
mutant(
    "straight-through, not declared",
    operation(np.sign, lambda g, y, x: g),
    (X,),
    "wrong-structure",
    "wrong-region",
)
mutant(
    "straight-through: twice what is declared",
    operation(np.round, lambda g, y, x: g * 2.0, surrogate=lambda self, x: x),
    (X,),
    "constant-factor",
)


# ---- modules ------------------------------------------------------------------------------------
class WrongBias(Op):
    def forward(self, x, b):
        return x + b

    def backward(self, grad, y, x, b):
        return grad, lambda: autodiff.mean(grad, axis=-2)


class Layer(nn.Module):
    """x W + b, whose bias gets a mean for a sum."""

    def __init__(self, rng):
        super().__init__()
        self.weight = nn.Parameter(rng.standard_normal((4, 3)))
        self.bias = nn.Parameter(rng.standard_normal(3))

    def forward(self, x):
        return WrongBias()(x @ self.weight, self.bias)


class Tied(nn.Module):
    """One weight, used by two layers."""

    def __init__(self, rng, detached=False):
        super().__init__()
        self.weight = nn.Parameter(rng.standard_normal((4, 4)))
        self.detached = detached

    def forward(self, x):
        again = self.weight.detach() if self.detached else self.weight
        return autodiff.tanh(x @ self.weight) @ autodiff.transpose(again)


class Masked(nn.Module):
    """A linear layer some of whose weights are not stored."""

    def __init__(self, rng):
        super().__init__()
        self.weight = nn.Parameter(rng.standard_normal((4, 3)))

    def forward(self, x):
        return x @ (self.weight * Tensor(STORED * 1.0))


class Counting(nn.Module):
    """Scales by the number of calls: a buffer that leaks into the output."""

    def __init__(self):
        super().__init__()
        self.calls = 0.0

    def forward(self, x):
        self.calls += 1.0
        return x * self.calls


def rng():
    return np.random.default_rng(99)


STORED = rng().random((4, 3)) < 0.5
BIG = draw(64, 4, seed=100)
innocent("linear", nn.Linear(4, 3, rng=rng()), (X,))
innocent("linear, to second order", nn.Linear(4, 3, rng=rng()), (X,), order=2)
innocent(
    "conv, relu, pool",
    nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng()), nn.ReLU(), nn.MaxPool2d(2)),
    (IMAGES,),
)
innocent(
    "conv on blank images",
    nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng()), nn.ReLU(), nn.MaxPool2d(2)),
    (0 * IMAGES,),
)
innocent("batch norm", nn.BatchNorm1d(4), (X,))
innocent(
    "dropout in training",
    nn.Sequential(nn.Linear(4, 5, rng=rng()), nn.Dropout(0.5, rng=rng()), nn.ReLU()),
    (X,),
)
innocent("tied weights", Tied(rng()), (X,))
innocent("masked weights", Masked(rng()), (X,))
innocent("masked weights, stored entries only", Masked(rng()), (X,), stored={"weight": STORED})
mutant(
    "tied weights: one use detached",
    Tied(rng(), detached=True),
    (X,),
    "wrong-formula",
    "missing-terms",  # so it does, where only the other use reaches
)
mutant("bias: mean for sum", Layer(rng()), (X,), "constant-factor")
mutant(
    "bias: mean for sum, in a deep net",
    nn.Sequential(
        nn.Linear(4, 4, rng=rng()), nn.ReLU(), Layer(rng()), nn.ReLU(), nn.Linear(3, 2, rng=rng())
    ),
    (BIG,),
    "constant-factor",
)
mutant("counts its calls", Counting(), (X,), "nondeterministic")
