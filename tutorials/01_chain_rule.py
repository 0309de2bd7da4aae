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
# # 1. The chain rule and a tape
#
# **Goal.** See how a program computes the derivative of whatever it has just computed. Build such a
# program in thirty lines, break it in three instructive ways, and then read the real one.
#
# **Afterwards you can** compute any gradient by hand on a drawn graph, explain why gradients are
# added up and why the order of the visits matters, derive the backward rule of a matrix product,
# and write an operation of your own for this library.
#
# **Time.** 45 minutes to read, a few seconds to run.
#
# You need to know what a partial derivative is, and how NumPy broadcasts. Nothing else.

# %%
import numpy as np

from minisparse import Tensor, book, grad, gradcheck, gradients, hvp
from minisparse.autodiff import Op, WriteError, chain_rule
from minisparse.autodiff.ops import arithmetic, broadcast, linalg

# %% [markdown]
# ## 1.1 A computation is a graph
#
# A neuron multiplies its input $x$ by a weight $w$, adds a bias $b$, and is told that the answer
# should have been $t$. How wrong it is, is measured by the squared error
#
# $$
# L = (w x + b - t)^2 .
# $$
#
# Computers do not evaluate formulas, they do one operation after another. With names for all
# results in between:
#
# $$
# p = w x, \qquad q = p + b, \qquad r = q - t, \qquad L = r^2 .
# $$
#
# Each name depends only on names before it. Draw an arrow from every argument to every result, and
# you have a directed graph without cycles. Now let us ask how $L$ changes if we change $w$ a
# little. The chain rule says: multiply the derivatives along the way,
#
# $$
# \frac{\partial L}{\partial w}
# = \frac{\partial L}{\partial r} \,
#   \frac{\partial r}{\partial q} \,
#   \frac{\partial q}{\partial p} \,
#   \frac{\partial p}{\partial w}
# = 2 r \cdot 1 \cdot 1 \cdot x .
# $$
#
# Start at the end. The derivative of $L$ with respect to itself is 1. Then go backwards, one
# operation at a time, and write down at each name the derivative of $L$ with respect to it. This
# quantity has a name that we use throughout the book: the **cotangent** of $y$, written with a bar,
#
# $$
# \bar y = \frac{\partial L}{\partial y} .
# $$
#
# Take $w = 0.5$, $x = 2$, $b = 1$, $t = 5$. Forward: $p = 1$, $q = 2$, $r = -3$, $L = 9$. Before
# you look at the picture, do the way back with a pencil:
# $\bar r = 2 r = -6$, then $\bar q = -6$, $\bar p = -6$, and at last
# $\bar w = \bar p \, x = -12$ and $\bar b = -6$.

# %%
w = Tensor(0.5, requires_grad=True, name="w")
b = Tensor(1.0, requires_grad=True, name="b")
x, t = Tensor(2.0, name="x"), Tensor(5.0, name="t")

p = w * x
q = p + b
r = q - t
L = r**2
p.name, q.name, r.name, L.name = "p", "q", "r", "L"

book.show_graph(L, "The graph of L = (w x + b - t) squared, with values and cotangents")

# %% [markdown]
# Black numbers are computed on the way forward, from left to right. Orange numbers flow back, from
# right to left: on an edge stands what the operation at its right end passes to the operand at its
# left end; below a node ("bar") stands its cotangent. Inputs that need no derivative, $x$ and $t$,
# get none.
#
# The library does exactly this. `L.backward()` walks the graph backwards and leaves the cotangents
# of the inputs in `.grad`:

# %%
L.backward()
print("dL/dw =", w.grad.item())
print("dL/db =", b.grad.item())

# %% [markdown]
# ## 1.2 Why backwards?
#
# We could also have gone forwards: fix $w$, and carry $\partial p / \partial w$,
# $\partial q / \partial w$, and so on along with the values. That gives the derivative of
# *everything* with respect to *one* input. Going backwards gives the derivative of *one* output
# with respect to *everything*. A network for handwritten digits has 266,610 inputs that we want to
# change (its weights), and one output that we want to decrease (its loss). Forwards, this takes
# 266,610 passes; backwards, it takes one, which costs about twice as much as computing the loss.
# All of deep learning rests on this asymmetry.
#
# ## 1.3 A tape in thirty lines
#
# Let us build it. A number must remember what it was computed from, and the derivative with respect
# to each of these. Nothing else is needed: addition has the local derivatives 1 and 1, and the
# product $a b$ has $b$ and $a$. Such a record of what was done is called a **tape**.


