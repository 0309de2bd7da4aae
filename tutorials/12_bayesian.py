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
# # 12. Bayesian pruning: what is no more than noise
#
# **Goal.** Give every weight, or every unit, a law in place of a value, let Bayes' rule say how
# much noise the data bear, and take out what is no more than noise.
#
# **Afterwards you can** derive the evidence lower bound and say which of its terms prunes, move
# the noise from the weights to the pre-activations, check a divergence against an integral, send a
# gradient through coins, and tell what of a result is Bayes' from what the training would have
# given anyway.
#
# **Time.** 90 minutes to read, one minute to run.

# %%
import math

import numpy as np

from minisparse import autodiff as ad
from minisparse import book, data, gradcheck, methods, nn, optim
from minisparse.autodiff import Tensor, no_grad
from minisparse.experiments import calibration
from minisparse.nn import Linear
from minisparse.optim import schedules
from minisparse.prune import (
    bayesian_compression,
    bernoulli_gates,
    group_noise,
    hard_concrete,
    l0_arm,
    network_quantization,
    posterior,
    structured_bayesian,
    structured_variational_dropout,
    truncated_log_normal,
    vibnet,
)
from minisparse.prune import sparse_variational_dropout as svd
from minisparse.train import evaluate, train

rng = np.random.default_rng(0)
mnist = data.load("mnist")
training, validation = mnist.train.split_validation(10_000, rng)
training = training.subset(np.arange(book.quick(8_000, 500)))  # enough to see everything

# %% [markdown]
# ## 12.1 From Bayes' rule to a loss
#
# The chapters before this one asked what a weight is worth. Bayes' rule asks how well it is
# *known*. It begins with a **prior** $p(w)$, what we believe of the weights before any data, and
# turns it into the **posterior**, what we believe afterwards:
#
# $$
# p(w \mid D) = \frac{p(D \mid w) \, p(w)}{p(D)} ,
# \qquad
# p(D) = \int p(D \mid w) \, p(w) \, dw .
# $$
#
# $p(D \mid w)$ is the probability of all labels given the weights, $- \log p(D \mid w) = \sum_n L_n(w)$ the
# sum of the cross-entropies. A weight that the data say nothing about keeps its prior, which is
# wide; one that they need is known precisely. If the prior has much of its mass at 0, then the
# first kind can go.
#
# The integral is over 266,610 dimensions, and nobody can compute it. So take laws that one can
# handle, say a normal law for each weight with a mean and a variance of its own, and look among
# these for the one that is nearest to the posterior. *Nearest* is measured by the Kullback-Leibler
# divergence
#
# $$
# \mathrm{KL}(q \Vert p) = \int q(w) \log \frac{q(w)}{p(w)} \, dw ,
# $$
#
# which is 0 if $q = p$ and positive otherwise. Put Bayes' rule into the divergence from the
# posterior. In three lines,
#
# $$
# \begin{aligned}
# \mathrm{KL}(q \Vert p(\cdot \mid D))
# &= \mathbb{E}_q \bigl[ \log q(w) - \log p(w \mid D) \bigr] \\
# &= \mathbb{E}_q \bigl[ \log q(w) - \log p(w) - \log p(D \mid w) \bigr] + \log p(D) \\
# &= \mathrm{KL}(q \Vert p) - \mathbb{E}_q \bigl[ \log p(D \mid w) \bigr] + \log p(D) .
# \end{aligned}
# $$
#
# The last term, the *evidence*, does not depend on $q$. So to come nearest to the posterior, which
# we do not know, minimize what we do know:
#
# $$
# \mathbb{E}_q \Bigl[ \sum_n L_n(w) \Bigr] + \mathrm{KL}(q \Vert p) .
# $$
#
# With the sign turned it is a lower bound of $\log p(D)$, because the divergence on the left is
# not negative: the **evidence lower bound**, ELBO. Divided by the number $N$ of images it looks
# like any loss of this book:
#
# $$
# \mathbb{E}_q \Bigl[ \frac{1}{N} \sum_n L_n(w) \Bigr] + \frac{1}{N} \mathrm{KL}(q \Vert p) .
# $$
#
# The first term is the mean cross-entropy **under noise**: draw $w$ from $q$ in each step. It
# wants no noise. The second wants the law to look like the prior. It is the only place where the
# prior comes in, and all pruning in this chapter comes out of it.

# %% tags=["remove-input"]
book.show_source(posterior.PosteriorTraining.before_loss, docstring=False)

# %% [markdown]
# Is the bound right, and does it matter that it is $1 / N$? Take the one example where everything
# is known. Data $y_1, \dots, y_N \sim N(w, 1)$, prior $w \sim N(0, 1)$. The posterior is normal
# with variance
# $1 / (N + 1)$ and mean $\sum_n y_n / (N + 1)$, and $\log p(D)$ is an integral over one variable.
#
# *What to expect.* For any $q$ the bound plus the divergence from the posterior is the evidence.
# At the minimum over $q$, found by gradient descent, the bound touches it. And if one forgets to
# divide the divergence by $N$, it counts $N$ times as much: then $q$ must find a mean near 0 and a
# variance near the prior's.

# %% tags=["varies"]
N = 20
y = 0.7 + rng.standard_normal(N)
grid = np.linspace(-6, 6, 400_001)
log_joint = -0.5 * ((y**2).sum() - 2 * grid * y.sum() + N * grid**2) - 0.5 * grid**2
log_joint -= 0.5 * (N + 1) * math.log(2 * math.pi)
evidence = math.log(np.trapezoid(np.exp(log_joint), grid))


def bound(m, log_v, times=1.0):
    """Return E_q[log p(D|w)] - times KL(q || p) of a normal q."""
    v = ad.exp(log_v)
    fit = -0.5 * ((y**2).sum() - 2 * m * y.sum() + N * (m * m + v)) - 0.5 * N * math.log(
        2 * math.pi
    )
    return fit - times * 0.5 * (v + m * m - 1.0 - log_v)


def gap(m, log_v):
    """Return KL(q || posterior) by quadrature."""
    log_q = -0.5 * (grid - m) ** 2 / math.exp(log_v) - 0.5 * (log_v + math.log(2 * math.pi))
    return np.trapezoid(np.exp(log_q) * (log_q - log_joint + evidence), grid)


def best(times):
    q = nn.Parameter(np.zeros(2))
    optimizer = optim.Adam([("q", q)], lr=0.05)
    for _ in range(book.quick(600, 20)):
        optimizer.zero_grad()
        (-bound(q[0], q[1], times)).backward()
        optimizer.step()
    return (float(v) for v in q.numpy())


rows = []
for name, (m, log_v) in {
    "some q": (0.2, -1.0),
    "minimum": best(1.0),
    "KL not divided by N": best(N),
}.items():
    elbo = bound(Tensor(m), Tensor(log_v)).item()
    rows.append([name, *(f"{v:.4f}" for v in (m, math.exp(log_v), elbo, elbo + gap(m, log_v)))])
rows.append(["exact", f"{y.sum() / (N + 1):.4f}", f"{1 / (N + 1):.4f}", f"{evidence:.4f}", "-"])
book.table(["", "mean", "variance", "bound", "bound + KL(q, posterior)"], rows)

# %% [markdown]
# *How to read it.* The last column is the evidence in every row, which is the three lines above in
# numbers. The minimum is the posterior itself. The third row has believed the prior twenty times:
# its mean is far too small, its variance far too large. In a network the same mistake with
# $N = 60{,}000$ is a prior that counts 60,000 times; the opposite one, $1 / N$ twice, is none at
# all. `require_number_of_images` compares
# $N$ with the images that a run really trains on.
#
# ## 12.2 From noise on weights to noise on pre-activations
#
# **Multiplicative noise.** Dropout multiplies an input by 0 or by $1 / (1 - p)$. Its mean is 1,
# and its variance $\alpha = p / (1 - p)$. Gaussian dropout has a normal law with the same two
# numbers,
# $N(1, \alpha)$. With a number for each weight it is
#
# $$
# w = \theta \, (1 + \sqrt{\alpha} \, \varepsilon) ,
# \quad \varepsilon \sim N(0, 1) ,
# \qquad \text{that is} \qquad
# w \sim N(\theta, \sigma^2) \quad \text{with} \quad \sigma^2 = \alpha \, \theta^2 .
# $$
#
# In **variational dropout** (Kingma, Salimans and Welling 2015) that is the law $q$, and $\alpha$ is
# learned. $\alpha$ is noise over signal; as a dropout rate it is $p = \alpha / (1 + \alpha)$.
#
# **The local reparametrization.** To draw a weight matrix for each image would be the honest way,
# and a hopeless one. One matrix for the whole batch is cheap, but then all images of a batch see
# the same noise, and their gradients are wrong together. But look at what the noise does. For one
# image, a pre-activation
# $y_j = \sum_i x_i w_{ij}$ is a sum of independent normal numbers, so it is normal itself:
#
# $$
# y_j \sim N \Bigl( \sum_i x_i \theta_{ij} , \; \sum_i x_i^2 \, \sigma_{ij}^2 \Bigr) .
# $$
#
# Draw *that*: one number for each image and output in place of one for each image and weight. The
# pre-activations of one image are independent of each other, since each has weights of its own.
# The law is exactly the same. In a convolution the weights are shared by the positions of an
# image; the library draws each position by itself, as the authors do, and there it is an
# approximation.

# %% tags=["remove-input"]
book.show_source(svd.pre_activation, svd.Variances.apply, docstring=False)

# %% [markdown]
# What a step costs can be read off: **two** products with a matrix where a dense step has one, one
# for the mean and one, with squares, for the variance. Backward it is the same, so about two dense
# steps; and the divergence comes on top, elementwise over all weights.
#
# *What to expect.* Three ways to draw the same law: a matrix for each image, a matrix for a batch,
# and the pre-activations. Mean and variance of $y$ must be the same. The gradient for
# $\log \sigma^2$ must have the same mean, too, but not the same noise: one matrix for a batch of
# 50 has the noise of one draw, while the others average 50. And the third has less than the first,
# since it does not even draw what cancels out in the sum.

# %% tags=["varies"]
d_in, batch, repeats = 20, 50, book.quick(4000, 50)
x = rng.standard_normal((batch, d_in))
theta, log_sigma2 = 0.3 * rng.standard_normal(d_in), np.full(d_in, -1.0)
sigma = np.exp(log_sigma2 / 2)
target = x @ theta + 0.5 * rng.standard_normal(batch)


def by_weights(eps):
    """Return y and the gradient of the mean squared error / 2 for log sigma^2; eps [B, in]."""
    outputs = (x * (theta + sigma * eps)).sum(axis=1)
    return outputs, ((outputs - target)[:, None] * x * (sigma * eps / 2)).mean(axis=0)


def locally(eps):
    """The same with noise on the pre-activation; eps [B]."""
    variance = x**2 @ sigma**2
    outputs = x @ theta + np.sqrt(variance) * eps
    through = (outputs - target) * eps / (2 * np.sqrt(variance))
    return outputs, (through[:, None] * x**2 * sigma**2).mean(axis=0)


