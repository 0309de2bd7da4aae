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
# # D. The four questions
#
# **Goal.** Put every method of pruning into four answers: what is removed together, by which
# criterion, how often and when, and compared with what. Then hold one trained layer still, and see
# which of its weights each of 25 criteria would keep, which of them say nearly the same, and which
# of them tell the truth.
#
# **Time.** 40 minutes to read, one minute to run.
#
# ## D.1 Four answers make a method
#
# | question | answers | in the library |
# | :--- | :--- | :--- |
# | By which criterion? | the **score**: how much a weight is worth keeping | the method itself |
# | What is removed together? | the **granularity**: weights, units, inputs, blocks | `minisparse/prune/granularity.py` |
# | Compared with what? | the **scope**: all weights, those of the layer, given shares | `minisparse/prune/scope.py` |
# | How often, and when? | the **schedule**: once, several times, gradually | `minisparse/prune/schedule.py` |
#
# The answers go with each other in any combination, and a paper often changes two of them at once
# and names the sum. `minisparse methods NAME` prints them for each of the library's methods. In
# code, the first three are the last line of `choose`, and the fourth is what `density` is when it
# is called:

# %%
import copy
from types import SimpleNamespace

import numpy as np
from matplotlib import patches

from minisparse import book, data, nn, optim
from minisparse.prune.score import ScorePruning

book.show_source(ScorePruning.choose, ScorePruning._scores, docstring=False)

# %% [markdown]
# A score needs no training around it. `ask` gives what a method says of a model and some images,
#
# ```python
# SNIP(one_shot(0.9)).ask(Batch(model, (images, labels)))     # {"1.weight": array, ...}
# ```
#
# and so we can ask them all.
#
# ## D.2 One network, 25 scores
#
# The network is small, so that even the optimal brain surgeon, which inverts one matrix for all its
# weights, gets through it in seconds: images of 14 x 14 pixels (means of 2 x 2), two hidden layers
# of 16 and 12 units, 3,448 weights. It is trained by plain descent, with one rate to the end, since
# two of the scores are told by the way that the training took.

# %%
from minisparse.prune.batch import Batch
from minisparse.prune.karnin import KarninPruning
from minisparse.prune.method import Method
from minisparse.prune.schedule import one_shot
from minisparse.train import evaluate, train

mnist = data.load("mnist")


def halved(split, n):
    """Return the first n images with each 2 x 2 pixels as their mean."""
    parts = split.images[:n].reshape(-1, 14, 2, 14, 2, 1)
    return data.Split(parts.mean(axis=(2, 4)).round().astype(np.uint8), split.labels[:n])


training = halved(mnist.train, book.quick(12_000, 600))
test = halved(mnist.test, 10_000)
RATE, B = 0.1, 400  # learning rate; images that a score may look at
FIRST = "1.weight"  # [196, 16]: the layer that we look at


def new_model(rng):
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(196, 16, rng=rng), nn.ReLU()),
        *(nn.Linear(16, 12, rng=rng), nn.ReLU(), nn.Linear(12, 10, rng=rng)),
    )


def weights_of(model):
    return {n: p for n, p in model.named_parameters() if p.ndim > 1}


class Path(Method):
    """Add up -g w over the steps."""

    def attach(self, model, optimizer, rng):
        self.total = {n: np.zeros(p.shape) for n, p in weights_of(model).items()}

    def after_backward(self, run):
        for n, p in weights_of(run.model).items():
            self.total[n] -= p.grad.numpy() * p.numpy()


def trained(seed):
    rng = np.random.default_rng(seed)
    model = new_model(rng)
    first = {n: p.numpy().copy() for n, p in weights_of(model).items()}
    karnin, path = KarninPruning(one_shot(0.0)), Path()
    train(model, training, optim.SGD(model, RATE), epochs=book.quick(40, 2), rng=rng,
          methods=[karnin, path], progress=False)  # fmt: skip
    exact = copy.deepcopy(model).to(np.float64)  # so that small changes of the loss can be seen
    x, y = next(data.batches(training, 5000, dtype=np.float64))
    return SimpleNamespace(
        seed=seed, model=exact, first=first, karnin=karnin, path=path,
        batch=Batch(exact, (x[:B], y[:B])), others=Batch(exact, (x[B:], y[B:])),
        weights={n: p.numpy() for n, p in weights_of(exact).items()},
    )  # fmt: skip


nets = [trained(seed) for seed in range(book.quick(3, 1))]

# %% tags=["varies"]
book.table(
    ["seed", "loss on training images", "on the 400", "error there, %", "test error, %"],
    [
        [net.seed, f"{e.loss:.3f}", f"{net.batch.loss_at():.3f}", f"{e.error_percent:.1f}",
         f"{evaluate(net.model, test).error_percent:.1f}"]
        for net in nets for e in [evaluate(net.model, training)]
    ],
)  # fmt: skip

# %% [markdown]
# And these are the criteria. All of them look at the same weights and the same 400 images (if they
# look at images at all), and larger means more worth keeping. With $g$ the gradient of the mean
# loss over the images, $g_n$ that of a single image's, $h$ the diagonal of the Hessian (its
# Gauss-Newton part), $x$ what comes into the layer and $y_k$ the outputs, for the weight $w_{ij}$
# from input $i$ to unit $j$:
#
# | score | of a weight | looks at |
# | :--- | :--- | :--- |
# | magnitude | $\lvert w \rvert$ | weights |
# | large weights | $-\lvert w \rvert$ | weights |
# | LAMP | $w^2 / \sum v^2$, over all $\lvert v \rvert \ge \lvert w \rvert$ of the layer | weights |
# | lookahead | $\lvert w \rvert$ times the norms of what enters and leaves its two units | weights |
# | SynFlow | sum over all paths through it of the product of magnitudes | weights |
# | random | drawn | nothing |
# | LOBSTER | $\lvert g \rvert$ | loss, first order |
# | SNIP | $\lvert w g \rvert$ | loss, first order |
# | Taylor | mean of $(w g)^2$ over mini-batches of 20 | loss, first order |
# | skeletonization | $-w \, \partial E / \partial w$, of the linear error $E$, sign and all | loss, first order |
# | GraSP | $w \, (H g)$, sign and all | the flow of the gradient |
# | sensitivity | mean of $\lvert \partial y_k / \partial w \rvert$ over images and outputs | outputs |
# | specific sensitivity | the same, of the output of the image's class | outputs |
# | OBD | $h w^2 / 2$ | loss, second order |
# | OBD, recursion | the same with the $h$ of the paper's backward recursion | loss, second order |
# | Fisher | $w^2 / 2$ times the mean of $g_n^2$ | loss, second order |
# | SparseVD | $1 / \alpha = w^2 / \sigma^2$ with the $\sigma$ that is learned for it | loss, noise |
# | OBS | $w^2 / (2 [H^{-1}]_{qq})$ | loss, all pairs |
# | WoodFisher | the same with the Fisher matrix, in blocks of 50 | loss, pairs in blocks |
# | WoodTaylor | the same, not taking the gradient for 0 | loss, pairs in blocks |
# | Wanda | $\lvert w_{ij} \rvert \, \lVert x_i \rVert$ | the layer's output |
# | L-OBS | $w^2 / (2 [H^{-1}]_{ii})$ with $H$ of the layer's inputs | the layer's output |
# | SparseGPT | the same with what later inputs alone can make good | the layer's output |
# | Karnin | $w / (w - w_0)$ times the loss that its way has brought | the training |
# | movement | $-\sum g w$ over all steps | the training |
#
# How each of them is had. Where the method is a `ScorePruning`, it is asked:

