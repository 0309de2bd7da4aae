# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 14. From sparse to fast: shrink, CSR, bytes and milliseconds
#
# **Goal.** Turn a network that is full of zeros into one that needs less memory and less time,
# without changing what it computes. Learn to predict both, and to measure time so that the numbers
# can be believed.
#
# **Afterwards you can** take dead units out of a network exactly, write a sparse product by hand,
# say at which density it pays, count bytes with nothing forgotten, and find out what is fastest on
# the machine in front of you.
#
# **Time.** 50 minutes to read, half a minute to run.

# %%
import copy
import itertools
import time

import numpy as np

from minisparse import book, data, gradcheck, nn, optim, sparse, threads
from minisparse.autodiff import Tensor, no_grad
from minisparse.kernels import csr_panel
from minisparse.machine import Neighbours
from minisparse.optim import schedules
from minisparse.prune import nodes
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.schedule import one_shot
from minisparse.sparse import choosing, perceptron, timing
from minisparse.sparse.pattern import Pattern
from minisparse.train import evaluate, train

threads.set_num_threads(1)  # one thread: then a time says what the work is
rng = np.random.default_rng(0)
rounds = book.quick(25, 2)
mnist = data.load("mnist")
training, validation = mnist.train.split_validation(10_000, rng)
training = training.subset(np.arange(book.quick(15_000, 500)))
validation = validation.subset(np.arange(book.quick(10_000, 200)))

# %% [markdown]
# ## 14.1 Zeros are multiplied, too
#
# All pruning so far left a matrix of the old size with zeros in it. What does that save?
#
# *What to expect.* Nothing. A matrix product does not look at its numbers. It loads a zero,
# multiplies by it, and adds the result, as with any other number.

# %% tags=["varies"]
x, w = rng.random((100, 784), dtype=np.float32), rng.random((784, 300), dtype=np.float32)
calls = {}
for density in (1.0, 0.5, 0.1, 0.01):
    masked = w * (rng.random(w.shape) < density)
    calls[f"{density:.0%}"] = lambda masked=masked: x @ masked
times = timing.interleaved(calls, rounds)
book.table(
    ["weights that are not zero", "time of x @ w, 100 images"],
    [[name, f"{t.us:.0f} us"] for name, t in times.items()],
)

# %% [markdown]
# So "a tenth of the weights, ten times as fast" is wrong by a factor of ten. There are two ways
# out. Either make the matrix *smaller*, which is possible where whole rows or columns are zero. Or
# *store* it differently, without the zeros. Each has a half of this chapter; and in the end both
# are measured.
#
# ## 14.2 Who can go?
#
# Take hidden unit $j$ of a perceptron. Its incoming weights are column $j$ of $W_1$, its bias is
# $b_j$, and its outgoing weights are row $j$ of $W_2$:
#
# $$
# h_j = \mathrm{relu} \Bigl( \sum_i x_i W_1[i, j] + b_j \Bigr) ,
# \qquad
# y = \sum_j h_j W_2[j] + b' .
# $$
#
# **If row $j$ of $W_2$ is zero**, then $h_j$ is multiplied by zero. Nobody reads the unit, whatever
# it says. Remove column $j$, entry $b_j$ and row $j$: the sum has lost a zero.
#
# **If column $j$ of $W_1$ is zero**, the unit reads nothing. It is tempting to remove it in the
# same way, and much code does. But look at the formula: $h_j = \mathrm{relu}(b_j)$, which is *not*
# zero if the bias is positive. The unit says the same for every image, but what it says is heard. A
# constant can be said by somebody else, namely by the next bias:
#
# $$
# b' \leftarrow b' + \mathrm{relu}(b_j) \, W_2[j] .
# $$
#
# After that the unit can go, and no output has changed. We try it with the smallest network that
# has both kinds.

# %%
W1 = np.array([[1.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])  # unit 1 reads nothing
W2 = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 0.0]])  # unit 2 is read by nobody
b1, b2 = np.array([0.5, 2.0, 1.0]), np.array([0.0, 0.0])


def outputs(x, W1, b1, W2, b2):
    return np.maximum(x @ W1 + b1, 0) @ W2 + b2


x = rng.standard_normal((5, 2))
whole = outputs(x, W1, b1, W2, b2)
dropped = outputs(x, W1[:, :1], b1[:1], W2[:1], b2)
folded = outputs(x, W1[:, :1], b1[:1], W2[:1], b2 + max(b1[1], 0) * W2[1])
print("units 1 and 2 dropped: largest difference", np.abs(whole - dropped).max())
print("the constant folded:   largest difference", np.abs(whole - folded).max())