draw = rng.standard_normal
ways = {
    "a weight matrix for each image": lambda: by_weights(draw((batch, d_in))),
    "one weight matrix for the batch": lambda: by_weights(draw((1, d_in))),
    "pre-activations (local)": lambda: locally(draw(batch)),
}
exact = (x**2).mean(axis=0) * sigma**2 / 2  # E (y - t)^2 / 2 = ... + sum x^2 sigma^2 / 2
rows = []
for name, way in ways.items():
    outputs, slopes = (
        np.array(part) for part in zip(*(way() for _ in range(repeats)), strict=True)
    )
    rows.append(
        [
            name,
            f"{np.abs(outputs.mean(axis=0) - x @ theta).max():.2f}",
            f"{(outputs.var(axis=0) / (x**2 @ sigma**2)).mean():.3f}",
            f"{slopes.mean(axis=0)[0]:.3f}",
            f"{slopes.std(axis=0).mean():.3f}",
        ]
    )
rows.append(["exact", "0", "1", f"{exact[0]:.3f}", "-"])
book.table(
    ["draws of", "largest error of the mean of y", "variance over formula", "a gradient", "its sd"],
    rows,
)

# %% [markdown]
# *How to read it.* The two middle columns say that the law is the same, the fourth that the
# gradients agree in the mean (it is the first of 20). The last one is what the trick is for.
#
# ## 12.3 The additive trick
#
# Variational dropout kept $\alpha$ below 1, as recalled. The reason is in the formula
# $w = \theta (1 + \sqrt{\alpha} \, \varepsilon)$. The gradient for $\theta$ is
#
# $$
# \frac{\partial L}{\partial \theta}
# = \frac{\partial L}{\partial w} \, \bigl( 1 + \sqrt{\alpha} \, \varepsilon \bigr) ,
# $$
#
# and its noise grows with $\alpha$. But pruning needs exactly these large $\alpha$. Molchanov,
# Ashukha and Vetrov (2017) write the same law with other parameters, $\theta$ and $\sigma$, and
# compute $\alpha$ when it is needed:
#
# $$
# w = \theta + \sigma \, \varepsilon ,
# \qquad
# \frac{\partial w}{\partial \theta} = 1 ,
# \qquad
# \log \alpha = \log \sigma^2 - \log \theta^2 .
# $$

# %% tags=["remove-input"]
book.show_source(svd.log_alpha, docstring=False)

# %% [markdown]
# (The gradient for $\theta$ at fixed $\sigma$ is not the one at fixed $\alpha$; both lead to the same
# minimum, since the two pairs of parameters describe the same laws.)
#
# *What to expect.* With a loss that is linear in $w$, $L = w$, the multiplicative form has a
# gradient with standard deviation $\sqrt{\alpha}$, and the additive one has none at all. With a
# curved loss, here
# $(w - 1)^2 / 2$ at $\theta = 0.5$, the additive gradient is noisy, too, by $\sigma$; the multiplicative
# one by more, and the more so the larger $\alpha$ is.

# %% tags=["varies"]
eps, rows = draw(book.quick(400_000, 1000)), []
for a in (0.01, 1.0, math.exp(3)):
    w = 0.5 * (1 + math.sqrt(a) * eps)
    rows.append(
        [
            f"{math.log(a):.1f}",
            f"{(1 + math.sqrt(a) * eps).std():.2f}",
            "0",
            f"{((w - 1) * (1 + math.sqrt(a) * eps)).std():.2f}",
            f"{(w - 1).std():.2f}",
        ]
    )
book.table(
    ["log alpha", "L = w: multiplicative", "additive", "curved: multiplicative", "additive"], rows
)

# %% [markdown]
# ## 12.4 The divergence that prunes
#
# Now the prior. Sparse variational dropout takes the **log-uniform** one,
# $p(w) = c / \lvert w \rvert$: every order of magnitude is as likely as every other. It has a pole
# at 0 and heavy tails, so it tells weights that are nothing from weights that are anything. For
# $w = \theta \, \zeta$ with
# $\zeta \sim N(1, \alpha)$,
#
# $$
# \begin{aligned}
# \mathrm{KL}
# &= \mathbb{E}_q \log q(w) - \mathbb{E}_q \log p(w)
#  = - \tfrac{1}{2} \log (2 \pi e \, \alpha \theta^2) + \mathbb{E} \log \lvert \theta \, \zeta \rvert - \log c \\
# &= - \tfrac{1}{2} \log \alpha + \mathbb{E}_{\zeta \sim N(1, \alpha)} \log \lvert \zeta \rvert + \text{constant} .
# \end{aligned}
# $$
#
# $\log \lvert \theta \rvert$ has cancelled: **the divergence depends on $\alpha$ alone**. It is a price on
# precision, whatever the size of the weight. There is a blemish: $1 / \lvert w \rvert$ has no
# integral, $c$ does not exist, and neither does the constant. The paper chooses it so that the
# divergence is 0 for
# $\alpha \to \infty$. The expectation has no elementary form; a fit comes close, with
# $k_1, k_2, k_3 = 0.63576, 1.87320, 1.48695$ (equation 14):
#
# $$
# \mathrm{KL} \approx k_1 - k_1 \, \sigma (k_2 + k_3 \log \alpha) + \tfrac{1}{2} \log (1 + \alpha^{-1}) .
# $$

# %% tags=["remove-input"]
book.show_source(svd.divergence, docstring=False)

# %% [markdown]
# (`softplus(-log_alpha)` is $\log (1 + 1 / \alpha)$, without overflow.) *What to expect.* The fit
# was made by others, and we check it: against an integral, and against a mean of a million draws.
# The paper's plots show no difference.


# %%
def expected_log(alpha):
    """Return E log|e| for e ~ N(1, alpha), by quadrature in powers of 2 on both sides of the pole."""
    sd = math.sqrt(alpha)
    t = np.linspace(-60, math.log2(1 + 12 * sd), 40_001)
    e, total = 2.0**t, 0.0
    for side in (1, -1):
        density = np.exp(-((side * e - 1) ** 2) / (2 * alpha)) / (sd * math.sqrt(2 * math.pi))
        total += np.trapezoid(np.log(e) * density * e * math.log(2), t)
    return total


def true_divergence(alpha):
    """The constant makes the limit 0: E log|N(0, 1)| = -(gamma + log 2) / 2."""
    return expected_log(alpha) - math.log(alpha) / 2 + (np.euler_gamma + math.log(2)) / 2


at = np.linspace(-8, 8, 161)
by_fit = svd.divergence(Tensor(at)).numpy()
by_quadrature = np.array([true_divergence(math.exp(a)) for a in at])

# %% tags=["varies"]
eps, rows = draw(book.quick(1_000_000, 1000)), []
for a in (-4.0, 0.0, 3.0, 6.0):
    alpha = math.exp(a)
    drawn = np.log(np.abs(1 + math.sqrt(alpha) * eps)).mean() - a / 2
    drawn += (np.euler_gamma + math.log(2)) / 2
    fit = svd.divergence(Tensor(a)).item()
    rows.append([f"{a:g}", f"{fit:.4f}", f"{true_divergence(alpha):.4f}", f"{drawn:.4f}"])
book.table(["log alpha", "fit, the library", "quadrature", "draws"], rows)
print(
    f"largest difference from the integral on [-8, 8]: {np.abs(by_fit - by_quadrature).max():.4f}"
)

# %% tags=["hide-input"]
figure, (left, right) = book.new_figure(9, 3.2, ncols=2)
left.plot(at, by_quadrature, "-", label="quadrature")
left.plot(at, by_fit, "--", label="the fit")
left.axvline(svd.THRESHOLD, color="0.5", linestyle=":", label="threshold, 3")
left.set(xlabel="log alpha", ylabel="KL")
left.legend()
slope = (by_quadrature[2:] - by_quadrature[:-2]) / (at[2] - at[0])
la = Tensor(at, requires_grad=True)
svd.divergence(la).sum().backward()
right.plot(at[1:-1], slope, "-", label="quadrature")
right.plot(at, la.grad.numpy(), "--", label="the fit")
right.axvline(svd.THRESHOLD, color="0.5", linestyle=":")
right.set(xlabel="log alpha", ylabel="dKL / d log alpha")
right.legend()
book.show(figure, "The divergence and its slope against log alpha, by quadrature and by the fit")

# %% [markdown]
# *How to read it.* Left: the divergence falls all the way, so without data every weight becomes
# noise. Right: its pull is one half as long as there is little noise, somewhat more for
# $\log \alpha$ near -1.5, and fades to the right of 0: once $\alpha$ is large, little more can be
# gained. Where do the two terms meet?
#
# ### What the threshold means
#
# Take one weight. Near the minimum $\hat \theta$ of the loss, with the curvature $h$ there, all
# images together lose $\frac{1}{2} N h \, (w - \hat \theta)^2$ at $w$. Under the noise that is, in
# the mean,
#
# $$
# \tfrac{1}{2} N h \, \bigl( (\theta - \hat \theta)^2 + \alpha \, \theta^2 \bigr) + \mathrm{KL}(\alpha) .
# $$
#
# For a fixed $\alpha$ the best $\theta$ is $\hat \theta / (1 + \alpha)$ (differentiate): **noise
# shrinks the mean**. Put it in, and what is left is a function of $\alpha$ alone,
#
# $$
# N s \; \frac{\alpha}{1 + \alpha} + \mathrm{KL}(\alpha)
# \qquad \text{with} \qquad
# s = \tfrac{1}{2} h \, \hat \theta^2 .
# $$
#
# Both factors are old acquaintances. $\alpha / (1 + \alpha)$ is the dropout rate. And $s$ is the
# increase of the loss when the weight is removed, the **saliency of optimal brain damage**
# (`minisparse/prune/obd.py`). So a weight pays its dropout rate's share of what its removal would
# cost.
#
# - *Little noise.* The slope of KL in $\log \alpha$ is $- \frac{1}{2}$, so
#   $N s \, \alpha = \frac{1}{2}$, or $\log \alpha = - \log (2 N s)$, or $\sigma^2 = 1 / (N h)$:
#   the textbook's posterior variance.
# - *Much noise.* The slope of the first term is
#   $N s \, \alpha / (1 + \alpha)^2 \approx N s / \alpha$, that of the second nearly
#   $- \frac{1}{2} / \alpha$. Both fade alike, and the constants decide: if $N s < \frac{1}{2}$,
#   nothing stops $\alpha$ on its way to infinity.
#
# *What to expect.* The numerical minimum follows $- \log (2 N s)$ on the right, and goes to
# infinity as
# $N s$ comes down to $\frac{1}{2}$. The threshold, $\log \alpha = 3$, must be reached a little before that.

# %% tags=["hide-input"]
fine = np.linspace(-12, 12, 24_001)
kl = svd.divergence(Tensor(fine)).numpy()
rate = 1 / (1 + np.exp(-fine))
worth = np.exp(np.linspace(-1.5, 8, 191))  # N s
minimum = np.array([fine[np.argmin(c * rate + kl)] for c in worth])
figure, ax = book.new_figure(6.5, 3.2)
ax.plot(worth, minimum, "-", label="minimum of N s alpha / (1 + alpha) + KL(alpha)")
ax.plot(worth, -np.log(2 * worth), "--", label="-log(2 N s)")
ax.axhline(svd.THRESHOLD, color="0.5", linestyle=":", label="threshold, 3")
ax.set(
    xscale="log", xlabel="N s: what the weight's removal costs all images together", ylim=(-9, 9)
)
ax.set_ylabel("log alpha")
ax.legend()
book.show(figure, "log alpha at the minimum against the saliency times the number of images")

# %%
cut = np.exp(np.interp(svd.THRESHOLD, minimum[::-1], np.log(worth[::-1])))
print(
    f"log alpha = 3 where N s = {cut:.2f}, that is {math.sqrt(2 * cut):.2f} standard errors from 0"
)