# %%
from minisparse.prune import lobster, movement, obd, sensitivity, taylor
from minisparse.prune import sparse_variational_dropout as sparse_vd
from minisparse.prune.fisher import FisherPruning
from minisparse.prune.grasp import GraSP
from minisparse.prune.lamp import LAMPPruning
from minisparse.prune.layerwise_obs import LayerwiseOBSPruning
from minisparse.prune.lookahead import LookaheadPruning
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.obd import OBDPruning
from minisparse.prune.obs import OBSPruning
from minisparse.prune.random_pruning import RandomPruning
from minisparse.prune.skeletonization import Skeletonization
from minisparse.prune.snip import SNIP
from minisparse.prune.sparsegpt import SparseGPTPruning
from minisparse.prune.synflow import SynFlow
from minisparse.prune.wanda import WandaPruning
from minisparse.prune.woodfisher import WoodFisherPruning, WoodTaylorPruning


def asked(kind):
    return lambda net: kind(one_shot(0.0)).ask(net.batch, np.random.default_rng(net.seed))


# %% [markdown]
# `ask` attaches the method anew. Karnin's has watched the training, so its `score` is called
# instead, as training would. The others are no such method, and are read off where the method has
# them:
#
# - *Large weights* are a choice of the same score: its negative.
# - *LOBSTER* and *sensitivity* pull at weights while they are trained; what they pull by is the
#   score.
# - *Taylor* scores units. A unit of one weight is a weight; gate form and weight form are then the
#   same.
# - *OBD's recursion* is another way to the same $h$.
# - *SparseVD* trains a law for each weight. We hold the means at our weights and train the
#   variances alone.
# - *Movement* learns its scores beside the weights. As long as nothing is masked, that is the sum
#   of $-g w$, which `Path` has added up; here is the comparison with the library's own scores,
#   after one epoch.


# %%
def gradients_of(net, part=slice(None)):
    batch = Batch(net.model, (net.batch.x[part], net.batch.y[part]))
    return batch.gradients(list(net.weights))


def taylor_of(net, size=20):
    total = dict.fromkeys(net.weights, 0.0)
    for start in range(0, B, size):
        for n, g in gradients_of(net, slice(start, start + size)).items():
            rows = taylor.products([net.weights[n].reshape(1, -1)], [g.reshape(1, -1)])
            total[n] = total[n] + taylor.weight_form(rows).reshape(g.shape) * size / B
    return total


def sensitivity_of(variant):
    def score(net):
        logits, layers = net.batch.layers()
        return sensitivity.sensitivity(logits, layers, net.batch.y, variant)

    return score


def recursion_of(net):
    h = obd.recursion_curvatures(net.batch)
    return {n: obd.saliency(w, h[n]) for n, w in net.weights.items()}


def sparse_vd_of(net):
    rng = np.random.default_rng(net.seed)
    model, epochs = copy.deepcopy(net.model).to(np.float32), book.quick(6, 1)
    sparse_vd.add_variances(model, ["1", "3", "5"], rng)
    variances = [(n, p) for n, p in model.named_parameters() if n.endswith("log_sigma2")]
    train(model, training, optim.Adam(variances, 0.2), epochs=epochs, rng=rng, progress=False,
          schedule=optim.schedules.geometric(epochs / 2, epochs, 0.02),
          methods=[sparse_vd.SparseVariationalDropout(len(training))])  # fmt: skip
    layers = nn.parametrized(model, sparse_vd.Variances)
    return {
        f"{n}.weight": np.exp(-sparse_vd.log_alpha(layer.weight, law.log_sigma2).numpy())
        for n, (layer, law) in layers.items()
    }


SCORES = {
    "magnitude": asked(MagnitudePruning),
    "large weights": lambda net: {n: -abs(w) for n, w in net.weights.items()},
    "LAMP": asked(LAMPPruning),
    "lookahead": asked(LookaheadPruning),
    "SynFlow": asked(SynFlow),
    "random": asked(RandomPruning),
    "LOBSTER": lambda net: {n: lobster.loss_sensitivity(g) for n, g in gradients_of(net).items()},
    "SNIP": asked(SNIP),
    "Taylor": taylor_of,
    "skeletonization": asked(Skeletonization),
    "GraSP": asked(GraSP),
    "sensitivity": sensitivity_of("unspecific"),
    "specific sens.": sensitivity_of("specific"),
    "OBD": asked(OBDPruning),
    "OBD, recursion": recursion_of,
    "Fisher": asked(FisherPruning),
    "SparseVD": sparse_vd_of,
    "OBS": asked(OBSPruning),
    "WoodFisher": asked(WoodFisherPruning),
    "WoodTaylor": asked(WoodTaylorPruning),
    "Wanda": asked(WandaPruning),
    "L-OBS": asked(LayerwiseOBSPruning),
    "SparseGPT": asked(SparseGPTPruning),
    "Karnin": lambda net: net.karnin.score(net.weights, net.batch),
    "movement": lambda net: net.path.total,
}
for net in nets:
    net.scores = {name: score(net) for name, score in SCORES.items()}

rng = np.random.default_rng(0)
model, path = new_model(rng), Path()
movement.add_scores(model, ["1", "3", "5"])
method = movement.Movement(one_shot(0.0), lr=0.01)
train(model, training.subset(np.arange(500)), optim.SGD(movement.all_but_scores(model), RATE), epochs=1, rng=rng,
      methods=[method, path], progress=False)  # fmt: skip
own = dict(model.named_parameters())["1.parametrization.scores"].numpy()
print(
    "movement's own scores are eta_S times the sum:",
    np.allclose(own, 0.01 * path.total[FIRST], atol=1e-7),
)

# %% [markdown]
# ## D.3 What each of them would keep
#
# The first layer has a weight from each of 196 pixels to each of 16 units. Each score keeps its
# best fifth, 627 of 3,136. On the left of each pair: how many of the 16 weights of each pixel are
# kept (yellow: ten or more). On the right: what is left of the weights of one unit, red above zero and blue below.
#
# *What to expect.* Scores that look at the weights alone know nothing of the images, and keep
# weights at the rim, where every pixel is black. What looks at the data should be a disc in the
# middle, and the larger the less it cares for $\lvert w \rvert$. Random is noise; large weights
# keep the small ones everywhere.

# %%
from minisparse.prune.scope import keep_largest


def kept(score, density, granularity="weight"):
    """Return which weights of the first layer a score keeps."""
    return keep_largest({FIRST: score[FIRST]}, density, "layer", granularity)[FIRST]


def draw(ax, mask, w, unit, limit):
    ax.imshow(
        mask.sum(axis=1).reshape(14, 14), cmap="viridis", vmin=0, vmax=10, extent=(0, 14, 0, 14)
    )
    field = np.where(mask, w, 0)[:, unit].reshape(14, 14)
    ax.imshow(field, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=(15, 29, 0, 14))
    ax.set(xlim=(0, 29), ylim=(0, 14))
    ax.set_axis_off()


net = nets[0]
w = net.weights[FIRST]
unit = int(np.argmax(net.scores["OBD"][FIRST].sum(axis=0)))

# %% tags=["hide-input"]
figure, axes = book.new_figure(9, 5.6, nrows=5, ncols=5)
for ax, name in zip(axes.flat, SCORES, strict=True):
    draw(ax, kept(net.scores[name], 0.2), w, unit, 0.8)
    ax.set_title(name, fontsize=10, pad=3)
book.show(
    figure,
    "25 pairs of images: for each score how many weights of each pixel it keeps, and what it keeps of "
    "the weights of one unit",
)

# %% tags=["varies"]
w = abs(net.weights[FIRST])
edge = w[kept(net.scores["magnitude"], 0.2)].min()
print(
    f"standard deviation of the first draw {net.first[FIRST].std():.2f}; magnitude keeps what is above {edge:.2f}"
)
black = (training.images.max(axis=0) == 0).reshape(-1)
least = (training.images.max(axis=0) < 64).reshape(-1)
some = ("random", "magnitude", "SynFlow", "OBS", "movement", "SNIP", "OBD", "Wanda")
book.table(
    ["of the 627 weights that are kept", *some],
    [
        [title, *(int(kept(net.scores[name], 0.2)[where].sum()) for name in some)]
        for title, where in (("at black pixels", black), ("at pixels below a quarter", least))
    ],
)  # fmt: skip

