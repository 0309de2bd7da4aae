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
# # 0. How to use this book
#
# **Goal.** Know what is in the book, what you need for it, and how to run it.
#
# **Time.** 5 minutes to read.
#
# Neural networks have far more weights than they need. This book is about taking most of them away:
# how one decides which, what it costs, and what is gained. Each chapter takes one idea, derives it
# with pencil and paper, shows the code of the library that computes it, checks its gradient, and
# then trains something to see whether it is true.
#
# You should know how to index a NumPy array, and the mathematics of the first year or two: partial
# derivatives and Taylor series; the product and the transpose of matrices, the norm of a vector; and of
# probability what an expectation, a variance and a density are. Everything else is built here from the
# ground: automatic differentiation in chapter 1, and so on upwards.
#
# ## The chapters

# %% tags=["remove-input"]
from minisparse import book

book.contents()

# %% [markdown]
# The order is one in which each chapter needs only those before it. If you know how
# backpropagation works, begin with chapter 2; if you have trained networks before, with chapter 5.
#
# ## Three ways to read a chapter
#
# - **As a page**, as you do now. Text, formulas, outputs and figures are all there; nothing has to be
#   installed or run.
# - **As a notebook.** A chapter is a Python file, `tutorials/NN_name.py`. VS Code shows it as cells
#   that can be run one by one; Jupyter opens it as a notebook (right click, *Open With*, *Notebook*)
#   if the package `jupytext` is installed.
# - **As a program.** `python tutorials/01_chain_rule.py` runs a chapter from top to bottom and
#   prints what it computes. For this the package alone is enough:
#
# ```bash
# python3 -m venv .venv && .venv/bin/pip install -e .
# .venv/bin/python tutorials/01_chain_rule.py
# ```
#
# Nothing needs a network connection: the handwritten digits that we train on are part of the
# package. What a chapter trains itself takes seconds, at most two minutes on two cores. Longer
# experiments have been run before; the chapter reads their results from `tutorials/results/`, and
# says which command makes them.
#
# In the code you will meet `book.quick(full, short)`. It returns `full`, unless the environment variable
# `MINISPARSE_BOOK_QUICK=1` asks for a quick run. Then it returns `short`, fewer images or epochs, and
# the chapter ends in seconds, with numbers that mean nothing. The tests use it.
#
# ## How a chapter is made
#
# - **Goal**, and what you can do afterwards.
# - **The mathematics**, step by step, in the notation of the paper that it comes from.
# - **The library's own code** for each formula. It is not copied into the text: the page shows what
#   the library runs.
# - **A gradient check** of that code.
# - **What to expect**, said before the experiment is run. Make up your own mind there; being wrong
#   is how one learns most from an experiment.
# - **The result**: our numbers over several seeds, the published ones beside them, and an honest
#   word on the difference. A published number that was quoted from memory says so: "as recalled;
#   not checked against the PDF".
# - **Pitfalls**: mistakes that are easily made.
# - **Exercises**, with pencil or with code. Those with code have tests, which tell you what is wrong
#   and why.
#
# ## Conventions
#
# | we write | for |
# | --- | --- |
# | $\bar y$ | the derivative of the loss with respect to $y$ |
# | $y = x W + b$ | a linear layer: $x$ is a row, $W$ has shape [inputs, outputs] |
# | [n, height, width, channels] | the axes of images |
# | [height, width, in, out] | the axes of a convolution's weights |
# | density, sparsity | the share of weights that is kept; the share that is removed |
#
# Outputs of a training differ in the last digits between processors, and times differ anyway. The
# numbers on a page are those of the machine on which it was made.
#
# ## The rest of the project
#
# `minisparse list` shows the published tables that are reproduced, and `minisparse reproduce` runs
# them. `minisparse gradcheck` checks a gradient that you wrote. `minisparse classroom list` shows the
# assignments: those of chapter 3 are `a3`, with the numbers of its exercises. And
# `minisparse book --html site` makes the whole book a web site that works offline (install the extra
# `docs` for that).