# %% [markdown]
# So the rule in words: **a weight goes if the likelihood of all the data loses less than about
# half a nat by it** (a *nat* is the unit of natural logarithms: $\log p(D \mid w)$ falls by
# $\frac{1}{2}$). The standard error of the estimate $\hat \theta$ is $1 / \sqrt{N h}$, so
# $N s = \frac{1}{2} (\hat \theta / \text{standard error})^2$, and it goes if it is nearer to 0 than about
# one standard error. That is a generous rule: of weights that are truly useless, whose estimates
# are normal around 0, three in ten are further away by chance, and stay. (Akaike's criterion,
# which one would call generous as well, asks for a whole nat.) As a dropout rate,
# $\log \alpha = 3$ is $p = 0.953$.
#
# ### A toy, and the price of a wrong $N$
#
# The regression of [chapter 8](08_hard_concrete.py): 20 weights, of which 5 are in the truth, 100
# examples. The noise of the data is known here, 0.3, so that
# $L_n = (y_n - x_n w)^2 / (2 \cdot 0.3^2)$ is minus a log-likelihood.
#
# *What to expect.* The five stay. Of the 15 others those go whose least-squares estimate is nearer
# to 0 than the printed number of standard errors. A divergence that is $\kappa$ times too strong
# cuts at
# $\kappa$ times as many nats. (The columns of $X$ are not quite orthogonal, so the prediction will not be
# exact.)


# %%
d, samples = 20, 100
true = np.zeros(d)
true[[1, 4, 9, 13, 18]] = [2.0, -1.5, 1.0, -0.7, 0.5]
X = rng.standard_normal((samples, d))
observed = X @ true + 0.3 * rng.standard_normal(samples)


def sparse_regression(strength=1.0, steps=None):
    """Return theta and log alpha of each weight after training with strength KL / N."""
    own = np.random.default_rng(1)
    theta = nn.Parameter(0.1 * own.standard_normal(d))
    log_sigma2 = nn.Parameter(np.full(d, svd.INITIAL))
    optimizer = optim.Adam([("theta", theta), ("log_sigma2", log_sigma2)], lr=0.02)
    for step in range(steps := steps or book.quick(3000, 50)):
        mean, variance = X @ theta, X**2 @ ad.exp(log_sigma2)
        drawn = svd.pre_activation(mean, variance, own.standard_normal(samples))
        error = drawn - observed
        beta = strength * min(1, 3 * step / steps)  # warmed up
        kl = svd.divergence(svd.log_alpha(theta, log_sigma2)).sum()
        optimizer.zero_grad()
        ((error * error).mean() / (2 * 0.3**2) + kl * (beta / samples)).backward()
        optimizer.step()
    return theta.numpy(), svd.log_alpha(theta, log_sigma2).numpy()


# %% tags=["varies"]
estimate = np.linalg.lstsq(X, observed, rcond=None)[0]
errors = 0.3 * np.sqrt(np.diag(np.linalg.inv(X.T @ X)))
nats = 0.5 * (estimate / errors) ** 2  # N s of each weight
rows = []
for strength in (0.1, 1.0, 10.0, 100.0):
    found, level = sparse_regression(strength)
    kept = level < svd.THRESHOLD
    rows.append(
        [
            f"{strength:g}",
            int((kept & (true != 0)).sum()),
            int((kept & (true == 0)).sum()),
            int(((level < 1) & (true == 0)).sum()),
            int(((nats > cut * strength) & (true == 0)).sum()),
            f"{np.abs(found - true)[true != 0].mean():.3f}",
            f"{level[1]:.1f}",
            f"{-math.log(2 * nats[1] / strength):.1f}",
        ]
    )
book.table(
    [
        "KL times",
        "needed ones kept (of 5)",
        "others kept (of 15)",
        "of these, log alpha < 1",
        "predicted to stay",
        "mean error of the needed",
        "log alpha of the largest",
        "-log(2 N s / times)",
    ],
    rows,
)

# %% [markdown]
# *How to read it.* The needed weights are worth a hundred nats and more each, and stay at every
# strength, with the $\log \alpha$ of the last column. How many of the useless ones stay with them
# is decided by the strength. More are on the near side of the threshold than predicted; but few of
# these have
# $\log \alpha < 1$. The others linger around 3: out there both slopes have faded, and what moves $\alpha$
# is little more than the noise of the gradient. So the rule has two sides. There is no knob, if
# $N$ and the noise of the data are what one says they are. If one of them is wrong by a factor,
# the cut is wrong by that factor; and a training that stops early stops in the middle of the
# crowd.
#
# ### The check of the gradients

# %% tags=["varies"]
thetas, log_variances = rng.standard_normal((4, 3)), rng.normal(-2, 2, (4, 3))
held = rng.standard_normal((4, 3))
book.checks(
    {
        "KL": gradcheck(lambda t, s: svd.divergence(svd.log_alpha(t, s)), thetas, log_variances),
        "pre-activation": gradcheck(
            lambda m, v: svd.pre_activation(m, v, held), thetas, np.exp(log_variances)
        ),
    }
)

# %% [markdown]
# ## 12.5 Single weights in a network
#
# Now LeNet-300-100, on 8,000 images: two ordinary epochs, then ten with the noise, the divergence
# warmed up in the first three, a learning rate that falls in the last four.
#
# *What to expect.* Few weights go at first, since noise has to grow from $\log \sigma^2 = -8$;
# then most of them within a few epochs. If the threshold 3 is no setting, other thresholds should
# leave about as many weights. The control is the same noise without the divergence: it should
# remove nothing, as nothing wants noise.

# %%
LAYERS = ["fc1", "fc2", "fc3"]


def with_noise(strength, epochs, warm_up=3.0, ordinary=2, lr=3e-3):
    """Train LeNet-300-100 with sparse variational dropout; return it and its history."""
    own = np.random.default_rng(2)
    model = nn.LeNet300(rng=own)
    settings = {"rng": own, "progress": False}
    if ordinary:
        train(model, training, optim.Adam(model, lr), epochs=book.quick(ordinary, 1), **settings)
    svd.add_variances(model, LAYERS, own)
    method = svd.SparseVariationalDropout(len(training), warm_up, strength)
    run = train(
        model,
        training,
        optim.Adam(model, lr),
        epochs=book.quick(epochs, 1),
        methods=[method],
        schedule=schedules.geometric(epochs - 4, epochs, 0.05),
        **settings,
    )
    return model, run.history


def levels(model):
    """Return log alpha of all weights, in one array."""
    with no_grad():
        parts = [
            svd.log_alpha(layer.weight, layer.parametrization.log_sigma2).numpy().ravel()
            for layer in (model.fc1, model.fc2, model.fc3)
        ]
    return np.concatenate(parts)


model, history = with_noise(1.0, 10)
silent, _ = with_noise(0.0, 5)

# %% tags=["varies"]
rows = []
for name, trained in (("with KL", model), ("noise, no KL", silent)):
    level = levels(trained)
    plain, kept = nn.harden(trained)
    left = sum(int(k.sum()) for k in kept.values())
    rows.append(
        [
            name,
            f"{level.size / left:.1f}x",
            f"{evaluate(plain, validation).error_percent:.2f}",
            f"{np.median(level):.1f}",
            *(f"{(level < cut_at).sum():,}" for cut_at in (1, 3, 5)),
        ]
    )
book.table(
    [
        "",
        "compression",
        "validation error, %",
        "median log alpha",
        "log alpha < 1",
        "< 3",
        "< 5",
    ],
    rows,
)

# %% tags=["hide-input"]
figure, (left, middle, right) = book.new_figure(10.5, 3.2, ncols=3)
counts = [line["weights_left"] for line in history]
left.plot(np.arange(1, len(counts) + 1), counts, "o-", markersize=4)
left.set(xlabel="epoch with noise", ylabel="weights left", yscale="log")
for name, trained, style in (("with KL", model, "-"), ("no KL", silent, "--")):
    level = np.clip(levels(trained), -12, 20)
    middle.hist(level, bins=np.linspace(-12, 20, 97), histtype="step", label=name, linestyle=style)
middle.axvline(svd.THRESHOLD, color="#D55E00", linestyle=":")
middle.set(xlabel="log alpha", ylabel="weights", yscale="log")
middle.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.72, 0.4))
some = np.random.default_rng(3).permutation(235_200)[:4000]
size = np.abs(model.fc1.weight.numpy().ravel()[some])
right.plot(size, levels(model)[:235_200][some], ".", markersize=2)
right.axhline(svd.THRESHOLD, color="#D55E00", linestyle=":")
right.set(xlabel="magnitude of theta, fc1", ylabel="log alpha", xscale="log", xlim=(1e-5, 1))
book.show(
    figure, "Weights left by epoch; histograms of log alpha; log alpha against magnitude in fc1"
)

# %% [markdown]
# *How to read it.* Left: the weights with $\log \alpha < 3$ after each epoch. Middle: all weights'
# $\log \alpha$, on a logarithmic axis, with the divergence and without. Right: 4,000 weights of the first
# layer; what is above the line is removed. Without the divergence the noise hardly grows, and
# **next to nothing is pruned** (what is, was so before the first step; see section 12.15): the
# noise alone is not the method. The divergence sends most weights far to the right (all beyond 20
# are in the last bin). Two groups there are; but the valley between them lies near
# $\log \alpha = 0$, and at 3 the slope of the large group has begun. From a threshold of 1 to one
# of 5 the number of weights that are left changes sixfold: after so short a training 3 *is* a
# setting.
#
# In the picture on the right a small weight is a noisy weight, nearly without exceptions. So would
# magnitude, at the end of this training, have chosen the same ones?

# %% tags=["varies"]
level, theta = (
    levels(model),
    np.concatenate(
        [p.numpy().ravel() for p in (model.fc1.weight, model.fc2.weight, model.fc3.weight)]
    ),
)
kept = level < svd.THRESHOLD
largest = np.zeros(theta.size, bool)
largest[np.argsort(-np.abs(theta))[: kept.sum()]] = True
print(
    f"of the {kept.sum():,} weights that are kept, magnitude keeps {(kept & largest).sum() / kept.sum():.1%}"
)

# %% [markdown]
# So at the end $\alpha$ and magnitude say nearly the same. What the method does, it does *before*:
# the divergence makes the weights small that the data do not hold. That is what a penalty does as
# well ([chapter 6](06_penalties.py)), and section 12.12 asks which of them does it better.
#
# ## 12.6 From weights to units
#
# A sparse matrix saves memory; a smaller one saves time as well. So let a factor $z_g$ multiply a
# whole unit. The library puts it on the *inputs* of a linear layer (a pixel, or a hidden unit
# behind its relu) and on the filters of a convolution, and draws it for each image:

# %% tags=["remove-input"]
book.show_source(group_noise.GroupNoise.apply, group_noise.GroupNoise.forward, docstring=False)

# %% [markdown]
# The methods of the next sections differ in the law of $z$ and in its prior (and the next one but
# one has a law for the weights as well). The first has the law and the prior that we know,
# **structured sparse variational dropout**: $z_g \sim N(1, \alpha_g)$ and the divergence of
# section 12.4. The mean may be 1, because the divergence does not see the size of a factor, and
# the weights behind it can have any.

# %% tags=["remove-input"]
book.show_source(structured_variational_dropout.gaussian_factor, docstring=False)