# %% [markdown]
# *How to read it.* The disc is there for everything that looks at the images or at the training: at
# pixels that are always black nothing of it is kept. What has no factor $\lvert w \rvert$
# (sensitivity, LOBSTER) has the sharpest disc: it asks how bright a pixel is and how much its unit
# matters, so a pixel keeps all its weights or none. Of the unit on the right all good scores keep
# much the same ring and the same centre.
#
# For the scores that see weights alone the expectation was too strong. The 15 pixels that are
# always black have 240 of the 3,136 weights; a fifth of them would be 48. Random keeps 55,
# magnitude only 11. The weights at the rim have stayed where they were drawn, and training has made
# the others larger: what is above 0.20 is rare in a draw with a standard deviation of 0.10. After a
# short training, or with weights that are drawn larger, it is another picture ([chapter
# 5](05_magnitude.py)).
#
# ## D.4 Which of them say the same?
#
# Two scores keep the same weights at every density if they put them in the same order. So compare
# orders: Spearman's rank correlation, the correlation of the ranks, is 1 for the same order, $-1$
# for the opposite one, and 0 on average for two that do not know of each other. Much can be said
# before:
#
# 1. **Large weights** are magnitude upside down: $-1$. **LAMP** is a growing function of
#    $\lvert w \rvert$ in a layer: 1. (What it changes is the scope, section D.7.) **Random** has
#    correlations of $0 \pm 1/\sqrt{3136} = 0 \pm 0.018$ with everybody.
# 2. **Lookahead and SynFlow.** All inputs of the first layer are equal to both, so that
#    $s_{ij} = \lvert w_{ij} \rvert \, c_j$ with a factor for each unit: the norm of what leaves it,
#    or the sum over all paths that leave it. Among the weights of one unit the order is that of
#    magnitude, exactly. The two factors are much alike.
# 3. **Wanda and OBD.** For a linear layer $h_{ij}$ is the mean over images of $x_i^2 V_j$
#    (`obd.py`). If $x_i^2$ does not know of $V_j$, that is the mean of the one times the mean of
#    the other, and $s_{ij} \approx \text{Wanda}_{ij}^2 \, \bar V_j / 2$: the same order among the
#    weights of a unit, but with a factor for each unit.
# 4. **Wanda and L-OBS.** If the inputs were uncorrelated, $[H^{-1}]_{ii} = 1 / H_{ii}$, and L-OBS
#    would be the square of Wanda. Neighbouring pixels are highly correlated, and what one weight
#    does another can do: L-OBS knows, Wanda does not. Expect a high correlation, not 1.
# 5. **OBD and its recursion** differ by the terms between two units of the next layer. Near 1.
# 6. **OBD and Fisher.** Both are $w^2 / 2$ times a mean of squared gradients. OBD takes all labels,
#    each with its probability; Fisher the label that is there. For an image with $p$ of its label
#    near 1, that is about $1 - p$ against $(1 - p)^2$: Fisher hears the badly fitted images more.
#    High, not 1.
# 7. **Fisher and SNIP.** Near a minimum the mean of $g_n$ over all images is near 0, and its mean
#    over $B$ images is noise with the variance $F / B$. So $\lvert w g \rvert$ is about
#    $\sqrt{2 s / B} \; \lvert z \rvert$ with $s$ Fisher's score and $z$ a draw of a normal law:
#    *SNIP on a trained network is Fisher pruning with a random factor.* How much that leaves of the
#    order can be drawn.
# 8. **Fisher and Taylor.** With mini-batches of one image it is Fisher's, times 2; with one batch
#    of all it is SNIP's, squared. In between, with $B/20$ mini-batches, the factor $z^2$ becomes a
#    mean of 20 of them.
# 9. **OBD and SparseVD.** Noise of variance $\sigma^2$ on one weight costs $h \sigma^2 / 2$; the
#    divergence gives $-\frac{1}{2N} \log \sigma^2$ while $\alpha$ is small. Put the derivative by
#    $\log \sigma^2$ to 0: $\sigma^2 = 1 / (N h)$, and $1/\alpha = w^2 / \sigma^2 = 2 N s$. *Sparse
#    variational dropout, asked at given weights, is optimal brain damage.*
# 10. **OBD and OBS.** $1 / [H^{-1}]_{qq} \le H_{qq}$ for every positive definite matrix, so OBS's
#     score is never larger (here $H$ has $\alpha I$ added). How much smaller depends on how well
#     the others can make good for the weight.
# 11. **Signs.** GraSP and skeletonization do not take magnitudes. Near a minimum their signs are
#     noise, and their order should have little to do with any other.
# 12. **Karnin and movement** are made of the same sums. With plain descent at one rate $\eta$, and
#     $\Delta w = -\eta g$, the sums over the steps are $A = \sum (\Delta w)^2 / \eta$ (Karnin's
#     shadow) and $S = \sum w \Delta w / \eta$ (movement). From
#     $(w + \Delta w)^2 - w^2 = 2 w \Delta w + (\Delta w)^2$ follows the equation below: movement is the
#     growth of $w^2$, less a term for how restless the weight was. So it should be related to
#     magnitude, which does not know where the weight began.
#
# $$
# 2 \eta S = w_T^2 - w_0^2 - \eta A .
# $$
#
# First the two that are exact, 10 and 12:

# %% tags=["varies"]
for net in nets:
    w, (ours, theirs) = net.weights[FIRST], (net.scores[n][FIRST] for n in ("OBS", "OBD"))
    assert (ours <= theirs + 1e-4 * w**2 / 2 + 1e-12).all()
    grown = w**2 - net.first[FIRST] ** 2 - RATE * net.karnin.state_dict()["shadow"][FIRST]
    assert np.allclose(2 * RATE * net.path.total[FIRST], grown, atol=1e-4)


def median_ratio(net, other):
    used = net.scores["OBD"][FIRST] > 0  # the unit is on for some image, and the pixel too
    return np.median(net.scores["OBS"][FIRST][used] / other[used])


for title, other in (
    ("OBD", lambda net: net.scores["OBD"][FIRST]),
    ("alpha w^2 / 2", lambda net: 1e-4 * net.weights[FIRST] ** 2 / 2),
):
    print(
        f"OBS / ({title}), median:",
        ", ".join(f"{median_ratio(net, other(net)):.2g}" for net in nets),
    )

# %% [markdown]
# Then all pairs, three networks each. (Here and below ± is the standard deviation over the
# networks.) A matrix of 25 x 25 numbers shows nothing unless its rows are
# in a good order. Here each score is a point in the plane of the two leading eigenvectors of the
# matrix, and they are taken by their angle (Friendly 2002): neighbours are alike.

# %%
from minisparse.prune.nisp import rank_correlation

names = list(SCORES)


def correlations(net, names, columns=slice(None)):
    table = [np.asarray(net.scores[name][FIRST])[:, columns].ravel() for name in names]
    return rank_correlation(np.stack(table, axis=1))


def by_angle(matrix):
    (x, y) = np.linalg.eigh(matrix)[1][:, -2:].T[::-1]
    order = np.argsort(np.arctan2(y, x))
    angle = np.arctan2(y, x)[order]
    gap = np.argmax(np.diff(np.append(angle, angle[0] + 2 * np.pi)))
    order = np.roll(order, -gap - 1)  # begin behind the widest gap
    alone = np.hypot(x, y)[order] < 0.5 * np.hypot(x, y).max()  # like nobody: at the end
    return np.concatenate([order[~alone], order[alone]])


