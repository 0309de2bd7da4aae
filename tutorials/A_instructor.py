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
# # A. For the instructor
#
# **Goal.** Get from an empty folder to a graded class: hand out an assignment, collect the files, grade
# them with one command, and read the results. Know what a submission can and cannot do while it is
# graded, and see what of it holds on your own system.
#
# **Time.** 20 minutes to read, half a minute to run.
#
# Everything below was really typed: a line that begins with `$` is a command, and what follows is what
# it printed. Only the class is made up. The students' side is [the next page](B_student.py).
#
# ## A.1 Install
#
# You need Python 3.11 or later, and the source of minisparse in a folder: a `git clone` of its repository,
# or its archive, unpacked. In the place of `PATH/TO/minisparse-source` write where that folder is. For
# grading take Linux or macOS. (Students may work on Windows as well.) In an empty folder:
#
# ```bash
# python3 -m venv .venv                                # an environment of its own
# .venv/bin/pip install PATH/TO/minisparse-source      # NumPy and a few others come with it
# source .venv/bin/activate                            # now `minisparse` is a command
# ```
#
# For Gradescope you need the same installation, to make the archive that you upload (section A.9).
#
# ## A.2 Choose an assignment

# %% tags=["hide-input"]
import csv
import json
import shutil
from pathlib import Path

import minisparse
from minisparse import book
from minisparse.classroom.handing_out import manifest
from minisparse.classroom.handing_out.material import Material

assignment = "a3"
terminal = book.Terminal()  # an empty folder

# %% tags=["remove-input"]
terminal.run("minisparse classroom list", lines=slice(0, 16))

# %% [markdown]
# An assignment belongs to the chapter with its number, and its exercises are those at the end of that
# chapter. The numbers in brackets are points. Each exercise asks for functions **of the library
# itself**: students get them with signature and docstring, without the body, and write what the chapter
# derives. `minisparse classroom list --json` prints the same for programs.
#
# Is the assignment in order, on your machine, with your versions of Python and NumPy? The selftest
# grades the reference (it must have all points), the empty starter (none), and stored wrong solutions
# with the mistakes that students make (each must lose the points that it should).

# %% tags=["remove-input", "varies"]
VERSION = {"[0-9a-f]{16}": "<its version>"}  # it changes with the library
terminal.run(f"minisparse classroom selftest {assignment}", hide=VERSION)

# %% [markdown]
# ## A.3 Hand it out

# %% tags=["remove-input"]
terminal.run(f"minisparse classroom new {assignment} --out handout")
print("\n".join(sorted(f"handout/{p.name}" for p in (terminal.folder / "handout").iterdir())))

# %% [markdown]
# Give this folder to your students, as an archive or in a repository. It holds the task (`README.md`),
# the file in which they write (`a3.py`), and `check.py`, which checks their work. No line of a solution
# is in it. (Assignment a1 has a folder `engine/` beside these: the parts of the library that its
# functions need around them. Students leave it as it is.)
#
# Students install minisparse as you did, and read [their page](B_student.py). Two things to know and to
# tell them:
#
# - **The solutions are public.** The functions are the library's own, and so they are on every
#   student's disk once it is installed, and on the pages of the book. Grading makes sure that a
#   submission *is* a solution: it cannot call the library, because the library is not there. It cannot
#   know whether somebody copied ten lines, from the library or from a neighbour. These assignments are
#   for learning by doing; if points decide about something, ask about the code in person.
# - **The check of the students and your grading try the same properties**, with other random inputs and
#   other shapes. A student whose check passes will rarely be surprised.
#
# ## A.4 Collect
#
# Put the submissions into one folder. For each student it holds either a folder with `a3.py`, or a file
# with the student's name:
#
# ```text
# submissions/
#     ada/a3.py
#     ben/a3.py
#     ...
#     ivo.py
# ```
#
# The name of the folder or file is the name of the student in the results. Spaces and letters of all
# alphabets are fine. Names that begin with a dot or with two underscores are passed over, and so are
# lists, notes and other files that are no work of a student.
#
# What learning platforms hand you often looks different. In the folder of a student the file is called
# `a3.py`, exactly: rename `a3 (1).py`, `A3.py` or `ann_4711_a3.py`. If all files come in one folder, let
# each have its student's name, `ann.py`, whatever the assignment is. An archive has to be unpacked, and
# `ann/a3/a3.py` moved up by one folder; until then the student has no points, and a note that says so.
# A student is a folder *or* a file: `ann/a3.py` beside `ann.py` makes two students, `ann` and `ann.py`, and
# grading begins with a warning.
#
# Here is a class of nine, with about everything that happens. (To have the same class, unfold the code
# here and in A.2, run both in Python, and find the folder by `print(terminal.folder)`; it is removed
# when that Python ends.)