# %% [markdown]
# One thing is left. A unit that goes takes its weights with it. Perhaps it was the only one that
# read some unit before it, or the only one that fed some unit behind it. So all layers are looked
# at again until nothing changes. This is the whole method, as the library has it for perceptrons:

# %% tags=["remove-input"]
book.show_source(nodes.has_incoming, nodes.reads, nodes.folded_bias, docstring=False)

# %% tags=["remove-input"]
book.show_source(perceptron.shrink_perceptron, docstring=False)

# %% [markdown]
# *What to expect.* A perceptron with four layers and few weights: after shrinking it should be a
# lot smaller, and its outputs should be the same up to rounding, about $10^{-15}$ in float64.

# %% tags=["varies"]
sizes = (20, 30, 30, 30, 5)
weights = [rng.standard_normal(s) * (rng.random(s) < 0.04) for s in itertools.pairwise(sizes)]
biases = [rng.standard_normal(n) for n in sizes[1:]]
smaller, smaller_biases = perceptron.shrink_perceptron(weights, biases)


def perceptron_outputs(x, weights, biases):
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        x = np.maximum(x @ w + b, 0)
    return x @ weights[-1] + biases[-1]


x = rng.standard_normal((100, 20))
difference = perceptron_outputs(x, weights, biases) - perceptron_outputs(x, smaller, smaller_biases)
print("before:", "-".join(map(str, sizes)))
print("after: ", "-".join(map(str, (20, *(w.shape[1] for w in smaller)))))
print(f"largest difference of the outputs: {np.abs(difference).max():.0e}")

# %% [markdown]
# ## 14.3 When is a constant a constant?
#
# With convolutions, the same idea has a catch. A filter without incoming weights produces an image
# of one colour, its bias. Does the next layer see the same number at every place? If it **pads**
# with zeros, it does not: at the border its window reaches into the padding, where there are zeros
# and not the constant. A bias is one number for all places and cannot take that over.
#
# *What to expect.* Two convolutions, the second one with a border of padding. One of two filters is
# a constant; we fold it anyway. Inside nothing should change; the border should be wrong.

# %%
first, second = nn.Conv2d(1, 2, 3, rng=rng), nn.Conv2d(2, 1, 3, padding=1, rng=rng)
net = nn.Sequential(first, nn.ReLU(), second)
with first.weight.writing() as w, first.bias.writing() as b:
    w[..., 1], b[...] = 0, (0.1, 0.5)
bad = copy.deepcopy(net)
with bad[2].weight.writing() as w, bad[2].bias.writing() as b:
    b[...] = nodes.folded_bias(b, np.array([0.5], np.float32), w[..., 1:, :])
    w[..., 1, :] = 0
image = rng.random((1, 12, 12, 1), dtype=np.float32)
with no_grad():
    wrong = (bad(Tensor(image)) - net(Tensor(image))).numpy()[0, ..., 0]

# %% tags=["hide-input"]
figure, ax = book.new_figure(3.6, 2.9)
most = np.abs(wrong).max()
shown = ax.imshow(wrong, cmap="RdBu_r", vmin=-most, vmax=most)
ax.set(title="error of the folded network", xticks=[], yticks=[])
ax.grid(visible=False)
figure.colorbar(shown, ax=ax)
book.show(figure, "Folding a constant in front of a padded convolution: wrong along the border")

# %% [markdown]
# *How to read it.* Each square is a place of the output; white is no error. Inside the folded
# network is right, along the border it is wrong. So before folding, the library looks at what the
# reader really gets, and refuses if it is not the same everywhere:

# %% tags=["remove-input"]
book.show_source(nodes.foldable, docstring=False)

# %% [markdown]
# (With batch norm, pooling or another activation in between, what arrives is not relu of the bias
# but some other constant. It is read off from what the reader saw, so all these need no formulas of
# their own.) `sparse.shrink` does all this for any model of the library. It compares the outputs on
# an example before it returns, and it says what it did:

# %%
_, report = sparse.shrink(net, example=image)
print(report)

# %%
plain = nn.Sequential(first, nn.ReLU(), nn.Conv2d(2, 1, 3, rng=rng))
_, report = sparse.shrink(plain, example=image)
print(report)

