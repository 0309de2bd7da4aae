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
# # 4. Convolution, and LeNet-5
#
# **Goal.** Understand convolution as a sum with many indices: write it with loops, as a matrix
# product, and as a few shifted sums, and derive both of its gradients. Train LeNet-5 with it.
#
# **Afterwards you can** compute shapes, parameters and multiply-adds of any convolutional network in
# your head, write a convolution that is a thousand times faster than loops, and derive its gradients
# without memorizing anything.
#
# **Time.** 50 minutes to read, one minute to run.

# %%
import time

import numpy as np

from minisparse import book, data, definitions, gradcheck, kernels, nn, optim, sparse
from minisparse.autodiff import conv2d, max_pool2d, no_grad, relu
from minisparse.definitions import conv, pool
from minisparse.optim import schedules
from minisparse.train import evaluate, train

rng = np.random.default_rng(0)
mnist = data.load("mnist")
training, validation = mnist.train.split_validation(5000, rng)

# %% [markdown]
# ## 4.1 Look at a small window, everywhere
#
# The network of [chapter 3](03_lenet300.py) does not know that pixels have neighbours. Shuffle the
# pixels of all images in the same way, and it learns just as well. But images have structure: what
# makes a stroke can be seen in a window of a few pixels, and it is a stroke wherever in the image it
# appears. So use a small window of weights, a **kernel**, and slide it over the image. Two things
# are gained. A unit looks at 25 pixels instead of 784, and all positions share the same weights.
#
# Let $x$ be images with axes $[n, \text{height}, \text{width}, \text{channel}]$, and $w$ the kernels
# with axes $[\text{row}, \text{column}, \text{channel in}, \text{channel out}]$. Then
#
# $$
# y_{n i j o} = \sum_{r} \sum_{s} \sum_{c} x_{n, \; i + r, \; j + s, \; c} \; w_{r s c o} .
# $$
#
# In words: output pixel $(i, j)$ of channel $o$ is the dot product of kernel $o$ with the window
# whose upper left corner is at $(i, j)$. (Mathematicians would flip the kernel and call this
# *cross-correlation*. Since the weights are learned, it makes no difference, and everybody in deep
# learning calls it convolution.)
#
# A window of height $k$ fits into $H$ rows at $H - k + 1$ places. With $p$ rows of zeros added at
# the top and the bottom (*padding*), and moving on by $d$ rows at a time (*stride*), it is
#
# $$
# H' = \left\lfloor \frac{H + 2 p - k}{d} \right\rfloor + 1 .
# $$
#
# Here are three kernels of 3 by 3 that we make up ourselves. *What to expect.* The first is positive
# above and negative below: it answers where light is above dark. The second does the same from left
# to right. The third adds up nine pixels with equal weights, so it blurs. (The weights are 1/3 and not
# 1/9, three times the mean, so that the answer can be seen beside the other two.)

# %%
horizontal = np.array([[1, 1, 1], [0, 0, 0], [-1, -1, -1]])
filters = np.stack([horizontal, horizontal.T, np.full((3, 3), 1 / 3)], axis=-1)[:, :, None, :]
seven = mnist.test.images[:1] / 255.0
answers = conv2d(seven, filters).numpy()[0]
shown = np.stack([seven[0, 1:-1, 1:-1, 0], *np.moveaxis(answers, -1, 0)])
book.tiles(
    shown,
    "A seven, and the answers of an edge detector for each direction and of a blur",
    titles=["image", "top edges", "left edges", "blur"],
    columns=4,
    size=1.5,
    signed=True,
)

# %% [markdown]
# *How to read it.* Red is positive, white zero, blue negative, on one scale for all four. The bar of the seven has a bright
# upper edge (blue, as the light is *below* the middle of the window there) and a lower one (red);
# the second kernel sees the vertical edges of the stem. LeNet-5 will find its own kernels.
#
# ## 4.2 Three ways to compute it
#
# ### With loops
#
# The formula has seven indices, so the program has seven loops. It is slow, and it is the definition
# against which the others are tested.


# %%
def conv_loops(x, w):
    (N, H, W, C), (kh, kw, _, O) = x.shape, w.shape
    y = np.zeros((N, H - kh + 1, W - kw + 1, O), x.dtype)
    for n in range(N):
        for i in range(H - kh + 1):
            for j in range(W - kw + 1):
                for o in range(O):
                    for r in range(kh):
                        for s in range(kw):
                            for c in range(C):
                                y[n, i, j, o] += x[n, i + r, j + s, c] * w[r, s, c, o]
    return y