# %% tags=["hide-input"]
made = Material(manifest.load(assignment))
right, blank = made.solved[made.main], made.starter[made.main]
quotients = """

def cross_entropy(x, labels):
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
class_of_nine = {
    "ada": right,
    "ben": right + "\n\n" + made.wrong["overflow"],  # exp(1000)
    "chloe": right + "\n\n" + made.wrong["bias_averaged"],  # a mean for a sum
    "dmitri": right + quotients,
    "emeka": blank,
    "fatima": right + book.quick("\n\nwhile True:\n    pass\n", "\n\n1 / 0\n"),
    "gus": blank + "\n\nfrom minisparse.kernels.linear import matmul\n",
    "hana": None,
    "ivo": right + "\n\nprint('done'\n",
}
for student, text in class_of_nine.items():
    folder = terminal.folder / "submissions" / student
    folder.mkdir(parents=True)
    (folder / (f"{assignment}.py" if text else "homework.py")).write_text(text or right)

# %% [markdown]
# ## A.5 Grade
#
# One command. (We give a seed, so that this page shows the same numbers every time it is made. Leave
# `--seed` out: then a secret one is drawn, and kept in the folder of the results.)

# %% tags=["remove-input", "varies"]
terminal.run(
    f"minisparse classroom grade {assignment} submissions --out results --seed 5",
    hide=VERSION,
    lines=slice(0, 27),
)

# %% [markdown]
# This is what happened. First the selftest ran, as above; if it fails, nothing is graded. Then each
# submission was run in a process of its own, several at a time (`--jobs` says how many; by default one
# for each core). The inputs went in and arrays came out; the right answers never left the grader. The
# last lines, which are left out here, say what submissions were kept from on this system; section A.7
# is about them. A class of 200 takes less than ten minutes on two cores.
#
# ## A.6 Read the results

# %% tags=["remove-input"]
for path in sorted((terminal.folder / "results").rglob("*")):
    name = path.relative_to(terminal.folder)
    if path.is_file() and ("students" not in name.parts or "ada" in name.parts):
        print(name.as_posix())

# %% [markdown]
# (In `students/` there is such a folder for each.) Begin with `summary.txt`, which you have seen above:
# how many had each property. A property that hardly anybody has is a topic for the next lecture.
# `class.csv` opens in any spreadsheet:

# %% tags=["remove-input"]
with (terminal.folder / "results" / "class.csv").open() as file:
    head, *rows = csv.reader(file)
book.table(head, rows)

# %% [markdown]
# A column for each exercise. What became of our nine?
#
# - **ada** has everything. **ben** computes `exp(1000)`, and **chloe** takes a mean where a sum belongs.
#   Both lose the points of those properties only.
# - **dmitri** has a gradient from differences of the loss. Half of its digits are missing, and that earns
#   no points *for the gradient*. (In float32 differences are too coarse for the edge case as well.) That
#   the text looks like it is a note, and costs nothing by itself.
# - **emeka** has handed in the starter.
# - **fatima** has an endless loop at the end of the file. After ten seconds it is given up.
# - **gus** calls the library. It is not there, so the file cannot be imported.
# - **hana**'s file has another name, and **ivo** has not closed a bracket. The notes say so.
#
# A file in which there was nothing to grade always has a note that says why.
#
# Each student's `feedback.md` is a page to be given back. It names what is wrong and often why, but
# no right answer. This is chloe's, from the exercise with the mistake:

# %% tags=["remove-input", "varies"]
page = (terminal.folder / "results" / "students" / "chloe" / "feedback.md").read_text()
about = page.split("## Exercise ")
print(f"## Exercise {about[2].strip()}")

# %% [markdown]
# And `results.json` is the same for programs, in the schema of Gradescope. Its `extra_data` says what
# exactly was graded, so that a result can be repeated years later: assignment and version of the
# grader, a name for the seed, and a hash of the submission. The seed itself stands in `class.json` alone:
# who knows it can look answers up. Here is an excerpt, with one of the tests; dots mark what is left out:

# %% tags=["remove-input", "varies"]
result = json.loads(
    (terminal.folder / "results" / "students" / "chloe" / "results.json").read_text()
)
result["tests"] = [next(test for test in result["tests"] if test["status"] == "failed")]
shown = {key: result[key] for key in ("score", "tests")}
print(json.dumps(shown, indent=2).replace("\n  ]\n}", ",\n    ...\n  ],\n  ...\n}"))

# %% [markdown]
# ### Late submissions, and doing it again
#
# The command may be given again at any time, after Ctrl-C or a power cut too. Students whose file has
# not changed since are not graded again; those who are new or have changed are. So for late submissions,
# put the files into the folder and repeat the command. Jana is late, and ivo has closed his bracket:

# %% tags=["hide-input", "varies"]
(terminal.folder / "submissions" / "jana.py").write_text(right)
ivo = terminal.folder / "submissions" / "ivo" / f"{assignment}.py"
ivo.write_text(ivo.read_text().rstrip() + ")\n")
kept = terminal.folder / "results" / "students" / "ada" / "results.json"
before = kept.stat().st_mtime_ns
terminal.run(
    f"minisparse classroom grade {assignment} submissions --out results",
    hide=VERSION,
    lines=slice(0, 5),
)
again = "was graded again" if kept.stat().st_mtime_ns != before else "was not graded again"
print(f"ada's result {again}")

# %% [markdown]
# The seed is the one of before, from `class.json`: everybody is tried on the same inputs. Keep that file
# secret until the end; only you may read it. The grader knows nothing of dates. If late work is to be counted differently,
# put it into a folder of its own with results of its own, and give it the same seed with `--seed`, the
# number from `class.json`. Points that you change by hand you change in your own table, not in
# `class.csv`: it is written anew each time.
#
# If a new version of minisparse, or a change of the assignment, would judge differently, everybody is
# graded again, so that nobody is graded by another measure than the rest. For a course, install one
# version and stay with it.
#
# ## A.7 What a submission can do
#
# A submission is a program by a stranger that runs on your computer. While it runs it may compute, read
# the inputs that it is sent, and write its answers; nothing else. It holds no solution, no expected
# value and no seed. The operating system keeps it from
#
# | | how |
# | --- | --- |
# | opening, changing, removing files, and looking at them | no file can be opened (limits, seccomp, Landlock) |
# | the network | no socket can be made (limits, seccomp, Landlock) |
# | starting processes | limits, seccomp |
# | reaching other processes: signals, tracing | seccomp, Landlock; another user, if you are root |
# | too much memory (2 GiB) or time (10 s for an answer, two minutes in all) | limits, and the clock |
#
# On Linux all of these walls exist, some twice. On macOS there are only the limits. **Which of it holds
# on your system is not promised but tried**: before a class is graded, a program that attempts all of
# it is run exactly as submissions are. What it could not do, the end of `summary.txt` lists as
# forbidden. On Linux it should read
#
# ```text
# while submissions ran:
#   opening, changing or removing files: forbidden
#   using the network: forbidden
#   starting processes: forbidden
#   reaching other processes: forbidden
#   using more memory than allowed: forbidden
#   using more processor time than allowed: forbidden
# ```
#
# If it says `NOT forbidden on this system`, with what was possible, there is a warning at the start of
# grading as well. Then grade in a container or a virtual machine, or only submissions of people whom you
# trust. You need not be root. If you are (in a container, say), each submission runs as a user of its
# own, without rights.
#
# ## A.8 A submission that was flagged
#
# The summary ends with the submissions that have a note, under *look at these*. A note is a reason to
# look and not a verdict. Below it stands what was *left out, not graded*: whatever lies in the folder of
# submissions and is none, such as your list of names, or a file `dave` without a suffix.
#
# | the note | what it did to the points | what to do |
# | --- | --- | --- |
# | `aN.py is missing`, `is empty`, `is a symbolic link`, `SyntaxError` | none at all | have it handed in again, and grade again; the note names what is there instead |
# | `importing your file raised ...`, or `gave no answer` | none at all: no function can be called | the same. Often it is one line at the top, such as `import matplotlib`, that no function needs |
# | `nothing is written` | none | the file is the one that you handed out |
# | `imports minisparse, which holds the solutions` | at the top of the file: none at all, also if nothing uses it. Inside a function: none for what needs it | often a line that was left from trying things out; ask for a file without it |
# | `imports torch, and gradients are to be written`, or another framework | the same | the same |
# | `seems to return a difference quotient`, or `by a complex step` | nothing by itself. Most difference quotients lose their points by missing digits; of a linear function they may be exact | read the line. The recognition goes by the text of the program: it sees two values of a function at shifted arguments, and not what is hidden better. Whether an estimate counts as a gradient is for you to say |
# | `the grader itself failed over this submission` | none; it does not count as graded | run the command again. If that does not help, it is a bug of ours |
#
# A submission that reads the stack, replaces NumPy's functions, returns objects that equal everything,
# or waits for the grader to end, does not get a note. It gets no points: what it sends back is read
# as numbers and compared by another process.
#
# ## A.9 Gradescope
#
# Instead of grading yourself, you can have each submission graded as it is handed in. The command makes
# an archive, which you upload as the autograder of a *programming assignment*:

# %% tags=["remove-input", "varies"]
terminal.run(
    f"minisparse classroom grade {assignment} --out results --gradescope {assignment}.zip",
    hide=VERSION,
)

# %% [markdown]
# It holds the library, which the container runs as root, so that each submission runs without rights.
# The container installs NumPy when it is built, and needs nothing else. The students see points and
# messages of each property. The seed is in the archive; it is the same for all. (We have run what the
# archive holds in the layout of such a container, but not on Gradescope's own machines: try it with one
# submission before you announce it.)
#
# ## A.10 An assignment of your own
#
# Assignments are folders in `minisparse/classroom/assignments/`. Yours can ask for any function of the
# library, also for one that you add to it. Work in the source, installed with `pip install -e .`, so
# that the command sees what you change. Nothing is marked in the library itself; you write a manifest,
#
# ```text
# minisparse/classroom/assignments/a13/
#     assignment.toml      what is asked for
#     properties.py        what must hold
#     wrong/of_all.py      wrong solutions, at least one for each mistake that you expect
# ```
#
# such as this one for a small function that would suit chapter 13, the sparsity of pruning in rounds:

# %%
MANIFEST = """
id = "a13"
title = "In rounds"
chapter = 13
minutes = 10
introduction = "One line that is easily written the wrong way."