# %% [markdown]
# Without the padding the unit goes.
#
# A unit can also be silent without having zero weights: if its input to relu is negative for every
# image that you tried. It may wake up at the next one. So shrinking leaves it alone; removing it is
# one more way of pruning, not an exact one.
#
# ## 14.4 Two networks
#
# Now two trained ones, from the same dense LeNet-300-100. From one we remove 90 % of the
# **weights** by magnitude. From the other, 90 % of the hidden **units**, those with the smallest
# incoming weights. Both are trained on for three epochs.
#
# *What to expect.* They have about the same number of weights. The first one, which could choose
# freely, should be more accurate. The second one should shrink to 784-30-10-10. The first one
# should lose hardly any unit: one weight of hundreds is enough to keep it.

# %% tags=["varies"]


def trained(model, epochs, methods=(), lr=0.1):
    epochs = book.quick(epochs, 1)
    optimizer = optim.SGD(model, lr=lr, momentum=0.9)
    falling = schedules.geometric(epochs / 2, epochs, 0.05)
    train(
        model,
        training,
        optimizer,
        epochs=epochs,
        rng=rng,
        schedule=falling,
        methods=methods,
        progress=False,
    )
    return model


dense = trained(nn.LeNet300(rng=rng), 6)
by_weight = MagnitudePruning(one_shot(0.9))
by_unit = MagnitudePruning(one_shot(0.9), "layer", "unit", names=["fc1.weight", "fc2.weight"])
networks = {
    "dense": dense,
    "weights": trained(copy.deepcopy(dense), 3, [by_weight], lr=0.05),
    "units": trained(copy.deepcopy(dense), 3, [by_unit], lr=0.05),
}
small = {name: sparse.shrink(model)[0] for name, model in networks.items()}
rows = []
for name, model in networks.items():
    shapes = [p.shape[0] for p in small[name].parameters() if p.ndim > 1]
    counted = sparse.report(model, measure_latency=False).total
    with no_grad():
        x = Tensor(validation.images[:200].astype(np.float32) / 255)
        far = np.abs(model.eval()(x).numpy() - small[name].eval()(x).numpy()).max()
    rows.append(
        [
            name,
            f"{evaluate(model, validation).error_percent:.2f} %",
            f"{counted['nonzeros']:,}",
            f"{counted['effective']:,}",
            "-".join(map(str, (*shapes, 10))),
            f"{far:.0e}",
        ]
    )
book.table(
    [
        "what was pruned",
        "error",
        "nonzero",
        "of effect",
        "shrunk to",
        "largest change of an output",
    ],
    rows,
)

# %% [markdown]
# The column "nonzero" counts weights and biases that are not zero, "of effect" those that are left
# after the dead units are gone. The last column is rounding, in float32. The network whose weights
# were removed has lost no unit at all, and not even a pixel of the black border, where magnitude
# keeps what chance made large ([chapter 5](05_magnitude.py)). With a penalty
# ([chapter 6](06_penalties.py)) it would be different.
#
# ## 14.5 CSR by hand
#
# For the first network, shrinking is not enough: its zeros are scattered. So we keep a list of what
# is not zero. Our product is $y = x M$, one sum for each output, so we sort the entries by outputs.
# Three arrays are enough (*compressed sparse rows*, of the transposed matrix; the idea is at least
# as old as Tinney and Walker 1967):
#
# - `values`: the entries that are not zero, output after output;
# - `columns`: for each, the input that it belongs to;
# - `starts`: where the entries of each output begin, and one more number for the end.

# %%
M = np.array(
    [
        [0.0, 5.0, 0.0, 0.0],
        [7.0, 0.0, 0.0, 1.0],
        [0.0, 6.0, 0.0, 2.0],
    ]
)
values, columns, starts = [], [], [0]
for output in range(M.shape[1]):
    for i in range(M.shape[0]):
        if M[i, output] != 0:
            values.append(float(M[i, output]))
            columns.append(i)
    starts.append(len(values))
print("values ", values)
print("columns", columns)
print("starts ", starts)

# %% [markdown]
# Output 2 has no entry, so its start is also its end. The product is two loops:

# %%
x, y = np.array([1.0, 2.0, 3.0]), []
for output in range(len(starts) - 1):
    total = 0.0
    for p in range(starts[output], starts[output + 1]):
        total += values[p] * x[columns[p]]
    y.append(float(total))
print("by hand", y)
print("x @ M  ", (x @ M).tolist())