# %% [markdown]
# ### As a matrix product
#
# Write the window at each position as a row of $k_h k_w C$ numbers, and the kernels as a matrix with
# as many rows and $O$ columns. Then the convolution is one matrix product, and for matrix products
# there are libraries that people have been tuning for fifty years. The trick is called *im2col*. Its
# price is memory: every pixel is copied into up to $k_h k_w$ windows. For a 5 by 5 kernel the matrix of patches is 18
# times the size of the images of 28 by 28, and 11 times that of the 12 by 12 pixels below the second layer (25 times,
# but for the border).


# %%
def conv_im2col(x, w):
    kh, kw, _, O = w.shape
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(1, 2))
    patches = np.moveaxis(windows, 3, -1)  # [n, i, j, r, s, c]
    y = patches.reshape(-1, w[..., 0].size) @ w.reshape(-1, O)
    return y.reshape(*patches.shape[:3], O)


# %% [markdown]
# ### As shifted sums
#
# Exchange the order of the sums: fix the place $(r, s)$ in the kernel. The pixels that it meets,
# over all windows, are just the image shifted by $(r, s)$, so only $k_h k_w$ matrix products over
# channels are needed, and no copy. This is how the library *defines* convolution:

# %% tags=["remove-input"]
book.show_source(conv.window, conv.conv2d, docstring=False)

# %% [markdown]
# What *runs* is compiled by Numba: loops again, but in machine code, several numbers at a time, with
# the partial sums held in registers, on all cores. (NumPy's matrix products run on one when a page like this is made:
# `minisparse` leaves the others to its own kernels.) It is tested against the definition above.
#
# *What to expect.* All four must agree to rounding. One multiply-add in a loop of Python takes
# about a microsecond, while a processor core can do tens of billions of them in a second: the
# loops lose by a factor of ten thousand or more. The others need no loop over pixels.

# %% tags=["varies"]
# the second layer of LeNet-5
x = rng.standard_normal((book.quick(100, 4), 12, 12, 20)).astype(np.float32)
w = rng.standard_normal((5, 5, 20, 50)).astype(np.float32)
true = conv_loops(x[:1, :6, :6], w[..., :5])
adds = 8 * 8 * 5 * 5 * 20 * 50  # multiply-adds for an image

rows = []
for name, f in {
    "loops": conv_loops,
    "im2col": conv_im2col,
    "shifted sums": definitions.conv2d,
    "compiled": kernels.conv2d,
}.items():
    assert np.allclose(f(x[:1, :6, :6], w[..., :5]), true, atol=1e-4), name
    inputs, scale = ((x[:1, :6, :6], w), 1 / 16) if f is conv_loops else ((x, w), len(x))
    f(*inputs)  # not timed: compiles, fills caches
    start = time.perf_counter()
    f(*inputs)
    seconds = (time.perf_counter() - start) / scale
    rows.append([name, f"{1e3 * seconds:,.3f}", f"{adds / seconds / 1e6:,.0f}"])
book.table(["way", "ms for an image", "million multiply-adds a second"], rows)

# %% [markdown]
# (The loops were timed on a sixteenth of an image. Nobody has time for more.)
#
# ## 4.3 The gradients
#
# The formula for $y$ is *bilinear*: linear in $x$ and linear in $w$. So we need no calculus, only
# the question of chapter 1: where is it used, and with which factor?
#
# **A weight** $w_{rsco}$ is used once for every image and every output pixel, each time multiplied
# with the pixel it meets. Uses add up:
#
# $$
# \bar w_{r s c o} = \sum_{n} \sum_{i} \sum_{j} x_{n, \; i + r, \; j + s, \; c} \; \bar y_{n i j o} .
# $$
#
# **A pixel** $x_{nabc}$ is used by each output pixel whose window covers it: those with
# $i + r = a$ and $j + s = b$ for some place $(r, s)$ in the kernel. Again uses add up:
#
# $$
# \bar x_{n a b c} = \sum_{r} \sum_{s} \sum_{o} \bar y_{n, \; a - r, \; b - s, \; o} \; w_{r s c o} ,
# $$
#
# where terms outside of the output are zero. As a program it is easier to run over the uses and to
# add each to its pixel:

# %% tags=["remove-input"]
book.show_source(conv.conv2d_weight_grad, conv.conv2d_input_grad, docstring=False)

# %% [markdown]
# Compare with the forward: the same two loops, the same `window`, only the roles have changed. There
# is a test for such formulas that needs no differences. Call the three maps $C(x, w)$,
# $I(g, w)$ and $W(x, g)$. If $I$ and $W$ are right, then for all $x$, $w$ and $g$
#
# $$
# \langle C(x, w), g \rangle = \langle x, I(g, w) \rangle = \langle w, W(x, g) \rangle ,
# $$
#
# where $\langle a, b \rangle$ is the sum of the products of all entries. *What to expect.* Three
# equal numbers.

