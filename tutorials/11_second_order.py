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
# # 11. Second order: what it costs when a weight goes
#
# **Goal.** Predict by how much the loss rises when a weight of a trained network is deleted,
# without deleting it; and change the other weights so that it rises the least. From a Taylor series
# follow optimal brain damage (1989), optimal brain surgeon (1992), and most of what has been done
# since.
#
# **Afterwards you can** derive both with pencil and paper, say what each of their successors leaves
# out of the Hessian, test a saliency against brute force, say when a quadratic must not be trusted,
# and tell what compensation is worth before and after retraining.
#
# **Time.** 90 minutes to read, one minute to run.

# %%
import numpy as np

from minisparse import book, data, gradcheck, methods, nn, optim
from minisparse.autodiff import cross_entropy
from minisparse.experiments import plots_once
from minisparse.optim import schedules
from minisparse.prune import (
    batch,
    chita,
    compensation,
    eigendamage,
    fisher,
    layerwise,
    layerwise_obs,
    lookahead,
    obc,
    obd,
    obs,
    single_gradients,
    sparsegpt,
    wanda,
    woodfisher,
)
from minisparse.prune.batch import Batch
from minisparse.prune.schedule import one_shot
from minisparse.prune.scope import top_k
from minisparse.train import evaluate, train

rng = np.random.default_rng(0)
mnist = data.load("mnist")

# %% [markdown]
# ## 11.1 The loss around a trained network
#
# Put all weights into one long vector $w$ with $n$ entries, and let $\delta$ be any change of it.
# Taylor's series of the loss is
#
# $$
# L(w + \delta) = L(w) + g^\top \delta + \frac{1}{2} \, \delta^\top H \delta + O(\lVert \delta \rVert^3) ,
# \qquad
# g = \frac{\partial L}{\partial w} ,
# \qquad
# H_{ij} = \frac{\partial^2 L}{\partial w_i \, \partial w_j} .
# $$
#
# $H$ is the **Hessian**. To delete the weight $w_q$ is one such change: $\delta = - w_q e_q$, where
# $e_q$ has a 1 at place $q$ and 0 elsewhere. It costs
#
# $$
# L(w - w_q e_q) - L(w) \approx - g_q w_q + \frac{1}{2} \, H_{qq} \, w_q^2 .
# $$
#
# Now the idea of LeCun, Denker and Solla. **Training has made $g$ zero**, or it is not finished.
# What a deletion costs is then in the second term alone. Note that it asks for two things: how
# large the weight is, and how sharply the loss is bent in its direction. Magnitude pruning (chapter
# 5) is what is left if one takes all bends for equal.
#
# That is for one weight. If a set of weights goes, $\delta$ has many entries, and the couplings
# $H_{ij}$ between them count as well. And if the weights that stay may change, we can choose the
# rest of $\delta$ so that the cost is the least. All methods of this chapter are answers to one
# question: LeNet-300-100 has $n = 266{,}200$ weights, so $H$ has $7 \cdot 10^{10}$ entries. **What
# of $H$ does one take?**
#
# | what is taken of $H$ | method | section |
# | --- | --- | --- |
# | its diagonal | optimal brain damage, Fisher pruning | 11.3, 11.6 |
# | all of it | optimal brain surgeon | 11.5 |
# | blocks along the diagonal | WoodFisher, WoodTaylor | 11.6 |
# | that of each layer's outputs instead | L-OBS, OBC, SparseGPT, Wanda | 11.8 |
# | a Kronecker product for each layer | EigenDamage | 11.9 |
# | all of it, but never formed | CHITA | 11.9 |
#
# ### A network that is small enough to try everything
#
# We want to know the truth, so we need a network in which every weight can be deleted in turn. It
# sees digits of 7 by 7 pixels, has 8 hidden units and no biases: $49 \cdot 8 + 8 \cdot 10 = 472$
# weights. The loss is the cross-entropy with an L2 penalty, $\frac{\mu}{2} \lVert w \rVert^2$,
# which makes sure that there *is* a minimum; and the units are $\tanh$, so that there is a Hessian
# everywhere.


# %%
class Tanh(nn.Module):
    def forward(self, x):
        return x.tanh()


def shrunk(split, n):
    """Return n images of 7 x 7 pixels: the means of 4 x 4."""
    means = split.images[:n].reshape(n, 7, 4, 7, 4).mean(axis=(2, 4))
    return data.Split(means.round().astype(np.uint8)[..., None], split.labels[:n])


MU = 3e-4
tiny = shrunk(mnist.train, book.quick(3000, 200))
net = nn.Sequential(
    nn.Flatten(),
    nn.Linear(49, 8, bias=False, rng=rng),
    Tanh(),
    nn.Linear(8, 10, bias=False, rng=rng),
).to(np.float64)
weights = dict(net.named_parameters())


def penalized(logits, labels):
    penalty = sum((p * p).sum() for p in net.parameters())
    return cross_entropy(logits, labels) + penalty * (MU / 2)


images = next(data.batches(tiny, len(tiny), dtype=np.float64))
everything = Batch(net, images, loss=penalized)

# %% [markdown]
# `Batch` is the library's answer to "what may a method ask of a network?": losses, gradients, and
# what follows. Here it holds all training images. We need a few words to speak of one vector:


# %%
def as_vector(arrays):
    """Return a mapping from names to arrays as one vector."""
    return np.concatenate([np.ravel(arrays[name]) for name in weights])


def as_arrays(vector):
    """Return the parts of a vector, by the name of the weight."""
    ends = np.cumsum([p.size for p in weights.values()])[:-1]
    parts = zip(weights, np.split(vector, ends), strict=True)
    return {name: part.reshape(weights[name].shape) for name, part in parts}


def put(vector):
    for name, value in as_arrays(vector).items():
        weights[name].data = value


def loss_at(vector):
    return everything.loss_at(as_arrays(vector))


def ranks(values):
    return np.argsort(np.argsort(values))


def rank_correlation(a, b):
    return np.corrcoef(ranks(a), ranks(b))[0, 1]


# %% [markdown]
# The rank correlation is 1 if two scores put the weights in the same order, 0 if they have nothing
# to do with each other. Pruning only needs an order.
#
# ## 11.2 Products with the Hessian
#
# $H$ cannot be written down for a real network, but its product with a vector can be computed:
# differentiate twice (Pearlmutter 1994). The gradient $g(w)$ is a function like any other. Multiply
# it with a fixed vector $v$, which gives a number, and take the gradient of this number:
#
# $$
# \frac{\partial}{\partial w_i} \, g^\top v
# = \sum_j \frac{\partial^2 L}{\partial w_i \, \partial w_j} \, v_j
# = (H v)_i .
# $$

# %% tags=["remove-input"]
book.show_source(Batch.hessian_vector, docstring=False)

# %% [markdown]
# `create_graph=True` says that the first backward pass is to be recorded, so that a second one can
# go through it. Is it right? $H$ is the Jacobian of the function $w \mapsto g(w)$, and it is
# symmetric. So $Hv$ is what a backward of this function has to return for the cotangent $v$, and
# the verifier of [chapter 2](02_verifying_gradients.py) can check it: it compares with differences
# of gradients.
#
# A second check is for what section 11.6 needs, **the gradients of single images**. Let $l_n$ be
# the loss of image $n$, and $A$ the matrix whose rows are their gradients $g_n$. It is the Jacobian
# of the function $w \mapsto (l_1, \dots, l_B)$, whose backward returns $A^\top u$ for the cotangent
# $u$. In a linear layer with input $x_n$ and pre-activation $a_n$ the gradient of an image is an
# outer product, $g_n = x_n \delta_n^\top$ with $\delta_n = \partial l_n / \partial a_n$. So
# $A^\top u$ needs no $A$, and the mean of squares, which has no signs that could cancel, is one
# matrix product:
#
# $$
# A^\top u = X^\top (u \odot \Delta) ,
# \qquad
# \frac{1}{B} \sum_n g_n^2 = \frac{1}{B} \, (X^2)^\top (\Delta^2) .
# $$

# %% tags=["remove-input"]
book.show_source(
    single_gradients.Factors.rows, single_gradients.Factors.transposed_times, docstring=False
)

# %% tags=["remove-input"]
book.show_source(batch.linear_squares, docstring=False)

# %% tags=["varies"]
few = Batch(net, (images[0][:12], images[1][:12]))  # without the penalty


def gradient(w):
    put(w)
    return as_vector(few.gradients(list(weights)))


def hessian_times(v, w):
    put(w)
    return as_vector(few.hessian_vector(as_arrays(v)))


def losses(w):
    put(w)
    z = net(few.x).numpy()
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), few.y]


def single_times(u, w):
    put(w)
    factors = single_gradients.loss_factors(few, list(weights))
    return as_vector({name: f.transposed_times(u) for name, f in factors.items()})


start = as_vector({name: p.numpy() for name, p in weights.items()})
reports = {
    "Hessian times vector": gradcheck(gradient, start, backward=hessian_times),
    "single images": gradcheck(losses, start, backward=single_times),
}
book.checks(reports)

# %% tags=["varies"]
put(start)
squares = few.squares()
for name, f in single_gradients.loss_factors(few, list(weights)).items():
    by_rows = (f.rows() ** 2).mean(axis=0)
    print(f"{name}: squares differ by {np.abs(squares[name] - by_rows).max():.0e} at most")

