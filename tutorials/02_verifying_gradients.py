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
# # 2. Verifying gradients
#
# **Goal.** Find out whether a gradient is right, by comparing it with differences of the function
# itself. Learn why the obvious comparison misses real bugs and accuses innocent code, and what to
# do instead.
#
# **Afterwards you can** choose a step size and say what error to expect, write a check that costs
# two evaluations for a million parameters, judge gradients at kinks, and find six typical bugs.
#
# **Time.** 40 minutes to read, a few seconds to run.
#
# A wrong gradient rarely stops a program. The network still learns, only worse, and you look for
# the reason everywhere else. So every formula of this book is verified before it is used, in this
# way.

# %%
import numpy as np

from minisparse import Tensor, book, gradcheck
from minisparse.autodiff import relu
from minisparse.gradcheck import kinks, numeric, selftest

rng = np.random.default_rng(0)

# %% [markdown]
# ## 2.1 The step size
#
# The derivative is a limit, $f'(x) = \lim_{h \to 0} (f(x + h) - f(x)) / h$, so take a small $h$.
# How small? Taylor's theorem tells what a finite step costs:
#
# $$
# \frac{f(x + h) - f(x)}{h} = f'(x) + \frac{h}{2} f''(x) + O(h^2) .
# $$
#
# The error is proportional to $h$. It gets far better if we step to both sides, since then the
# second derivative cancels:
#
# $$
# \frac{f(x + h) - f(x - h)}{2 h} = f'(x) + \frac{h^2}{6} f'''(x) + O(h^4) .
# $$
#
# So let $h$ go to zero? No. A computer does not know $f(x)$, it knows it to a relative precision
# $\varepsilon$ (about $10^{-16}$ in float64, $10^{-7}$ in float32). The difference of two numbers
# that are nearly equal is small, but it keeps the absolute errors of both. Each is up to
# $\varepsilon \, \lvert f(x) \rvert$, so together up to twice as much, and we divide by $2 h$:
#
# $$
# \text{error}(h) \approx \underbrace{\frac{h^2}{6} \lvert f''' \rvert}_{\text{curvature}}
#                      + \underbrace{\frac{\varepsilon}{h} \lvert f \rvert}_{\text{rounding}} .
# $$
#
# One term falls with $h$ and the other one rises. The sum is smallest where its derivative with
# respect to $h$ is zero, at
#
# $$
# h^* = \left( \frac{3 \varepsilon \lvert f \rvert}{\lvert f''' \rvert} \right)^{1/3}
# \quad \text{with an error of the order} \quad \varepsilon^{2/3} .
# $$
#
# *What to expect.* For $f = \exp$ all derivatives are equal, so in float64 the best step should be
# near $10^{-5}$, and ten to eleven digits are right there. In float32 it should be near $10^{-2}$,
# with four to five digits. On double logarithmic axes the curve should look like a V or a U: slope
# 2 on the right (curvature), slope $-1$ on the left (rounding). One-sided differences should have
# slope 1 on the right, and never be better than eight digits.


# %%
def one_sided(f, x, h):
    return (f(x + h) - f(x)) / h