each = np.stack([correlations(net, names) for net in nets])
mean, spread = each.mean(axis=0), each.std(axis=0, ddof=1 if len(nets) > 1 else 0)
order = by_angle(mean)

# %% tags=["hide-input"]
figure, ax = book.new_figure(9.4, 8.2)
shown = mean[np.ix_(order, order)]
image = ax.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1)
for i, j in np.ndindex(shown.shape):
    ax.text(j, i, f"{100 * shown[i, j]:.0f}", ha="center", va="center", fontsize=6.5,
            color="white" if abs(shown[i, j]) > 0.7 else "black")  # fmt: skip
labels = [names[i] for i in order]
ax.set_xticks(
    range(len(names)), labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=9
)
ax.set_yticks(range(len(names)), labels, fontsize=9)
ax.grid(False)
ax.spines[:].set_visible(False)
figure.colorbar(image, ax=ax, label="Spearman's rank correlation", shrink=0.8)
book.show(
    figure,
    "Matrix of rank correlations between all pairs of 25 scores, in hundredths, mean of three networks, "
    "alike ones beside each other",
)

# %% tags=["varies"]
upper = np.triu_indices(len(names), 1)
print(
    f"standard deviation over the seeds: median of all pairs {np.median(spread[upper]):.3f}, largest {spread[upper].max():.3f}"
)


def drawn(fisher, batches):
    """Return the rank correlation of a score with itself times a mean of squares of normal draws."""
    noise = (np.random.default_rng(1).standard_normal((batches, fisher.size)) ** 2).mean(axis=0)
    return rank_correlation(np.stack([fisher.ravel(), fisher.ravel() * noise], axis=1))[0, 1]


def plus_minus(values):
    sd = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.2f} ± {sd:.2f}"


