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
# # C. Add a method of your own
#
# **Goal.** Write a pruning method in less than twenty lines, train with it, check that it keeps the
# promises that every method here keeps, and know where each piece of it would stand in the library.
#
# **Time.** 10 minutes to read, seconds to run.
#
# ## C.1 A method is its score
#
# Four questions make a method: *how much is a weight worth* (the score), *what is removed together*
# (the granularity), *what is compared with what* (the scope), and *how much has to be gone, and when*
# (the schedule). The last three have their files, `minisparse/prune/granularity.py`, `scope.py` and
# `schedule.py`, and go with any score. So a new method says its score, and nothing else.
#
# Ours is a toy. A weight that has kept its sign for a long time has made up its mind; one whose sign
# changes all the time has not. Let the *age* $a_i$ of a weight be the number of steps since its sign last
# changed, and
#
# $$
# s_i = |w_i|\, a_i .
# $$
#
# In NumPy that is `abs(w) * age`. What the class below adds to it is the age itself, which has to be counted
# while the network trains:

# %%
import numpy as np

from minisparse.prune.score import ScorePruning


class AgePruning(ScorePruning):
    """Prune what is small, or has changed its sign a short time ago."""

    def attach(self, model, optimizer, rng):
        super().attach(model, optimizer, rng)  # a mask that keeps everything
        self.age = {n: np.zeros(m.shape) for n, m in self.mask().items()}
        self.sign = {n: np.sign(p.numpy()) for n, p, _ in self.mask().parameters(model)}

    def after_step(self, run):
        super().after_step(run)  # holds the mask
        for name, p, _ in self.mask().parameters(run.model):
            sign = np.sign(p.numpy())
            self.age[name] = np.where(sign == self.sign[name], self.age[name] + 1, 0)
            self.sign[name] = sign

    def score(self, weights, batch):
        return {name: abs(w) * self.age[name] for name, w in weights.items()}


# %% [markdown]
# The hooks that a method may have, and when they are called, are listed in `minisparse/prune/method.py`.
# `attach` is called once, before the first step, and makes what depends on the model; `after_step` is
# called after each step of the optimizer, and `score` whenever the schedule asks for more. It gets the
# weights, and a `batch`, of which a score may ask
# more than the weights tell:
#
# | `batch.` | |
# | :--- | :--- |
# | `loss_at(weights)` | the mean loss, with other values for some weights: what a score wants to predict |
# | `gradients(names)` | $\partial L/\partial w$ |
# | `hessian_vector(v)` | $H v$ |
# | `squares()` | $\frac 1B \sum_n (\partial \ell_n/\partial w)^2$, image by image |
# | `inputs()` | what goes into each layer |
# | `x`, `y` | the images themselves |
#
# The images are drawn when a score first looks at them; ours does not, and draws none.
#
# ## C.2 Train with it
#
# Everything else is there: any schedule, any scope, any granularity.

# %% tags=["varies"]
from minisparse import book, data, nn, optim
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.schedule import gradual
from minisparse.train import evaluate, train

mnist = data.load("mnist")
images = mnist.train.subset(np.arange(book.quick(10_000, 500)))


def error_of(method, seed):
    """Train LeNet-300-100 while it is pruned to 5 %, and return the test error in percent."""
    rng = np.random.default_rng(seed)
    model = nn.LeNet300(rng=rng)
    optimizer = optim.SGD(model, 0.05, momentum=0.9)
    train(model, images, optimizer, epochs=8, rng=rng, methods=[method], progress=False)
    assert abs(method.mask().density - 0.05) < 1e-4
    return evaluate(model, mnist.test).error_percent


schedule = gradual(sparsity=0.95, start=1, end=6)
rows = []
for name, kind in {"|w|": MagnitudePruning, "|w| age": AgePruning}.items():
    errors = [error_of(kind(schedule), seed) for seed in range(book.quick(3, 1))]
    rows.append([name, f"{np.mean(errors):.2f}", ", ".join(f"{e:.2f}" for e in errors)])
book.table(["score", "test error, %", "of three seeds"], rows)

# %% [markdown]
# The control stands beside it, with the same schedule, seeds and budget: magnitude, which is the same score
# without our idea. Whatever the table says of the toy, without that row it would say nothing.
#
# ## C.3 What a method promises
#
# *What changes during a run is in the state.* A training that was interrupted goes on with the same bits
# only if the method can be put back where it was. Our class forgets ages and signs. Two methods
# mend that, and they are part of every method that remembers something:

# %%


class Resumable(AgePruning):
    """The same, and a checkpoint knows its ages."""

    def state_dict(self):
        return {"mask": super().state_dict(), "age": dict(self.age), "sign": dict(self.sign)}

    def load_state_dict(self, state):
        super().load_state_dict(state["mask"])
        self.age, self.sign = dict(state["age"]), dict(state["sign"])


# %% [markdown]
# Here is a run that is stopped in its second epoch and called again, beside one that was not:

# %%
import tempfile
from pathlib import Path

from minisparse.prune.method import Method

few = mnist.train.subset(np.arange(500))


class StopAt(Method):
    """End the training after so many steps, as a power cut would."""

    def __init__(self, step):
        self.left = [step]

    def after_step(self, run):
        if run.step in self.left:
            raise KeyboardInterrupt


def run_to_the_end(checkpoint, stop):
    rng = np.random.default_rng(0)
    model = nn.LeNet300(rng=rng)
    methods = [Resumable(gradual(0.9, 0, 2)), StopAt(stop)]
    optimizer = optim.SGD(model, 0.05, momentum=0.9)
    train(model, few, optimizer, epochs=3, rng=rng, methods=methods, progress=False,
          checkpoint=checkpoint, checkpoint_seconds=0)  # fmt: skip
    return model.state_dict()


with tempfile.TemporaryDirectory() as folder:
    whole = run_to_the_end(Path(folder, "whole.npz"), stop=-1)
    try:
        run_to_the_end(Path(folder, "cut.npz"), stop=7)
    except KeyboardInterrupt:
        print("stopped after step 7 of 15")
    resumed = run_to_the_end(Path(folder, "cut.npz"), stop=-1)

same = all(np.array_equal(whole[name], resumed[name]) for name in whole)
print("the same bits:", same)
assert same

# %% [markdown]
# *What is removed is zero, and has no past.* `ScorePruning` sees to it: after each step removed weights
# and their state in the optimizer are zero, and `set_mask`, for methods that let weights come back, gives
# them a fresh state.
#
# *The rest* (that float32 stays, that another array library works, that a second run begins anew, that
# the shrunken and the sparse network compute the same, that a schedule which ends after the run is told)
# is the same for all methods, so it is tested in one place, `tests/prune/test_every_method.py`.
#
# ## C.4 Where it would stand in the library
#
# | piece | place |
# | :--- | :--- |
# | formula, then class, the paper's equations in the docstring at the top | `age.py`, in `minisparse/prune/` |
# | who published it and when, what is removed, when | `ABOUT` in the same file |
# | a line in the table of methods | `tests/prune/every_method.py` |
# | the formula against its definition: differences, brute force, sampling | `test_prune_age.py`, in `tests/prune/` |
# | a sample for the gradient checker, if a gradient goes through it | `minisparse/gradcheck/formulas/` |
#
# From then on `minisparse methods` lists it, `minisparse methods age` shows its formula, and the contract of
# C.3 is checked with every change. The library's own SNIP is such a file; its score is one line:

# %%
from minisparse.prune import snip

book.show_source(snip.connection_sensitivity, snip.SNIP.score, docstring=False)

# %% [markdown]
# ## C.5 When a score is not enough
#
# - *Weights come back* (RigL, dynamic sparse training): derive from `MaskedTraining` and call `set_mask`.
# - *A penalty in the loss*: return it from `before_loss`. *A step apart from the gradient*: `after_step`.
# - *The layer uses something else in the place of its weight*, a gate, a threshold that is learned, a sample:
#   derive from `nn.Parametrization`; `nn.harden` makes a plain network of it.
# - *Scores that are learned by an optimizer of their own*: a method may hold one; `Method` says how.
# - *Train under a mask that is given, go back to earlier weights* (lottery tickets): `FixedMask` and `rewind` in
#   `minisparse/prune/masked.py`.
#
# ## C.6 Exercises
#
# **C.1** Replace the age by the number of sign changes (FlipOut divides a power of $|w|$ by it). What do
# you divide by at the first step?
#
# **C.2** Give `AgePruning` the granularity `"unit"`. What does the sum over a unit's weights of $|w|\,a$
# mean? Which other way from weights to units would you try?
#
# **C.3** Write Wanda, $|w_{ij}|\, \lVert x_i\rVert_2$, with `batch.inputs()`, and prune LeNet-300-100 once, after
# training. Compare with magnitude at 90, 95 and 98 %, without and with training on.