# %% [markdown]
# ## 11.3 Optimal brain damage: the diagonal
#
# OBD (LeCun, Denker and Solla 1989) keeps only $h_q = H_{qq}$, and ranks by
#
# $$
# s_q = \frac{1}{2} \, h_q \, w_q^2 .
# $$
#
# How does one get all $h_q$ at once? One product with $e_q$ for each weight would do, and would
# take as many backward passes as there are weights. But the loss has a form. Let $z$ be the logits
# of one image and $J_k = \partial z_k / \partial w$ the gradient of one of them. The chain rule,
# twice:
#
# $$
# \frac{\partial^2 l}{\partial w_i \, \partial w_j}
# = \underbrace{\sum_{k, m} \frac{\partial z_k}{\partial w_i}
#   \frac{\partial^2 l}{\partial z_k \, \partial z_m}
#   \frac{\partial z_m}{\partial w_j}}_{\text{Gauss-Newton}}
# + \sum_k \frac{\partial l}{\partial z_k} \, \frac{\partial^2 z_k}{\partial w_i \, \partial w_j} .
# $$
#
# The second sum has the residuals $\partial l / \partial z_k$ as factors, which are small where the
# network is right. The paper drops it (as the "Levenberg-Marquardt approximation"). What is left is
# the **Gauss-Newton matrix**. For softmax and cross-entropy $\partial l / \partial z_k = p_k - y_k$
# ([chapter 1](01_chain_rule.py)), so
# $\partial^2 l / \partial z_k \partial z_m = p_k [k = m] - p_k p_m$, and the diagonal is
#
# $$
# h = \frac{1}{B} \sum_n \Bigl[ \sum_k p_k J_k^2 - \Bigl( \sum_k p_k J_k \Bigr)^2 \Bigr] \geq 0 ,
# $$
#
# the variance of $J_k$ if the class $k$ is drawn with probability $p_k$. In a linear layer
# $J_k = x \, \Delta_k$ with $\Delta_k = \partial z_k / \partial a$, and $x^2$ can be moved out of
# the sums over classes:

# %% tags=["remove-input"]
book.show_source(obd.output_curvature, obd.linear_curvature, docstring=False)

# %% [markdown]
# It takes one backward pass for each class. LeCun's own **recursion** takes a single one. It
# carries one number for each unit from layer to layer, $h(a) = \partial^2 l / \partial a^2$ of its
# pre-activation, as backpropagation carries $\partial l / \partial a$. Unit $i$ has the output
# $x_i = f(a_i)$, and the units $l$ of the next layer read it, $a_l = \sum_i w_{il} x_i$:
#
# $$
# h(w_{il}) = x_i^2 \, h(a_l) ,
# \qquad
# h(a_i) = f'(a_i)^2 \sum_l w_{il}^2 \, h(a_l) + f''(a_i) \, \frac{\partial l}{\partial x_i} ,
# $$
#
# which leaves out that two units of the next layer are coupled, and (in the library, as in the
# paper's approximation) the term with $f''$.

# %% tags=["remove-input"]
book.show_source(obd.recursion, docstring=False)

# %% [markdown]
# *What to expect.* In the last layer the logits are linear in the weights, so there the second sum
# is zero, and the Gauss-Newton diagonal is exact. Before it: with $\tanh$ an approximation. With
# **relu** there is more to be had. As a function of one weight alone, each logit is then made of
# straight pieces ([section 7.1](07_sensitivity.py)), so $\partial^2 z_k / \partial w_q^2 = 0$, and
# the diagonal must be **exact in every layer**, except at the bends. (Not so the rest of $H$: for
# two weights of one path the second derivative is not zero.) We compare with products
# $e_q^\top H e_q$.


# %% tags=["varies"]
def compare_diagonals(model, one):
    rows, names = [], [name for name, p in model.named_parameters() if p.ndim > 1]
    found, by_recursion = obd.curvatures(one), obd.recursion_curvatures(one)
    for name in names:
        largest = np.argsort(found[name], axis=None)[-20:]
        exact = []
        for q in largest:
            e = np.zeros(found[name].shape)
            e.flat[q] = 1
            exact.append(one.hessian_vector({name: e})[name].flat[q])
        ratios = [np.abs(h[name].flat[largest] / exact - 1) for h in (found, by_recursion)]
        rows.append([name, *(f"{np.median(r):.0e}" for r in ratios)])
    return rows


relus = nn.Sequential(
    nn.Flatten(), nn.Linear(49, 8, rng=rng), nn.ReLU(), nn.Linear(8, 10, rng=rng)
).to(np.float64)
train(relus, tiny, optim.SGD(relus, 0.1), epochs=book.quick(10, 1), rng=rng, progress=False)
optimizer = optim.SGD(net, 0.05, momentum=0.9, weight_decay=MU)
train(net, tiny, optimizer, epochs=book.quick(20, 1), rng=rng, progress=False)
early = as_vector({name: p.numpy() for name, p in weights.items()})
rows = []
for kind, model in (("tanh", net), ("relu", relus)):
    found = compare_diagonals(model, Batch(model, images))
    rows += [[f"{kind}, {name}", *numbers] for name, *numbers in found]
book.table(["relative error (median of 20)", "Gauss-Newton", "LeCun's recursion"], rows)

# %% [markdown]
# Our loss has the penalty, too, and the second derivative of $\frac{\mu}{2} w_q^2$ is $\mu$. So
# $s_q = (h_q + \mu) \, w_q^2 / 2$ here. Where the images do not care, it ranks by magnitude.
#
# ### Down to the minimum
#
# OBD assumes $g = 0$, so train until it is. Gradient descent comes near; the last part goes quickly
# with **Newton's steps**, $w \leftarrow w - H^{-1} g$, which jump to the minimum of the quadratic.
# (We put the Gauss-Newton matrix in the place of $H$, and halve a step that does not lower the
# loss.)


# %%
def gauss_newton():
    """Return the Gauss-Newton matrix of the whole loss at the present weights, with the penalty."""
    factors = single_gradients.curvature_factors(everything, list(weights))
    flat = [f.rows().reshape(-1, weights[name].size) for name, f in factors.items()]
    rows = np.concatenate(flat, axis=1)
    return rows.T @ rows / len(everything) + MU * np.eye(rows.shape[1])


def descend(w, inverse, steps):
    """Return w after so many of Newton's steps, and the loss there."""
    put(w)
    loss, step = everything.loss_at(), 1.0
    for _ in range(steps):
        direction = inverse @ as_vector(everything.gradients(list(weights)))
        put(w - step * direction)
        while (new := everything.loss_at()) > loss and step > 1e-8:
            step /= 2
            put(w - step * direction)
        w, loss, step = w - step * direction, new, min(1.0, 2 * step)
    return w, loss


def norm_of_gradient():
    return np.linalg.norm(as_vector(everything.gradients(list(weights))))


optimizer = optim.SGD(net, lr=0.3, momentum=0.9, weight_decay=MU)
train(
    net,
    tiny,
    optimizer,
    epochs=book.quick(2000, 5),
    rng=rng,
    batch_size=len(tiny),
    schedule=schedules.geometric(1000, 2000, 0.1),
    progress=False,
)
w = as_vector({name: p.numpy() for name, p in weights.items()})
after_descent = norm_of_gradient()
for _ in range(book.quick(7, 1)):
    w, minimum = descend(w, np.linalg.inv(gauss_newton()), book.quick(30, 2))
    put(w)

# %% tags=["varies"]
print(f"weights {len(w)}, norm of w {np.linalg.norm(w):.1f}, loss {minimum:.4f}")
print(f"norm of the gradient: {after_descent:.0e} after descent", end=", ")
print(f"{norm_of_gradient():.0e} after Newton")
print(f"training error {evaluate(net, tiny).error_percent:.1f} %")

# %% [markdown]
# Now by brute force: delete every weight in turn, and write down the loss.
#
# *What to expect.* If the quadratic is good, OBD's order is nearly the true one; the recursion
# should be nearly as good. Magnitude is not hopeless here: the penalty has made weights small that
# are of no use.

# %% tags=["varies"]
H = gauss_newton()
h = as_vector(obd.curvatures(everything)) + MU
by_recursion = as_vector(obd.recursion_curvatures(everything)) + MU
deleted = (
    np.array([loss_at(np.where(np.arange(len(w)) == q, 0, w)) for q in range(len(w))]) - minimum
)
scores = {
    "magnitude": np.abs(w),
    "OBD": obd.saliency(w, h),
    "OBD, LeCun's recursion": obd.saliency(w, by_recursion),
}
book.table(
    ["", "rank correlation with the true cost"],
    [[name, f"{rank_correlation(s, deleted):.4f}"] for name, s in scores.items()],
)

# %% [markdown]
# ## 11.4 Where a quadratic ends
#
# A Taylor series is for small changes, and to delete a large weight is a large change. Let us walk
# along three weights, from where they are down to zero and beyond. *What to expect.* Near the
# trained value the parabola must fit. How far, nobody can tell beforehand.

# %% tags=["hide-input"]
by_size = np.argsort(np.abs(w))
chosen = [by_size[int(share * (len(w) - 1))] for share in (0.6, 0.9, 1.0)]
along = np.linspace(-0.5, 1.3, 37)
figure, axes = book.new_figure(9, 3, ncols=3)
for ax, q in zip(axes, chosen, strict=True):
    unit = np.arange(len(w)) == q
    values = [loss_at(w - t * w[q] * unit) - minimum for t in along]
    ax.plot(along, values, label="the loss")
    ax.plot(along, h[q] * (along * w[q]) ** 2 / 2, "--", label="the parabola")
    ax.axvline(1, color="0.6", linewidth=1)
    ax.set(title=f"a weight of {w[q]:.2f}", xlabel="share that is taken away")