def central(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def complex_step(f, x, h):
    return f(x + 1j * h).imag / h


steps = 10.0 ** -np.arange(1, 15)
true = np.exp(1.0)
errors = {
    "one-sided, float64": [abs(one_sided(np.exp, 1.0, h) / true - 1) for h in steps],
    "central, float64": [abs(central(np.exp, 1.0, h) / true - 1) for h in steps],
    "central, float32": [
        abs(central(np.exp, np.float32(1), np.float32(h)) / true - 1) for h in steps[:7]
    ],
    "complex step, float64": [abs(complex_step(np.exp, 1.0, h) / true - 1) for h in steps],
}

# %% tags=["hide-input"]
figure, ax = book.new_figure(7, 3.8)
for (name, error), marker in zip(errors.items(), "^os.", strict=True):
    ax.loglog(steps[: len(error)], np.maximum(error, 1e-17), marker + "-", label=name, markersize=5)
ax.set(xlabel="step h", ylabel="relative error of the derivative", ylim=(1e-17, 5))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
book.show(figure, "Relative error against the step h: U-curves of the difference quotients")

# %% [markdown]
# *How to read it.* Go along a curve from right to left. At first smaller steps help, down to a
# lowest point; from there on the curve rises again and becomes ragged, which is rounding. Two
# consequences:
#
# - **No single $h$ is right for every function.** The usual $h = 10^{-5}$ is good for functions
#   whose values and derivatives are near 1. Shift the function by $10^6$, and the rounding term
#   grows a millionfold.
# - **In float32 the usual step is nearly worthless.** With $h = 10^{-5}$, a value many people use, the
#   error is near one percent, and it is far worse for functions that are less tame. With the best $h$
#   there are four to five digits, if one knows it. Check in float64.
#
# The curve that falls to the bottom and stays there is the *complex step*. For an analytic function
#
# $$
# f(x + i h) = f(x) + i h f'(x) - \frac{h^2}{2} f''(x) - \frac{i h^3}{6} f'''(x) + \dots
# $$
#
# The term with $h^2$ is real. So the imaginary part divided by $h$ is the derivative, with an error of
# $\frac{h^2}{6} f'''$ as for central differences; but there is no difference in which digits could
# cancel, so $h$ may be as small as one likes, $10^{-20}$ for example, and then it is exact to rounding.
# The price: every operation on the way must accept complex numbers and be analytic. `abs`, `max` and comparisons are
# not.
#
# The library's verifier does not choose one $h$. It tries many, from 1 down to $10^{-12}$. Two
# neighbouring ones are combined so that the $h^2$ term cancels as well (*Richardson's
# extrapolation*):

# %% tags=["remove-input"]
book.show_source(numeric.extrapolate)

# %% [markdown]
# Then it needs to know how much rounding noise the function has. There is a nice way to measure it:
# between points that lie very close together a smooth function is a straight line, and third and
# fourth differences of a straight line are zero. What they see can only be noise. How much? A
# difference of order $k$ adds values with binomial coefficients, $f_3 - 3 f_2 + 3 f_1 - f_0$ for
# $k = 3$. The variances of independent noise add with the squares of these, and the squares sum to
# $\binom{2k}{k} = (2 k)! / (k!)^2$, by which the program divides:

# %% tags=["remove-input"]
book.show_source(numeric.difference_noise, docstring=False)

# %% [markdown]
# From the noise and from how well neighbouring steps agree follows an error bound for every step.
# The step with the smallest bound is taken; and this bound, not somebody's feeling, is the
# tolerance of the comparison.
#
# ## 2.2 A million elements at once
#
# A function with $n$ inputs and $m$ outputs has a Jacobian $\mathbf{J}$ of $m n$ entries, and to
# compare them one by one takes $2 n$ evaluations. But a *directional* derivative takes only two:
# along a direction $\mathbf{u}$,
#
# $$
# \frac{\mathbf{f}(\mathbf{x} + h \mathbf{u}) - \mathbf{f}(\mathbf{x} - h \mathbf{u})}{2 h}
# \approx \mathbf{J} \mathbf{u} .
# $$
#
# A backward rule computes $\mathbf{J}^\top \mathbf{\bar y}$ for a cotangent $\mathbf{\bar y}$. The
# two meet in one number, since
#
# $$
# \mathbf{\bar y}^\top (\mathbf{J} \mathbf{u}) = (\mathbf{J}^\top \mathbf{\bar y})^\top \mathbf{u} .
# $$
#
# On the left stands what differences tell, on the right what the backward rule claims. If the rule
# is wrong as a linear map *at this $\mathbf{x}$*, then for random $\mathbf{u}$ and $\mathbf{\bar y}$ the two sides differ,
# with probability one. (A rule that is wrong elsewhere, behind a branch that this $\mathbf{x}$ does not take, is not seen.)


# %%
def check(forward, backward, x, cotangent, h=1e-5):
    u = rng.standard_normal(x.shape)
    Ju = (forward(x + h * u) - forward(x - h * u)) / (2 * h)
    return abs(np.sum(cotangent * Ju) - np.sum(backward(cotangent, x) * u))


# %% [markdown]
# ### The cotangent must be random
#
# Here is a softmax, which turns numbers $x_j$ into probabilities $s_i = e^{x_i} / \sum_k e^{x_k}$, and
# two backward rules for it. By the quotient rule its derivatives are
#
# $$
# \frac{\partial s_i}{\partial x_j} = s_i \, ( [\, i = j \,] - s_j ) ,
# $$
#
# where the bracket is 1 if $i = j$ and 0 otherwise; multiplied with a cotangent $g$ and summed over $i$
# this is $s_j (g_j - \sum_i g_i s_i)$, the first rule. The second one returns zeros, and is plainly
# wrong.


# %%
def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def right_rule(g, x):
    s = softmax(x)
    return s * (g - (g * s).sum(axis=-1, keepdims=True))


def zero_rule(g, x):
    return np.zeros_like(x)


# %% [markdown]
# Most checkers that are written in a hurry call `backward` on the sum of the outputs. That is a
# cotangent of ones. Which of the two rules will it find wrong?
#
# *What to expect.* Probabilities sum to one, whatever the input. So the derivative of the *sum* is
# zero, and a rule that returns zeros is right about it.

# %%
x = rng.standard_normal((5, 4))
for rule in (right_rule, zero_rule):
    for name, cotangent in (("ones", np.ones((5, 4))), ("random", rng.standard_normal((5, 4)))):
        verdict = "passes" if check(softmax, rule, x, cotangent) < 1e-7 else "FAILS"
        print(f"{rule.__name__:10}  cotangent {name:6}  {verdict}")

# %% [markdown]
# A cotangent of ones lets a gradient of zeros pass. It also lets a rule pass that ignores its
# cotangent, or one by which the cotangent itself is transposed the wrong way: a matrix of ones stays
# what it is. A **random cotangent** is the most
# valuable property that a checker can have, and it costs nothing.
#
# ### And elements must still be looked at
#
# A projection tells *that* something is wrong, not *where*. And it can be too kind: if one element
# of 2,000 is wrong, it makes up about $1/\sqrt{2000}$, or 2 %, of the projection, which passes a
# tolerance of $10^{-2}$ in a quarter of the cases. The tolerance therefore has to follow from the error
# of the differences, as in section 2.1, and a sample of elements is checked one by one as well,
# from every argument: a bias of 10 entries must not drown in a weight of 235,200.
#
# ## 2.3 Kinks
#
# The function $\mathrm{relu}(x) = \max(x, 0)$ has no derivative at 0: from the right it is 1, from
# the left 0. The library, like most others, returns 0 there. What does a central difference say?
#
# $$
# \frac{\mathrm{relu}(h) - \mathrm{relu}(-h)}{2 h} = \frac{h - 0}{2 h} = \frac{1}{2} .
# $$
#
# So a checker accuses a correct relu, whatever the step. Is this a rare case? In a pruned network it
# is the normal one: if all weights of a unit are zero, its input to relu is exactly zero, for every
# image. And within a distance $h$ of the kink it is no better:

# %% tags=["hide-input"]
figure, ax = book.new_figure(6.5, 2.8)
near = np.linspace(-3, 3, 601)
ax.plot(near, np.clip((near + 1) / 2, 0, 1), label="central difference of relu")
ax.plot(near[near <= 0], 0 * near[near <= 0], "--", color="#D55E00", label="derivative of relu")
ax.plot(near[near > 0], 0 * near[near > 0] + 1, "--", color="#D55E00")
ax.plot(0, 0, "o", color="#D55E00")
ax.set(xlabel="x, in units of the step h", ylabel="slope")
ax.legend()
book.show(figure, "Near 0 the central difference of relu is a ramp, its derivative a jump")

# %% [markdown]
# *How to read it.* Between $-h$ and $h$ the difference quotient (blue) takes any value from 0 to 1,
# and agrees with the derivative (dashed) nowhere.
#
# The common remedy is to look away: draw the test data so that nothing comes near a kink. But then
# the points where bugs live are never checked. The honest way is to say what a gradient *may* be at
# a kink:
#
# > Let $s_-$ and $s_+$ be the left and the right derivative along a direction. A gradient is legal
# > if the slope it claims along this direction lies between the two.
#
# For relu at 0 the slopes are 0 and 1, so 0, 1/2 and 1 are legal choices, and 2 is not. One more
# trap: it is not enough to look along one element at a time. Take the maximum of $(a, b)$ at
# $a = b$. Each partial derivative alone may be anything from 0 to 1, so the gradient $(1, 1)$ would
# pass. But along the direction $(1, 1)$ the maximum grows by exactly 1, and this gradient claims 2.
# So the rule has to hold along joint directions too.

# %% tags=["varies"]
zero, tie = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 3.0, 3.0])
report = gradcheck(lambda x: np.maximum(x, 0), zero, backward=lambda g, x: g * (x > 0))
book.checks({"relu": report})

