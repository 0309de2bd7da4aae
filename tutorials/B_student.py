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
# # B. For the student
#
# **Goal.** Get from the folder that you were given to a file that you hand in: read the specification,
# write, check, understand what the check says, and know what happens when your file is graded.
#
# **Time.** 15 minutes to read, a few seconds to run.
#
# A line that begins with `$` is a command, and what follows is what it printed. We work on assignment
# a3, which belongs to [chapter 3](03_lenet300.py), and make every mistake on purpose.
#
# ## B.1 Set up
#
# You need Python 3.11 or later, on Linux, macOS or Windows, the folder of the assignment, and the source
# of minisparse: a `git clone` of its repository, or an archive, from where your instructor says. In the
# place of `PATH/TO/minisparse-source` write where that folder is. In a folder of your own:
#
# ```bash
# python3 -m venv .venv                                # an environment of its own
# .venv/bin/pip install PATH/TO/minisparse-source      # NumPy and a few others come with it
# source .venv/bin/activate                            # in every new terminal; then `minisparse` works
# ```
#
# On Windows write `py -m venv .venv`, then `.venv\Scripts\pip` and `.venv\Scripts\activate`. If you have
# no folder of an assignment yet, `minisparse classroom list` shows what there is, and you can make one:

# %% tags=["hide-input"]
import re

from minisparse import book

terminal = book.Terminal()  # an empty folder

# %% tags=["remove-input"]
terminal.run("minisparse classroom new a3 --out a3")
print("\n".join(sorted(f"a3/{p.name}" for p in (terminal.folder / "a3").iterdir())))
work = terminal.folder / "a3" / "a3.py"
handed_out = work.read_text()


def write(**bodies):
    """Write bodies in the place of what is to be done, and show them."""
    text = handed_out
    for name, body in bodies.items():
        code = "\n".join(f"    {line}".rstrip() for line in body.strip("\n").splitlines())
        text, n = re.subn(
            rf"    raise NotImplementedError\(.exercise [\d.]+: {name}.\)", code, text
        )
        assert n == 1, name
    work.write_text(text)


# %% [markdown]
# ## B.2 Read
#
# `README.md` is the task. It lists the exercises, what each property is worth, hints, and the rules. The
# specification is in `a3.py`, above each function that you write: what it computes, shapes, what it
# returns, which errors it raises. This is the one of the first function:

# %% tags=["remove-input"]
start = handed_out.index("def matmul(")
stop = handed_out.index("# ---- exercise 3.2")
print(handed_out[start:stop].strip())

# %% [markdown]
# Read it to the end. `max(a b + bias, 0)` says in which order bias and rectifier come, and *Raises* is
# a part of the task: one of the properties looks at it. What stands above your functions in the file
# (here `_check_product`, for instance) is there to be used.
#
# ## B.3 Check
#
# Change into the folder. The check tries all exercises, or the one that you name:

# %% tags=["remove-input"]
terminal.run("python check.py 3.1", at="a3")

# %% [markdown]
# (`minisparse classroom check 3.1` does the same.) A line for each property, with its kind and its
# points. Nothing is written yet; what has been said already is not repeated. Now a first attempt. You put
# it in the place of the line `raise NotImplementedError(...)`:

# %%
first_attempt = """
y = a @ b
if relu:
    y = np.maximum(y, 0)
if bias is not None:
    y = y + bias
return y
"""

# %% tags=["remove-input", "varies"]
write(matmul=first_attempt)
terminal.run("python check.py 3.1", at="a3")

# %% [markdown]
# The product is right. "Its rectifier", that is the result with bias and with `relu=True`, is wrong in
# some elements, but not in all. The message names the worst of them and what you returned there; it does
# not name the right value. Which elements would be wrong if the order of two steps was? Those where
# the bias changes the sign. So:

# %%
matmul = """
_check_product(a, b, bias)
y = a @ b
if bias is not None:
    y = y + bias
return np.maximum(y, 0) if relu else y
"""