axes[0].set_ylabel("rise of the loss")
axes[0].legend()
book.show(
    figure, "Rise of the loss along three weights, small, larger and largest, with its parabolas"
)

# %% [markdown]
# *How to read it.* At 0 the weight is as trained, at 1 (grey line) it is gone. Near 0 the parabola
# fits in all three. At 1 it promises four fifths of the true cost of the first weight and two
# thirds of that of the second; and the largest weight of all, on the right, is predicted better
# than both. It is the third derivatives that decide, and these we do not know.
#
# Is size a warning at all? Sort all weights by size, and compare in each fifth what OBD predicts
# with what is true.

# %% tags=["varies"]
rows, ratio = [], scores["OBD"] / np.where(deleted > 1e-9, deleted, np.inf)
for title, group in zip(
    ("smallest", "2nd", "3rd", "4th", "largest"), np.array_split(by_size, 5), strict=True
):
    low, middle, high = np.quantile(ratio[group][ratio[group] > 0], (0.1, 0.5, 0.9))
    rows.append(
        [title, f"{np.abs(w[group]).max():.3f}", f"{low:.2f}", f"{middle:.2f}", f"{high:.2f}"]
    )
book.table(["fifth by size", "up to", "predicted / true: 10 %", "median", "90 %"], rows)

# %% [markdown]
# *How to read it.* For half of the weights of a fifth the ratio lies above the median, for one in
# ten below the "10 %". Small weights are predicted to a few percent. The larger they are, the more
# OBD underestimates, and the less can one rely on it. (The order survives, as we saw: costs differ
# by powers of ten.)
#
# The second assumption was $g = 0$. We kept the weights as they were after 20 epochs, early in the
# training. There the first term of Taylor's series counts as well.
#
# *What to expect.* Early, a deletion may well make the loss *smaller*: $-g_q w_q$ has either sign.
# OBD cannot say that, its scores are never negative. With the first term added it should get
# better.


# %% tags=["varies"]
def delete_each(vector):
    """Return by how much the loss rises when each weight is deleted, the others as they are."""
    before = loss_at(vector)
    one = np.arange(len(vector))
    return np.array([loss_at(np.where(one == q, 0, vector)) - before for q in one])


put(early)
g = as_vector(everything.gradients(list(weights)))
second = obd.saliency(early, as_vector(obd.curvatures(everything)) + MU)
deleted_early = delete_each(early)
rows = []
for name, true, by in (
    ("at the minimum", deleted, [scores["magnitude"], scores["OBD"], scores["OBD"]]),
    ("early", deleted_early, [np.abs(early), second, second - g * early]),
):
    row = [f"{rank_correlation(score, true):.3f}" for score in by]
    rows.append([name, int((true < -1e-9).sum()), *row])
book.table(["", "deletions that lower the loss", "magnitude", "OBD", "with the first term"], rows)
put(w)

# %% [markdown]
# *How to read it.* Rank correlations with the true cost. At the minimum the first term is zero, and
# every deletion costs something. Early more than a quarter of all deletions *help*, and OBD is no
# better than magnitude; one term of first order repairs it completely. (It is $- g_q w_q$, whose
# magnitude is the score of methods that prune before the training.) So whoever prunes by second
# order has to train to the end first, or to keep $g$.
#
# One trap is hidden here. A penalty belongs to the loss. If a network was trained with weight decay
# and one looks at the cross-entropy alone, its gradient at the minimum is not zero but $- \mu w$,
# and its first term $- g_q w_q = \mu w_q^2$ is positive for every weight. OBD without it is wrong
# by that much.
#
# ## 11.5 Optimal brain surgeon: the others make good
#
# OBD lets all other weights stay as they are. Hassibi and Stork (1992) let them move. At the
# minimum a change $\delta$ costs $\frac{1}{2} \delta^\top H \delta$; which change that deletes
# $w_q$ is the cheapest?
#
# $$
# \min_\delta \; \frac{1}{2} \, \delta^\top H \delta
# \qquad \text{subject to} \qquad
# e_q^\top \delta + w_q = 0 .
# $$
#
# A minimum under a constraint is found with a **Lagrange multiplier**. Add $\lambda$ times the
# constraint, and set the derivative with respect to $\delta$ to zero:
#
# $$
# \frac{\partial}{\partial \delta} \Bigl[ \frac{1}{2} \, \delta^\top H \delta + \lambda \, (e_q^\top \delta + w_q) \Bigr]
# = H \delta + \lambda e_q = 0 ,
# \qquad \text{so} \qquad
# \delta = - \lambda \, H^{-1} e_q .
# $$
#
# In words: all components of the gradient $H \delta$ after the change are zero but the one of
# $w_q$, so no other weight could do any better. The constraint gives the multiplier,
# $\lambda \, [H^{-1}]_{qq} = w_q$, and then the change and its cost:
#
# $$
# \delta = - \frac{w_q}{[H^{-1}]_{qq}} \, H^{-1} e_q ,
# \qquad
# s_q = \frac{1}{2} \, \delta^\top H \delta
# = \frac{1}{2} \, \lambda^2 \, e_q^\top H^{-1} H H^{-1} e_q
# = \frac{w_q^2}{2 \, [H^{-1}]_{qq}} .
# $$
#
# With a diagonal $H$ it is OBD, for then $1 / [H^{-1}]_{qq} = H_{qq}$. Otherwise it is never more
# than OBD's saliency, since OBD's change is one of those among which the best was chosen.

# %% tags=["remove-input"]
book.show_source(obs.saliency, obs.update, docstring=False)

# %% [markdown]
# **Is it the argmin?** Three things must be true for every weight (we take one in eight): the
# quadratic costs $s_q$ exactly; the gradient $H \delta$ is zero but for one entry; and solving for
# the other weights directly, as a system of linear equations with $n - 1$ unknowns, gives the same.
# That system is, for any set $S$ of weights that stay,

# %% tags=["remove-input"]
book.show_source(compensation.least_squares, docstring=False)

# %% tags=["varies"]
inverse = np.linalg.inv(H)
scores["OBS"] = obs.saliency(w, np.diag(inverse))
worst = np.zeros(3)
for q in range(0, len(w), 8):
    change, others = obs.update(w, inverse, q) - w, np.arange(len(w)) != q
    solved = compensation.least_squares(w, H, others) - w
    worst = np.maximum(
        worst,
        [
            abs(change @ H @ change / 2 - scores["OBS"][q]),
            np.abs((H @ change)[others]).max(),
            np.abs(change - solved).max(),
        ],
    )
for what, value in zip(
    ("cost of the change, against s", "gradient for the others", "against the linear system"),
    worst,
    strict=True,
):
    print(f"{what:30} differs by {value:.0e} at most")
print(f"OBS below OBD for {(scores['OBS'] <= scores['OBD'] + 1e-15).mean():.0%} of the weights")

# %% [markdown]
# ### The inverse, row by row
#
# Where does $H^{-1}$ come from? The Gauss-Newton matrix is a mean of outer products,
# $H = \alpha I + \frac{1}{P} \sum_t x_t x_t^\top$ ($P$ is the number of images, each of which gives
# one row $x_t$ for each class, and $\alpha I$ is a damping, or the Hessian of a penalty). So add
# the rows one at a time, and correct the inverse instead of the matrix. Let $A$ be what there is so
# far, and solve $(A + u u^\top) \, y = b$ for $y$. Multiply by $A^{-1}$, and call the unknown
# *number* $\beta = u^\top y$:
#
# $$
# y = A^{-1} b - \beta \, A^{-1} u ,
# \qquad
# \beta = u^\top y = u^\top A^{-1} b - \beta \, u^\top A^{-1} u
# \quad \Rightarrow \quad
# \beta = \frac{u^\top A^{-1} b}{1 + u^\top A^{-1} u} .
# $$
#
# This is true for every $b$, so it is the inverse, by **Sherman and Morrison**:
#
# $$
# (A + u u^\top)^{-1} = A^{-1} - \frac{A^{-1} u \, u^\top A^{-1}}{1 + u^\top A^{-1} u} .
# $$
#
# With $u = x_t / \sqrt{P}$ it is the recursion of the paper, which begins with
# $A^{-1} = I / \alpha$. With $m$ rows at a time, as a matrix $U$ with $m$ columns, the same steps
# lead to **Woodbury's identity**,
# $(A + U U^\top)^{-1} = A^{-1} - A^{-1} U \, (I + U^\top A^{-1} U)^{-1} \, U^\top A^{-1}$, with a
# small system in the place of the division.

# %% tags=["remove-input"]
book.show_source(obs.woodbury_inverse, docstring=False)

# %% [markdown]
# And **when $q$ has gone**, what is the inverse for the others? Forbid $w_q$ to move: give its
# direction an enormous curvature, $H + c \, e_q e_q^\top$. By Sherman and Morrison, and with
# $c \to \infty$,
#
# $$
# H^{-1} - \frac{c \, H^{-1} e_q e_q^\top H^{-1}}{1 + c \, [H^{-1}]_{qq}}
# \; \longrightarrow \;
# H^{-1} - \frac{H^{-1} e_q e_q^\top H^{-1}}{[H^{-1}]_{qq}} ,
# $$
#
# whose row and column $q$ are zero, while the rest is the inverse of $H$ without row and column
# $q$. So one inverse serves all deletions.