report = gradcheck(lambda x: x.max(), tie, backward=lambda g, x: g * (x == x.max()))
book.markdown(f"**max, cause: {report.cause}.** {report.message}")

# %% [markdown]
# The table says that relu had one element at a kink, which was judged by its one-sided derivatives.
# The gradient of the maximum gives the full cotangent to both of the equal elements, and is refused.
#
# How does the verifier know that it stands at a kink? The *second* difference, divided by the step,
# tends to the right minus the left derivative: to zero where the function is smooth, and to the
# height of the jump at a kink. And the judgement itself is two comparisons:

# %% tags=["remove-input"]
book.show_source(numeric.second_difference, docstring=False)

# %% tags=["remove-input"]
book.show_source(kinks.between)

# %% [markdown]
# ### Legal in each operation, wrong as a whole
#
# The rule is one for a function. Does it suffice to keep it in each operation? Take $f(x) = \mathrm{relu}(x) - \mathrm{relu}(-x)$,
# which is $x$, for all $x$.
#
# *What to expect.* The derivative is 1 everywhere, and $f$ has no kink. A tape knows nothing of that: it goes through two
# relus.

# %%
x = Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
(relu(x) - relu(-x)).sum().backward()
print("derivative of relu(x) - relu(-x) by the tape:", x.grad.numpy())