fishers = [net.scores["Fisher"][FIRST] for net in nets]
PAIRS = {
    ("magnitude", "large weights"): "-1",
    ("magnitude", "LAMP"): "1",
    ("magnitude", "random"): "0.00 ± 0.02",
    ("magnitude", "SynFlow"): "1 within a unit",
    ("lookahead", "SynFlow"): "near 1",
    ("Wanda", "OBD"): "near 1 within a unit",
    ("Wanda", "L-OBS"): "high",
    ("OBD", "OBD, recursion"): "near 1",
    ("OBD", "Fisher"): "high",
    ("Fisher", "SNIP"): "drawn: " + plus_minus([drawn(f, 1) for f in fishers]),
    ("Fisher", "Taylor"): "drawn: " + plus_minus([drawn(f, B // 20) for f in fishers]),
    ("OBD", "SparseVD"): "near 1",
    ("OBD", "OBS"): "positive",
    ("Fisher", "WoodFisher"): "high",
    ("WoodFisher", "WoodTaylor"): "near 1",
    ("magnitude", "movement"): "positive",
    ("SNIP", "skeletonization"): "near 0",
    ("SNIP", "GraSP"): "near 0",
}
rows = []
for (a, b), expected in PAIRS.items():
    at = names.index(a), names.index(b)
    units = [[correlations(net, [a, b], [j])[0, 1] for j in range(16)] for net in nets]
    common = [
        100 * (kept(net.scores[a], 0.2) & kept(net.scores[b], 0.2)).sum() / 627 for net in nets
    ]
    rows.append(
        [
            f"{a}, {b}",
            expected,
            plus_minus(each[:, *at]),
            plus_minus(np.mean(units, axis=1)),
            f"{np.mean(common):.0f}",
        ]
    )
book.table(
    ["pair", "expected", "in the layer", "within a unit, mean of 16", "kept fifth in common, %"],
    rows,
)

# %% [markdown]
# *How to read it.* There are families, and they are not those of the papers.
#
# - **Weights alone**, in the upper left corner: magnitude, LAMP, SynFlow, lookahead, and, which was
#   not expected, OBS.
# - **The loss**: OBD and its recursion, Fisher, Taylor, SNIP, both sensitivities and LOBSTER,
#   nearly all above 0.9 with each other. First and second order do not make two families: near a
#   minimum the gradient of some hundred images *is* made of the squares that the second order sums
#   up (7 above).
# - **Between the two** stand those that invert a matrix of correlated inputs or gradients (L-OBS,
#   SparseGPT, WoodFisher), and Wanda and SparseVD at the edge of the second.
# - **Movement and Karnin** are related to the first and to the second, and not closely to anything.
# - **GraSP, skeletonization, random**: nobody's relatives. Skeletonization agrees with SNIP on
#   about half of the kept fifth: it chooses large $\lvert w g \rvert$, too, but of one sign only.
#
# Most of the predictions hold. What about the rest?
#
# - *OBS is magnitude, 0.99.* Its score is 30 to 40 times smaller than OBD's: what one weight does,
#   3,447 others can do nearly as well. Then hardly anything holds the weight but the damping
#   $\alpha$ that makes $H$ invertible, and the score is near $\alpha w^2 / 2$: 1.3 times that, in
#   the median. *With many more weights than it takes, OBS is magnitude pruning*, unless it removes
#   weight after weight and so gets to where each is needed. With $\alpha = 10^{-7}$ in the place of
#   $10^{-4}$ its correlation with magnitude fell to 0.91, and that with OBD rose to 0.78 (first
#   network). The same pull is what places the middle family.
# - *OBD and SparseVD, 0.92*: here most weights have no small $\alpha$, and the derivation needs
#   one.
# - *GraSP has 0.2 with everybody.* It divides the logits by 200, and there the network is at no
#   minimum: larger logits would be better. With $T = 1$ its correlations with SNIP were between
#   $-0.03$ and 0.03.
# - *A rank correlation is a mild judge.* These scores go over many powers of ten, and a random
#   factor of the size of one does not change much: SNIP should have had 0.97 with Fisher, by the
#   drawing, and has 0.98. (A little more, since the noise is not normal: for many weights one badly
#   fitted image makes all of the gradient, and then the factor is 1.) In the last column, which
#   asks only about the fifth that is kept, the two agree on four weights in five (two that know
#   nothing of each other agree on a fifth), and the next section shows that this difference counts.
#
# The spread over networks is small, 0.07 at most.
#
# ## D.5 Which of them tell the truth?
#
# A score is an opinion. What a weight is worth can be computed: set it to zero, and look at the
# loss. On which images? On the 400 that the score has seen, the gradient is no longer 0 on average,
# and a part of what it tells is their noise. So we ask both: those 400, and 4,600 others from the
# training images. Then groups of 30 weights, drawn at random, removed together; their score is the
# sum, as everywhere in the library. And then what counts in the end, the loss after all but the
# best weights of the layer have gone at once, without training on.
#
# *What to expect.*
#
# - To second order the loss changes by $-wg + h w^2 / 2$. On the same images the sum of both terms
#   (a control in the table) should have nearly the right order, and the first term
#   alone most of it: $\lvert w \rvert \sqrt{F / B}$ against $F w^2 / 2$ is a question of
#   $B F w^2 / 2$, the sum of the score over the images, which is below 1 for most weights.
# - On other images the first term is noise. OBD, Fisher, SparseVD and what is like them should be
#   best, SNIP below them, magnitude far behind, GraSP and skeletonization useless.
# - OBS and L-OBS estimate what is lost when *the others make good*. Nothing makes good here: worse
#   than OBD.
# - In groups the terms of first order add up with their signs and cancel, squares add up: OBD's
#   correlation should rise. (LAMP has no sum that means
#   something.)
# - With a fifth of the layer left nothing is small any more, and "each weight as if alone" is wrong
#   for all of them. What survives of their order?

# %%
count = book.quick(400, 20)
for net in nets:
    rng, w = np.random.default_rng(100 + net.seed), net.weights[FIRST]
    single = rng.permutation(w.size)[:count]
    groups = [rng.permutation(w.size)[:30] for _ in range(count)]

    def changes(batch, removals, w=w):
        whole, found = batch.loss_at(), []
        for gone in removals:
            left = w.copy()
            left.flat[gone] = 0
            found.append(batch.loss_at({FIRST: left}) - whole)
        return np.array(found)

    net.scores["(control) -wg + OBD"] = {
        FIRST: -w * gradients_of(net)[FIRST] + net.scores["OBD"][FIRST]
    }
    truth = {
        "same": changes(net.batch, single),
        "others": changes(net.others, single),
        "groups": changes(net.others, groups),
    }
    truth["size"] = abs(truth["others"])
    net.truth, net.losses = {}, {}
    for name, s in net.scores.items():
        flat = np.asarray(s[FIRST]).ravel()
        told = dict.fromkeys(("same", "others", "size"), flat[single])
        told["groups"] = [flat[group].sum() for group in groups]
        net.truth[name] = [
            rank_correlation(np.stack([told[k], truth[k]], axis=1))[0, 1] for k in told
        ]
        net.losses[name] = [
            net.others.loss_at({FIRST: np.where(kept(s, d), w, 0)}) for d in (0.5, 0.2)
        ]

# %% tags=["varies"]
found = {name: np.array([net.truth[name] for net in nets]) for name in nets[0].truth}
losses = {name: np.array([net.losses[name] for net in nets]) for name in found}
best = sorted(found, key=lambda name: losses[name][:, 1].mean())
book.table(
    ["score", "same images", "others", "size, others", "groups of 30, others", "loss, half left", "loss, a fifth left"],
    [
        [name, *(plus_minus(found[name][:, k]) for k in range(4)), *(plus_minus(losses[name][:, k]) for k in range(2))]
        for name in best
    ],
)  # fmt: skip
whole = [net.others.loss_at() for net in nets]
print("loss of the whole network on these images:", plus_minus(whole))
for n in (B, len(training)):
    below = [100 * (n * net.scores["Fisher"][FIRST] < 1).mean() for net in nets]
    print(
        f"weights that cost less than 1 in the sum over {n} images, by Fisher's score: {np.mean(below):.0f} %"
    )

# %% [markdown]
# *How to read it.* The first four columns are rank correlations: of the score with the change of
# the loss when a single weight goes, on the same 400 images and on others; with the size of that
# change; and for groups. (The column "size" was added after the first two had been seen.) The last
# two are losses with the given share of the first layer left, and the table is in the order of the
# last.
#
# *Single weights.* The control has 0.97, so brute force and Taylor's series agree. On other images,
# though, no score is good, which was not expected: 0.30 at best, and 0.36 for the control. The sign
# there is that of $-wg$ with the gradient of *those* images, and for 4,600 images too it is a
# matter of chance. The last lines say why: 98 % of the weights cost less than 1 in the sum over 400
# images, and 80 % less than 1 over all 12,000. These data cannot tell whether such a weight is good
# or bad. *How much* it moves the loss can be told, and that is what the scores are good at: 0.9 for
# the family of the loss, a half for magnitude.
#
# *Groups.* The terms with signs cancel: OBD rises from 0.30 to 0.67, and SNIP does not get beyond
# 0.46.
#
# *What is left at the end.*
#
# - With half of the layer nearly every score costs next to nothing. A comparison of methods at such
#   a density compares nothing.
# - With a fifth there are differences. Curvature and the layer's output (OBD, SparseVD, OBS, L-OBS,
#   SparseGPT, Wanda) cost 0.24 to 0.28, too near to be told apart by three networks; that OBS and
#   L-OBS would be worse is not seen. The weights alone follow with a third, and Fisher, which hears
#   the badly fitted images more than OBD does. SNIP has 0.59 where Fisher has 0.34: the random
#   factor that a rank correlation did not mind.
# - Sensitivity and LOBSTER are nearly as bad as random. They say how much the loss depends on a
#   weight, and not what is lost without it: the factor $\lvert w \rvert$ is missing. (They were not
#   made for this: they decide how strongly a weight is pulled at, and what goes is what has become
#   small. Exercise D.1 puts the factor in.)
# - **Signs are a disaster.** The control, the best judge of single weights on its images, destroys
#   the network; so does skeletonization. Nearly each of the 1,500 weights that it removes lowers the
#   loss by a little, as promised. All of them together are one long step against the gradient, and then
#   the terms between two weights count, of which a score for single weights knows none. *What is
#   true of each weight is not true of all of them.* With magnitudes both signs go, and the steps
#   cancel.
#
# ## D.6 What is removed together
#
# A score of weights becomes a score of groups by a sum (`granularity.py`), and a criterion that was
# exact for single weights becomes a sum of single opinions: it knows nothing of what the weights of
# a group do to each other.

# %% tags=["remove-input"]
from minisparse.prune import granularity

book.show_source(granularity.group_scores, docstring=False)

# %% [markdown]
# Here are four granularities for the first layer: single weights, blocks of two pixels by two
# units, whole inputs (a pixel is gone for all units), and whole units, in each case half of the
# layer, by four scores.
#
# *What to expect.* The coarser the groups, the larger the price, for any score: every mask of
# blocks is also a mask of weights, so the best of those is not worse. And the coarser, the less the
# scores differ: sums over many weights forget what single weights are like. Removing pixels is
# nearly free for whoever looks at the data, since many are black; removing half of 16 units is a
# catastrophe for all.

# %%
GRANULARITIES = {"weight": "weight", "block of 2 x 2": (2, 2), "input": "input", "unit": "unit"}
FOUR = ("random", "magnitude", "Wanda", "OBD")

# %% tags=["hide-input"]
net = nets[0]
figure, axes = book.new_figure(8, 1.5, ncols=4)
for ax, (title, grain) in zip(axes, GRANULARITIES.items(), strict=True):
    draw(ax, kept(net.scores["OBD"], 0.5, grain), net.weights[FIRST], unit, 0.8)
    ax.set_title(title, fontsize=10, pad=3)
book.show(
    figure, "What OBD keeps of the first layer if weights, blocks, inputs or units are removed"
)

# %% tags=["varies"]


def loss_without(net, name, grain):
    """Return the loss on other images when half of the groups have gone."""
    keep = kept(net.scores[name], 0.5, grain)
    return net.others.loss_at({FIRST: np.where(keep, net.weights[FIRST], 0)})


def agreement_of(net, names, grain):
    """Return the mean rank correlation between some scores of groups."""
    pooled = [granularity.group_scores(net.scores[n][FIRST], grain).ravel() for n in names]
    return rank_correlation(np.stack(pooled, axis=1))[np.triu_indices(len(names), 1)].mean()


book.table(
    ["groups", *(f"loss, {name}" for name in FOUR), "mean correlation of the last three"],
    [
        [
            title,
            *(plus_minus([loss_without(net, name, grain) for net in nets]) for name in FOUR),
            plus_minus([agreement_of(net, FOUR[1:], grain) for net in nets]),
        ]
        for title, grain in GRANULARITIES.items()
    ],
)

# %% [markdown]
# *How to read it.* As expected, from weights to units; only inputs are as cheap as blocks, since
# half of the pixels are dark. Three networks do not say which score is best for units: the
# deviations are as large as the differences. The last column rises from weights to inputs: sums
# forget. (For units it is that of 16 numbers.)
#
# ### Scores of units
#
# Some criteria say nothing of a single weight: how often a unit is off, how far its filter is from
# others. They are `UnitScorePruning`s, and `ask` gives a number for each unit. Here is another
# small network, with one convolution of 24 filters of 5 x 5, and for each filter the truth, the
# loss on other images without it.
#
# *What to expect.* A gate on a unit changes the loss as a whole, so criteria of the loss (Taylor's,
# Kron-OBD, the sum of OBD) should be best. APoZ asks only whether a unit is on, FPGM only whether
# it is like others: neither looks at what it is for. Twenty-four filters have about 0.2 of noise in
# their rank correlation, and three networks 0.12: more than the order of three groups should not be
# read out of it.

# %%
from minisparse.prune import serene
from minisparse.prune.apoz import APoZPruning
from minisparse.prune.eigendamage import KroneckerOBDPruning
from minisparse.prune.filter_norm import FilterNormPruning
from minisparse.prune.fpgm import FPGM
from minisparse.prune.nisp import NISP
from minisparse.prune.taylor import TaylorPruning


def conv_net(seed):
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        *(nn.Conv2d(1, 24, 5, rng=rng), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(600, 10, rng=rng)),
    )
    train(model, training, optim.SGD(model, 0.05, momentum=0.9), epochs=book.quick(3, 1), rng=rng,
          progress=False)  # fmt: skip
    x, y = next(data.batches(training, 2000))
    return Batch(model, (x[:B], y[:B])), Batch(model, (x[B:], y[B:]))


def of_units(kind, **settings):
    return lambda batch: kind(one_shot(0.0), **settings).ask(batch)["0.weight"]


def summed(kind):
    return lambda batch: granularity.group_scores(
        kind(one_shot(0.0)).ask(batch)["0.weight"], "unit"
    )


UNIT_SCORES = {
    "filter norm, L1": of_units(FilterNormPruning),
    "filter norm, L2": of_units(FilterNormPruning, p=2),
    "FPGM": of_units(FPGM),
    "APoZ": of_units(APoZPruning),
    "NISP": of_units(NISP),
    "SeReNe": lambda batch: serene.neuron_sensitivities(*batch.layers())["0"],
    "Taylor, gate": of_units(TaylorPruning, mini_batch=20),
    "Taylor, weight": of_units(TaylorPruning, form="weight", mini_batch=20),
    "Taylor, activation": of_units(TaylorPruning, form="activation"),
    "OBD, summed": summed(OBDPruning),
    "Fisher, summed": summed(FisherPruning),
    "Kron-OBD": summed(KroneckerOBDPruning),
}


def without(batch, j):
    w, b = (p.numpy().copy() for p in batch.parameters(["0.weight", "0.bias"]))
    w[..., j], b[j] = 0, 0
    return batch.loss_at({"0.weight": w, "0.bias": b}) - batch.loss_at()


panels = []
for seed in range(len(nets)):
    batch, others = conv_net(seed)
    truth = np.array([without(others, j) for j in range(24)])
    panels.append((truth, {name: np.asarray(score(batch)) for name, score in UNIT_SCORES.items()}))
agreement = {
    name: [rank_correlation(np.stack([t, s[name]], axis=1))[0, 1] for t, s in panels]
    for name in UNIT_SCORES
}

# %% tags=["hide-input"]
truth, scores = panels[0]
along = np.argsort(-truth)
ranked = sorted(UNIT_SCORES, key=lambda name: -np.mean(agreement[name]))
ranks = np.stack(
    [s.argsort().argsort()[along] for s in (truth, *(scores[name] for name in ranked))]
)
figure, ax = book.new_figure(8.5, 4.2)
ax.imshow(ranks >= 12, cmap="Blues", vmin=-0.3, vmax=1.4, aspect="auto")
for i, j in np.ndindex(ranks.shape):
    ax.text(j, i, 24 - ranks[i, j], ha="center", va="center", fontsize=7.5,
            color="white" if ranks[i, j] >= 12 else "black")  # fmt: skip
ax.set_yticks(
    range(len(ranks)),
    ["the truth", *(f"{name}   {np.mean(agreement[name]):.2f}" for name in ranked)],
    fontsize=9,
)
ax.set_xticks([])
ax.set_xlabel(
    "filters, the most important on the left; number: place by this score; dark: kept if half are"
)
ax.grid(False)
book.show(figure, "For each of 12 scores of units the places of 24 filters, beside the true order")

# %% tags=["varies"]
book.table(
    ["score of units", "correlation with the truth"],
    [[name, plus_minus(agreement[name])] for name in ranked],
)

# %% [markdown]
# *How to read it.* A column of the figure is a filter, its number the place that the score gives
# it. Criteria of the loss come first, as expected, but not by much: the norms of the filters have
# 0.7, and the difference is within the noise. What a unit does follows its weights here. APoZ knows
# nothing: a filter that is on for few images may be the one that tells them. SeReNe, which asks how
# the outputs depend on the unit as if it were changed by 1, lacks the same factor as sensitivity:
# how large its signal is.
#
# ## D.7 Compared with what
#
# A score ranks; the scope says among whom. Global: all weights of the network in one order. Layer:
# each layer keeps the same share. ERK and uniform+: given shares. So a global score decides two
# things at once, which weights and how many of each layer, and a change of its scale from layer to
# layer changes the second and not the first.
#
# *What to expect.* A fifth of all weights is kept; the layers have 3136, 192 and 120. Magnitude: the
# small layers keep more, their weights are larger. SynFlow's scores sum to the same in each layer,
# so a layer with 26 times fewer weights has scores 26 times as large: it keeps the last layers
# whole at once, in one round. LAMP spares them less. OBD and SNIP measure all layers by the same
# loss and should spare the last two, too: each of their weights does more.

# %%
from minisparse.prune import scope

shapes = {n: w.shape for n, w in nets[0].weights.items()}
RULES = {
    "layer": ("magnitude", "layer"), "uniform+": ("magnitude", "uniform+"), "ERK": ("magnitude", "erk"),
    **{f"global, {name}": (name, "global") for name in ("magnitude", "LAMP", "SNIP", "OBD", "Wanda", "SynFlow")},
}  # fmt: skip
shares, after = {}, {}
for title, (name, rule) in RULES.items():
    shares[title], after[title] = [], []
    for net in nets:
        mask = scope.keep_largest(
            {n: np.asarray(s) for n, s in net.scores[name].items()}, 0.2, rule
        )
        shares[title].append([m.mean() for _, m in mask.items()])
        pruned = {n: np.where(mask[n], w, 0) for n, w in net.weights.items()}
        after[title].append(net.others.loss_at(pruned))

# %% tags=["hide-input"]
figure, ax = book.new_figure(7.5, 3.4)
for k, (label, marker) in enumerate(
    zip(("first layer, 3136 weights", "second, 192", "third, 120"), "os^", strict=True)
):
    ax.plot(
        [100 * np.mean(shares[t], axis=0)[k] for t in RULES], range(len(RULES)), marker, label=label
    )
ax.set_yticks(range(len(RULES)), list(RULES))
ax.invert_yaxis()
ax.set(xscale="log", xlabel="kept of the layer, % (log scale); 20 % of all weights are kept")
ax.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
ax.minorticks_off()
ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
book.show(
    figure,
    "Share of each of three layers that is kept, for three given rules and six global scores",
)

# %% tags=["varies"]
book.table(
    ["scope and score", "loss, nothing trained on"],
    [[title, plus_minus(values)] for title, values in after.items()],
)

# %% [markdown]
# *How to read it.* All global scores spare the small layers, more than ERK does, and all six have a
# smaller mean loss than any of the three rules, with or without the same score (SNIP's is within
# the spread of ERK's). (Uniform+ asks for a fifth of the last layer, which it has here: it is
# "layer".) Between "layer" and "global, magnitude" only the scope differs, and it decides more than
# the choice among the good scores in D.5. SynFlow goes furthest, as its conservation says; its
# authors take a hundred rounds, in which the last path of a layer is never cut. Wanda's unit is
# that of each layer's output, so it is not made for this comparison, and does well all the same.
# SNIP pays for its noise again.
#
# [Section 5.3](05_magnitude.py) has the same question for LeNet-300-100.
#
# ## D.8 How often, and when
#
# The schedule says which sparsity is wanted at a time. One-shot: all at once. Iterative: several
# times, each time the same share of what is left. Gradual: along a cubic curve, many at first, when
# there are many to spare, few at the end.

# %% tags=["remove-input"]
from minisparse.prune import schedule

book.show_source(schedule.cubic_sparsity, schedule.iterative_sparsity, docstring=False)

# %%
EPOCHS = book.quick(16, 4)
half = EPOCHS // 2
SCHEDULES = {
    "one-shot, before training": schedule.one_shot(0.95),
    "one-shot, half way": schedule.one_shot(0.95, at=half),
    "iterative, four times": schedule.iterative(0.95, [half * k / 4 for k in (1, 2, 3, 4)]),
    "gradual, cubic": schedule.gradual(0.95, half / 8, half),
}

# %% [markdown]
# *What to expect.* Each network is trained for 16 epochs and has 5 % of its weights left after the
# eighth at the latest, by magnitude. Before training, magnitudes are those of the draw: the worst
# by far. Of the other three one-shot takes weights that its own removal makes important, so
# iterative and gradual should be better; by how much after eight more epochs of training is the
# question.

# %%
from minisparse.prune.random_pruning import densities_of


def error_after(method, seed):
    rng = np.random.default_rng(seed)
    model = new_model(rng)
    methods = [method] if method else []
    train(
        model,
        training,
        optim.SGD(model, RATE),
        epochs=EPOCHS,
        rng=rng,
        methods=methods,
        progress=False,
    )
    return evaluate(model, test).error_percent, method and densities_of(method.mask())


errors = {"dense": [error_after(None, seed)[0] for seed in range(book.quick(3, 1))]}
for title, when in SCHEDULES.items():
    errors[title] = [
        error_after(MagnitudePruning(when, every=20), seed)[0] for seed in range(book.quick(3, 1))
    ]

# %% tags=["hide-input"]
figure, (left, right) = book.new_figure(9, 3.2, ncols=2)
time = np.linspace(0, EPOCHS, 401)
for title, when in SCHEDULES.items():
    left.plot(time, [100 * when(t) for t in time], label=title)
left.set(xlabel="epochs", ylabel="sparsity that is wanted, %")
for i, (title, values) in enumerate(errors.items()):
    right.plot(values, [i] * len(values), "o", color="0.6", markersize=4)
    right.plot(
        np.mean(values), i, "D", color="k" if title == "dense" else left.lines[i - 1].get_color()
    )
right.set_yticks(range(len(errors)), list(errors))
right.invert_yaxis()
right.set(xlabel="test error after the last epoch, %")
book.show(
    figure, "Four schedules, and the test errors that they lead to: three seeds and their means"
)

# %% tags=["varies"]
book.table(
    ["schedule", "test error, %", "against gradual, same seeds"],
    [
        [title, plus_minus(v), "" if title == "gradual, cubic" else plus_minus(np.subtract(v, errors["gradual, cubic"]))]
        for title, v in errors.items()
    ],
)  # fmt: skip

# %% [markdown]
# *How to read it.* On the right three seeds (grey) and their means, in the colours of the left. The
# means are in the order that was expected, the more often one looks, the better, with the same
# number of epochs and of weights, and eight epochs of training do not close the gap. (One-shot loses
# to gradual in every seed and by far. Between iterative and gradual it is open: with a deviation of
# 2.3 points the 95 % interval of three seeds is $\pm 5.7$, and holds 0.) At this sparsity, 172 weights
# for ten classes, the choice of the schedule costs or gains more than most choices of a score.
# [Chapter 5](05_magnitude.py) prunes further and trains longer.
#
# ## D.9 All of them, one protocol
#
# So far one layer, or one small network. What is left of the differences when every method trains the same larger network as
# long, and each goes its own way from half of the weights to the collapse? LeNet-300-100, ten dense epochs, sixty in which
# weights go and twenty to recover, SGD with a rate of 0.2 (`minisparse reproduce one-protocol`). No setting is chosen: a
# method's own one runs along its curve. The rows:
#
# - **magnitude**, by the gradual schedule of D.8; **random** masks, the same share of every layer; and random masks with
#   **magnitude's shares** of the layers ([5.7](05_magnitude.py));
# - **sensitivity** with a rising threshold, and its control **S = 0**, a plain decay with the same threshold ([7.8](07_sensitivity.py));
# - **L1** by proximal steps ([chapter 6](06_penalties.py));
# - **zeroing beside L2** ([9.10](09_stochastic.py));
# - **gates** ([chapter 8](08_hard_concrete.py)), for as many epochs, with Adam and averaged weights as their paper has them.
#   They remove whole inputs of a layer, all others single weights.
#
# *What to expect.* Registered before the runs: S = 0 and magnitude are one curve, the best; the shares explain most of what
# magnitude gains over uniform random masks at 50x and 100x. The last point of each curve was added later, since but for random masks
# none had collapsed; expected of it, before these runs: that all err on more than a tenth.

# %% tags=["hide-input"]
protocol = book.results("one-protocol")
curves = {}
for row in protocol["rows"]:
    curves.setdefault(row["series"], []).append(row["ours"])
figure, ax = book.new_figure(8.5, 4.4)
for i, ((series, points), marker) in enumerate(zip(curves.items(), "os^DvPXd", strict=True)):
    points.sort(key=lambda o: o["compression_mean"])
    ratios, wrong = zip(*((o["compression_mean"], o["error_mean"]) for o in points), strict=True)
    ax.loglog(ratios, wrong, marker=marker, ls="-" if i < 6 else "--", label=series)  # six colours
ticks = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]
ax.set_xticks(ticks, [f"{t}x" for t in ticks])
ax.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
ax.minorticks_off()
ax.set(xlabel="weights / weights that are left (log scale)", ylabel="test error, % (log scale)")
ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
book.show(figure, "Test error of eight methods and controls against compression, from 2x to the collapse")

# %% tags=["hide-input"]
book.table(
    ["", "least error, %", "at", "most at an error of 2 %", "of 3 %", "of 6 %"],
    [
        [
            series,
            f"{least['error_mean']:.2f}",
            f"{least['compression_mean']:.3g}x",
            *(
                f"{max((o['compression_mean'] for o in points if o['error_mean'] <= e), default=1):.3g}x"
                for e in (2, 3, 6)
            ),
        ]
        for series, points in curves.items()
        for least in [min(points, key=lambda o: o["error_mean"])]
    ],
)

# %% [markdown]
# *How to read it.* To the right and down is better. The table has only settings that were run, nothing between them. One
# seed: seeds differ by 0.05 to 0.1 points at low compression ([3.7](03_lenet300.py)), so what is less than 0.3 points
# apart is not told apart here, and the least of some errors is lower than it would be again.
#
# **Four curves cannot be told apart here**: magnitude, S = 0, sensitivity, zeroing beside L2. At 50x to 57x they err on 1.8 to
# 1.9 %, at 100x to 130x on 2.0 to 2.3 %, and from there they rise together: to 5 % near 400x to 500x, to 14 and 16 % at about 1,000x, to 20 % at
# 2,000x, where 133 weights are left. (Zeroing beside L2 has 7 % at 819x, less than the others may have there; one point of one seed.) That S = 0 and magnitude would be one, was
# registered, and one seed does not show the contrary (S = 0 lies a little below, 2.12 % at 126x where magnitude has 2.26 % at
# 100x, and so it does in [7.11](07_sensitivity.py)). The other two add nothing to these that one seed shows. The cheapest, decay and a rising threshold, needs no
# score, no second backward pass and no random numbers.
#
# **Shares explain most, and not all.** Of the 18 points that magnitude gains over uniform random masks at 50x, its shares of the layers
# explain 14; of 54 at 100x they explain 47. But a random mask with the same shares still errs three and four times as often as
# magnitude there, and at 10x, where nothing has collapsed, the shares explain a quarter of what magnitude gains. At 500x and 2,000x
# a random mask with the shares errs on 54 and 81 %, magnitude on 6 and 20 %: there it is the single weights that count.
#
# **L1 alone and the gates fall behind early.** L1 shrinks the weights that stay as much as those that go (they are trained on
# afterwards, with the mask held), and its curve leaves the others at 10x; but it does not collapse within 100x (7 %; the expectation fails here and
# for zeroing). The gates have the lowest error of all at 2x, 1.34 %. That may be
# their noise, which regularizes, or the average of the weights; no control here tells. Further right the comparison is of another thing: they take whole inputs, with
# all the weights that read them, and 90 epochs are half of what their paper has. Chapter 8 compares them with units by magnitude.
#
# ## D.10 Would the control have been published?
#
# Two of the core papers print tables of errors and ratios. What would their rows say if the method had been left out? In each
# line a published row; beside it the method as we ran it and what does without its idea, each judged as if it were the
# method: error not worse and ratio not smaller than the published ones, by the noise between seeds.
#
# *What to expect.* If a table shows that its method is good, its controls should fail.

# %% tags=["hide-input"]
TABLES = {
    "sensitivity-table1": "sensitivity, Table 1",
    "sensitivity-table2": "sensitivity, Table 2",
    "sensitivity-table3": "sensitivity, Table 3",
    "l0-table1": "L0, Table 1",
}
COLUMNS = ("the method", "S = 0", "magnitude", "random")
lines = []
for name, title in TABLES.items():
    by_name = {row["name"]: row for row in book.results(name)["rows"]}
    for of in dict.fromkeys(row["control_of"] for row in by_name.values() if "control_of" in row):
        told = by_name[of]["published"]
        controls = {r["name"].split(",")[0]: r for r in by_name.values() if r.get("control_of") == of}
        cells = {"the method": (by_name[of], by_name[of]["verdict"] in ("reproduced", "reached"))}
        cells |= {column: (row, row["control_passes"]) for column, row in controls.items()}
        published = f"{told['error']:g} % at {told['compression']:.3g}x"
        lines.append((f"{title}: {of}\n{published}, {told['status']}", cells))
figure, ax = book.new_figure(9, 0.62 * len(lines) + 0.8)
for i, (_, cells) in enumerate(lines):
    for j, column in enumerate(COLUMNS):
        row, passes = cells.get(column, (None, None))
        color = {True: "#9fd3b6", False: "#f0b49a", None: "#eeeeee"}[passes]
        ax.add_patch(patches.Rectangle((j - 0.48, i - 0.44), 0.96, 0.88, color=color))
        text = "-"
        if row is not None:
            ours = row["ours"]
            mark = {True: "passes", False: "fails", None: "not compared"}[passes]
            text = f"{ours['error_mean']:.2f} % at {ours['compression_mean']:.3g}x\n{mark}"
        ax.text(j, i, text, ha="center", va="center", fontsize=8)
ax.set_xticks(range(len(COLUMNS)), COLUMNS)
ax.set_yticks(range(len(lines)), [label for label, _ in lines], fontsize=8)
ax.set(xlim=(-0.5, len(COLUMNS) - 0.5), ylim=(len(lines) - 0.5, -0.5))
ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
ax.grid(visible=False)
book.show(figure, "Rows of published tables, and whether the method and its controls pass for them")

# %% [markdown]
# *How to read it.* Green passes, red fails. "S = 0" is the sensitivity's schedule with a plain decay; "magnitude" and "random" keep as
# many weights of all layers, or of each, and for L0 as many inputs of each layer.
#
# **Magnitude passes for all nine rows, and S = 0 for all four where it was run.** So none of these tables shows that its method is better
# than to keep the largest weights (for L0, the inputs that have them), in no more epochs. **Random masks pass for two of the
# nine**: there the table does not even show that it matters which weights of a layer are kept, once it is known how many. (LeNet-5 has weights to spare: at 10x, and on clothes at 14x.)
#
# That does not make the methods bad: they pass as well. It says what such a table can show. And to pass is a weak word, "not worse by more than
# one published run may differ". Paired seeds see more: on LeNet-5 magnitude errs 0.10 ± 0.09 more than sensitivity
# ([7.11](07_sensitivity.py)).
#
# ## D.11 What to take along
#
# - Before you believe that a *criterion* is better, give both the same granularity, scope and
#   schedule. A change of scope or schedule is often worth more.
# - Compare at densities at which something is lost.
# - Of the 25 scores here about five are different: size; size with the loss's curvature or the
#   layer's inputs; the same without size; what comes of inverting a matrix; and signs.
# - Take magnitudes of terms of first order if many weights go at once.
# - A mean gradient of a trained network is noise to a good part. The squares of single images, or
#   of mini-batches, cost as much and have less of it.
# - Put magnitude, a plain decay with a rising threshold, and random masks with the method's own shares beside
#   every new method, over the whole curve.
#
# But for D.9 and D.10 this is one small layer of one small network, trained, on one data set, and in D.5 nothing was
# trained on after the removal. SNIP, GraSP and SynFlow are made for networks before training:
# exercise D.5.
#
# ## Exercises
#
# **D.1** Multiply sensitivity by $\lvert w \rvert$. What does the product estimate? Where does it
# stand in the table of D.5?
#
# **D.2** (pencil) Show that $1 / [H^{-1}]_{qq} \le H_{qq}$.
#
# **D.3** (pencil) How many mini-batches does Taylor's score need, near a minimum, so that its
# random factor has a standard deviation of 10 %?
#
# **D.4** (pencil) GraSP-It (de Jorge et al. 2021) takes $(w g)^2$ in the place of
# $\lvert w g \rvert$. For which answers to the second question is that another method?
#
# **D.5** (code) Ask the scores of an untrained network, with the images as they are. Which families
# are left? What becomes of the noise in SNIP?
#
# ### Answers
#
# *D.1.* To first order the mean of what the outputs move by when the weight goes:

# %% tags=["varies"]
for name in ("sensitivity", "OBD", "magnitude"):
    values = []
    for net in nets:
        s, w = net.scores[name][FIRST], net.weights[FIRST]
        s = s * abs(w) if name == "sensitivity" else s
        values.append(net.others.loss_at({FIRST: np.where(kept({FIRST: s}, 0.2), w, 0)}))
    print(
        f"{name + ' times |w|' if name == 'sensitivity' else name:22} loss, a fifth left: {plus_minus(values)}"
    )

# %% [markdown]
# *D.2.* With $a = H^{1/2} e_q$ and $b = H^{-1/2} e_q$ we have $a \cdot b = 1$,
# $\lVert a \rVert^2 = H_{qq}$ and $\lVert b \rVert^2 = [H^{-1}]_{qq}$; then it is the inequality of
# Cauchy and Schwarz.
#
# *D.3.* The mean of $m$ squares of normal draws has the standard deviation $\sqrt{2/m}$: 200.
#
# *D.4.* For groups: a sum of squares ranks otherwise than a sum of magnitudes. Single weights are
# in the same order.
#
# *D.5.* In two untrained networks we saw the same families: OBD and Fisher 0.99, SNIP and Fisher
# 0.96, OBS and magnitude 0.93, GraSP and skeletonization with nobody. Wanda is nearer to OBD
# (0.92), and the families are further apart: magnitude and OBD 0.29. The mean gradient is larger
# than noise now: the median of $g^2 / (F / B)$ is 1.5 and 2.1, and 0.45 for normal noise.
#
# ## References
#
# - M. Friendly, *Corrgrams: exploratory displays for correlation matrices*, The American
#   Statistician 56, 2002.
# - D. Blalock, J. J. Gonzalez Ortiz, J. Frankle, J. Guttag, *What is the state of neural network
#   pruning?*, MLSys 2020.
# - The papers of the scores: `minisparse methods` names each.