# %% [markdown]
# The rule of section 12.4 now says: a unit goes if *it as a whole* is worth less than about half a
# nat. A unit with 300 weights behind it, of which each is worth a hundredth of a nat, stays, where
# each of its weights alone would go. So expect networks with noise on units to keep far more
# weights.
#
# ## 12.7 Bayesian compression: a hierarchy
#
# Louizos, Ullrich and Welling (2017) put a law on both, weights *and* the scale of their group:
#
# $$
# z_g \sim p(z) ,
# \qquad
# w_{ij} \mid z_g \sim N(0, z_g^2) .
# $$
#
# If the scale is 0, all weights of the group are. The posterior has the same form,
# $q(w_{ij} \mid z_g) = N(z_g \, \mu_{ij}, \; z_g^2 \, \sigma_{ij}^2)$, and in the divergence of the weights
# the scale cancels: for $u = w / z$ both laws are normal, $N(\mu, \sigma^2)$ and $N(0, 1)$, and
#
# $$
# \mathrm{KL} \bigl( N(\mu, \sigma^2) \, \Vert \, N(0, 1) \bigr)
# = \tfrac{1}{2} \bigl( \sigma^2 + \mu^2 - \log \sigma^2 - 1 \bigr) .
# $$

# %% tags=["remove-input"]
book.show_source(bayesian_compression.weight_divergence)

# %% [markdown]
# With $q(z) = N(\mu_z, \sigma_z^2)$, independent of $u$, mean and variance of a weight are those of a
# product:
#
# $$
# \mathbb{E} \, w = \mu_z \mu ,
# \qquad
# \mathrm{Var} \, w = \mu_z^2 \sigma^2 + \sigma_z^2 \mu^2 + \sigma_z^2 \sigma^2 .
# $$
#
# The paper has two priors for $z$.
#
# - **Group normal-Jeffreys, BC-GNJ**: $p(z) \propto 1 / \lvert z \rvert$. It is the log-uniform
#   prior again, so the divergence is that of section 12.4 with $\alpha_g = \sigma_z^2 / \mu_z^2$,
#   and improper as there.
# - **Group horseshoe, BC-GHS**: $z = z' s$, where $z'$ and the global scale $s$ of a layer are
#   half-Cauchy (density $2 / (\pi \tau (1 + x^2 / \tau^2))$ for $x > 0$, with $\tau = 1$ for $z'$
#   and a small $\tau_0$ for $s$). This prior has an integral. A half-Cauchy number is the root of
#   a product of a Gamma and an inverse Gamma number (checked below), hence four factors,
#
# $$
# z_g = \sqrt{s_a \, s_b \, a_g \, b_g} ,
# \qquad
# s_a \sim \Gamma \bigl( \tfrac{1}{2}, \tau_0^2 \bigr) , \quad
# a_g \sim \Gamma \bigl( \tfrac{1}{2}, 1 \bigr) , \quad
# s_b, b_g \sim \Gamma^{-1} \bigl( \tfrac{1}{2}, 1 \bigr) .
# $$
#
# All of $q$ is log-normal, $\log x \sim N(m, v)$, and the divergences have closed forms. For
# $\Gamma(\frac{1}{2}, c)$, whose density is $x^{-1/2} e^{-x / c} / \sqrt{\pi c}$, we need
# $\mathbb{E} \log q = - m - \frac{1}{2} \log (2 \pi e v)$ and $\mathbb{E} x = e^{m + v / 2}$:
#
# $$
# \begin{aligned}
# \mathrm{KL}
# &= - m - \tfrac{1}{2} \log (2 \pi e \, v) + \tfrac{1}{2} m + \tfrac{1}{c} e^{m + v / 2} + \tfrac{1}{2} \log (\pi c) \\
# &= \tfrac{1}{c} e^{m + v / 2} - \tfrac{1}{2} \bigl( m - \log c + \log v + 1 + \log 2 \bigr) .
# \end{aligned}
# $$
#
# If $x$ is inverse Gamma, $1 / x$ is Gamma, and $- \log x \sim N(-m, v)$: the same with $-m$.

# %% tags=["remove-input"]
book.show_source(
    bayesian_compression.gamma_divergence,
    bayesian_compression.inverse_gamma_divergence,
    bayesian_compression._log_normal_divergence,
    docstring=False,
)

# %% [markdown]
# The logarithm of $z_g$ is half the sum of four normal numbers: mean $\frac{1}{2} \sum m$, variance
# $\frac{1}{4} \sum v$. A group goes when the *mode* of its scale is small; the mode of a log-normal number
# is $e^{m - v}$, so the library compares $- \log \mathrm{mode} = v - m$ with a threshold.
#
# *What to expect.* All three closed forms against integrals over a grid, and the moments against
# draws.


# %%
def integral_of_kl(log_q, log_p, points):
    """Return the integral of q log(q / p) over a grid."""
    q = np.exp(log_q)
    return np.trapezoid(q * (log_q - log_p), points)


def log_normal_pdf(points, m, v):
    return -0.5 * (points - m) ** 2 / v - 0.5 * math.log(2 * math.pi * v)


rows = []
for m, log_v, c in ((0.0, -2.0, 1.0), (1.5, 0.3, 1e-2), (-3.0, 1.0, 1e-10)):
    v = math.exp(log_v)
    # over log x, where the density of a Gamma number gets the factor x
    points = np.linspace(m - 14 * math.sqrt(v), m + 14 * math.sqrt(v), 400_001)
    log_q = log_normal_pdf(points, m, v)
    gamma = 0.5 * (points - math.log(c)) - np.exp(points) / c - 0.5 * math.log(math.pi)
    inverse = -0.5 * points - np.exp(-points) - 0.5 * math.log(math.pi)
    law = Tensor(m), Tensor(log_v)
    for name, closed, log_p in (
        (f"Gamma, scale {c:g}", bayesian_compression.gamma_divergence(*law, c), gamma),
        ("inverse Gamma", bayesian_compression.inverse_gamma_divergence(*law), inverse),
    ):
        by_sum = integral_of_kl(log_q, log_p, points)
        rows.append([name, f"{m:g}", f"{v:.3f}", f"{closed.item():.6g}", f"{by_sum:.6g}"])
mu, s2 = 0.7, 0.2
points = np.linspace(mu - 12, mu + 12, 400_001)
closed = bayesian_compression.weight_divergence(Tensor(mu), Tensor(math.log(s2))).item()
by_sum = integral_of_kl(log_normal_pdf(points, mu, s2), log_normal_pdf(points, 0, 1), points)
rows.append(["weight", f"{mu:g}", f"{s2:.3f}", f"{closed:.6g}", f"{by_sum:.6g}"])
book.table(["divergence", "m", "v", "closed form", "quadrature"], rows)

# %% tags=["varies"]
count = book.quick(400_000, 1000)
z = 1.2 + 0.5 * draw(count)
w = z * (mu + math.sqrt(s2) * draw(count))
m, v = np.array([-1.0, 0.5, 0.2, -0.3]), np.array([0.3, 0.2, 0.4, 0.1])
scale = np.exp(0.5 * (m + np.sqrt(v) * draw((count, 4))).sum(axis=1))
cauchy = np.sqrt(rng.gamma(0.5, 1.0, count) / rng.gamma(0.5, 1.0, count))
book.table(
    ["", "closed form", "draws"],
    [
        ["E w", f"{1.2 * mu:.3f}", f"{w.mean():.3f}"],
        ["Var w", f"{1.44 * s2 + 0.25 * mu**2 + 0.25 * s2:.3f}", f"{w.var():.3f}"],
        [
            "P(half-Cauchy < 2), root of the product",
            f"{2 / math.pi * math.atan(2):.3f}",
            f"{(cauchy < 2).mean():.3f}",
        ],
        ["mean of log z, horseshoe", f"{m.sum() / 2:.3f}", f"{np.log(scale).mean():.3f}"],
        ["variance of log z", f"{v.sum() / 4:.3f}", f"{np.log(scale).var():.3f}"],
    ],
)

# %% [markdown]
# $\Gamma(\frac{1}{2}, c)$ has a **scale** here: its mean is $c / 2$. Of one reimplementation of the
# horseshoe the parameter is called *rate* and used as a scale; take the name at its word and
# $\tau_0 = 10^{-5}$ becomes $10^{5}$, a prior that wants large scales.
#
# Bayesian compression ends with something that no other method here has: the variances say how
# many **bits** a weight is worth. That is a matter of storage, and
# [chapter 14](14_sparse_to_fast.py) is about storage.
#
# ## 12.8 Structured Bayesian pruning: positive noise, and a prior that exists
#
# Neklyudov, Molchanov, Ashukha and Vetrov (2017) object to section 12.6 in two points. A prior
# without an integral makes the bound meaningless ($\log p(D)$ is then anything), and a factor that
# can be negative turns a unit's sign. So cut the log-uniform prior at both ends, $\log \theta$
# uniform on
# $[a, b] = [-20, 0]$, and for $q$ take a normal law of $\log \theta$, cut to the same interval. With
# $\alpha = (a - \mu) / s$, $\beta = (b - \mu) / s$ (these are no noise ratios), the normal density
# $\varphi$ and its integral $\Phi$, and $Z = \Phi(\beta) - \Phi(\alpha)$ the mass that is left of it,
#
# $$
# q(\log \theta) = \frac{1}{s Z} \, \varphi \Bigl( \frac{\log \theta - \mu}{s} \Bigr) .
# $$
#
# The divergence is that of $\log \theta$ from a uniform law, $\log (b - a) + \mathbb{E} \log q$. With
# $t = (\log \theta - \mu) / s$,
#
# $$
# \mathbb{E} \log q = - \log s - \log Z - \tfrac{1}{2} \log (2 \pi) - \tfrac{1}{2} \mathbb{E} \, t^2 ,
# \qquad
# \mathbb{E} \, t^2 = 1 + \frac{\alpha \varphi(\alpha) - \beta \varphi(\beta)}{Z} ,
# $$
#
# (integrate $t \cdot t \varphi$ by parts, with $\varphi' = - t \varphi$), so that
#
# $$
# \mathrm{KL} = - \log s - \log Z - \frac{\alpha \varphi(\alpha) - \beta \varphi(\beta)}{2 Z}
# + \log (b - a) - \tfrac{1}{2} \log (2 \pi e) .
# $$
#
# The moments come from completing the square,
# $e^{k (\mu + s t)} \varphi(t) = e^{k \mu + k^2 s^2 / 2} \, \varphi(t - k s)$:
#
# $$
# \mathbb{E} \, \theta^k = e^{k \mu + k^2 s^2 / 2} \; \frac{\Phi(\beta - k s) - \Phi(\alpha - k s)}{Z} .
# $$
#
# A unit stays while its signal-to-noise ratio
# $\mathrm{SNR} = \mathbb{E} \theta / \mathrm{sd}(\theta)$ is larger than 1.

# %% tags=["remove-input"]
book.show_source(
    truncated_log_normal.divergence,
    truncated_log_normal.moment,
    truncated_log_normal.signal_to_noise,
    docstring=False,
)

# %% [markdown]
# The unit's factor is drawn from this law in training; in evaluation it is its mean, or 0:

# %% tags=["remove-input"]
book.show_source(
    structured_bayesian.LogNormalNoise.draw,
    structured_bayesian.LogNormalNoise.mean,
    structured_bayesian.LogNormalNoise.open,
)

# %% [markdown]
# The draw inverts the integral, $\Phi(t) = \Phi(\alpha) + u Z$ with a uniform $u$, and its
# gradient needs no formula for $\Phi^{-1}$: differentiate the equation, and solve for $dt$.