# %% [markdown]
# The library's inner loop for a single image is the same, compiled, and with four sums at a time:
# additions into one sum would have to wait for each other.

# %% tags=["remove-input"]
book.show_source(csr_panel._dot_rows.py_func)

# %% [markdown]
# The places are made from a mask in three lines, also for *blocks* of four outputs that share one
# list (then one index serves four values):

# %% tags=["remove-input"]
book.show_source(Pattern.of_mask, docstring=False)

# %% [markdown]
# A layer of this kind can be trained further: its parameters are the values, and the places stay.
# The gradients are $\bar x = \bar y M^\top$ and, for the entry at input $i$ and output $o$,
# $\bar v = \sum_n x[n, i] \, \bar y[n, o]$: the dense rule, at the places that exist.

# %% tags=["varies"]
layer = sparse.CSRLinear.of(nn.Linear(6, 5, rng=rng), rng.random((6, 5)) < 0.4)
at = layer.values.numpy().astype(np.float64), layer.bias.numpy().astype(np.float64)
x = rng.standard_normal((3, 6))
product = sparse.ops.SparseProduct(layer.pattern)
book.checks({"sparse product": gradcheck(lambda x, v, b: product(x, v, b), x, *at)})

# %% [markdown]
# ## 14.6 Bytes
#
# A float32 takes 4 bytes. Let a matrix have $n$ weights, of which a share $d$ (the density) is
# kept.
#
# | form | bytes for each weight of the matrix | smaller than dense if |
# | --- | --- | --- |
# | dense | $4$ | |
# | CSR, indices of 4 bytes | $4 d + 4 d$ | $d < 1/2$ |
# | bitmap: one bit for each weight | $4 d + 1/8$ | $d < 31/32$ |
# | gaps: one byte from each kept weight to the next | $4 d + d$ | $d < 4/5$ |
#
# (CSR has also one start for each output, here 8 bytes.) **In CSR the indices cost as much as the
# weights**: at a density of 10 % it is five times smaller than dense, not ten times. The bitmap
# costs the same however little is kept. Gaps (Han et al. 2016) are the distances between
# neighbours; they fit in a byte as long as none is longer than 255, so for densities from about 4 %
# on, and beat the bitmap below $d = 1/8$.
#
# Is there something better still? If the places are random, information theory has the answer: to
# say which weights are kept takes at least
#
# $$
# H(d) = - d \log_2 d - (1 - d) \log_2 (1 - d)
# $$
#
# bits for each weight, and no code can do with less.
#
# *What to expect.* On double logarithmic axes CSR is a line of slope 1 that meets the dense level
# at one half. The bitmap flattens out at 1/8. The files of the library take gaps or bitmap,
# whichever is smaller, and should lie a little above the bound.