# %% tags=["varies"]
factors = single_gradients.curvature_factors(few, list(weights))
rows = np.concatenate([f.rows().reshape(-1, weights[n].size) for n, f in factors.items()], axis=1)
found = obs.woodbury_inverse(rows, MU, count=len(few), at_once=1)
directly = np.linalg.inv(rows.T @ rows / len(few) + MU * np.eye(len(w)))
q, others = 5, np.arange(len(w)) != 5
reduced = inverse - np.outer(inverse[q], inverse[q]) / inverse[q, q]
smaller = np.linalg.inv(H[np.ix_(others, others)])
for what, a, b in (
    (f"Woodbury, {len(rows)} rows", found, directly),
    ("a weight gone", reduced[np.ix_(others, others)], smaller),
):
    print(f"{what:20} relative difference {np.abs(a - b).max() / np.abs(b).max():.0e}")

# %% [markdown]
# ### By brute force
#
# For every weight: delete it, change the others as OBS says, and write down the loss. And once more
# without any formula: hold $w_q = 0$, and *train the others to their new minimum*, which is what
# OBS predicts to second order. (Newton's steps again, with the reduced inverse; a sample of the
# weights.)
#
# *What to expect.* The loss after OBS's change should be near its $s_q$, and far below what
# deletion alone costs. The best that the others can do is at most that. And the orders may differ:
# a weight that is dear to delete may be cheap to replace.


# %% tags=["varies"]
def after_update(inverse):
    """Return by how much the loss rises when each weight goes and the others change."""
    return np.array([loss_at(obs.update(w, inverse, q)) - minimum for q in range(len(w))])


compensated = after_update(inverse)
sample = np.argsort(-deleted)[:: book.quick(8, 100)]
retrained = []
for q in sample:
    held = inverse - np.outer(inverse[q], inverse[q]) / inverse[q, q]
    held[q] = held[:, q] = 0
    retrained.append(descend(obs.update(w, inverse, q), held, 20)[1] - minimum)
put(w)
retrained = np.array(retrained)
truths = {
    "deleted": deleted[sample],
    "and the others changed by OBS": compensated[sample],
    "and the others trained anew": retrained,
}
names = ["magnitude", "OBD", "OBS"]
book.table(
    ["true cost of a weight", "median", "largest", *(f"rank correlation, {n}" for n in names)],
    [
        [
            title,
            f"{np.median(true):.1e}",
            f"{true.max():.1e}",
            *(f"{rank_correlation(scores[n][sample], true):.3f}" for n in names),
        ]
        for title, true in truths.items()
    ],
)

# %% [markdown]
# *How to read it.* The last two columns of the first two rows are the point: OBD is right about
# what it claims to predict, OBS is right about another thing, and each is worse at the other's. The
# last row is the truth that a method with retraining should care for. OBS has it, too, before any
# retraining. (Where the numbers are largest, its change costs several times as much as the best
# one, because the quadratic has ended: 11.4.)
#
# ### How far may one trust an inverse?
#
# $H^{-1}$ is largest where $H$ is smallest: OBS moves the other weights far in the directions in
# which the loss seems flat. But a direction is flat only as far as the quadratic goes. The number
# $\alpha$ limits such trust. In our network it is known, the penalty's $\mu$. Suppose that we did
# not know it.
#
# *What to expect.* With $\alpha$ far too small the change should do harm; with $\alpha$ far too
# large there is no change, and OBS is OBD.

# %% tags=["varies"]
rows, identity = [], np.eye(len(w))
for alpha in (1e-7, 1e-6, 1e-5, 1e-4, MU, 1e-3, 1e-2, 1e-1):
    guess = np.linalg.inv(H + (alpha - MU) * identity)
    costs, predicted = after_update(guess), obs.saliency(w, np.diag(guess))
    rows.append(
        [
            f"{alpha:.0e}" + (", the penalty's" if alpha == MU else ""),
            f"{np.median(predicted[sample]):.1e}",
            f"{np.median(costs[sample]):.1e}",
            f"{(costs < deleted)[sample].mean():.0%}",
        ]
    )
head = ["alpha", "predicted, median", "true, median", "better than deletion alone"]
book.table(head, rows)

# %% [markdown]
# *How to read it.* With $\alpha = 10^{-7}$ OBS promises a thirtieth of what its changes cost, and
# every second weight would better have been deleted alone. With a large one it promises too much
# (there is an $\frac{\alpha}{2} w_q^2$ in every score, so that it ranks by magnitude in the end),
# but its changes still help. So to err on the large side is cheap, and on the small side it is not.
# The default of a program knows nothing of your network: compare with the true loss.
#
# ## 11.6 Gradients in the place of curvature
#
# The Gauss-Newton matrix needs a backward pass for each class. There is something that every
# training has already: gradients. If the labels were drawn from the network's own probabilities
# $p$, the mean of $g_n g_n^\top$ over labels would be, with $\partial l / \partial z = p - e_c$ for
# the label $c$,
#
# $$
# \sum_c p_c \, J^\top (p - e_c) (p - e_c)^\top J
# = J^\top \bigl( \mathrm{diag}(p) - p \, p^\top \bigr) J ,
# $$
#
# the Gauss-Newton matrix. It is called the **Fisher matrix** then. The **empirical Fisher** takes
# the labels of the images,
#
# $$
# F = \frac{1}{N} \sum_n g_n g_n^\top ,
# \qquad
# s_q = \frac{1}{2} \, F_{qq} \, w_q^2 ,
# $$
#
# which for the diagonal is the mean of squares of section 11.2 (Theis et al. 2018). It is another
# matrix: an image that is fitted perfectly adds nothing, and an image that is quite wrong adds
# much.
#
# **WoodFisher** (Singh and Alistarh 2020) is OBS with $F$, by Woodbury's identity, in blocks of
# some dozens of weights along the diagonal. **WoodTaylor** keeps the gradient $\bar g$, too. To
# minimize $\bar g^\top \delta + \frac{1}{2} \, \delta^\top F \delta$ under the constraint, complete
# the square: with $v = F^{-1} \bar g$ and $\delta = - v + \varepsilon$,
#
# $$
# \bar g^\top \delta + \frac{1}{2} \, \delta^\top F \delta
# = - \frac{1}{2} \, \bar g^\top v + \frac{1}{2} \, \varepsilon^\top F \varepsilon ,
# \qquad
# \varepsilon_q = - (w_q - v_q) .
# $$
#
# It is OBS again, from the point $w - v$ to which Newton's step leads:
#
# $$
# s_q = \frac{(w_q - v_q)^2}{2 \, [F^{-1}]_{qq}} ,
# \qquad
# \delta = - v - \frac{w_q - v_q}{[F^{-1}]_{qq}} \, F^{-1} e_q .
# $$
#
# (From $s_q$ comes off $\frac{1}{2} \, \bar g^\top v$, what Newton's step gains; it is the same
# for every weight of a block.)

# %% tags=["remove-input"]
book.show_source(woodfisher.deletion, woodfisher.inverse_fisher, docstring=False)

# %% [markdown]
# A check on a quadratic loss with a gradient that is not zero: WoodTaylor's change against the
# minimum that a linear system finds, and against WoodFisher's, which does not know of the gradient.

# %% tags=["varies"]
n, q = 12, 3
root = rng.standard_normal((2 * n, n))
curvature, place, slope = root.T @ root / n, rng.standard_normal(n), rng.standard_normal(n)


def quadratic(v):
    return slope @ (v - place) + (v - place) @ curvature @ (v - place) / 2


one_block, gone = np.linalg.inv(curvature)[None], (np.arange(n) == q)[None]
newton = one_block @ slope
by_fisher = woodfisher.deletion(place[None], one_block, gone)[0]
by_taylor = woodfisher.deletion(place[None], one_block, gone, newton)[0]
best = compensation.least_squares(place - newton[0], curvature, ~gone[0])
for name, v in (("WoodFisher", by_fisher), ("WoodTaylor", by_taylor), ("the best", best)):
    print(f"{name:10} changes the loss by {quadratic(v):8.4f}")
gain = (place - newton[0])[q] ** 2 / (2 * one_block[0, q, q]) - slope @ newton[0] / 2
print(f"predicted by WoodTaylor    {gain:8.4f}")

# %% [markdown]
# Now WoodFisher in our network, in blocks of 49 weights (the inputs of a unit) and of 7; its
# damping $\lambda$ is the penalty's $\mu$ again. Each weight goes alone; the others of its block
# change.


# %%
def wood(block):
    """Return WoodFisher's saliencies, and the true costs of its changes."""
    put(w)
    factors = single_gradients.loss_factors(everything, list(weights))
    saliencies, costs = {}, {}
    for name, p in weights.items():
        shape, kept = p.shape, np.ones(p.shape, bool)
        blocks = [
            woodfisher.inverse_fisher(g, MU)
            for g in woodfisher.rows_in_blocks(factors[name], kept, min(block, p.size))
        ]
        inverse_fisher = np.concatenate(blocks)
        own = woodfisher.in_blocks(woodfisher.by_unit(p.numpy()), inverse_fisher.shape[-1])
        diagonal = np.diagonal(inverse_fisher, axis1=1, axis2=2)
        saliencies[name] = woodfisher.from_blocks(obs.saliency(own, diagonal), shape)
        costs[name] = np.empty(shape)
        for at in np.ndindex(shape):
            gone = np.zeros(shape)
            gone[at] = 1
            there = woodfisher.in_blocks(woodfisher.by_unit(gone), own.shape[-1]) != 0
            changed = woodfisher.deletion(own, inverse_fisher, there)
            changed = {name: woodfisher.from_blocks(changed, shape)}
            costs[name][at] = everything.loss_at(changed) - minimum
    return as_vector(saliencies), as_vector(costs)