# %% tags=["remove-input"]
book.show_source(
    truncated_log_normal.sample, truncated_log_normal.TruncatedNormal.backward, docstring=False
)

# %% [markdown]
# *What to expect.* KL and the moments against quadrature; for $s \to \infty$ the law becomes the
# prior, so KL goes to 0 and the SNR to that of the log-uniform law, $1/3$. (From
# $\mathbb{E} \theta = 1/20$ and
# $\mathbb{E} \theta^2 = 1/40$.) Far from both ends the law is log-normal, and
# $\mathrm{SNR} = 1 / \sqrt{e^{s^2} - 1}$, which is 1 at $s = \sqrt{\log 2} = 0.8326$.

# %%
points = np.linspace(truncated_log_normal.A, truncated_log_normal.B, 400_001)
rows = []
for mu, s in ((0.0, math.exp(-5)), (-0.1, 0.3), (-10.0, 0.8326), (-3.0, 4.0), (-10.0, 100.0)):
    log_q = -0.5 * ((points - mu) / s) ** 2
    log_q -= np.log(np.trapezoid(np.exp(log_q), points))
    q = np.exp(log_q)
    kl = np.trapezoid(q * (log_q + math.log(20)), points)
    first, second = (np.trapezoid(q * np.exp(k * points), points) for k in (1, 2))
    arrays = np.array([mu]), np.log(np.array([s]))
    closed = truncated_log_normal.divergence(*map(Tensor, arrays)).numpy()[0]
    rows.append(
        [
            f"{mu:g}",
            f"{s:.3g}",
            f"{closed:.4f}",
            f"{kl:.4f}",
            f"{truncated_log_normal.signal_to_noise(*arrays)[0]:.3f}",
            f"{first / math.sqrt(second - first**2):.3f}",
        ]
    )
book.table(["mu", "s", "KL", "quadrature", "SNR", "quadrature"], rows)

# %% tags=["varies"]
u = rng.random((5, 3))
mus, log_s = rng.uniform(-8, -1, 3), rng.normal(0, 0.7, 3)
book.checks(
    {
        "weight divergence": gradcheck(
            bayesian_compression.weight_divergence, thetas, log_variances
        ),
        "Gamma divergence": gradcheck(
            lambda m, v: bayesian_compression.gamma_divergence(m, v, 0.1), thetas, 0.3 * held
        ),
        "inverse Gamma": gradcheck(
            bayesian_compression.inverse_gamma_divergence, thetas, 0.3 * held
        ),
        "truncated log-normal, KL": gradcheck(truncated_log_normal.divergence, mus, log_s),
        "its draw": gradcheck(lambda m, v: truncated_log_normal.sample(m, v, u), mus, log_s),
    }
)

# %% [markdown]
# And the draws have the law that the formulas speak of:

# %% tags=["varies"]
law = np.full(1, -1.5), np.zeros(1)
theta = truncated_log_normal.sample(
    *map(Tensor, law), rng.random((book.quick(400_000, 1000), 1))
).numpy()
book.table(
    ["mu = -1.5, s = 1", "closed form", "draws"],
    [
        ["E theta", f"{truncated_log_normal.moment(1, *law)[0]:.4f}", f"{theta.mean():.4f}"],
        [
            "SNR",
            f"{truncated_log_normal.signal_to_noise(*law)[0]:.3f}",
            f"{theta.mean() / theta.std():.3f}",
        ],
    ],
)

# %% [markdown]
# ## 12.9 VIBNet: a bottleneck
#
# Dai, Zhu, Guo and Wipf (2018) come from another side. Let noise stand between a layer and the
# next one: behind a unit with the output $f(x)$ comes $h = (\mu + \varepsilon \sigma) \, f(x)$.
# How much can $h$ tell of
# $x$? An upper bound on this information is the mean, over $x$, of the divergence of the law of $h$ given
# $x$ from any law that does not depend on $x$. Given $x$, $h$ is normal with mean $\mu f$ and variance
# $\sigma^2 f^2$. Take a normal law with mean 0 and variance $\xi$ for the other one. The mean over $x$ is
#
# $$
# \mathbb{E}_x \, \mathrm{KL} \bigl( N(\mu f, \sigma^2 f^2) \, \Vert \, N(0, \xi) \bigr)
# = \tfrac{1}{2} \Bigl( \frac{(\mu^2 + \sigma^2) \, \mathbb{E} f^2}{\xi} - 1 + \log \xi - \log \sigma^2 - \mathbb{E} \log f^2 \Bigr) .
# $$
#
# $\xi$ is free, so take the best one. The derivative is zero at $\xi = (\mu^2 + \sigma^2) \, \mathbb{E} f^2$, and
# there
#
# $$
# \min_\xi \mathbb{E}_x \, \mathrm{KL}
# = \tfrac{1}{2} \log \Bigl( 1 + \frac{\mu^2}{\sigma^2} \Bigr)
# + \tfrac{1}{2} \bigl( \log \mathbb{E} f^2 - \mathbb{E} \log f^2 \bigr) .
# $$
#
# The first part is the price of the noise. The second knows nothing of $\mu$ and $\sigma$, and is
# left out (so it is in the paper, as recalled; where a relu is off, $f = 0$, it would be
# infinite). What stays has a short form: it is the divergence of the factor
# $\mu + \varepsilon \sigma$ alone from $N(0, v)$ with the best
# $v$, which is $\mu^2 + \sigma^2$ (the same two lines with $f = 1$).


# %% tags=["remove-input"]
book.show_source(vibnet.information, docstring=False)

# %% [markdown]
# It is the capacity of a channel with that signal-to-noise ratio. It is also the second half of
# section
# 12.4's fit: with $\alpha = \sigma^2 / \mu^2$ the two differ by the term $k_1 (1 - \sigma(\dots))$ alone,
# at most 0.636.
#
# **The threshold.** The paper's text, as recalled, prunes where $\alpha = \mu^2 / \sigma^2$ is
# small. The authors' code has `log_alpha` $= \log \sigma^2 - \log \mu^2$, the *inverse*, and keeps
# a unit while it is below 0. So a unit stays while $\mu^2 / \sigma^2 > 1$: while the channel
# carries more than
# $\frac{1}{2} \log 2$, half a bit.
#
# *What to expect.* The minimum of the factor's divergence over a grid of $v$ must agree with the
# closed form, and be at
# $\mu^2 + \sigma^2$.

# %%
rows = []
v = np.exp(np.linspace(-6, 4, 100_001))
for mu, s2 in ((1.0, 0.01), (0.5, 0.25), (0.1, 2.0)):
    kl = 0.5 * ((mu**2 + s2) / v - 1 + np.log(v) - math.log(s2))
    ratio = svd.log_alpha(Tensor(mu), Tensor(math.log(s2)))
    closed = vibnet.information(ratio).item()
    kept = "kept" if ratio.item() < 0 else "removed" if ratio.item() > 1e-9 else "at the threshold"
    rows.append(
        [
            f"{mu:g}",
            f"{s2:g}",
            f"{closed:.4f}",
            f"{kl.min():.4f}",
            f"{v[kl.argmin()]:.3f}",
            f"{mu**2 + s2:.3f}",
            kept,
        ]
    )
book.table(["mu", "sigma^2", "information", "least KL", "at v", "mu^2 + sigma^2", "unit"], rows)

# %% [markdown]
# ### Three divergences beside each other
#
# *What to expect.* Against the ratio of noise to signal all of them fall, with a slope of one half
# on the left, where noise is cheap to add: there the prior does not matter, and all posteriors are
# the textbook's. They differ in where they flatten out.

# %% tags=["hide-input"]
ratio = np.linspace(-8, 8, 161)
figure, ax = book.new_figure(6.5, 3.4)
ax.plot(ratio, svd.divergence(Tensor(ratio)).numpy(), "-", label="log-uniform (SparseVD, BC-GNJ)")
ax.plot(ratio, vibnet.information(Tensor(ratio)).numpy(), "--", label="VIBNet")
logs = np.linspace(-4.5, 4.5, 181)
middle = np.full(logs.shape, -10.0)
snr = truncated_log_normal.signal_to_noise(middle, logs)
kl = truncated_log_normal.divergence(Tensor(middle), Tensor(logs)).numpy()
ax.plot(-2 * np.log(snr), kl, "-.", label="SBP at mu = -10")
for at_ratio, name in ((3, "3: SparseVD"), (0, "0: VIBNet, SBP"), (-3, "-3: BC-GNJ")):
    ax.axvline(at_ratio, color="0.6", linestyle=":", linewidth=1)
    ax.annotate(name, (at_ratio + 0.1, 6.2), fontsize=8)
ax.set(
    xlabel="log of noise / signal (variance / squared mean)",
    ylabel="KL",
    ylim=(-0.2, 7),
    xlim=(-8, 8),
)
ax.legend(loc="upper right", bbox_to_anchor=(1, 0.85), fontsize=8)
book.show(
    figure, "Divergences of three methods against the ratio of noise to signal, with thresholds"
)

# %% [markdown]
# *How to read it.* Dotted: where each method cuts, on the same axis. The cuts lie six units apart,
# a factor of 400 in variance: a threshold that fits one of these methods means nothing for
# another. The curve of SBP turns back: the end of its way is the prior, whose noise is only nine
# times its signal ($\mathrm{SNR} = 1/3$), and before that the law passes through noisier ones.
# (Its height on the left depends on $b - a$, and has no meaning for the slope.)

# %% [markdown]
# ## 12.10 Coins instead of bells
#
# The most direct law of a unit is a coin: there with probability $p$, gone otherwise.
# [Chapter 8](08_hard_concrete.py) said what is wrong with it, no gradient passes through a coin
# that has fallen, and made the coin continuous. There are two other ways out.
#
# **Straight through.** Draw $z = 1$ if $u < p$ and else 0; in the backward pass pretend that $z$
# was $p$:

# %% tags=["remove-input"]
book.show_source(bernoulli_gates.draw_gates, bernoulli_gates.Drawn.backward)

# %% [markdown]
# Two methods are built on it. **Generalized dropout** (Srinivas and Babu 2016) learns a
# keep-probability for each unit, with a Beta prior $p^{a - 1} (1 - p)^{b - 1}$. Minus its
# logarithm is added to the loss, divided by $N$. For $a = b = 1$ there is no prior (*Dropout++*);
# for $a, b < 1$ the prior is U-shaped, and a unit stays for good or goes. **Sparse gates**
# (Srinivas, Subramanya and Babu 2017) have one coin for each weight, and the penalty
# $\lambda_1 \sum p (1 - p) + \lambda_2 \sum p$: the first term wants decisions, the second zeros.
# (The formulas of both are as recalled; not checked against the PDFs.)

# %% tags=["remove-input"]
book.show_source(bernoulli_gates.beta_penalty, bernoulli_gates.bimodal_penalty)

# %% [markdown]
# When is straight-through right? The expected loss of one gate is $p f(1) + (1 - p) f(0)$, with
# the derivative $f(1) - f(0)$; the estimator has the mean $p f'(1) + (1 - p) f'(0)$. If $f$ is
# linear, they are the same. If not, they may not even have the same sign.
#
# *What to expect.* With $f(z) = (z - 0.3)^2$, $f(1) - f(0) = 0.4$ for all $p$. The estimator gives
# $2 (p - 0.3)$: a gate with a small $p$ is pushed the wrong way.