[[exercises]]
number = "13.1"
title = "In rounds"
functions = ["minisparse.prune.schedule.iterative_sparsity"]
hints = ["The same share of what?"]
"""

# %% [markdown]
# A property is a function with a decorator: exercise, kind, points, and what the student is told that it
# is about. The kind is *forward* (the values), *gradient* (a derivative: what looks like a difference
# quotient is noted), *edge* (special cases), or a word of your own, such as *law* in
# assignment a8 for a law that the values obey together; it stands beside the property's name. `student`
# has the student's functions by name, `reference` the library's, and `rng` is seeded differently for the
# public check (`level` is `"public"`) and for grading. A property holds if nothing raises. `close`,
# `refuses` and `gradient_holds`, which runs the gradient checker, raise with messages for students.
# Compare with something computed in another way, or with known numbers; and draw every input from `rng`,
# else the answers of the public check are worth points.

# %%
PROPERTIES = """
from minisparse.classroom.properties import close, prop, refuses


@prop("13.1", "forward", points=2, name="each round takes the same share")
def same_share(student, reference, rng, level):
    left, share = 1.0, rng.uniform(0.2, 0.8)
    for k in range(4):
        got = student.iterative_sparsity(k, 3, 1 - (1 - share) ** 3)
        close(got, 1 - left, rtol=1e-9, what=f"the sparsity after {k} of 3 rounds")
        left -= share * left