scores["empirical Fisher"] = fisher.saliency(w, as_vector(everything.squares()) + MU)
true_costs = dict.fromkeys(scores, deleted) | {"OBS": compensated}
for block in (7, 49):
    name = f"WoodFisher, blocks of {block}"
    scores[name], true_costs[name] = wood(block)

# %% [markdown]
# *What to expect.* The figure puts each prediction beside its own truth: the cost of the deletion
# with whatever else the method changes. On the dashed line a prediction is right. Magnitude is not
# a cost; for the others we expect to see the line, with more scatter the more of $H$ is left out or
# replaced.

# %% tags=["hide-input", "varies"]
shown = ["magnitude", "OBD", "empirical Fisher", "OBS", *list(scores)[-2:]]
figure, axes = book.new_figure(9.5, 6, nrows=2, ncols=3, sharey=True)
for ax, name in zip(axes.flat, shown, strict=True):
    there = (true_costs[name] > 1e-8) & (scores[name] > 1e-8)
    ax.loglog(scores[name][there], true_costs[name][there], "o", markersize=2.5, alpha=0.5)
    if name != "magnitude":
        ax.loglog([1e-8, 1], [1e-8, 1], "k--", linewidth=1)
        ax.set_xlim(1e-8, 1)
    r = rank_correlation(scores[name], true_costs[name])
    ax.set_title(f"{name}: {r:.3f}", fontsize=10)
    ax.set_xlabel("score" if name == "magnitude" else "predicted cost")
for ax in axes[:, 0]:
    ax.set_ylabel("true cost")
axes[0, 0].set_ylim(1e-8, 1)
book.show(
    figure, "True cost of every weight against the saliency of six methods, with rank correlations"
)

# %% tags=["varies"]
book.table(
    ["", "rank correlation", "predicted / true, median", "true cost, mean"],
    [
        [
            name,
            f"{rank_correlation(score, true_costs[name]):.4f}",
            f"{np.median(score[there] / true_costs[name][there]):.2f}"
            if name != "magnitude"
            else "-",
            f"{true_costs[name].mean():.1e}",
        ]
        for name, score in scores.items()
        for there in [true_costs[name] > 1e-8]
    ],
)

# %% [markdown]
# *How to read it.* Upper left: weights of the same size differ in cost by a factor of a hundred and
# more. The five others follow the dashed line over six powers of ten. The largest costs lie above
# it: there the quadratic promises too little (11.4). With the empirical Fisher, and with
# WoodFisher, all of them do: these rank nearly as well as the curvature, but promise a third or
# nearly half too little. And what a weight costs in the end (last column) is the less, the more of
# $H$ takes part in the compensation: nothing, blocks of 7, blocks of 49, all.
#
# ## 11.7 Many weights at once
#
# So far every weight went alone. That is not what pruning does. When a set $R$ of weights goes, OBD
# adds up saliencies, and leaves out the couplings:
#
# $$
# \frac{1}{2} \, \delta^\top H \delta = \sum_{q \in R} \frac{1}{2} \, H_{qq} w_q^2
# + \sum_{q < r} H_{qr} \, w_q w_r .
# $$
#
# OBS knows them, if it goes on one weight at a time and reduces $H^{-1}$ after each (11.5). The
# library keeps the columns $u_t = H^{-1} e_q / \sqrt{[H^{-1}]_{qq}}$ of each step and subtracts
# their outer products. This is a Cholesky factorization of $H^{-1}$ in which the weights choose the
# order of the pivots:

# %% tags=["remove-input"]
book.show_source(obs.eliminate, docstring=False)

# %% [markdown]
# WoodFisher's authors add up the changes that all deletions ask for, each as if it were the only
# one. That is cheap, and right for weights that are not coupled.
#
# *What to expect.* Four orders, and three ways to treat the weights that stay: leave them; change
# them as if each deletion were alone; solve for them together. If the paper of 1992 is right, the
# last one wins, and by more the more weights go. Two rows take the method apart: OBD's choice with
# the weights solved for, and OBS's choice with the weights left as they are. And one does what the
# paper asks for, if not after every weight: it computes $H$ anew on the way, at the weights that
# there are by then.

# %% tags=["varies"]
path = obs.eliminate(w, inverse, len(w) - 1)
position = np.empty(len(w), int)
position[path.order] = np.arange(len(path.order))
position[np.setdiff1d(np.arange(len(w)), path.order)] = len(w)


def left(vector, order, removed):
    return np.where(ranks(order) < removed, 0, vector)


def added_up(order, removed):
    gone = ranks(order) < removed
    change = inverse @ np.where(gone, w / np.diag(inverse), 0)
    return np.where(gone, 0, w - change)


def solved(order, removed):
    return compensation.least_squares(w, H, ranks(order) >= removed)


ways = {
    "magnitude": lambda k: left(w, scores["magnitude"], k),
    "OBD": lambda k: left(w, scores["OBD"], k),
    "OBS's choice, weights left": lambda k: left(w, position, k),
    "OBS, changes added up": lambda k: added_up(scores["OBS"], k),
    "OBD's choice, weights solved for": lambda k: solved(scores["OBD"], k),
    "OBS": lambda k: solved(position, k),
}
removed = np.unique(np.linspace(150, len(w) - 40, book.quick(16, 3)).astype(int))
curves = {name: [loss_at(way(k)) for k in removed] for name, way in ways.items()}

v, alive = w.copy(), np.ones(len(w), bool)
curves["OBS, H anew at each point"] = []
for k in removed:
    put(v)
    now = np.linalg.inv(gauss_newton()[np.ix_(alive, alive)])
    step = obs.eliminate(v[alive], now, k - np.count_nonzero(~alive))
    v[alive] = step.w
    alive[np.flatnonzero(alive)[step.order]] = False
    curves["OBS, H anew at each point"].append(loss_at(v))
put(w)

# %% tags=["hide-input"]
figure, ax = book.new_figure(8, 3.8)
styles = ("-", "-", ":", "-", ":", "-", "k-.")
for (name, values), style in zip(curves.items(), styles, strict=True):
    ax.plot(removed / len(w), values, style, marker="o", markersize=4, label=name)
ax.axhline(minimum, color="k", linestyle="--", linewidth=1)
ax.set(
    xlabel="share of the weights that is gone",
    ylabel="loss (log scale)",
    yscale="log",
    ylim=(0.3, 10),
)
ax.legend(fontsize=8, loc="upper left")
book.show(figure, "Loss against the share of weights removed, by seven methods, without retraining")

# %% tags=["varies"]
at = [int(np.argmin(np.abs(removed - share * len(w)))) for share in (0.5, 0.7, 0.8)]
book.table(
    ["loss when so much is gone", *(f"{removed[i] / len(w):.0%}" for i in at)],
    [[name, *(f"{values[i]:.3f}" for i in at)] for name, values in curves.items()],
)

# %% [markdown]
# *How to read it.* Magnitude is lost first. Up to a half of the weights OBD's choice is nearly
# free; then the couplings that it leaves out make themselves felt. OBS goes on to two thirds. The
# dotted lines take it apart: up to three quarters OBS's *choice*, with the weights left as they
# are, is worth no more than OBD's; and OBD's choice with the others *solved for* has most of what
# OBS gains. So it is the compensation that counts. Adding up the changes of single deletions helps
# as long as few weights go, and does harm when most of them do, for each change relies on weights
# that go themselves.
#
# Beyond three quarters nothing is predicted any more. The quadratic of the start is used far from
# the start, and greedy OBS, which trusts it at every step, is overtaken (at one point not yet) by
# OBD's choice with the weights solved for. Who
# computes $H$ anew on the way (dash-dotted) stays near the truth for longer.
#
# ## 11.8 Layer by layer, where the quadratic is exact
#
# OBS needs an inverse of $n$ by $n$, and a quadratic that it cannot trust. Both troubles disappear
# if one asks for less. Do not keep the *loss*; keep the **outputs of each layer** (Dong, Chen and
# Pan 2017). With its inputs $X$ for $B$ images and weights $W$ [in, out], minimize
#
# $$
# E(W') = \frac{1}{B} \, \lVert X W' - X W \rVert_F^2
# = \frac{1}{2} \sum_o \delta_o^\top H \, \delta_o ,
# \qquad
# H = \frac{2}{B} \, X^\top X ,
# $$
#
# where $\delta_o$ is column $o$ of $W' - W$, the weights into unit $o$. There is no Taylor series
# in this: the outputs are linear in the weights, so their squared error **is** quadratic, however
# large the change. No labels, no backward pass. The units do not meet, and **all of them have the
# same $H$**, with as many rows as the layer has inputs: 784 instead of 266,200.
#
# Everything from 11.5 holds word for word, for each unit. What differs between the methods is how
# much of it they afford:
#
# | method | score of a weight | the others | work for $n$ inputs |
# | --- | --- | --- | --- |
# | Wanda (2023) | $W_{io}^2 \, H_{ii}$ | stay | none |
# | L-OBS (2017) | $W_{io}^2 / [H^{-1}]_{ii}$, once | change, each deletion as if alone | one inverse |
# | SparseGPT (2023) | $W_{io}^2 / [(H_{i:,i:})^{-1}]_{11}$ | those of later inputs change | one inverse |
# | OBC (2022) | $w_i^2 / [H^{-1}]_{ii}$, least first | change, exactly | $n^3$ for each unit |
#
# **Wanda is OBS with a diagonal.** If one takes $H$ to be diagonal, $[H^{-1}]_{ii} = 1 / H_{ii}$,
# nothing else changes, and the score is
# $W_{io}^2 H_{ii} = \frac{2}{B} \, W_{io}^2 \lVert X_i \rVert^2$: up to a factor the square of
# Wanda's $\lvert W_{io} \rvert \, \lVert X_i \rVert_2$ (Sun et al. 2024). In other words, OBD for
# the layer.
#
# **OBC** (Frantar, Singh and Alistarh 2022) is OBS without a short cut: `obs.eliminate` for every
# unit, and then the cheapest next deletions of all units. Each unit loses its weights in an order
# of its own, so each needs its own sequence of inverses. **SparseGPT** (Frantar and Alistarh 2023)
# makes this affordable for billions of weights: if all units go through the inputs *in the same
# order*, and a deletion lets only *later* inputs make good, then all units need the same inverses,
# those of $H_{j:,j:}$. And they all stand in one Cholesky factor, $H^{-1} = U^\top U$ with $U$
# upper triangular. (Why? Elimination in the order $1, 2, \dots$ is Cholesky's factorization, as in
# 11.7; row $j$ of $U$ is the column $u_j$ of that step, which is zero for all inputs before $j$,
# since these have gone.)