# %% tags=["varies"]
rows = []
for p in (0.1, 0.3, 0.5, 0.9):
    gate = Tensor(np.full(1, p), requires_grad=True)
    z = bernoulli_gates.draw_gates(gate, rng.random(book.quick(100_000, 500)))
    ((z - 0.3) * (z - 0.3)).mean().backward()
    straight = gate.grad.item()
    gate = Tensor(np.full(1, p), requires_grad=True)
    z = bernoulli_gates.draw_gates(gate, rng.random(book.quick(100_000, 500)))
    (0.4 * z).mean().backward()
    rows.append([f"{p:g}", "0.400", f"{straight:.3f}", f"{gate.grad.item():.3f}"])
book.table(["p", "derivative of the expectation", "straight-through, squared", "linear f"], rows)

# %% [markdown]
# **ARM.** The second way is unbiased for any $f$. *L0-ARM* (Li and Ji 2019) uses the estimator of
# Yin and Zhou (2019), *augment, REINFORCE, merge*. With $p = \sigma(\varphi)$ and one
# $u \sim U(0, 1)$ for each gate, make **two** samples, and evaluate $f$ at both:
#
# $$
# \frac{\partial}{\partial \varphi} \, \mathbb{E} f(z)
# = \mathbb{E}_u \Bigl[ \bigl( f(1[u > \sigma(-\varphi)]) - f(1[u < \sigma(\varphi)]) \bigr) \bigl( u - \tfrac{1}{2} \bigr) \Bigr] .
# $$
#
# Why? Take one gate, and $p \le \frac{1}{2}$. The first sample is 1 for $u > 1 - p$, the second for
# $u < p$; in between both are 0 and nothing is contributed. So
#
# $$
# \begin{aligned}
# \mathbb{E}_u [\dots]
# &= \bigl( f(1) - f(0) \bigr) \Bigl[ \int_{1 - p}^{1} \bigl( u - \tfrac{1}{2} \bigr) du - \int_{0}^{p} \bigl( u - \tfrac{1}{2} \bigr) du \Bigr] \\
# &= \bigl( f(1) - f(0) \bigr) \cdot 2 \cdot \tfrac{1}{2} \Bigl[ \tfrac{1}{4} - \bigl( \tfrac{1}{2} - p \bigr)^2 \Bigr]
#  = p (1 - p) \, \bigl( f(1) - f(0) \bigr) ,
# \end{aligned}
# $$
#
# which is $\partial p / \partial \varphi$ times $f(1) - f(0)$: exactly right. With many gates the
# same two values of $f$ serve all of them, each with its own $u$. $f$ is the whole network, so **a
# step has a second forward pass**, without a backward one.

# %% tags=["remove-input"]
book.show_source(l0_arm.two_samples, l0_arm.arm_gradient, docstring=False)

# %% tags=["remove-input"]
book.show_source(l0_arm.L0ARM.before_loss, docstring=False)

# %% [markdown]
# (`zero` is a tensor whose value is 0 and whose gradient for $\varphi$ is 1: that is how a
# gradient that is no derivative of anything gets into a loss.)
#
# *What to expect.* By quadrature over $u$ the identity holds for one gate; for two gates, with a
# function that mixes them, the mean of many draws meets the sum over the four outcomes.

# %% tags=["varies"]


def arm(f, phi, u):
    """Return ARM's estimate for each draw; u [n, gates], f maps [n, gates] to [n]."""
    p = 1 / (1 + np.exp(-phi))
    first, second = l0_arm.two_samples(np.broadcast_to(p, u.shape), u)
    return l0_arm.arm_gradient(f(first)[:, None], f(second)[:, None], u)


middles = ((np.arange(200_000) + 0.5) / 200_000)[:, None]
rows = []
for phi in (-2.0, 0.0, 1.5):
    p = 1 / (1 + math.exp(-phi))
    found = arm(lambda z: np.exp(z[:, 0]), np.array([phi]), middles).mean()
    rows.append(["one, f = e^z", f"{phi:g}", f"{p * (1 - p) * (math.e - 1):.5f}", f"{found:.5f}"])
phi = np.array([-1.0, 0.5])
p = 1 / (1 + np.exp(-phi))


def mixed(z):
    return (z[:, 0] - 2 * z[:, 1] + 0.4) ** 2


# d/dphi_1 of the sum over the other gate's outcomes
exact = (
    p[0]
    * (1 - p[0])
    * sum(
        q * (mixed(np.array([[1.0, b]])) - mixed(np.array([[0.0, b]])))[0]
        for b, q in ((1, p[1]), (0, 1 - p[1]))
    )
)
found = arm(mixed, phi, rng.random((book.quick(400_000, 1000), 2)))[:, 0].mean()
rows.append(["two, the first's", "-1", f"{exact:.3f}", f"{found:.3f}"])
book.table(["gates", "phi", "exact", "ARM"], rows)

# %% [markdown]
# And its noise? We repeat the table of [section 8.2](08_hard_concrete.py),
# $L = (\frac{1}{d} \sum_j z_j - 0.3)^2$, with a column for ARM, for two values of $p$, and with a constant
# added to the loss: of a cross-entropy much is constant. In chapter 8's language REINFORCE is the
# score function, and the hard concrete gates are continuous.
#
# *What to expect.* ARM should beat REINFORCE, since of two opposite samples the common part of the
# loss cancels, as with a baseline. But it still uses nothing but the *value* of the loss, so its
# ratio must grow with $d$ as well, and that of the continuous gates must not.

# %% tags=["varies"]
rows = []
n = book.quick(20_000, 500)
for p, constant in ((0.5, 0.0), (0.9, 0.0), (0.9, 1.0)):
    for d in (1, 10, 100):

        def loss(z, constant=constant):
            return (z.mean(axis=1) - 0.3) ** 2 + constant

        phi = np.full(d, math.log(p / (1 - p)))
        u = rng.random((n, d))
        coins = (u < p).astype(float)
        score = loss(coins) * (coins[:, 0] - p)
        baseline = (loss(coins) - loss(coins).mean()) * (coins[:, 0] - p)
        own = arm(loss, phi, u)[:, 0]
        log_alpha = np.full((n, d), phi[0])
        z = hard_concrete.sample(log_alpha, u)
        path = 2 * (z.mean(axis=1) - 0.3) / d * hard_concrete.sample_derivative(phi[:1], u[:, 0])
        once = (1 + 2 * (d - 1) * p) / d**2 - 0.6 / d  # f(1) - f(0), others in expectation
        exact = p * (1 - p) * once
        rows.append(
            [
                f"{p:g}",
                f"{constant:g}",
                d,
                f"{exact:.5f}",
                f"{own.mean():.5f} ± {own.std() / math.sqrt(n):.5f}",
                *(f"{g.std() / abs(exact):.1f}" for g in (score, baseline, own)),
                f"{path.std() / abs(path.mean()):.1f}",
            ]
        )
book.table(
    [
        "p",
        "constant",
        "gates",
        "exact",
        "ARM's mean",
        "REINFORCE",
        "with a baseline",
        "ARM",
        "hard concrete",
    ],
    rows,
)

# %% [markdown]
# *How to read it.* The last four columns are noise over signal, as in chapter 8. ARM's mean agrees
# with the exact value, within two standard errors or so. From ten gates on it is quieter than
# REINFORCE, by a quarter in the least case and many times where the loss has a constant, which
# does not touch it; and somewhat noisier than REINFORCE with the mean loss as a baseline. But it
# is no law: for a single gate at
# $p = 0.9$ without the constant REINFORCE is the quieter one. And at 100 gates ARM, and REINFORCE with a
# baseline, are about ten times as noisy as the continuous gates, and REINFORCE without one thirty
# times and more. A network has a thousand gates; what this means for a short training is seen in
# section 12.12.
#
# ## 12.11 A prior with spikes
#
# The log-uniform prior has one pole, at 0. **Variational network quantization** (Achterhold,
# Köhler, Schmeink and Genewein 2018) puts one at each value of a code book, $-a$, 0 and $a$. A
# weight with much noise around $a$ is worth no more than "$a$", and two bits will do. A mixture of
# such laws has no closed form, so windows $\Omega$ of width $\tau$ say which pole a weight is
# near:
#
# $$
# \mathrm{KL} = \sum_{c = \pm a} \Omega(\theta - c) \, F(\theta - c, \sigma)
# + \Bigl( 1 - \sum_{c = \pm a} \Omega(\theta - c) \Bigr) F(\theta, \sigma) ,
# \qquad
# \Omega(x) = e^{- x^2 / (2 \tau^2)} ,
# $$
#
# with $F(m, \sigma)$ the divergence of section 12.4 at $\alpha = \sigma^2 / m^2$. (As recalled;
# not checked against the PDF, nor are $\tau = 0.075$ and $a = 0.2$.)

# %% tags=["remove-input"]
book.show_source(network_quantization.spike_divergence, docstring=False)

# %% tags=["hide-input"]
figure, ax = book.new_figure(7, 3.2)
where = np.linspace(-0.35, 0.35, 1401)
for log_s2, style in ((-4.0, "-"), (-6.0, "--"), (-8.0, "-.")):
    flat = Tensor(np.full(where.shape, log_s2))
    kl = network_quantization.spike_divergence(Tensor(where), flat, Tensor(0.2)).numpy()
    ax.plot(where, kl, style, label=f"log sigma^2 = {log_s2:g}")
ax.set(xlabel="theta", ylabel="KL")
ax.legend()
book.show(
    figure, "The divergence from the prior with three spikes against theta, for three variances"
)

# %% tags=["varies"]
book.checks(
    {
        "spikes": gradcheck(
            network_quantization.spike_divergence,
            0.2 * rng.standard_normal((4, 3)),
            rng.normal(-6, 1, (4, 3)),
            np.array(0.21),
        ),
        "VIBNet": gradcheck(vibnet.information, 2 * rng.standard_normal(8)),
        "Beta prior": gradcheck(lambda phi: bernoulli_gates.beta_penalty(phi, 0.5, 0.7), held),
        "bimodal": gradcheck(lambda p: bernoulli_gates.bimodal_penalty(p, 0.3, 0.1), rng.random(6)),
    }
)

# %% [markdown]
# *How to read it.* With much noise (solid) all three spikes draw, and the valleys run into each
# other; with little (dash-dotted) a weight must be very near to a code for it to matter. (At 0 the
# windows of the two other spikes have a tail left, so that valley is not quite as deep.)

# %% [markdown]
# ## 12.12 Six methods and their controls
#
# Now all of them under one protocol (`minisparse reproduce bayesian-lenet300`): LeNet-300-100,
# 20,000 images of MNIST, Adam at 0.003, two ordinary epochs, ten with the noise, warm-up in the
# first three of these, a falling rate in the last three; three seeds. It is a short training, and
# one cannot expect the papers' numbers of it; what can be compared is a method with its
# **controls**, which have the same images, the same epochs, the same optimizer and the same fall:
#
# - *magnitude*: for each seed, gradual magnitude pruning ([chapter 5](05_magnitude.py)) down to
#   exactly as many weights in each layer as the method left; for a method of units, as many inputs
#   of each layer, by the norm of their weights;
# - *from scratch*: what the method found, its mask or its widths, trained from new weights;
# - *noise, no KL*: the same network with the noise, and the divergence times 0;
# - *dense*: nothing at all.
#
# $\beta = 1$ for all methods that are an evidence lower bound. VIBNet's $\gamma$ is 10, after a trial on
# held-out images: with 1 more than half of the weights stayed. L0-ARM's $\lambda$ is 2.4, and
# there is little room: in trials, 1.5 left everything, and 3 an eighth of the weights at an error
# of 79 %. The other starts of the noise are ours, nearer to their thresholds than the published
# ones.
#
# *What to expect*, as it was written down before the runs, with the claims
# (`minisparse/experiments/entries/bayesian_lenet300.py`): magnitude is as good as the methods;
# masks and widths do as well from scratch, except the mask of sparse variational dropout.