# %% tags=["varies"]
x, w = rng.standard_normal((2, 7, 6, 3)), rng.standard_normal((3, 2, 3, 4))
y = kernels.conv2d(x, w)
g = rng.standard_normal(y.shape)
print(f"<C(x, w), g> = {np.sum(y * g):.12f}")
print(f"<x, I(g, w)> = {np.sum(x * kernels.conv2d_input_grad(g, w, x.shape)):.12f}")
print(f"<w, W(x, g)> = {np.sum(w * kernels.conv2d_weight_grad(x, g, (3, 2))):.12f}")

# %% [markdown]
# And the verifier of [chapter 2](02_verifying_gradients.py), with stride and padding, and for the
# gradient of the gradient as well:

# %% tags=["varies"]
book.checks(
    {
        "conv2d, stride 2, padding 1": gradcheck(conv2d, x, w, 2, 1),
        "gradient of conv2d": gradcheck(conv2d, x, w, order=2),
    }
)

# %% [markdown]
# ## 4.4 Max-pooling
#
# After a convolution, LeNet-5 takes the largest number of every 2 by 2 window and forgets the other
# three. The image becomes half as wide and half as high, and a stroke may move by a pixel without
# changing the result much. The derivative is 1 for the winner and 0 for the losers, so the backward
# rule sends each cotangent to the pixel that won, which the forward has to remember. If several
# pixels are equal, the first one wins; chapter 2 says why the gradient must not go to all of them.

# %% tags=["remove-input"]
book.show_source(pool.max_pool2d, pool.max_pool2d_backward, docstring=False)

# %% [markdown]
# In a pruned network whole windows are exactly zero, so ties are not a rarity. The check with an
# image that consists mostly of zeros:

# %% tags=["varies"]
zeros = np.maximum(rng.standard_normal((2, 6, 6, 3)) - 0.5, 0)
book.checks({"max_pool2d": gradcheck(max_pool2d, zeros, 2)})

# %% [markdown]
# (*Average pooling* takes the mean of the window instead, and sends a quarter of the cotangent to
# each of the four pixels. It has no kinks.)
#
# ## 4.5 LeNet-5
#
# The network that papers on pruning call LeNet-5 is Caffe's version of it: 5 by 5 kernels to 20
# channels, pooling, 5 by 5 to 50 channels, pooling, and two linear layers 800-500-10.

# %% tags=["remove-input"]
book.show_source(nn.LeNet5.forward)

# %% [markdown]
# Count along, with $H' = H - 4$ for a 5 by 5 kernel: $28 \to 24 \to 12 \to 8 \to 4$ pixels, and
# $4 \cdot 4 \cdot 50 = 800$ numbers enter the first linear layer. A convolution applies each of its
# weights once per output pixel, so it needs *weights times output pixels* multiply-adds.

# %%
model = nn.LeNet5(rng=rng)
counted = sparse.report(model, measure_latency=False)
book.table(
    ["layer", "weights", "parameters", "multiply-adds"],
    [
        [row["name"], row["shape"], f"{row['parameters']:,}", f"{row['multiply_adds']:,}"]
        for row in (*counted.layers, counted.total)
    ],
)

# %% [markdown]
# Look at the last two columns. **Nine tenths of the parameters are in one linear layer, and more
# than two thirds of the work is in one convolution.** A method that removes many parameters may
# leave the network as slow as before. This is why [chapter 5](05_magnitude.py) insists on saying
# *what* was compressed.
#
# ## 4.6 Training
#
# *What to expect.* LeNet-5 has more parameters than LeNet-300-100, but what they see of an image has
# gone through windows that are the same everywhere, and has lost its exact place in the pooling. This
# suits images, so it should be clearly better: about 2 % validation error after one epoch, near 1 %
# after four, with the learning rate falling in the second half.

# %% tags=["varies"]
epochs, images = book.quick((4, training), (1, training.subset(np.arange(1000))))
run = train(
    model,
    images,
    optim.SGD(model, lr=0.03, momentum=0.9),
    epochs=epochs,
    rng=rng,
    schedule=schedules.geometric(epochs / 2, epochs, 0.05),
    validation=validation,
    progress=False,
)
for line in run.history:
    print(
        f"epoch {line['epoch']}: training error {line['train_error']:5.2f} %, "
        f"validation error {line['validation_error']:5.2f} %"
    )
print(f"test error: {evaluate(model, mnist.test).error_percent:.2f} %")

# %% [markdown]
# ## 4.7 What it looks for
#
# The twenty kernels of the first layer, as learned:

# %%
learned = np.moveaxis(model.conv1.weight.numpy()[:, :, 0], -1, 0)
book.tiles(learned, "The twenty 5 by 5 kernels of the first layer after training", signed=True)