# %% tags=["remove-input"]
book.show_source(wanda.weight_times_input, wanda.keep_of_each_output, docstring=False)

# %% tags=["remove-input"]
book.show_source(sparsegpt.upper_factor, sparsegpt.sweep, docstring=False)

# %% [markdown]
# We train LeNet-300-100 a little, and take its second layer, 300 inputs and 100 units. First the
# claims about single deletions, by brute force on the outputs.

# %%
training = mnist.train.subset(np.arange(book.quick(12_000, 300)))
lenet = nn.LeNet300(rng=rng)
train(lenet, training, optim.SGD(lenet, 0.1), epochs=book.quick(4, 1), rng=rng, progress=False)
lenet = lenet.to(np.float64)
some = next(data.batches(training, book.quick(2000, 300), dtype=np.float64))
_, records = Batch(lenet, some).layers()
record = records[1]
X, W = record.input.numpy(), record.module.weight.numpy().copy()


def output_error(new):
    """Return the squared change of the layer's outputs: a sum over units, a mean over images."""
    return ((X @ (new - W)) ** 2).sum() / len(X)


# %% tags=["varies"]
layer_H = layerwise.hessian([record])
change = rng.standard_normal(W.shape)
half = np.einsum("io,ij,jo->", change, layer_H, change) / 2
print(f"a random change: {output_error(W + change):.4f}, by H {half:.4f}")

layer_inverse = np.linalg.inv(layerwise.damped(layer_H, 1e-6))
saliencies = obs.saliency(W, np.diag(layer_inverse)[:, None])
at = np.unravel_index(np.argsort(saliencies, axis=None)[[100, 10_000, 25_000]], W.shape)
for i, o in zip(*at, strict=True):
    new = W.copy()
    new[:, o] = obs.update(W[:, o], layer_inverse, i)
    print(f"one weight: {output_error(new):.3e}, by L-OBS {saliencies[i, o]:.3e}")

used = np.diag(layer_H) > 0
only_diagonal = np.linalg.inv(np.diag(np.diag(layer_H)[used]))
by_obs = obs.saliency(W[used], np.diag(only_diagonal)[:, None])
by_wanda = wanda.weight_times_input(W[used], np.linalg.norm(X[:, used], axis=0))
same = np.array_equal(np.argsort(by_obs, axis=0), np.argsort(by_wanda, axis=0))
print("Wanda's order for each unit is that of OBS with a diagonal H:", same)

# %% [markdown]
# Now many deletions. Every method prunes the layer, and we measure the error of its outputs,
# relative to the outputs themselves. Two rows take SparseGPT apart: its mask with the weights left
# as they are, and its mask with the best weights that this mask allows.
#
# *What to expect.* Whoever knows more of $H$ should do better: magnitude, Wanda, SparseGPT, OBC. On
# SparseGPT's own mask its error should lie between that of plain masking and that of least squares:
# it changes the right weights, but only half of them, those behind.

# %% tags=["varies"]
layer_methods = {
    "Wanda": wanda.WandaPruning,
    "L-OBS": layerwise_obs.LayerwiseOBSPruning,
    "SparseGPT": sparsegpt.SparseGPTPruning,
    "OBC": obc.OBCPruning,
}
densities = (0.5, 0.2, 0.1)
table = {
    name: [] for name in ("magnitude", "Wanda", "L-OBS", "SparseGPT, its mask alone", "SparseGPT")
}
table |= {
    name: []
    for name in ("SparseGPT's mask, least squares", "magnitude's mask, least squares", "OBC")
}


def on_mask(kept):
    damped = layerwise.damped(layer_H, 0.01)
    columns = zip(W.T, kept.T, strict=True)
    return np.stack([compensation.least_squares(c, damped, m) for c, m in columns], axis=1)


for density in densities:
    k, everywhere = int(density * W.size), np.ones(W.shape, bool)
    large = top_k(np.abs(W), k)
    table["magnitude"].append(np.where(large, W, 0))
    table["magnitude's mask, least squares"].append(on_mask(large))
    for name, kind in layer_methods.items():
        new, kept = kind(one_shot(1 - density)).reconstruct(W, layer_H, everywhere, k)
        table[name].append(np.where(kept, new, 0))
        if name == "SparseGPT":
            table["SparseGPT, its mask alone"].append(np.where(kept, W, 0))
            table["SparseGPT's mask, least squares"].append(on_mask(kept))
whole = output_error(np.zeros_like(W))
book.table(
    ["relative error of the outputs, %", *(f"{d:.0%} kept" for d in densities)],
    [[name, *(f"{100 * output_error(v) / whole:.3g}" for v in new)] for name, new in table.items()],
)

# %% [markdown]
# *How to read it.* At every density the order is as expected, with two surprises.
#
# - L-OBS is hardly better than Wanda, although it compensates. Each of its deletions uses the
#   inverse of the start, and hands its load to weights that go later themselves. The paper retrains
#   after each layer's pruning; OBC is what reduces the inverse each time.
# - **Magnitude's mask with least squares beats SparseGPT.** Which weights stay matters less than
#   what they are changed to. A method that compensates has to be compared with *any* mask,
#   compensated as well.
#
# ### Not always better than doing nothing
#
# SparseGPT lies between its mask alone and least squares here. Least squares is below it always, by
# definition. That masking is above it is no theorem. Take one unit with three inputs:

# %%
three = np.array([[1.0, 0.8, 0.4], [0.8, 1.0, 0.8], [0.4, 0.8, 1.0]])
trio = np.array([[1.0], [2.0], [-1.0]])
swept, kept = sparsegpt.sweep(trio, sparsegpt.upper_factor(three), trio != 0, np.array([1]))
for name, new in (
    ("SparseGPT", swept),
    ("its mask alone", np.where(kept, trio, 0)),
    ("its mask, least squares", compensation.least_squares(trio[:, 0], three, kept[:, 0])[:, None]),
    ("OBC", obs.eliminate(trio[:, 0], np.linalg.inv(three), 2).w[:, None]),
):
    error = ((new - trio).T @ three @ (new - trio)).item() / 2
    print(f"{name:24} weights {np.round(new[:, 0], 2)}, error {error:.3f}")

# %% [markdown]
# Weights 1 and 3 go. Weight 1 is first, and to make good for it weight 3 becomes *larger*, $-1.67$
# instead of $-1$, and weight 2, too. Then weight 3 goes, with what it was entrusted with; weight 2,
# which could make good, has been passed and is frozen. Had they been left in peace, the two
# deletions would have cancelled in part. OBC deletes the same two weights; but there weight 2 may
# move again when weight 3 goes, and comes back to 2. How frequent is that? In problems with random
# inputs, of which a half of the weights goes:

# %% tags=["varies"]
worse, ratios = 0, []
for _ in range(book.quick(200, 20)):
    inputs = rng.standard_normal((36, 9)) @ rng.standard_normal((9, 9))
    target, curvature = rng.standard_normal((9, 4)), inputs.T @ inputs / 18
    swept, kept = sparsegpt.sweep(
        target, sparsegpt.upper_factor(curvature), target != 0, np.array([18])
    )
    errors = [((inputs @ (v - target)) ** 2).sum() for v in (swept, np.where(kept, target, 0))]
    worse += errors[0] > errors[1]
    ratios.append(errors[0] / errors[1])
print(
    f"SparseGPT above its mask alone: {worse} of {len(ratios)}, median ratio {np.median(ratios):.2f}"
)

# %% [markdown]
# ## 11.9 Three more ways to look at H
#
# **Kronecker factors: turn until it is diagonal.** For a layer the Gauss-Newton matrix is a mean of
# $x x^\top \otimes \delta \delta^\top$. K-FAC takes the mean of each factor by itself,
# $H \approx A \otimes G$, with $A$ the mean of $x x^\top$ and $G$ that of $\delta \delta^\top$. Its
# eigenvectors are known from those of the factors, $A = Q_A D_A Q_A^\top$ and
# $G = Q_G D_G Q_G^\top$. EigenDamage (Wang et al. 2019) therefore turns the weights,
# $W' = Q_A^\top W Q_G$. In this basis nothing is coupled, and OBD is right:
#
# $$
# s_{ij} = \frac{1}{2} \, W_{ij}'^2 \, (d_A)_i \, (d_G)_j .
# $$
#
# What goes are directions of inputs and outputs instead of weights. If whole **units** are to go,
# the couplings within one are in $A$, and unit $k$ with weights $w_k$ costs
# $\frac{1}{2} \, G_{kk} \, w_k^\top A \, w_k$ (Kron-OBD; the authors' code has a sum of
# $w_i^2 A_{ij}$ in its place, which is not that form).
#
# *What to expect.* In our small network, last layer: much less of the matrix is off the diagonal
# after turning; K-FAC is not exact. For the eight hidden units we compare with brute force: all
# weights into a unit at zero. That is a large change, so expect the order at best.