# %% tags=["hide-input"]
found = book.results("bayesian-lenet300")
by_name = {row["name"]: row for row in found["rows"]}
METHODS = ["SparseVD", "SparseVD, structured", "SBP", "BC-GNJ", "VIBNet", "L0-ARM"]


def error(name):
    ours = by_name[name]["ours"]
    return f"{ours['error_mean']:.2f} ± {ours['error_sd']:.2f}"


rows = [
    [name, f"{by_name[name]['ours']['compression_mean']:.2f}x", "", error(name), "", ""]
    for name in ("dense", "noise, no KL")
]
for name in METHODS:
    row = by_name[name]
    kept = np.array(row["details"]["kept"]).mean(axis=0) / np.array([235_200, 30_000, 1_000])
    rows.append(
        [
            name,
            f"{row['ours']['compression_mean']:.1f}x",
            " / ".join(f"{100 * k:.0f}" if k > 0.1 else f"{100 * k:.1f}" for k in kept),
            error(name),
            error(f"{name}, magnitude"),
            error(f"{name}, from scratch"),
        ]
    )
book.table(
    [
        "",
        "compression",
        "weights left in each layer, %",
        "test error, %",
        "magnitude",
        "from scratch",
    ],
    rows,
)

# %% tags=["hide-input"]
figure, ax = book.new_figure(8, 3.6)
for shift, (control, label, colour) in zip(
    (-0.13, 0.13),
    (
        ("magnitude", "method - magnitude", "#0072B2"),
        ("from scratch", "method - from scratch", "#D55E00"),
    ),
    strict=True,
):
    for at, name in enumerate(METHODS):
        one, other = (np.array(by_name[n]["ours"]["errors"]) for n in (name, f"{name}, {control}"))
        ax.plot(one - other, np.full(one.size, at + shift), "o", color=colour, markersize=4)
        ax.plot([(one - other).mean()], [at + shift], "|", color=colour, markersize=16)
    ax.plot([], [], "o", color=colour, label=label)
ax.axvline(0, color="k", linewidth=1)
ax.set_yticks(range(len(METHODS)), METHODS)
ax.invert_yaxis()
ax.set_xscale("symlog", linthresh=0.5)
ax.set_xlim(-0.6, 8)
ax.set_xticks([-0.5, 0, 0.5, 1, 2, 5], ["-0.5", "0", "0.5", "1", "2", "5"])
ax.set(xlabel="difference of test errors of one seed, points (left of 0: the method is better)")
ax.legend(fontsize=8, loc="lower left")
book.show(
    figure, "Paired differences of the test error, each method minus each of its two controls"
)

# %% tags=["hide-input"]
rows = []
for claim in found["claims"]:
    interval = "-" if claim["interval"] is None else "{:+.2f} to {:+.2f}".format(*claim["interval"])
    if claim["quantity"] == "nll":
        interval = "{:+.3f} to {:+.3f}".format(*claim["interval"])
    rows.append([claim["statement"], f"{claim['difference']:+.2f}", interval, claim["verdict"]])
book.table(["claim, registered before the runs", "difference", "95 % interval", "verdict"], rows)

# %% [markdown]
# *How to read it.* In the figure each dot is a seed, the bar the mean; to the right of 0.5 the
# axis is logarithmic. In the first table the controls of a row have as much in each layer as the
# method. A verdict is *open* if the 95 % interval holds 0, and *not admitted* if the method left
# more than half of the weights, so that there was nothing to compare.
#
# **Sparse variational dropout** does what its paper says of it: 40x at Bayes' own strength, at 0.8
# points more than the dense network. And so do its controls. From gradual magnitude in the same
# layers three seeds cannot tell it (the interval excludes a lead of more than 0.2 points), and the
# mask from *new weights*, which we had expected to fail, has the lowest mean of the three. So
# neither which of the many good masks the method takes, nor what the weights in it have been
# through, shows here. What may be its own is how many weights each layer gets: both controls were
# *given* those numbers, and no control has others. (For large networks Gale, Elsen and Hooker
# (2019) found magnitude as good, as recalled.) The divergence does all the pruning: without it
# next to nothing goes.
#
# **The methods of units** go slowly at Bayes' strength, as section 12.6 predicts: in ten epochs
# the structured form of sparse variational dropout and SBP remove a seventh and two fifths of the
# weights, mostly of pixels. SBP's network has a lower mean than the dense one, 2.23 against 2.46
# %, but in one of the three seeds it is the other way round: open as well. **VIBNet** at ten times
# its bound's strength removes four in five, and is the one method that holds its claim against
# magnitude, by a hair: the interval ends at -0.006, and of the eight claims against controls that
# were admitted one may hold by chance. And its widths from scratch lie within 0.3 points of it.
# **BC-GNJ** loses a whole point to both controls. Its threshold, $\log \alpha = -3$, calls a unit
# noise that VIBNet would keep with ease, and the prior of its weights, $N(0, 1)$, asks for
# $\sigma = 1$, far more noise than it began with. A longer training we have not tried.
#
# **L0-ARM** fails here, at its last step; its claims are open only because the seeds differ so
# much. The *random* network is not far from the others (2.82 %, averaged over draws; see the table
# of the next section). But with a thousand gates ARM hears little of what one gate does (section
# 12.10), while the penalty, the same for all pixels, is heard in every step. So the gates of the
# pixels come down together. In one run that we looked into (seed 0, with held-out images), nine in
# ten of them end with
# $p$ between 0.42 and 0.53, and evaluation cuts through the middle of this crowd: it keeps 16 % of the
# pixels that are black in all images, and 30 % of those that vary most. What is on which side is
# mostly chance; the error is 7 %, and differs by several points between seeds. The hard concrete
# gates of [chapter 8](08_hard_concrete.py) do not behave like that. Whether more epochs at a
# smaller $\lambda$ would mend it we have not tried; and that evaluation keeps what has
# $p > \frac{1}{2}$ is our form.
#
# All of this is one network, a third of one data set, and a small part of the papers' epochs.
#
# ## 12.13 Sparse, and sure of itself?
#
# Bayes' rule promises more than pruning. A network with a posterior should know what it does not
# know: average the probabilities of several draws, and where the weights are uncertain the draws
# disagree, and the average is modest. Does pruning by it come with that?
#
# Two numbers measure it. The **NLL**, the mean of $- \log$ of the probability that was given to
# the right class. And the **expected calibration error** (Guo et al. 2017): sort the images into
# bins by the probability $c_n$ of the class that was chosen; in each bin compare its mean with the
# share that is right,
#
# $$
# \mathrm{ECE} = \sum_{B} \frac{\lvert B \rvert}{N} \,
# \Bigl\lvert \frac{1}{\lvert B \rvert} \sum_{n \in B} (c_n - [\, n \text{ is right} \,]) \Bigr\rvert .
# $$

# %% tags=["remove-input"]
book.show_source(calibration.calibration_error, docstring=False)

# %% [markdown]
# *What to expect.* The dense network has learned its 20,000 images by heart and is too sure. The
# average of 20 draws should be the best, and a pruned network in the place of the posterior, its
# means, worse than that.


# %% tags=["hide-input"]
def trained_on(name):
    return "-" if name.endswith("drawn") else f"{by_name[name]['ours']['train_error_mean']:.2f}"


rows = []
for name in (
    "dense",
    "noise, no KL",
    "SparseVD",
    "SparseVD, drawn",
    "SparseVD, magnitude",
    "SparseVD, from scratch",
    *(name for m in METHODS[1:] for name in (m, f"{m}, drawn", f"{m}, magnitude")),
):
    details = by_name[name]["details"]
    rows.append(
        [
            name,
            f"{by_name[name]['ours']['compression_mean']:.1f}x",
            error(name),
            trained_on(name),
            f"{np.mean(details['nll']):.3f}",
            f"{np.mean(details['ece']):.2f} ± {np.std(details['ece'], ddof=1):.2f}",
        ]
    )
book.table(
    ["", "compression", "test error, %", "training error, %", "NLL", "calibration error, %"], rows
)

# %% [markdown]
# *How to read it.* *Drawn* is the average of 20 draws of the whole network, so that nothing is
# removed there. The training error is that of the last epoch, each image at the time it was used,
# with the noise where there is some. Against what we had registered:
#
# - **The draws of sparse variational dropout are worse than its pruned means**, in NLL and in
#   calibration. They are too *modest*: a network in which most weights are noise shakes more than
#   the data ask for, and its average is less sure than it is right. With less noise it is
#   different: the draws of SBP and VIBNet have a lower NLL than their means, and VIBNet's a lower
#   error.
# - **Magnitude at the same density is calibrated as well** as sparse variational dropout, without a
#   posterior. The same mask from scratch is not.
#
# So what is it? Look at the training error. Who has learned the images by heart (nearly 0 %: the
# dense network, the noise without a divergence, SBP, what was trained from scratch, the controls
# of units) is too sure, by 1.2 to 1.8 points. Who could not (pruned hard while it learned, or
# trained under strong noise: 1 % and more) is right about as often as it says, within 0.6. That is
# no uncertainty of weights; it looks like a network that has not overfitted, and there are many
# ways to that. L0-ARM shows that it is not sufficient either: its evaluation gates make another
# network than the one that was trained.
#
# Does sparsity by Bayes' rule come with calibrated uncertainty, then? In this short training the
# pruned networks are well calibrated, except those of SBP and L0-ARM. Among single weights
# magnitude is so, too. Among units the controls are not, and it must be the noise of the training
# that does it: the structured form of sparse variational dropout is well calibrated with six
# sevenths of its weights in place. Whether ordinary dropout would do the same we have not tried.
# But what Bayes' rule promised, the average of draws, is calibrated worse than the means in five
# of six methods, and in the sixth, SBP, hardly better.
#
# A harder question: digits that are none. We turn the validation images by 90 degrees; a 6 may
# still be read as something, but the network should be less sure of most. We use the networks of
# section 12.5.
#
# *What to expect.* The average of draws should be the least sure of the turned digits.

# %% tags=["varies"]
turned = data.Split(
    np.ascontiguousarray(np.rot90(validation.images[:2000], axes=(1, 2))), validation.labels[:2000]
)
upright = validation.subset(np.arange(2000))
rows = []
for name, trained, draws in (
    ("noise, no KL: means", silent, 0),
    ("noise, no KL: 20 draws", silent, 20),
    ("with KL: means, pruned", model, 0),
    ("with KL: 20 draws", model, 20),
):
    draws = book.quick(draws, min(draws, 2))
    p, of_turned = (calibration.probabilities(trained, s, draws) for s in (upright, turned))
    sure = of_turned.max(axis=1)
    rows.append(
        [
            name,
            f"{(p.argmax(axis=1) == upright.labels).mean():.3f}",
            f"{p.max(axis=1).mean():.3f}",
            f"{sure.mean():.3f}",
            f"{(sure > 0.9).mean():.2f}",
        ]
    )
book.table(
    ["", "right, upright", "mean sureness", "turned: mean sureness", "share with more than 90 %"],
    rows,
)

