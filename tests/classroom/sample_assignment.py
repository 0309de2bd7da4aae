"""A small assignment of two exercises, written into a folder, for the tests of the classroom."""

from minisparse.classroom.grading.grading import Grader
from minisparse.classroom.grading.submissions import Submission
from minisparse.classroom.handing_out import manifest
from minisparse.classroom.handing_out.material import Material
from minisparse.classroom.walls.limits import Limits
from minisparse.cli import main

LIMITS = Limits(call=5.0, lost=5.0, cpu=20, memory=1024)

MANIFEST = """
id = "a1"
title = "Gates"
chapter = 1
minutes = 5
introduction = "Write two functions."

[[exercises]]
number = "1.1"
title = "The logistic function"
functions = ["minisparse.autodiff.ops.activations.sigmoid_array"]
hints = ["e^-|x| never exceeds 1."]

[[exercises]]
number = "1.2"
title = "What a gate sends back"
functions = ["minisparse.prune.hard_concrete.sample_derivative"]
"""

PROPERTIES = """
import numpy as np
from minisparse.classroom.properties import close, gradient_holds, prop

@prop("1.1", "forward", points=2, name="1 / (1 + e^-x)")
def logistic(student, reference, rng, level):
    x = rng.normal(size=(3, 40 if level == "grading" else 4))
    close(student.sigmoid_array(x), 1 / (1 + np.exp(-x)), rtol=1e-12)

@prop("1.1", "edge", points=1, name="no overflow, no change of the argument")
def far_out(student, reference, rng, level):
    x = np.array([-800.0, 0.0, 800.0])
    close(student.frozen.sigmoid_array(x), np.array([0.0, 0.5, 1.0]), atol=0)

@prop("1.2", "gradient", points=3, name="the derivative of the gate")
def derivative(student, reference, rng, level):
    u = rng.uniform(0.3, 0.7, 6)
    gradient_holds(
        lambda a: np.clip(1.2 / (1 + np.exp(-(a + np.log(u / (1 - u))) * 1.5)) - 0.1, 0, 1),
        lambda g, a: g * student.sample_derivative(a, u),
        rng.normal(size=6),
    )

@prop("1.2", "forward", points=1, name="as the reference has it")
def as_reference(student, reference, rng, level):
    a, u = rng.normal(size=9), rng.uniform(0.1, 0.9, 9)
    close(student.sample_derivative(a, u), reference.sample_derivative(a, u))
"""

WRONG = {
    "overflows": "LOSES = ('far_out',)\ndef sigmoid_array(x):\n"
    "    with np.errstate(all='raise'):\n        return 1 / (1 + np.exp(-x))\n",
    "half": "half_of = sample_derivative\ndef sample_derivative(a, u):\n"
    "    return 0.5 * half_of(a, u)\n",
}


def write(root, wrong=WRONG, properties=PROPERTIES, text=MANIFEST):
    """Write the assignment below `root` and read it."""
    folder = root / "a1"
    (folder / "wrong").mkdir(parents=True)
    (folder / "assignment.toml").write_text(text)
    (folder / "properties.py").write_text(properties)
    for name, content in wrong.items():
        (folder / "wrong" / f"{name}.py").write_text(content)
    return manifest.read(folder)


def material(root, **given):
    """Return the assignment with all that belongs to it."""
    return Material(write(root, **given))


def grade(material, text, seed=3):
    """Grade one text."""
    with Grader(material, seed, LIMITS) as grader:
        return grader.grade(Submission("ada", text))


def run(capsys, *arguments):
    """Type a command; return the exit code and what was said."""
    code = main(["classroom", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err