report = gradcheck(lambda x: relu(x) - relu(-x), x.numpy())
book.markdown(f"**The verifier:** {report.message} Note: {' '.join(report.notes)}.")

# %% [markdown]
# At 0 the tape says 0: each relu has made a legal choice, and the choices do not fit each other. The chain rule fails
# where kinks meet. No other choice would help: 1/2 suits this function, but
# $\mathrm{relu}(x) - \mathrm{relu}(\mathrm{relu}(x))$, which is 0, then has the derivative 1/4. Every tape with a relu does that, so the
# verifier does not call it a bug: it judges operation by operation, and says so in a note. (Exact zeros are no rare case. A dense
# network meets them where a patch is black and the bias 0, at the start of its training; a pruned one has them to the end.)
#
# ## 2.4 A bug hunt
#
# Six functions with their backward rules. Each rule has one bug, of a kind that is found in
# homework, in repositories, and in the first version of everything. Find them with your eyes before
# you read on. (`g` is the cotangent $\bar y$. All of them run, and all return the right shapes.)

# %%
square, other = rng.standard_normal((2, 4, 4))
batch, bias, sample = rng.standard_normal((3, 4)), rng.standard_normal(4), rng.standard_normal(200)


def scatter(g, x):
    d = np.zeros_like(x)
    d[[0, 2, 2, 3]] = g
    return d


hunt = {
    "softmax": (softmax, [batch], lambda g, x: g * softmax(x) * (1 - softmax(x))),
    "sigmoid": (
        lambda x: 1 / (1 + np.exp(-x)),
        [batch],
        lambda g, x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    ),
    "add a bias": (lambda x, b: x + b, [batch, bias], lambda g, x, b: (g, g.mean(axis=0))),
    "product": (lambda a, b: a @ b, [square, other], lambda g, a, b: (g @ b, a.T @ g)),
    "take": (lambda x: x[[0, 2, 2, 3]], [bias], scatter),
    "variance": (lambda x: x.var(ddof=1), [sample], lambda g, x: g * 2 * (x - x.mean()) / x.size),
}

# %% [markdown]
# Found them all? Here is what the verifier says. It does not stop at "wrong": it tries explanations
# (a constant factor, a transpose, another argument's gradient, a region, ...) and names the one
# that fits.

# %% tags=["varies"]
rows = []
for name, (forward, inputs, backward) in hunt.items():
    report = gradcheck(forward, *inputs, backward=backward, name=name)
    rows.append([name, report.cause, report.message])
book.table(["function", "cause", "what the verifier says"], rows)

# %% [markdown]
# (`unknown` means that none of the standard names fits; the message says what was seen.) And the
# remedies:
#
# | function | what was wrong | what is right |
# | --- | --- | --- |
# | softmax | only the diagonal of the Jacobian | $s_i (g_i - \sum_j g_j s_j)$ |
# | sigmoid | the cotangent is not used | $g \, s (1 - s)$ |
# | add a bias | a mean for a sum | `g.sum(axis=0)` |
# | product | a missing transpose; a square matrix hides it | `g @ b.T` |
# | take | `=` for `+=`: element 2 is taken twice | `np.add.at(d, index, g)` |
# | variance | $n$ for $n - 1$, half a percent off | `g * 2 * (x - x.mean()) / (x.size - 1)` |
#
# Two of them deserve a second look. The *product* has the right shape only because the matrix is
# square; **test with shapes that are all different**. And the *variance* is off by half a percent:
# a check with the customary tolerance of $10^{-2}$ lets it pass for ever.
#
# A full report also names the worst element, the place in the source, and the command that repeats
# the check; `report.figure()` draws it:

# %%
forward, inputs, backward = hunt["softmax"]
report = gradcheck(forward, *inputs, backward=backward, name="softmax")
book.show(report.figure(), "Left: claimed against true derivative; right: the U-curve of the step")

# %% [markdown]
# *How to read it.* Left: each point is an element of the gradient, with the true derivative to the
# right and the claimed one upwards. A right gradient has all points on the line; a wrong constant
# factor turns the line; here they are scattered. Right: the error of the difference quotient for
# steps from 1 down to $10^{-12}$. Its U says that the function is smooth, and that the differences
# can be trusted.
#
# ## 2.5 Who checks the checker?
#
# A checker that always says "holds" passes all tests of correct code. So ours is tried on gradients
# that are known to be wrong, and must name the cause; and on right ones that look suspicious (exact
# zeros, ties, huge values, float32), and must not accuse them. `minisparse gradcheck --selftest`
# prints the list:

# %%
specimens = selftest.specimens()
verdicts = [selftest.judge(specimen) for specimen in specimens]
wrong = sum(specimen.cause is not None for specimen in specimens)
print(f"{wrong} wrong gradients, {len(specimens) - wrong} right ones;", end=" ")
print("judged correctly:", sum(right for right, _ in verdicts))

# %% [markdown]
# ## 2.6 Your own code
#
# The verifier takes plain NumPy. Put a function and its backward into a file, say `hw1.py`,
#
# ```python
# def softmax(x): ...
#
# def softmax_backward(g, x): ...
#
# def softmax_inputs(rng):
#     return (rng.standard_normal((3, 4)),)
# ```
#
# and run
#
# ```bash
# minisparse gradcheck hw1.py:softmax
# ```
#
# The exit status is 0 if the gradient holds and 1 if it does not, so it can stand in a test.
# `minisparse gradcheck --all` does the same to every operation, layer and formula of the library.
#
# ## 2.7 Pitfalls
#
# - **A cotangent of ones**, `out.sum().backward()`: hides the whole class of bugs of section 2.2.
# - **A tolerance that was raised until the test passed.** If the error is $10^{-3}$ where $10^{-9}$
#   was expected, something is wrong, and it is not the tolerance.
# - **Square matrices, batches of one**, all dimensions equal: they hide transposes and wrong axes.
# - **float32**, with a step that was meant for float64.
# - **Noise.** With dropout (in training, units are set to zero at random), $f(x + h)$ and $f(x - h)$ are different functions. Both must use the
#   same random numbers.
# - **Relative errors of zeros.** Where both derivatives are rounding noise around zero, their
#   relative difference means nothing.
# - **Checking once.** Gradients are checked when code is written, and broken when it is made faster.
#
# ## Exercises
#
# Those with a title ask for code and have tests: `minisparse classroom new a2 --out a2` writes the
# task to a folder.
#
# **2.1 Two differences.** Write the central difference, and the second difference that tells a kink
# from a smooth place.
#
# **2.2 Comparing.** How far are two numbers apart, relative to their size, also if both are zero? And
# what does a gradient claim along a direction?
#
# **2.3 Legal at a kink.** Given left and right derivatives along a direction, and the slope that a
# gradient claims: is it legal?
#
# **2.4** (pencil) Find the best step and its error for one-sided differences. Does the figure agree?
#
# **2.5 Cancel the leading error.** Combine two central differences such that the $h^2$ term goes away.
# (And with a pencil: which power of $h$ remains, and where does the best step move?)
#
# **2.6 How noisy is a function?** Measure the rounding noise by differences of higher order.
#
# **2.7 A step without a difference.** Write the complex step, and notice functions that do not support
# it.
#
# **2.8** Which of the six bugs would a check with a cotangent of ones have found? Guess first, then
# try it.
#
# **2.9** Find a function and a wrong gradient that `gradcheck` accepts. (It is possible. The gradient
# has to be wrong in few places, or very little.)
#
# ## References
#
# - W. Squire, G. Trapp, *Using complex variables to estimate derivatives of real functions*, SIAM
#   Review, 1998.
# - J. J. Moré, S. M. Wild, *Estimating computational noise*, SIAM Journal on Scientific Computing,
#   2011.
# - F. H. Clarke, *Optimization and Nonsmooth Analysis*, Wiley, 1983.
# - A. Griewank, A. Walther, *Evaluating Derivatives*, SIAM, 2nd edition 2008.