# %% [markdown]
# *How to read it.* The first two columns have the sign that the calibration error has not: without
# the divergence the network is too sure of upright digits, with it too modest, and its draws more
# so. None of the four is alarmed: of turned digits they are sure to two thirds and more. The
# pruned network is less sure of them than the one without the divergence, but so it is of the
# upright ones; the draws take a few points more. Where a network's answer matters, measure; a
# posterior in the training is no certificate.
#
# ## 12.14 What is published
#
# *Read* is what was read in the paper or its authors' code, *quoted* what another paper quotes,
# *recalled* from memory, not checked against the PDF. Where widths are given, the first is the
# number of pixels (LeNet-300-100), or of filters.

# %% tags=["hide-input"]
rows = []
for entry in methods.as_data():
    if entry["family"] != "bayesian":
        continue
    for figure_ in entry["published"]:
        left = figure_.get("architecture") or f"{figure_['kept_percent']:g} % of the weights"
        quoted = f", by {figure_['quoted_by']}" if "quoted_by" in figure_ else ""
        rows.append(
            [
                entry["id"],
                figure_["network"],
                f"{figure_['error_percent']:g}",
                left,
                figure_["status"] + quoted,
            ]
        )
book.table(["method", "network", "error, %", "left", "how known"], rows)

# %% [markdown]
# Beware of comparing these with each other. Compression is counted in three ways: single weights
# (sparse variational dropout), a smaller dense network (widths), and the latter with fewer bits.
# Whether an error is that of the last epoch or the best one on the test set is often not said; and
# two runs of one procedure may differ by 0.2 points ([3.7](03_lenet300.py)). The dense network of the paper on
# structured Bayesian pruning is 784-500-300-10. And the fifth column is there for a reason.
#
# ## 12.15 Pitfalls
#
# **The divergence at full strength from the first step.** It does not wait until a weight has
# learned something. A network that is trained with noise from its first step can be pruned before
# it has begun to learn.
#
# *What to expect.* Without ordinary epochs and without a warm-up, fewer weights are left after as
# many epochs, seven in all, at a higher error. The row between them has the ordinary epochs alone.

# %% tags=["varies"]
rows = []
for name, settings in (
    ("warm-up of 3 epochs, after 2 ordinary ones", {"warm_up": 3.0, "ordinary": 2}),
    ("no warm-up, after 2 ordinary ones", {"warm_up": 0.0, "ordinary": 2}),
    ("no warm-up, from new weights", {"warm_up": 0.0, "ordinary": 0}),
):
    trained, seen = with_noise(1.0, 7 - settings["ordinary"], **settings)
    plain, _ = nn.harden(trained)
    rows.append(
        [
            name,
            *(f"{seen[i]['weights_left']:,}" for i in (0, -1)),
            f"{evaluate(plain, validation).error_percent:.2f}",
        ]
    )
head = ["", "weights left after 1 epoch with noise", "after the last", "validation error, %"]
book.table(head, rows)

# %% [markdown]
# *How to read it.* A third as many weights are left after the first epoch, and at the end the
# error is four points higher. The warm-up alone makes more than half of the difference. (But
# without one fewer weights are left, too: the divergence has had more time. And it is one seed.)
#
# **Pruned at initialization.** $\log \sigma^2 = -8$ is "hardly any noise" beside a weight of 0.05.
# Weights are drawn around 0, and a small one has $\log \alpha \ge 3$ before the first step.

# %%
fresh = nn.LeNet300(rng=np.random.default_rng(0))
svd.add_variances(fresh, LAYERS, np.random.default_rng(0))
_, at_first = nn.harden(fresh)
shares = ", ".join(f"{name} {1 - kept.mean():.1%}" for name, kept in at_first.items())
print(
    f"removed before the first step: {shares}; that is where |theta| < {math.exp((-8 - 3) / 2):.4f}"
)

# %% [markdown]
# If the weights are removed for good at some point of a training, let it not be the first. Here
# they are not: $\alpha$ counts only in evaluation, and such a weight may still grow.
#
# **Adam and the strength.** A parameter that only the divergence pushes has a gradient of one
# sign, and Adam moves it by its learning rate whatever the size of that gradient. So $\beta$
# hardly matters for the weights that nobody needs, and the *learning rate* and the number of steps
# decide how far their
# $\log \sigma^2$ gets. From $\log \alpha = -8$ to 3 with a rate of 0.001 takes 11,000 steps, if $\theta$
# stays. (We fell for it: in section 12.12 the noise on units started at $\log \alpha = -4$ at
# first, and 2,000 steps of at most 0.003 with a warm-up and a falling rate came nowhere near 3.)
#
# **Batch norm behind noise.** Its running variance is that of the *noisy* outputs; evaluation has
# no noise, so all its outputs are too small.

# %% tags=["varies"]
noisy = Linear(20, 4, rng=rng)
svd.add_variances(noisy, [""], rng, initial=-3.0)
norm = nn.BatchNorm1d(4, momentum=0.1)
for _ in range(book.quick(200, 5)):
    norm(noisy(draw((100, 20)).astype(np.float32)))
with no_grad():
    noisy.parametrization.threshold = 1e9  # nothing is removed: the noise alone
    out = norm.eval()(noisy.eval()(draw((4000, 20)).astype(np.float32))).numpy()
print("variance behind the batch norm in evaluation, 1 in training:", out.var(axis=0).round(2))

# %% [markdown]
# Estimate the statistics again, without noise, before you measure. And a batch norm behind a layer
# makes the scale of its weights free: a divergence that depends on the scale, such as BC's
# $\frac{1}{2} (\sigma^2 + \mu^2 - \dots)$, can then be made smaller without any change of the function.
#
# **$N$**, the number of images that are trained on: not of a batch, not of the whole data set if
# you hold some out, and once (section 12.1).
#
# **Weight decay of the optimizer** on $\log \sigma^2$, $\log \alpha$ or $\varphi$: it pulls them
# to 0, which means something. The library refuses.
#
# **Noise in evaluation**, or means with the removed weights still in.
#
# Traps of released code, and of texts:
#
# - *VIBNet*: $\alpha$ of the text is the inverse of the code's (12.9). The code's divergence of a
#   filter is multiplied by the number of positions.
# - *SBP*: the released LeNet-5 script is not the network of the table (padding, and noise on the two
#   convolutions only). The training starts from a trained network, with Adam's $\beta_1 = 0.95$.
# - *BC*: the thresholds (-2.8, -3 and -5 for three layers in the repository's example) were read
#   off a histogram of that run.
# - *BC-GHS*: no code of the authors exists; a reimplementation calls a scale *rate* (12.7).
# - *Who is quoted with what*: the same run of soft weight sharing, a method of
#   [chapter 6](06_penalties.py)'s kind, is quoted at 0.5 %, at 200x, at "162" and at 3 % of the
#   weights left, in four places.
#
# ## Exercises
#
# **12.1** (pencil) What is the divergence of $N(m, v)$ from $N(0, 1)$? Which $v$ minimizes it for
# fixed
# $m$? Where is this in section 12.7?
#
# **12.2** (pencil) A weight has the curvature $h = 0.01$, and $N = 60{,}000$. How large must its
# best value
# $\lvert \hat \theta \rvert$ be for it to stay, by section 12.4?
#
# **12.3** (pencil) Show that dropout with rate $p$, rescaled, has $\alpha = p / (1 - p)$. Which
# rate has
# $\log \alpha = 0$?
#
# **12.4** (pencil) Write ARM's estimate for one gate with $p = \frac{1}{2}$ as a function of $u$.
# What are its mean and its variance? Find the ratio in the table of section 12.10.
#
# **12.5** (pencil) Show that the SNR of the law that is uniform in $\log \theta$ on $[-20, 0]$ is
# $1 / 3$.
#
# **12.6** Put `strength=0.1` and `10.` into `with_noise` of section 12.5. How do compression and
# error change? Say first what section 12.4 predicts.
#
# **12.7** Plot $\log \alpha$ of section 12.5 against OBD's $N s$ of the same network without
# noise, with
# $h$ from `minisparse.prune.obd`, and the curve of section 12.4 beside it.
#
# **12.8** Add `generalized-dropout` and `sparse-gates` to the experiment of section 12.12. Which
# claim do you register?
#
# ### Answers
#
# *12.1.* $\frac{1}{2} (v + m^2 - 1 - \log v)$, with the minimum at $v = 1$. It is
# `weight_divergence`: given its scale, a weight would rather have the prior's variance, and pays
# for its mean.
#
# *12.2.* $N s = \frac{1}{2} N h \hat \theta^2 = 300 \, \hat \theta^2 > 0.56$, so
# $\lvert \hat \theta \rvert > 0.043$.
#
# *12.3.* The factor is $1 / (1 - p)$ with probability $1 - p$: its mean is 1, its mean square
# $1 / (1 - p)$, so its variance is $1 / (1 - p) - 1 = p / (1 - p)$. For $\log \alpha = 0$,
# $p = \frac{1}{2}$.
#
# *12.4.* For $p = \frac{1}{2}$ the two samples are always opposite, so the estimate is
# $(f(1) - f(0)) \lvert u - \frac{1}{2} \rvert$ for every $f$: its mean is a quarter of the difference, its
# variance $(f(1) - f(0))^2 (\frac{1}{12} - \frac{1}{16}) = (f(1) - f(0))^2 / 48$. The ratio of
# standard deviation to mean is $4 / \sqrt{48} = 0.58$.
#
# *12.5.* $\mathbb{E} \, \theta^k = \frac{1}{20} \int_{-20}^{0} e^{k x} dx \approx \frac{1}{20 k}$.
# So the variance is $\frac{1}{40} - \frac{1}{400} = \frac{9}{400}$, and the ratio
# $\frac{1}{20} / \frac{3}{20}$.
#
# *12.6 to 12.8* are experiments: what you expected is the answer to compare with. For 12.6 we saw
# 10.7x at 4.3 %, 69x at 7.4 % and 564x at 17 %, for strengths of 0.1, 1 and 10: the cut moves by
# the same factor in nats, as section 12.4 says, and the weights in between are many. In 12.7 do
# not expect a line: $s$ is that of the network before the noise, and $\hat \theta$ of one weight
# depends on what became of the others.
#
# ## References
#
# - D. P. Kingma, T. Salimans, M. Welling, *Variational dropout and the local reparameterization
#   trick*, NIPS 2015.
# - D. Molchanov, A. Ashukha, D. Vetrov, *Variational dropout sparsifies deep neural networks*,
#   ICML 2017.
# - C. Louizos, K. Ullrich, M. Welling, *Bayesian compression for deep learning*, NIPS 2017.
# - K. Neklyudov, D. Molchanov, A. Ashukha, D. Vetrov, *Structured Bayesian pruning via log-normal
#   multiplicative noise*, NIPS 2017.
# - B. Dai, C. Zhu, B. Guo, D. Wipf, *Compressing neural networks using the variational information
#   bottleneck*, ICML 2018.
# - S. Srinivas, R. V. Babu, *Generalized dropout*, 2016.
# - S. Srinivas, A. Subramanya, R. V. Babu, *Training sparse neural networks*, CVPR workshops 2017.
# - Y. Li, S. Ji, *L0-ARM: network sparsification via stochastic binary optimization*, 2019.
# - M. Yin, M. Zhou, *ARM: augment-REINFORCE-merge gradient for stochastic binary networks*, ICLR
#   2019.
# - J. Achterhold, J. M. Köhler, A. Schmeink, T. Genewein, *Variational network quantization*, ICLR
#   2018.
# - C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, *On calibration of modern neural networks*, ICML
#   2017.
# - T. Gale, E. Elsen, S. Hooker, *The state of sparsity in deep neural networks*, 2019.