# %% tags=["varies"]
put(w)
kfac = Batch(net, images)
factors = eigendamage.layer_factors(kfac)
A, G = factors["3.weight"]
curved = single_gradients.curvature_factors(kfac, ["3.weight"])["3.weight"].rows()
curved = curved.reshape(-1, A.shape[0] * G.shape[0])
exact = curved.T @ curved / len(kfac)
turn = np.kron(eigendamage.eigenbasis(A), eigendamage.eigenbasis(G))
off = [
    np.linalg.norm(M - np.diag(np.diag(M))) / np.linalg.norm(M)
    for M in (exact, turn.T @ exact @ turn)
]
print(f"off the diagonal: {off[0]:.0%} of the norm, {off[1]:.0%} in K-FAC's basis")
apart = np.linalg.norm(np.kron(A, G) - exact) / np.linalg.norm(exact)
print(f"A (x) G differs from the matrix by {apart:.0%}")

V = weights["1.weight"].numpy()
by_unit = eigendamage.kronecker_saliency(V, *factors["1.weight"]).sum(axis=0)
before = kfac.loss_at()
true_unit = [
    kfac.loss_at({"1.weight": np.where(np.arange(8) == k, 0, V)}) - before for k in range(8)
]
by_diagonal = obd.saliency(V, obd.curvatures(kfac)["1.weight"]).sum(axis=0)
for name, score in (("Kron-OBD", by_unit), ("sum of OBD's saliencies", by_diagonal)):
    print(
        f"{name}: rank correlation with the cost of a unit {rank_correlation(score, true_unit):.2f}"
    )

# %% [markdown]
# *How to read it.* The basis of K-FAC brings a part of the norm onto the diagonal, not most of it:
# for this small layer $A \otimes G$ is itself a rough guess of the matrix. For whole units the
# couplings within a unit help here; but a rank correlation of eight numbers has a noise of 0.4, so
# that more than a hint it is not.
#
# **CHITA: never form it.** With the empirical Fisher the quadratic around the trained weights
# $\bar w$ is a least squares problem. Let the $B$ rows of $A$ be the gradients of single images. Then
#
# $$
# Q(w) = \frac{1}{2} \, \lVert A \, (\bar w - w) \rVert^2 + \frac{B \lambda}{2} \, \lVert w - \bar w \rVert^2
# \qquad \text{subject to} \qquad
# \lVert w \rVert_0 \leq k .
# $$
#
# Benbaki et al. (2023) choose all weights *together*: gradient steps on $Q$, after each of which
# the $k$ largest weights stay (iterative hard thresholding), and least squares on the final
# support. Only products with $A$ and $A^\top$ are needed (11.2).

# %% tags=["varies"]
single = single_gradients.loss_factors(few, list(weights))
target = {name: p.numpy().copy() for name, p in weights.items()}
problem = chita.Regression(single, target, ridge=len(few) * MU)
report = gradcheck(
    lambda v: np.asarray(problem.value(as_arrays(v))),
    w + 0.1 * rng.standard_normal(len(w)),
    backward=lambda g, v: g * as_vector(problem.gradient(as_arrays(v))),
)
book.checks({"CHITA's Q": report})


def keep_largest(v):
    return as_arrays(np.where(top_k(np.abs(as_vector(v)), 60), as_vector(v), 0))


found, values = chita.hard_threshold(problem, keep_largest, steps=50)
on_support = problem.on_support({name: v != 0 for name, v in found.items()})
by_size = keep_largest(target)
solved_for = problem.on_support({name: v != 0 for name, v in by_size.items()})
for name, v in (
    ("the 60 largest weights", by_size),
    ("the same, least squares", solved_for),
    ("after thresholding", found),
    ("after thresholding, least squares", on_support),
):
    print(f"Q = {problem.value(v):.5f}  {name}")

# %% [markdown]
# Again most of what is gained comes from the least squares, on whatever support, and little from a
# better choice of it.
#
# **Lookahead: no images at all.** Magnitude is the change of a layer's own matrix. Park et al.
# (2020) ask for the change of the product with its neighbours. Let $w$ lead from unit $j$ to unit
# $k$ in $W_2$; without it $W_1 W_2 W_3$ changes by $w$ times an outer product of column $j$ of
# $W_1$ and row $k$ of $W_3$, whose Frobenius norm is
#
# $$
# \mathcal{L}(w) = \lvert w \rvert \; \lVert W_1[:, j] \rVert \; \lVert W_3[k, :] \rVert .
# $$
#
# This is exact for linear layers, and second order in disguise: if the inputs of $W_1$ were
# uncorrelated and of variance 1, $\mathcal{L}^2$ would be the mean squared change of the outputs of
# $W_3$. (With relus between the layers the same score is taken.)

# %% tags=["varies"]
W1, W2, W3 = (rng.standard_normal(shape) for shape in ((5, 4), (4, 6), (6, 3)))
scored = lookahead.lookahead(W2, (W1**2).sum(axis=0), (W3**2).sum(axis=1))
brute = np.empty_like(W2)
for at in np.ndindex(W2.shape):
    without = W2.copy()
    without[at] = 0
    brute[at] = np.linalg.norm(W1 @ W2 @ W3 - W1 @ without @ W3)
print(f"lookahead against the norm of the change: {np.abs(scored - brute).max():.0e} at most")

# %% [markdown]
# ## 11.10 What is it worth? Before retraining, and after
#
# On a real network we cannot try all weights, but we can look at the result. The experiment
# (`minisparse reproduce second-order`) trains LeNet-300-100 on all of MNIST for 20 epochs, with
# weight decay. Then, **from the same trained weights**, each method prunes it once, to 4, 12.5 and
# 40 times fewer weights; we measure the test error **at once**, and again after **three epochs** of
# training. What is not the method is equal:
#
# - Every arm keeps as many weights of each layer as magnitude does over all layers ("own shares"
#   excepted). So the only question is *which*.
# - All look at the same 2,000 training images, and train on with the same images in the same order.
#   Three seeds, compared in pairs.
# - Controls: **magnitude**, **random** with the same shares, the dense network trained on for three
#   epochs, and each compensating method's **mask alone**. One arm is the opposite of these:
#   magnitude's mask, **reconstructed** by least squares on each layer's inputs.
# - WoodFisher's $\lambda$ and the learning rate of the three epochs were chosen on held-out images,
#   before.
#
# *What to expect.* We wrote down 21 claims before the runs; the experiment's `CLAIMS` has them with
# their date. In short: at once, compensation beats the same mask without it, and curvature beats
# magnitude. After three epochs *the gain of compensation shrinks*: training compensates, too, and
# does it with the true loss.

# %% tags=["hide-input"]
found = book.results("second-order")
rows_of = {row["name"]: row["ours"] for row in found["rows"]}
arms = list(
    dict.fromkeys(
        row["series"].removesuffix(", at once")
        for row in found["rows"]
        if row["series"].endswith(", at once")
    )
)
figure, axes = book.new_figure(10.5, 4.4, ncols=2, sharey=True)
for ax, time in zip(axes, plots_once.TIMES, strict=True):
    plots_once.panel(ax, found["rows"], time)
    ax.set_title(
        {"at once": "right after the pruning"}.get(time, "after three epochs"), fontsize=10
    )