# %%
densities = (0.8, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
stored = {"csr_bytes": [], "bitmap_bytes": [], "npz_bytes": []}
for density in densities:
    thin = nn.Linear(784, 300, rng=rng)
    with thin.weight.writing() as w:
        w *= rng.random(w.shape) < density
    (row,) = sparse.report(thin, measure_latency=False).layers
    for key, sizes in stored.items():
        sizes.append((row[key] - 300 * 4) / w.size)  # without the bias

# %% tags=["hide-input"]
figure, ax = book.new_figure(7, 3.8)
d = np.geomspace(0.005, 0.99, 200)
ax.loglog(d, 4 + 0 * d, color="k", linewidth=1, label="dense")
ax.loglog(d, 8 * d, color="#0072B2", label="CSR")
ax.loglog(d, 4 * d + 1 / 8, "--", color="#D55E00", label="bitmap")
short = d >= 0.04  # below, some gaps do not fit in a byte
ax.loglog(d[short], 5 * d[short], ":", color="#009E73", label="gaps of one byte")
bits = -d * np.log2(d) - (1 - d) * np.log2(1 - d)
ax.loglog(d, 4 * d + bits / 8, color="0.6", linewidth=1, label="no code can be below")
for sizes, marker, colour, name in zip(
    stored.values(),
    "osD",
    ("#0072B2", "#D55E00", "#CC79A7"),
    ("in memory, CSR", "bitmap", "in the library's file"),
    strict=True,
):
    ax.loglog(densities, sizes, marker, color=colour, markersize=5, label=f"counted: {name}")
ax.set(xlabel="density: kept weights / weights (log scale)", ylabel="bytes per weight (log scale)")
ax.set_xticks([0.01, 0.1, 1], ["1 %", "10 %", "100 %"])
ax.set_yticks([0.1, 1, 4], ["0.1", "1", "4"])
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
book.show(figure, "Bytes per weight of a 784 x 300 matrix against its density, in five forms")

# %% [markdown]
# *How to read it.* Down is better. Lines are the formulas of the table, and the grey line is the bound,
# $4 d + H(d) / 8$; markers are counted from arrays and from files. The files (diamonds) follow the
# bitmap on the right and the gaps on the left, and stay within about ten percent of the bound down to
# $d = 5 \%$: there is little to gain by more cleverness about the *places*. (About the values there
# is: numbers of 16 or 8 bits. That is quantization, and another book.) Two small things can be seen at
# the left end: the circles are above their line, because of the starts; and the diamonds are up to a
# quarter above the bound, because a single gap of more than 255 makes all gaps two bytes long.
#
# Our two networks:

# %% tags=["varies"]
rows = []
for name, model in {**networks, "units, shrunk": small["units"]}.items():
    counted = sparse.report(model, input_shape=(28, 28, 1), measure_latency=False).total
    rows.append(
        [
            name,
            *(
                f"{counted[key] / 1000:.0f} kB"
                for key in ("dense_bytes", "csr_bytes", "bitmap_bytes", "npz_bytes")
            ),
        ]
    )
book.table(["", "dense", "CSR", "bitmap", "file on disk"], rows)

# %% [markdown]
# The network with 90 % of its weights removed is not ten times smaller in any of these forms. The
# one with whole units removed is, and in the plainest form: dense arrays that need no indices at
# all.
#
# ## 14.7 Milliseconds: a model
#
# How long does a sparse product take? Assume that every kept weight costs the same, $\tau_s$, and
# that there is a part $t_0$ that does not depend on them (the call, the input, the output). For $n$
# weights of density $d$
#
# $$
# T_s(d) = t_0 + \tau_s \, n \, d .
# $$
#
# A dense product takes $T_d$ at any density. They meet at
#
# $$
# d^* = \frac{T_d - t_0}{\tau_s \, n} .
# $$
#
# If $t_0$ is small and $T_d = \tau_d \, n$, this is $\tau_d / \tau_s$, the cost of a weight in the dense product over its
# cost in the sparse one. Why should the second be larger? For each weight the dense loop loads one
# number, and the next one lies beside it; processors multiply 8 or 16 neighbours at once. The
# sparse loop loads a value *and* an index, and then an input from wherever the index points.
#
# *What to expect.* We measure at densities of 50 % and 5 %, find $t_0$ and $\tau_s$ from these two,
# and predict the rest. Straight lines against $d$, which bend on logarithmic axes. The break-even
# should be below one half. Where exactly depends on the processor.

# %%
measured, model_of = {}, {}
densities = (0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
for batch in (1, 100):
    found = sparse.break_even(nn.Linear(784, 300, rng=rng), batch, densities, rounds=rounds)
    times = {row["density"]: row["csr_us"] for row in found.rows}
    slope = (times[0.5] - times[0.05]) / (0.5 - 0.05)
    fixed = times[0.5] - 0.5 * slope
    measured[batch] = found
    model_of[batch] = fixed, slope, (found.rows[0]["dense_us"] - fixed) / slope

# %% tags=["hide-input"]
ticks_of_time = [k * 10**power for power in range(-1, 6) for k in (1, 2, 5)]
figure, axes = book.new_figure(9, 3.4, ncols=2)
for ax, (batch, found) in zip(axes, measured.items(), strict=True):
    fixed, slope, _ = model_of[batch]
    d = np.geomspace(0.01, 0.7, 100)
    ax.axhline(found.rows[0]["dense_us"], color="k", linewidth=1, label="dense, measured")
    ax.loglog(d, fixed + slope * d, "--", color="#D55E00", label="model")
    csr = [row["csr_us"] for row in found.rows]
    ax.loglog(sorted(densities, reverse=True), csr, "o", markersize=5, label="CSR, measured")
    ends = [csr[1], csr[5]]
    ax.loglog(
        [0.5, 0.05], ends, "o", markersize=10, mfc="none", mec="k", label="used for the model"
    )
    ax.set(
        xlabel="density (log scale)", ylabel="microseconds (log scale)", title=f"batch of {batch}"
    )
    ax.set_xticks([0.01, 0.1, 0.5], ["1 %", "10 %", "50 %"])
    ticks = [t for t in ticks_of_time if min(csr) / 1.5 < t < max(csr) * 1.2]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
axes[0].legend()
book.show(figure, "Time of a 784 x 300 layer against its density, measured and by the model")

# %% tags=["varies", "hide-input"]
book.table(
    [
        "batch",
        "dense, per weight and image",
        "sparse, per kept weight and image",
        "fixed part",
        "break-even, model",
        "break-even, measured",
    ],
    [
        [
            batch,
            f"{1000 * found.rows[0]['dense_us'] / 235_200 / batch:.3f} ns",
            f"{1000 * model_of[batch][1] / 235_200 / batch:.3f} ns",
            f"{model_of[batch][0]:.0f} us",
            f"density {100 * model_of[batch][2]:.0f} %",
            "-" if found.density is None else f"density {100 * found.density:.0f} %",
        ]
        for batch, found in measured.items()
    ],
)

# %% [markdown]
# *How to read it.* Below the black line sparse is faster. Dots are measured; the two with a black ring
# have fixed the dashed curve, and the others are its test. It passes: it is off by some ten percent, and by
# more only where there is hardly anything left to compute. To the left the curve flattens: there the
# fixed part is all that is left, and removing more weights saves nothing.
#
# A nanosecond is about three cycles of the processor. So in a batch a dense weight costs a small
# part of one cycle. That is why sparse products need densities well below one half before they pay:
# the competition is very good. In a batch both gain, since a weight is loaded once for all images; the
# sparse product gains a little more, since its index is, too. And note that a *worse* dense product makes
# sparsity look better. NumPy's is about as fast as ours here (14.1: as many weights, as long for each). But tell its
# BLAS to use the instructions of an older processor, as we once did by an oversight, and on an Intel CPU with AVX-512
# it took 446 us in the place of 297: the break-even rises by as much. If a library reports a large
# speed-up, look at what it is compared with.
#
# ## 14.8 How to measure a time
#
# The first call of anything is slow: code is compiled or loaded, memory is fetched, caches are
# cold. Later calls vary, because other programs want the processor too.

# %% tags=["varies"]
fresh = sparse.sparsify(networks["weights"], format="csr").eval()
x = Tensor(rng.random((100, 784), dtype=np.float32))
durations = []
with no_grad():
    for _ in range(book.quick(1001, 11)):
        begin = time.perf_counter()
        fresh(x)
        durations.append(1e6 * (time.perf_counter() - begin))
later = np.array(durations[1:])
book.table(
    ["first call", "fastest later", "median", "99 of 100 are below", "slowest later"],
    [
        [
            f"{t:.0f} us"
            for t in (durations[0], later.min(), *np.quantile(later, (0.5, 0.99)), later.max())
        ]
    ],
)

# %% [markdown]
# The mean of a few of these says little: of ten calls, the first among them, a third of the mean may be the
# first one's; and one disturbance does the same. What the library does:
#
# 1. warm up: one call that is not counted;
# 2. repeat a short call so often that the clock can measure it;
# 3. let the candidates take turns, so that a disturbance meets all of them and not just one;
# 4. report the median, with the quartiles;
# 5. look at what else the machine was doing. A median helps against short disturbances, not against
#    a neighbour who uses the processor all the time.

# %% tags=["remove-input"]
book.show_source(timing.interleaved, docstring=False)

# %% [markdown]
# ## 14.9 All forms, one table
#
# Which form of our networks is fastest? `sparse.choose` measures them all: dense with zeros, CSR,
# blocks, and the shrunk network in these forms. One more is in the list. Layer by layer, each
# result passes through Python, at some microseconds each, and a single image takes not much more
# than that. So the library can compile a whole model to **one call**, dense as it is.
#
# *What to expect.* For a single image the dense network is limited by Python and by memory: one
# call alone should help, and CSR still more. For batches, arithmetic counts. There the network
# without units should be far ahead: it has the same number of weights as the other one, and they
# are all neighbours. (The sparse forms of a perceptron are one call as well. So that the merit of
# sparsity is not mixed up with that of one call, the figure below compares with "one call, dense".)

# %% tags=["varies"]
watch, own = Neighbours().watch(), time.process_time()
chosen = {}
for name in ("weights", "units"):
    for batch in book.quick((1, 10, 100), (1, 10)):
        chosen[name, batch] = sparse.choose(networks[name], batch, rounds=rounds)
busy = watch(time.process_time() - own)
print(f"other programs used {100 * busy:.0f} % of the processor meanwhile")
forms = list(dict.fromkeys(form for choice in chosen.values() for form in choice.times))
book.table(
    ["microseconds per image", *(f"{name}, batch {batch}" for name, batch in chosen)],
    [
        [
            form,
            *(
                f"{choice.times[form].us / batch:.2f}" if form in choice.times else "-"
                for (_, batch), choice in chosen.items()
            ),
        ]
        for form in forms
    ],
)

# %% tags=["hide-input"]
figure, axes = book.new_figure(9, 3.6, ncols=2, sharex=True)
for ax, name in zip(axes, ("weights", "units"), strict=True):
    own = {batch: choice for (which, batch), choice in chosen.items() if which == name}
    for (batch, choice), marker in zip(own.items(), "o^s", strict=False):
        whole = choice.times["one call, dense"].us  # nothing removed, no Python between layers
        ratios = [whole / t.us for t in choice.times.values()]
        ax.plot(ratios, [forms.index(f) for f in choice.times], marker, label=f"batch of {batch}")
    ax.axvline(1, color="k", linewidth=1)
    ax.set(xscale="log", xlabel="times as fast as one call, dense (log scale)")
    ax.set_title(f"{name} removed")
    ax.set_yticks(range(len(forms)), forms if ax is axes[0] else [""] * len(forms))
    ax.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2x", "0.5x", "1x", "2x", "5x", "10x"])
    ax.set_xlim(0.2, 15)
    ax.minorticks_off()
    ax.set_ylim(len(forms) - 0.5, -0.5)
axes[0].legend(loc="lower right")
book.show(
    figure, "How many times as fast as one dense call each form of the two pruned networks is"
)

# %% [markdown]
# *How to read it.* A row is a form, and farther to the right is faster; the line at 1 is the dense
# network in one call, with its zeros. The first row, to the left of it, is the same layer by layer: what
# one call gains is no merit of pruning, and a comparison has to say so. On the left, where single weights
# were removed, the sparse forms are the best, and there is nothing to shrink: the lower rows are empty. On
# the right shrinking and one call together are best. Shrunk but layer by layer, a single image takes longer
# than the whole network in one call: nearly all of that is Python. (And look at the
# first line of the output: if other programs used much of the processor, take all times of this
# page with care. Ratios of calls that took turns suffer less than the times themselves.)
#
# The whole curve, from 2x to 100x, for LeNet-300-100 and LeNet-5, three seeds, is an experiment of
# its own: `minisparse reproduce speed` (ten minutes).
#
# ## 14.10 A published number, and ours
#
# Neklyudov et al. (2017) report times on a CPU for networks without their removed units: 2.3 times
# as fast for the perceptron 784-500-300-10, which became 245-160-55-10, and 5.4 times for LeNet-5,
# which became 3-18-284-283 (two convolutions, inputs of the linear layer, hidden units). Both as
# recalled; not checked against the PDF. A time does not depend on the values of the weights, so we
# can build networks of these shapes and measure (each of them compiled to one call).
#
# *What to expect.* The small perceptron has 9 % of the weights. From the number of multiplications
# one would expect 11 times. Selecting 245 of 784 inputs and all fixed costs are against it.

# %% tags=["varies"]


def mlp(*widths):
    parts = [nn.Linear(a, b, rng=rng) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(parts[0], nn.ReLU(), parts[1], nn.ReLU(), parts[2])


def lenet5(first, second, inputs, hidden):
    return nn.Sequential(
        nn.Conv2d(1, first, 5, rng=rng),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, rng=rng),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(inputs, hidden, rng=rng),
        nn.ReLU(),
        nn.Linear(hidden, 10, rng=rng),
    )


pixels = np.sort(rng.permutation(784)[:245])
pairs = {
    "perceptron": (mlp(784, 500, 300, 10), nn.Selected(mlp(245, 160, 55, 10), pixels), (784,)),
    "LeNet-5": (lenet5(20, 50, 800, 500), lenet5(3, 18, 288, 283), (28, 28, 1)),
}
published = {"perceptron": "2.3x", "LeNet-5": "5.4x"}
rows = []
for name, (large, reduced, shape) in pairs.items():
    ratios = []
    for batch in (1, 20):
        x = rng.random((batch, *shape), dtype=np.float32)
        forms = {"dense": sparse.compiled(large, x), "reduced": sparse.compiled(reduced, x)}
        times = choosing.measure(name, forms, x, rounds).times
        ratios.append(f"{times['dense'].us / times['reduced'].us:.1f}x")
    rows.append([name, published[name], *ratios])
book.table(["network", "published", "ours, batch 1", "ours, batch 20"], rows)

# %% [markdown]
# The same shapes, and other ratios: the published ones were measured with another library, on
# another processor, and for a batch that we do not know. And each ratio is over the dense network *of its own library*: the
# slower that is, the larger the ratio. (Ours is one compiled call; section 14.7 has the times of its layers and of NumPy's.) A speed-up is
# a property of all of these and not of the pruning method alone. (In our LeNet-5 the linear layer reads 288 inputs, all places
# of its 18 channels, and not 284.)
#
# ## 14.11 Pitfalls
#
# - **A mask, and the claim of a speed-up.** Zeros are multiplied like other numbers. A mask that is
#   multiplied with the weights in every forward is even slower than none.
# - **Multiply-adds reported as time.** Both are wanted (Blalock et al. 2020), and neither is the
#   other. Or a count that forgets padding, biases, or the layers that were not pruned.
# - **The constant of a dead unit dropped.** The outputs change a little, the test error by a few
#   images, and nobody notices. Compare outputs, not accuracies.
# - **A unit called dead by its sum.** The filter with the weights 1 and $-1$ has sum zero and is
#   alive.
# - **A filter removed, its batch norm left.** Its scale, shift, mean and variance must go, too, in
#   the same order; and the constant that is to be folded is the one *behind* the batch norm.
# - **Channels and flattening.** Behind a flatten each channel has many rows in the linear layer.
#   Which ones depends on whether channels run fastest (as here) or slowest.
# - **Index bytes forgotten.** "10x smaller" with the values counted and not the indices.
# - **A file that is compressed, compared with one that is not.** A zip of a dense network with many
#   zeros is small, too.
# - **Time with the first call in it**, or the mean of ten calls while something else was running.
# - **Too many threads.** The threads of two libraries fight for the same cores, or there are more
#   of them than cores. Then everything is slower, not equally so. Say how many threads there were,
#   and measure one thread as well.
# - **A weak opponent.** A sparse product against a dense one that was not built for the processor,
#   or batch 1 against batch 100.
#
# ## Exercises
#
# Those with a title ask for code and have tests: `minisparse classroom new a14 --out a14` writes
# the task to a folder.
#
# **14.1 Constants into a bias.** Write `reads`, which inputs have a nonzero weight, and the bias
# that takes over constant inputs, for linear layers and for filters.
#
# **14.2 When is that exact?** Given what a reader saw, which of its units can be folded?
#
# **14.3 A smaller perceptron.** Put the pieces together: shrink a perceptron without changing its
# outputs.
#
# **14.4** (pencil) A matrix is stored in CSR with indices of 2 bytes (which is possible up to
# 65,536 inputs). At which density is it smaller than dense? And than a bitmap?
#
# **14.5** (pencil) In blocks of four outputs one index serves four values, but zeros inside a block
# are stored. With random places and density $d$, which share of the blocks is stored? At which
# density does the blocked form need as many bytes as CSR?
#
# **14.6** (pencil) Show that the bound of 14.6 for small $d$ is about $d \log_2 (e / d)$ bits. How
# many bits per kept weight is that at $d = 1 \%$?
#
# **14.7** Repeat section 14.7 for a layer of 4096 x 4096, which does not fit into most caches, with batch 1. Now the
# bytes that are moved should decide (Williams et al. 2009 call this the *roofline*). At which
# density do you expect the break-even, and where is it?
#
# **14.8** Take the network with units removed and prune 50 % of its remaining weights. Is CSR
# faster than dense now? At which share would it be?
#
# ## References
#
# - W. F. Tinney, J. W. Walker, *Direct solutions of sparse network equations by optimally ordered
#   triangular factorization*, Proceedings of the IEEE, 1967.
# - S. Han, H. Mao, W. J. Dally, *Deep compression*, ICLR 2016.
# - K. Neklyudov, D. Molchanov, A. Ashukha, D. Vetrov, *Structured Bayesian pruning via log-normal
#   multiplicative noise*, NeurIPS 2017.
# - S. Williams, A. Waterman, D. Patterson, *Roofline: an insightful visual performance model for
#   multicore architectures*, Communications of the ACM, 2009.
# - D. Blalock, J. J. Gonzalez Ortiz, J. Frankle, J. Guttag, *What is the state of neural network
#   pruning?*, MLSys 2020.