# %% [markdown]
# *How to read it.* Red attracts, blue repels. A few are edge detectors in some direction: one side
# red, the other one blue. Others are spots or bars, and many look like nothing that has a name. And this is what they answer to the seven from above, after pooling and
# relu:

# %%
with no_grad():
    maps = relu(max_pool2d(model.conv1(seven.astype(np.float32)), 2)).numpy()[0]
book.tiles(np.moveaxis(maps, -1, 0), "The answers of the twenty kernels to an image of a seven")

# %% [markdown]
# *How to read it.* Each tile is 12 by 12 pixels, dark where the kernel has found what it looks for:
# one sees the bar, another one the stem, another one only their lower edges. Some look alike. That
# twenty are not really needed is what structured pruning will make use of.
#
# ## 4.8 The published number, and ours
#
# Trained for longer, three seeds: `minisparse reproduce dense-lenet5`, some ten minutes.

# %% tags=["hide-input"]
found = book.results("dense-lenet5")
(row,) = found["rows"]
ours, published = row["ours"], row["published"]
error = f"{ours['error_mean']:.2f} ± {ours['error_sd']:.2f} %"
book.table(
    ["LeNet-5, not pruned", "test error", "source"],
    [
        ["this library", error, "mean and sd of 3 seeds"],
        ["Han et al. 2015", f"{published['error']} %", published["source"]],
        *([other["name"], f"{other['error']} %", other["source"]] for other in found["others"]),
    ],
)

# %% [markdown]
# These are numbers of different programs, on the same test images. What the seeds explain between one of them and our
# three is 0.09 points (rule 4 of [3.7](03_lenet300.py)): that of Han et al. lies within, and is reproduced. (Our three seeds agree
# to a hundredth of a point. That may be luck: over the rows of this network that rule 4 counts, most of them pruned, the deviation is 0.038.)
#
# ## 4.9 Pitfalls
#
# - **The order of the axes.** PyTorch has images [n, channel, height, width] and weights [out, in,
#   row, column]; here it is [n, height, width, channel] and [row, column, in, out]. Both work.
#   Mixing them up also works, as far as shapes agree, and is wrong.
# - **Flattening.** The 800 numbers enter the linear layer in the order of the axes. A linear layer
#   that was trained with one order is useless with the other, and so is a mask for it.
# - **Counting multiply-adds.** Counted with padding, or at the wrong resolution, LeNet-5 comes out at
#   4.40 million. It has 2.293 million.
# - **Which LeNet-5?** The one of 1998 has about 60,000 parameters, Caffe's has 431,080. "99 % pruned"
#   means two different things.
# - **Gradients that are overwritten instead of added** where windows overlap: right for stride = kernel
#   size, wrong for all others.
#
# ## Exercises
#
# Those with a title ask for code and have tests: `minisparse classroom new a4 --out a4` writes the
# task to a folder.
#
# **4.1 Forward.** Write the convolution, with stride and padding.
#
# **4.2 The gradient of the images.** Where windows overlap, a pixel receives from several of them.
# And where does the gradient of the padding go?
#
# **4.3 The gradient of the weights.** A weight is used for every image and at every position.
#
# **4.4 The largest of each window.** Write max-pooling and its backward rule, with windows that may
# overlap.
#
# **4.5 The mean of each window.** Write average pooling and its backward rule.
#
# **4.6** (pencil) A convolution with a 1 by 1 kernel is a linear layer. Of what shape?
#
# **4.7** (pencil) Show that the input gradient of a convolution with stride 1 is itself a convolution
# of the padded cotangent, with a kernel that is flipped in both directions and has its channels exchanged.
#
# **4.8** (pencil) Max-pooling and relu can be exchanged: show that
# $\mathrm{relu}(\max(a, b)) = \max(\mathrm{relu}(a), \mathrm{relu}(b))$.
# Which order is cheaper? Do average pooling and relu commute too?
#
# **4.9** Shuffle the pixels of all images with one fixed permutation. Train both networks. Which one
# suffers, and why?
#
# ## References
#
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, *Gradient-based learning applied to document
#   recognition*, Proceedings of the IEEE, 1998.
# - K. Chellapilla, S. Puri, P. Simard, *High performance convolutional neural networks for document
#   processing*, 2006 (im2col).
# - Y. Jia et al., *Caffe: convolutional architecture for fast feature embedding*, 2014.
# - S. Han, J. Pool, J. Tran, W. J. Dally, *Learning both weights and connections for efficient neural
#   networks*, NeurIPS 2015.
# - Y. Guo, A. Yao, Y. Chen, *Dynamic network surgery for efficient DNNs*, NeurIPS 2016.
# - K. Ullrich, E. Meeds, M. Welling, *Soft weight-sharing for neural network compression*, ICLR 2017.