axes[1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
axes[1].set_ylabel("")
book.show(
    figure,
    "Test error against compression for all arms, right after pruning and after three epochs",
)

# %% tags=["remove-input"]
book.table(
    [
        "test error, %",
        *(f"{c}x, at once" for c in (4, 12.5, 40)),
        *(f"{c}x, trained on" for c in (4, 12.5, 40)),
    ],
    [
        [
            arm,
            *(
                f"{rows_of[name]['error_mean']:.2f} ± {rows_of[name]['error_sd']:.2f}"
                for time in plots_once.TIMES
                for name in (f"{arm}, {c}x, {time}" for c in (4, 12.5, 40))
            ),
        ]
        for arm in arms
    ],
)

# %% tags=["remove-input"]
dense, on = rows_of["dense"], rows_of["dense, trained on"]
print(f"dense: {dense['error_mean']:.2f} ± {dense['error_sd']:.2f} %", end="; ")
print(f"trained on for three epochs: {on['error_mean']:.2f} ± {on['error_sd']:.2f} %")

# %% [markdown]
# And the claims, each a difference of the same seeds with its 95 % interval:

# %% tags=["remove-input"]
book.table(
    ["claim, registered before the runs", "difference", "95 % interval", "verdict"],
    [
        [
            claim["statement"],
            f"{claim['difference']:+.2f}",
            "{:+.2f} to {:+.2f}".format(*claim["interval"]),
            claim["verdict"],
        ]
        for claim in found["claims"]
    ],
)

# %% [markdown]
# *How to read it.* Three things.
#
# **To make good is worth more than to choose.** OBC takes 92 of 100 weights away and loses a third
# of a point, without a step of training. But the mask of magnitude, with its layers merely
# reconstructed, is nearly there: 2.27 % instead of 6.44 %, of the 4.5 points that lie between
# magnitude and OBC it has 4.2. OBC's choice is a good one, too: its mask alone has 3.40 %. But
# with both reconstructed the choice is worth a third of a point (that claim holds). Without this
# pair of controls one would have given it all of the 4.5.
#
# **A diagonal is not enough.** OBD was expected to beat magnitude, and is worse by 6 points: a
# claim of ours that is contradicted. With shares of its own it does better, and is still behind.
# What it says of *one* weight is true (11.3); here nine of ten go together, so that couplings
# decide, which OBD, Wanda and the empirical Fisher leave out. That this is the reason is what the
# theory suggests; the experiment shows only that they all three are behind. WoodFisher does no
# better than magnitude, with or without compensation. Its $\lambda$ and the learning rate were the
# largest of those that were tried, so a better one may lie outside; and a large $\lambda$ is a
# Fisher matrix that hardly counts.
#
# **Training compensates, too.** SparseGPT's gain of 12 points over its mask alone is gone after
# three epochs, L-OBS's 2.3 as well, and of OBC's 1.4 points 0.2 are left. What stays of second
# order after training is OBC against magnitude, a quarter of a point at 12.5x, and of this a tenth
# against magnitude reconstructed (1.82 to 1.92 %; this pair was not registered).
#
# Three seeds are few. We ran them twice: between the two times the order of some sums inside the
# compiled loops had changed, which training makes grow until the networks are others. No claim changed
# its sign, but four that had been open hold now. An interval says that much, and no more.
#
# ### Published figures
#
# For the LeNets there are few. The list is what `minisparse methods` knows; none of these results was
# read in its own paper.

# %% tags=["remove-input"]
book.table(
    ["method", "network", "error", "weights kept", "how known"],
    [
        [
            entry["name"],
            figure["network"],
            f"{figure['error_percent']:g} %",
            f"{figure['kept_percent']:g} %",
            f"{figure['status']} by {figure['quoted_by']} ({figure['source']})",
        ]
        for entry in methods.as_data()
        if entry["family"] == "second order"
        for figure in entry["published"]
    ],
)

# %% [markdown]
# They belong to schedules of many prunings with retraining in between, ours to a single one with
# three epochs. So 2.0 % at 8 % (12.5x) is not the number of "OBD, 12.5x, trained on", though it
# may be compared with it: ours has 2.43 ± 0.19 %, which is worse. Two older results are about
# other networks. The abstract of Hassibi and Stork (read) claims 90, 76 and 62 % fewer weights
# than weight decay leaves on the three MONK's problems, and NETtalk with 1,560 weights instead of
# 18,000. And OBD's own network, for handwritten digits, lost three of four parameters (**as
# recalled; not checked against the PDF**).
#
# ## 11.11 Pitfalls
#
# - **The square of the batch's gradient** for the mean of squares of single images (11.2). At a
#   minimum it is zero for every weight.
# - **A sum of squares that is overwritten** in a loop over images, so that the last image is the
#   Fisher matrix.
# - **Weight decay forgotten**: curvature of the cross-entropy, at weights where *its* gradient is
#   not zero (11.4).
# - **OBD in the middle of a training**, where the first term decides.
# - **A default damping.** It says how far the quadratic is trusted (11.5), in units of your loss.
# - **One inverse for all deletions** (L-OBS), or changes added up as if each deletion were alone
#   (WoodFisher): good for few, in many small steps.
# - **`<=` at a threshold** in SparseGPT's choice: ties go together, and one weight more than asked.
# - **$\sum_{ij} w_i^2 A_{ij}$** in the place of $w^\top A \, w$ (a released Kron-OBD): no brute
#   force would confirm it.
# - **Inputs that are always zero** make $H$ singular. The rim of a digit is black, so this is the
#   normal case.
# - **The control that is missing**: the mask alone, and another mask with the same compensation
#   (11.8, 11.10).
#
# ## Exercises
#
# **11.1** (pencil) Show that OBS's saliency is never above OBD's. When are they equal?
#
# **11.2** (pencil) Two weights, with $H_{11} = a$, $H_{22} = b$, $H_{12} = c$. Weight 1 goes. What
# happens to weight 2, and what does it cost? Let $c^2 \to ab$.
#
# **11.3** (pencil) Two inputs of a unit are always equal. What do magnitude, Wanda and OBC say of
# their weights 1 and $-0.9$?
#
# **11.4** (pencil) Multiply all weights into a hidden relu by $c > 0$, and divide those out of it
# by $c$. Which of the scores of magnitude, OBD, Wanda, lookahead and OBS (without damping) change?
#
# **11.5** (pencil) A network is at the minimum of cross-entropy plus
# $\frac{\mu}{2} \lVert w \rVert^2$. By how much does *the cross-entropy* rise, to second order,
# when $w_q$ goes? What does a ranking by $\frac{1}{2} h_q w_q^2$ miss?
#
# **11.6** (pencil) A network with two classes gives every label the probability $p$. Compare the
# Fisher matrix with the empirical one. What happens as $p \to 1$?
#
# **11.7** In section 11.7 let the others of each *layer* make good, but not those of the other
# layer: set the blocks of $H$ between the two layers to zero. Where does its curve lie?
#
# **11.8** In section 11.8 give SparseGPT the inputs in another order: those with the largest
# $H_{ii}$ first, and last. Say first what you expect.
#
# ### Answers
#
# *11.1.* $1 = (e_q^\top H^{1/2} H^{-1/2} e_q)^2 \leq H_{qq} \, [H^{-1}]_{qq}$ by Cauchy and
# Schwarz, so $1 / [H^{-1}]_{qq} \leq H_{qq}$. They are equal if $H^{1/2} e_q$ and $H^{-1/2} e_q$
# are parallel, that is, if $e_q$ is an eigenvector: nothing is coupled with $w_q$.
#
# *11.2.* $[H^{-1}]_{11} = b / (ab - c^2)$, so $s_1 = \frac{1}{2} w_1^2 \, (a - c^2 / b)$, and
# $\delta_2 = w_1 \, c / b$. As $c^2 \to ab$ the two weights do the same, and one can stand in for
# the other at no cost.
#
# *11.3.* Magnitude and Wanda keep both, or the 1. OBC sees that only their sum, 0.1, counts: it
# deletes one for nothing, and the other one becomes 0.1. (Then $H$ is singular, and the damping
# decides which.)
#
# *11.4.* Magnitude changes. OBD's does not: $h$ of a weight into the unit falls by $c^2$ as $w^2$
# grows. Lookahead's and OBS's do not, since they are changes of a function that stays the same.
# Wanda's scores of weights out of the unit do not; of those into it all grow by $c$, but they are
# compared within a unit, so its masks do not change. (A penalty, and a damping of OBS, do see the
# difference.)
#
# *11.5.* The gradient of the cross-entropy is $- \mu w$, so the rise is
# $\mu w_q^2 + \frac{1}{2} h_q w_q^2$. The ranking misses $\mu w_q^2$: for weights that the images
# hardly need this is most of it.
#
# *11.6.* The logits enter by their difference, whose gradient is $p - 1$ if the label is right and
# $p$ if it is wrong. The empirical matrix has the factor $(1 - p)^2$, Fisher's
# $p (1 - p)^2 + (1 - p) \, p^2 = p (1 - p)$. Their ratio is $(1 - p) / p$: the surer the network,
# the smaller the empirical one, and this image by image, so that only the hard images count in the
# end.
#
# *11.7.* Less of $H$ ought to be worse. In our run it is as good as OBS at a half, and *better*
# when more goes: a loss of 0.48 and 0.84 in the last two columns, where OBS has 0.56 and 1.12.
# Between two layers the network is a product of weights; this is where a quadratic is worst, and a
# method that does not use it there cannot be misled by it.
#
# *11.8.* In our run the largest first is better when little is kept (at 10 %: 7.4 instead of 8.2 %
# error), and the largest last is much worse (15 %): what goes late can be handed to nobody, so it
# should be what matters least.
#
# ## References
#
# - Y. LeCun, J. S. Denker, S. A. Solla, *Optimal brain damage*, NIPS 1989.
# - B. Hassibi, D. G. Stork, *Second order derivatives for network pruning: optimal brain surgeon*,
#   NIPS 1992.
# - B. A. Pearlmutter, *Fast exact multiplication by the Hessian*, Neural Computation 6, 1994.
# - X. Dong, S. Chen, S. J. Pan, *Learning to prune deep neural networks via layer-wise optimal
#   brain surgeon*, NIPS 2017.
# - L. Theis, I. Korshunova, A. Tejani, F. Huszár, *Faster gaze prediction with dense networks and
#   Fisher pruning*, 2018.
# - C. Wang, R. Grosse, S. Fidler, G. Zhang, *EigenDamage: structured pruning in the
#   Kronecker-factored eigenbasis*, ICML 2019.
# - N. Lee, T. Ajanthan, P. H. S. Torr, *SNIP: single-shot network pruning based on connection
#   sensitivity*, ICLR 2019.
# - S. Park, J. Lee, S. Mo, J. Shin, *Lookahead: a far-sighted alternative of magnitude-based
#   pruning*, ICLR 2020.
# - S. P. Singh, D. Alistarh, *WoodFisher: efficient second-order approximation for neural network
#   compression*, NeurIPS 2020.
# - E. Frantar, S. P. Singh, D. Alistarh, *Optimal brain compression: a framework for accurate
#   post-training quantization and pruning*, NeurIPS 2022.
# - E. Frantar, D. Alistarh, *SparseGPT: massive language models can be accurately pruned in
#   one-shot*, ICML 2023.
# - R. Benbaki et al., *Fast as CHITA: neural network pruning with combinatorial optimization*, ICML
#   2023.
# - M. Sun, Z. Liu, A. Bair, J. Z. Kolter, *A simple and effective pruning approach for large
#   language models*, ICLR 2024.