@prop("13.1", "edge", points=1, name="without rounds there is no schedule")
def nothing(student, reference, rng, level):
    refuses(student.iterative_sparsity, 0, 0, 0.5, because="0 rounds")"""

# %% [markdown]
# An error that you grade with `refuses` belongs into the section *Raises* of the function's docstring:
# that is all that the student knows. A wrong solution is a piece of Python that stands behind the
# reference and replaces one of its functions. It must lose points, or the selftest fails: this is how you
# find out that your properties ask too little.

# %%
WRONG = """
def iterative_sparsity(k, n, final):
    if n < 1:
        raise ValueError("no rounds")
    return final * k / n
"""

# %% [markdown]
# Then run its selftest. (Here it is run in a copy of the library.) It does more than what you have
# written: it also hands in the starter, a file whose functions refuse everything, and one whose
# functions return nothing. None of them may get a point.

# %% tags=["hide-input"]
source, copy = Path(minisparse.__file__).parent, terminal.folder / "copy"
shutil.copytree(
    source, copy / "minisparse", ignore=shutil.ignore_patterns("mnist", "__pycache__", "a13")
)
mine = copy / "minisparse" / "classroom" / "assignments" / "a13"
(mine / "wrong").mkdir(parents=True)
files = {"assignment.toml": MANIFEST, "properties.py": PROPERTIES, "wrong/of_all.py": WRONG}
for name, text in files.items():
    (mine / name).write_text(text)

# %% tags=["remove-input", "varies"]
terminal.run("minisparse classroom selftest a13", at="copy", hide=VERSION)

# %% [markdown]
# And so it refuses. The second property only asks for an error, and a function that always raises one
# has this property. Let it ask for something that works as well:

# %%
MENDED = f"""{PROPERTIES}
    after_all = student.iterative_sparsity(3, 3, 0.5)
    close(after_all, 0.5, what="the sparsity after the last of 3 rounds")