# %% tags=["remove-input", "varies"]
write(matmul=matmul)
terminal.run("python check.py 3.1", at="a3")

# %% [markdown]
# "Public checks passed" is all that it will ever say. It does not say "all is right": grading uses other
# numbers and other shapes. If you have tested with square matrices only, this matters; the check does
# not.
#
# ## B.4 When a gradient is wrong
#
# A gradient is not compared with a stored answer but verified: by differences of the forward, as in
# [chapter 2](02_verifying_gradients.py). If it fails, an explanation is looked for. Here is a backward
# of the linear layer:

# %%
backward = """
_check_linear(g, x, w, y)
if y is not None:
    g = g * (y > 0)
return (
    g @ w.T if wants[0] else None,
    x.T @ g if wants[1] else None,
    g.mean(axis=0) if wants[2] else None,
)
"""

# %% tags=["remove-input", "varies"]
write(matmul=matmul, linear_backward=backward)
terminal.run("python check.py 3.2", at="a3")

# %% [markdown]
# After `gradcheck:` comes the name of the cause, and then a sentence with the evidence. Here it is a
# factor, and it is one over the length of an axis; somebody has taken a mean. The bias was added to every
# row, so its gradient is a **sum** over rows. The other messages have the same reason; it is good to
# read the clearest one first.
#
# The causes that you will meet most:
#
# | gradcheck says | look for |
# | --- | --- |
# | `constant-factor` | a forgotten 2 or 1/n, a mean for a sum, a wrong sign |
# | `upstream-ignored` | the gradient that comes in, `g`, is not used, or as if it were all ones |
# | `transposed` | `w` for `w.T`, or the factors of a product in the wrong order |
# | `swapped-arguments` | two gradients are returned in the wrong order |
# | `missing-broadcast-sum` | what was added to many rows has to be summed over them |
# | `wrong-elements`, `wrong-region` | a case: the border, the maximum, the elements below zero |
# | `missing-factor` | what the chain rule multiplies by: it is named |
# | `missing-terms` | a second way from the input to the output: through a sum, a mean, a norm |
# | `wrong-formula` | everything goes to the right place with the wrong value: derive it again |
# | `wrong-structure` | axes, orders, indices: it goes to the wrong places |
# | `zero-gradient` | a formula that was never filled in, or that cancels |
# | `mutates-input` | you have changed an argument: work on a copy |
# | `bad-shape`, `bad-dtype`, `not-finite` | what it says |
# | `low-precision` | something in float32, or a difference quotient |
# | `unknown` | none of these; derive it again, and compare at the element that is named |
#
# You can ask it yourself about any function and backward, see section 2.6 of chapter 2.
#
# ## B.5 Other messages

# %%
overwriting = """
_check_linear(g, x, w, y)
if y is not None:
    g[y <= 0] = 0
return g @ w.T, x.T @ g, g.sum(axis=0)
"""

# %% tags=["remove-input", "varies"]
write(matmul=matmul, linear_backward=overwriting)
terminal.run("python check.py 3.2", at="a3")

# %% [markdown]
# Two things. `g` belongs to somebody else who needs it later, so the check gives you arrays that cannot be
# written to; make a new one with `np.where` or `g * (y > 0)`. And the docstring says that what is not
# wanted is None.

# %%
plain = """
e = np.exp(x)
p = e / e.sum(axis=1, keepdims=True)
losses = -np.log(p[np.arange(len(x)), labels])
p[np.arange(len(x)), labels] -= 1
return losses, p
"""

# %% tags=["remove-input", "varies"]
write(matmul=matmul, cross_entropy=plain)
terminal.run("python check.py 3.3", at="a3")