# %%
class Number:
    def __init__(self, value, made_from=()):
        self.value, self.bar = value, 0.0
        self.made_from = made_from  # pairs (operand, local derivative)

    def __add__(self, other):
        return Number(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Number(self.value * other.value, [(self, other.value), (other, self.value)])


# %% [markdown]
# Now the way back. It looks easy, and the first three attempts below are mistakes that are easily made.
# Each one is wrong or useless, in its own way.
#
# ### First attempt: pass it on


# %%
def backward_1(y):
    for operand, derivative in y.made_from:
        operand.bar = y.bar * derivative
        backward_1(operand)


def derivative_by(backward, f, at=1.0):
    x = Number(at)
    y = f(x)
    y.bar = 1.0
    backward(y)
    return x.bar


print("x * x at 1, should be 2:  ", derivative_by(backward_1, lambda x: x * x))
print("x + x at 1, should be 2:  ", derivative_by(backward_1, lambda x: x + x))

# %% [markdown]
# Both answers are 1. The operand $x$ is used twice, and the second use has overwritten what the
# first one had left. What does the chain rule say about a variable that is used more than
# once? If $L$ depends on $x$ through several results $y_1, \dots, y_m$, then
#
# $$
# \bar x = \frac{\partial L}{\partial x}
#        = \sum_{i=1}^{m} \frac{\partial L}{\partial y_i} \, \frac{\partial y_i}{\partial x}
#        = \sum_{i=1}^{m} \bar y_i \, \frac{\partial y_i}{\partial x} .
# $$
#
# A change of $x$ reaches $L$ in several ways, and small effects add. **Gradients accumulate because
# variables are used more than once.** So `=` must become `+=`.
#
# ### Second attempt: follow every path

# %%
calls = 0


def backward_2(y, bar):
    global calls
    calls += 1
    y.bar += bar
    for operand, derivative in y.made_from:
        backward_2(operand, bar * derivative)


def doubled(x, times):
    for _ in range(times):
        x = x + x
    return x


def paths(times):
    global calls
    calls, x = 0, Number(1.0)
    backward_2(doubled(x, times), 1.0)
    assert x.bar == 2.0**times
    return calls


for times in (1, 2, 4, 8, 16):
    print(f"{times:2} doublings: the right gradient after {paths(times):6} calls")

# %% [markdown]
# This one is right. It is also useless: for twenty lines `y = y + y` it makes two million calls,
# for sixty it would run for thousands of years. Between the first and the last of $n$ doublings
# there are $2^n$ different paths, and this program walks them one by one. Networks share results
# all the time, so we must visit every *node* once, and not every *path*.
#
# ### Third attempt: visit every node once


# %%
def backward_3(y):
    stack, seen = [y], {y}
    while stack:
        y = stack.pop()
        for operand, derivative in y.made_from:
            operand.bar += y.bar * derivative
            if operand not in seen:
                seen.add(operand)
                stack.append(operand)


def product(x):
    a = x + x  # 2 x
    b = x + a  # 3 x
    return b * a  # 6 x^2, and the derivative is 12 x


print("6 x^2 at 1, should be 12: ", derivative_by(backward_3, product))

# %% [markdown]
# The gradient is wrong again. Look at the graph, where `a` is used twice: by the product, and by
# `b`.

# %%
x = Tensor(1.0, requires_grad=True, name="x")
a = x + x
b = x + a
y = b * a
a.name, b.name, y.name = "a", "b", "y"
book.show_graph(y, "A graph in which a is used twice: by b and by y; 5 = 2 + 3 flows into a")

# %% [markdown]
# Two cotangents arrive at `a`: 3 straight from the product, and 2 on the detour through `b`. The
# program visited `a` first, passed the 3 on to `x`, and was done with `a`. When the 2 arrived,
# nobody came back for it.
#
# So: **a node may pass its cotangent on only when every use has contributed.** An order of the
# nodes in which each comes after all of its users is called a (reverse) **topological order**. It
# always exists, since no result is computed from itself. And it is easy to find: count the uses of
# every node, and visit one when its count has fallen to zero.
#
# ### Fourth attempt: count the uses


# %%
def backward(y):
    uses, stack = {y: 0}, [y]  # first sweep: count
    while stack:
        for operand, _ in stack.pop().made_from:
            if operand not in uses:
                uses[operand] = 0
                stack.append(operand)
            uses[operand] += 1
    ready = [y]  # second sweep: visit what is complete
    while ready:
        y = ready.pop()
        for operand, derivative in y.made_from:
            operand.bar += y.bar * derivative
            uses[operand] -= 1
            if uses[operand] == 0:
                ready.append(operand)


print("x + x at 1, should be 2:   ", derivative_by(backward, lambda x: x + x))
print("6 x^2 at 1, should be 12:  ", derivative_by(backward, product))
print("60 doublings, over 2^60:   ", derivative_by(backward, lambda x: doubled(x, 60)) / 2**60)

# %% [markdown]
# Right, and linear: every edge is looked at twice. Here is what that means, in steps rather than in
# seconds. The calls of the second attempt are counted; for the fourth one we draw the formula, two
# edges for each doubling and two looks at each, $4 n$. Before you look: the number of paths doubles
# with every line of code, so on a logarithmic axis it should be a straight line; the number of edges
# grows by two, so it should look almost flat.

# %% tags=["hide-input"]
depth = np.arange(1, 17)
figure, ax = book.new_figure(6.5, 3.2)
ax.semilogy(depth, [paths(n) for n in depth], "o-", label="every path (second attempt)")
ax.semilogy(depth, 4 * depth, "s-", label="every edge, twice (fourth attempt)")
ax.set(xlabel="number of doublings, y = y + y", ylabel="steps (log scale)")
ax.legend()
book.show(figure, "Steps against doublings: paths grow as a power of two, edges linearly")

# %% [markdown]
# *How to read it.* At 16 doublings, the second attempt needs 131,071 calls, the fourth one looks at
# edges 64 times. The gap doubles with each further line.
#
# Here is the same in the library. First the order:

# %% tags=["remove-input"]
book.show_source(chain_rule._order)

# %% [markdown]
# And then the walk itself. `grads` holds the cotangents that have arrived so far, `g` is the complete
# one of the tensor `t`, and `contribute` calls the rule of the operation and adds up what it returns.
# (`ends` are the tensors whose cotangents were asked for, all leaves if nothing was said, and `wanted`
# is what lies on the way to them. `free` lets go of what nobody will read again.)

# %% tags=["remove-input"]
book.show_source(chain_rule.walk)

# %% [markdown]
# It is a loop and not a recursion, because Python gives up on recursions that are a thousand calls
# deep. A chain of 20,000 operations is no problem here:

# %%
x = Tensor(1.0, requires_grad=True)
y = x
for _ in range(20_000):
    y = y + 0.5
y.backward()
print(y.item(), x.grad.item())

# %% [markdown]
# ## 1.4 From numbers to arrays
#
# Networks compute with arrays. If $\mathbf{y}$ is a function of $\mathbf{x}$, both vectors, then
# $\mathbf{\bar x}$ and $\mathbf{\bar y}$ are vectors too, of the same shapes, and the sum over all
# uses becomes
#
# $$
# \bar x_j = \sum_i \bar y_i \, \frac{\partial y_i}{\partial x_j} ,
# \qquad \text{in short} \qquad
# \mathbf{\bar x} = \mathbf{J}^\top \mathbf{\bar y} ,
# \qquad J_{ij} = \frac{\partial y_i}{\partial x_j} .
# $$
#
# The matrix $\mathbf{J}$ is the Jacobian. For a layer with 784 inputs and 300 outputs and a batch
# of 100 images it would have $30\,000 \times 78\,400$ entries. **It is never formed.** Every
# operation only has to know how to compute the product $\mathbf{J}^\top \mathbf{\bar y}$, its
# *backward rule*, and for most operations that is one line. Here are two as they stand in the
# library:

# %% tags=["remove-input"]
book.show_source(arithmetic.Mul, arithmetic.Div)

# %% [markdown]
# Read the first docstring aloud: $y = a b$, so $\bar a = \bar y \, b$ and $\bar b = \bar y \, a$.
# The argument `grad` is $\bar y$. (`saves` says that the rule will read both operands again. The
# `lambda`s are there so that a gradient nobody wants is not computed.) You can derive the rule for
# the quotient yourself: it is exercise 1.1.
#
# ### The rule of the matrix product
#
# This is the rule that does nearly all of the work in a network. Let $Y = A B$, with
# $A$ of shape $[n, k]$ and $B$ of shape $[k, m]$:
#
# $$
# Y_{ij} = \sum_{l} A_{il} B_{lj} .
# $$
#
# The entry $A_{il}$ appears in row $i$ of $Y$ only, in each column $j$ with the factor $B_{lj}$. So
#
# $$
# \bar A_{il} = \sum_j \bar Y_{ij} \, \frac{\partial Y_{ij}}{\partial A_{il}}
#             = \sum_j \bar Y_{ij} B_{lj}
#             = (\bar Y B^\top)_{il} .
# $$
#
# In the same way $\bar B = A^\top \bar Y$. If you ever forget which one is transposed: write the
# shapes. $\bar A$ must be $[n, k]$, and from $[n, m]$ and $[k, m]$ there is only one way.

# %% tags=["remove-input"]
book.show_source(linalg.MatMul)

# %% [markdown]
# ### Broadcasting is using something many times
#
# In $Y = X + b$, where $X$ is $[n, m]$ and $b$ is $[m]$, NumPy adds $b$ to each of the $n$ rows.
# So every $b_j$ is used $n$ times, and we know what that means: its cotangents are summed,
# $\bar b_j = \sum_i \bar Y_{ij}$. In the library, broadcasting is an operation of its own, so that
# the sum is written in one place and no other rule has to think of it. (Here `lead` is the number of
# those extra leading axes. Read it with `lead = 0`.)

# %% tags=["remove-input"]
book.show_source(broadcast.BroadcastTo, broadcast.Unbroadcast)

# %% [markdown]
# ## 1.5 An operation of your own
#
# A rule needs a formula, `forward` on arrays and `backward` on tensors. Take the logarithm of
# $1 + x^2$, with derivative $2 x / (1 + x^2)$:


# %%
class LogCauchy(Op):
    """y = log(1 + x^2);  xbar = ybar 2 x / (1 + x^2)."""

    saves = (0,)

    def forward(self, x):
        return np.log1p(x * x)

    def backward(self, grad, y, x):
        return grad * 2 * x / (1 + x * x)


# %% [markdown]
# Is it right? Never trust a gradient that has not been compared with differences. How such a
# comparison is made, and how it goes wrong, is the subject of
# [chapter 2](02_verifying_gradients.py); to use it takes one line:

# %% tags=["varies"]
rng = np.random.default_rng(0)
book.checks({"LogCauchy": gradcheck(LogCauchy(), rng.standard_normal((3, 4)))})

# %% [markdown]
# The rule itself is made of operations on tensors. That is why gradients can be differentiated
# again, at no extra cost to whoever writes rules. The second derivative of $x^3$ at 2 is 12, and
# the Hessian (the matrix of all second derivatives) of $\sum_i x_i^3$ times a vector $v$ is $6 x_i v_i$, computed without the Hessian:

# %%
print(grad(grad(lambda x: x**3))(2.0))
print(hvp(lambda x: (x**3).sum(), [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]))

# %% [markdown]
# ## 1.6 What it is good for
#
# With gradients we can fit things. A network with one hidden layer computes
# $f(x) = \tanh(x W_1 + b_1) \, W_2 + b_2$; we have 60 noisy points of a sine, and want the weights
# that minimize the mean squared error $L$. Gradient descent goes against the gradient, over and
# over again, with a step size $\eta$:
#
# $$
# w \leftarrow w - \eta \, \frac{\partial L}{\partial w} .
# $$
#
# *What to expect.* At the start the weights are random and the curve has nothing to do with the
# points. The coarse shape comes within a few dozen steps, the rest takes longer. The noise has
# standard deviation 0.1, so an honest fit ends with $L$ near $0.01$. (A fit with $p$ parameters that are all of use ends near
# $0.01 \, (1 - p / n)$ with $n$ points. There are as many parameters as points here: given enough time, the network could
# learn the noise, and $L$ far below $0.01$ would say that it has.)

# %%
points = np.sort(rng.uniform(-3, 3, (60, 1)), axis=0)
target = np.sin(points) + 0.1 * rng.standard_normal((60, 1))

shapes = {"W1": (1, 20), "b1": (20,), "W2": (20, 1), "b2": (1,)}
weights = [Tensor(rng.standard_normal(s), requires_grad=True, name=n) for n, s in shapes.items()]


def network(x):
    W1, b1, W2, b2 = weights
    return (x @ W1 + b1).tanh() @ W2 + b2


curves = {}
for step in range(3001):
    loss = ((network(points) - target) ** 2).mean()
    if step in (0, 30, 3000):
        curves[step] = network(points).numpy()
    for weight, slope in zip(weights, gradients(loss, weights), strict=True):
        weight.data -= 0.05 * slope.numpy()
print(f"loss at the end: {loss.item():.3f}")

# %% tags=["hide-input"]
figure, ax = book.new_figure(6.5, 3.4)
ax.plot(points, target, "o", color="0.6", markersize=4, label="data")
for (step, curve), style in zip(curves.items(), (":", "--", "-"), strict=True):
    ax.plot(points, curve, style, label=f"after {step} steps")
ax.set(xlabel="x", ylabel="f(x)")
ax.legend()
book.show(figure, "Sixty noisy points of a sine and the network's curve after 0, 30 and 3000 steps")

# %% [markdown]
# *How to read it.* The dotted curve is the network before training, the solid one after 3,000
# steps. All that happened in between is the loop above: compute the loss, walk back, subtract.
# [Chapter 3](03_lenet300.py) does nothing else, with images instead of points.
#
# ## 1.7 Pitfalls
#
# - **Gradients that pile up.** `backward()` adds to `.grad`; it must, as we have seen. Between two
#   steps of training they have to be set back: `optimizer.zero_grad()`, or use `gradients`, which
#   returns them and leaves `.grad` alone.

# %%
w = Tensor(3.0, requires_grad=True)
for _ in range(2):
    (w * w).backward()
    print("d(w^2)/dw =", w.grad.item())

# %% [markdown]
# - **Writing to what the tape will read again.** The rule of the product reads the old operands.
#   If a program sets weights to zero between forward and backward (it is the classic bug of pruning
#   code), the product rule finds the new value, and the gradient is wrong without a word. Here it
#   is refused:

# %%
w = Tensor([0.5, -2.0, 3.0], requires_grad=True)
loss = (w * w).sum()
try:
    w.data *= np.array([1, 0, 1], dtype=np.float32)
except WriteError as error:
    print(error)

# %% [markdown]
# - **Recursion.** A backward pass that calls itself ends with `RecursionError` on a network that is
#   deep enough, or on a recurrent one, whose output is its input again at the next step, after many
#   steps.
# - **Parameters in a `set`.** Its order may change from one process to the next; then the same seed
#   does not give the same run.
#
# ## Exercises
#
# Those with a title ask for code and have tests: `minisparse classroom new a1 --out a1` writes the
# task to a folder.
#
# **1.1 Quotient, power, logarithm.** Derive the backward rules of $a / b$, of $x^p$ and of $\log x$,
# and write them.
#
# **1.2 The matrix product.** Write its backward rule. Check the shapes first, then the numbers.
#
# **1.3 Broadcasting undone.** Sum a cotangent down to the shape that was broadcast. Which axes are
# summed away, and which keep length 1?
#
# **1.4 In which order?** Write the order in which a backward pass visits its graph, for any graph, in
# linear time.
#
# **1.5** (pencil) In the graph of section 1.1, set $t = 2$. Which cotangents become zero, and what
# does gradient descent do then?
#
# **1.6** (pencil) How many paths lead from $L$ to one weight of the first layer, in a network with three
# hidden layers of 100 units and 10 outputs, if every unit is a node of the graph, and $L$ adds up one term for each
# output? Why does nobody walk them?
#
# **1.7** The backward rule of `BroadcastTo` is a sum, and the rule of a sum is a broadcast. Find two
# more pairs of operations that are each other's backward rule.
#
# ## References
#
# - R. E. Wengert, *A simple automatic derivative evaluation program*, Communications of the ACM,
#   1964.
# - S. Linnainmaa, *Taylor expansion of the accumulated rounding error*, BIT, 1976.
# - D. E. Rumelhart, G. E. Hinton, R. J. Williams, *Learning representations by back-propagating
#   errors*, Nature, 1986.
# - A. Griewank, A. Walther, *Evaluating Derivatives*, SIAM, 2nd edition 2008.
# - A. G. Baydin, B. A. Pearlmutter, A. A. Radul, J. M. Siskind, *Automatic differentiation in machine
#   learning: a survey*, Journal of Machine Learning Research, 2018.