"""

# %% tags=["remove-input", "varies"]
(mine / "properties.py").write_text(MENDED)
terminal.run("minisparse classroom selftest a13", at="copy", hide=VERSION)
terminal.run("minisparse classroom new a13 --out ../a13", at="copy")

# %% [markdown]
# From here on everything is as with the others: `list`, `new`, `check`, `grade`. The keys of a manifest
# are described in `minisparse/classroom/handing_out/manifest.py`, what properties are written with in
# `minisparse/classroom/properties.py`; the folders of the other assignments are examples of all of it.
# If you run the library's tests, they make the round trip of every assignment, so of yours as well. (And
# they want its exercises to stand at the end of the chapter with its number.)
#
# ## A.11 When something does not work
#
# | you see | it means | what to do |
# | --- | --- | --- |
# | `selftest of a3 ... fails, so nothing is graded with it` | with this seed the assignment does not grade as it should, here and with these versions | a secret seed is drawn anew, up to five times. If it goes on, nobody has been graded, and the lines below it say what is wrong. A seed that you gave with `--seed`: give another one |
# | `warning: left out, not graded: ...` | these stand among the submissions and are none, by their names | if one is somebody's work, rename it, and grade again |
# | `a process for submissions could not be started: ModuleNotFoundError ...` | the isolated process does not find NumPy | install NumPy for the Python that runs the grader |
# | `holds the results of a2; choose another --out` | each assignment needs results of its own | another folder |
# | `the results and the submissions need folders apart` | one lies inside of the other | another folder |
# | `which submissions?` | the folder was left out | `grade a3 SUBMISSIONS --out RESULTS` |
# | `could not be written: No space left on device` | the disk is full; who was graded stays graded | make room, run it again |
# | `interrupted. Who was graded stays graded` | somebody pressed Ctrl-C; nothing is lost | run it again to go on |
# | `warning: ann/ and ann.py are graded as two students` | a student has handed in both | remove one, and grade again |
#
# The exit code is 0 if everybody was graded, and 2 if that could not be done.