# %% [markdown]
# The formula is right, and the points for it are yours. What is missing are *edge cases*: exp(1000) is
# infinite, and labels that are no class must be refused. The hints in `README.md` are about these.
#
# | message | what it means |
# | --- | --- |
# | `... is not written yet` | the line with `NotImplementedError` is still there |
# | `expected shape (3, 2), got (2, 3)` | a transposition, or an axis that was kept or lost |
# | `expected dtype float32, got float64` | float32 goes in and must come out: `np.zeros_like(x)`, not `np.zeros(x.shape)` |
# | `all wrong elements are 0.25 times what they should be` | a factor |
# | `right to a relative 3e-04 only` | the formula is right, its digits are lost: subtract before you add something large |
# | `... should raise ValueError for ..., but it returned a result` | the section *Raises* of the docstring |
# | `instead: ... raised IndexError` | an error, but not the one that was asked for |
# | `it writes to its argument` | make a new array |
# | `should be exactly 0` | a small number is not enough there |
# | `raised ... (line 131 of a3.py)` | Python's own error, with the line of your file |
# | `... gave no answer within 10 s (an endless loop?)` | a loop whose end is never reached; look at what should end it |
# | `Timeout`, and the line where it was | the same, where it could not be interrupted: an `except:` without a name catches everything |
# | `a3.py: SyntaxError: ... (line 88)` | the file cannot be read; nothing is checked |
# | `... should hold the file of one assignment` | you are in another folder: change into it, or name it, `minisparse classroom check a3 3.2` |
#
# ## B.6 What is not allowed, and why
#
# - **Difference quotients in the place of a gradient.** They are how one *checks*. Deriving is the
#   exercise; and besides they are slow and lose half of the digits.
# - **Other frameworks, and the functions of minisparse itself.** You would hand in somebody else's
#   solution. They are not there when your file is graded. An `import torch` at the top of the file, used
#   or not, means that no function can be called: 0 points. So does any other module that is neither
#   NumPy nor of Python's standard library, matplotlib for instance.
# - **Reading files, starting programs, the network.** It is not possible while your file is graded,
#   and no exercise needs it. NumPy and Python's standard library are there.
#
# The check runs your file here first, where you see what it prints, and then as it is run when it is
# graded: behind the same walls. What holds here and would not hold there is a line `FAILED  when graded`.
# And a gradient that looks estimated gets a note:

# %%
quotient = """
def loss(x):
    shifted = x - x.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(x)), labels]

_check_labels(x, labels)
gradient = np.zeros_like(x)
for j in range(x.shape[1]):
    h = np.zeros_like(x)
    h[:, j] = 1e-6
    gradient[:, j] = (loss(x + h) - loss(x - h)) / 2e-6
return loss(x), gradient
"""

# %% tags=["remove-input", "varies"]
write(matmul=matmul, cross_entropy=quotient)
terminal.run("python check.py 3.3", at="a3")

# %% [markdown]
# The points are lost by the digits that are missing. The note costs nothing by itself: it goes by the text
# of the program and can be wrong; who grades will look.
#
# ## B.7 Hand in
#
# Hand in `a3.py`, under this name, and nothing else. Run the check once more, for all exercises, on the
# file that you hand in. Unfinished functions do no harm: each property has points of its own, so leave
# them as they are, and you get the points for the rest.
#
# What is different when it is graded?
#
# - The same properties, but **other random numbers and other shapes**. So do not write for the numbers
#   that you have seen.
# - Your file runs **alone**: without minisparse, without files, with ten seconds for an answer and 2 GiB
#   of memory. What it prints is thrown away. Nothing may run when it is imported that does not end
#   soon; put your own experiments into another file, or below `if __name__ == "__main__":`.
# - An error in one function does not hurt the others. But a file with a syntax error, or one that raises
#   when it is imported, has no functions at all.
# - You get a page of feedback like the output of the check.
#
# And if you want to know what the library does: each chapter shows its code, which is the solution. While
# you work, read the formulas there and leave the code. Afterwards you will read it with other eyes.
