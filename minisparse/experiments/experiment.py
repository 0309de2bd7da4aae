"""A published table as data: which runs stand for which of its rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minisparse.experiments.choosing import Choosing
from minisparse.experiments.claims import Claim
from minisparse.experiments.comparison import Comparison
from minisparse.experiments.pace import Pace
from minisparse.experiments.recipe import Outcome, Recipe
from minisparse.experiments.results import Results


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Parameters
    ----------
    recipe : Recipe
        Rows may share a recipe; its runs are done once.
    series : str
        Rows of one series have one colour in the figure and are joined by a line.
    point : str, optional
        Which of the run's `Outcome.points` this row shows; None for its end.
    seeds : int, optional
        How many by default, if not as many as the experiment has.
    control_of : str
        The row whose method this one does without: would it pass for it?
    """

    recipe: Recipe
    series: str = ""
    point: str | None = None
    seeds: int | None = None
    control_of: str = ""


@dataclass(frozen=True)
class Experiment:
    """A published table and how it is reproduced.

    Parameters
    ----------
    id : str
        Name on the command line.
    title : str
        What is trained on what, in one line.
    paper, where : str
        The publication ("Tartaglione et al. 2018") and the place in it ("Table 1").
    home : str
        ``__file__`` of the module. The published figures stand beside it in ``<id>.json``
        (see `Comparison`).
    minutes : float
        What one seed takes on 2 cores of the machine that the figures are from: told where nothing
        may be measured, and scaled where a recipe does not count its steps (see pace.py).
    rows : mapping of name to Row
        In the order of the table.
    sentence : callable
        results -> what was found, in a sentence.
    figure : callable, optional
        (results, path) draws a PNG; if there is none, `plots.draw` does, error over compression.
    seeds : int
        How many by default; a row may say otherwise.
    first_seed : int
        Where they begin: at 0, or behind those of the runs that led to the question.
    quick_minutes : float
        What one seed of the reduced version takes.
    details : callable, optional
        The outcomes of a row's seeds -> what else is to be said of it, as "details" of the row in
        results.json.
    columns : mapping of heading to callable
        Further columns of the tables: details -> the text of a row's cell.
    training_error : str
        What the training error is measured on, in words, after "that of the training images".
    alone : bool
        Its runs measure time: no other run may go on beside them.
    published : str
        The id whose file of published figures is this one's, too.
    claims : sequence of Claim
        Registered before the runs.
    choose : mapping of name to callable
        What is chosen on held-out images before the runs: each begins one choice; see
        `minisparse.experiments.choosing`.
    """

    id: str
    title: str
    paper: str
    where: str
    home: str
    minutes: float
    rows: Mapping[str, Row]
    sentence: Callable[[Results], str]
    figure: Callable[[Results, Path], None] | None = None
    seeds: int = 1
    first_seed: int = 0
    quick_minutes: float = 1.0
    details: Callable[[Sequence[Outcome]], dict[str, Any]] | None = None
    columns: Mapping[str, Callable[[dict[str, Any]], str]] = field(default_factory=dict)
    training_error: str = "each at the time it was used, over the last epoch"
    alone: bool = False
    published: str = ""
    claims: Sequence[Claim] = ()
    choose: Mapping[str, Callable[[], Choosing]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, row in self.rows.items():
            if row.control_of and row.control_of not in self.rows:
                raise ValueError(f"{name} is the control of {row.control_of!r}, which is no row")

    def recipe(self, row: str, *, quick: bool) -> Recipe:
        """Return the recipe of a row, or its reduced version."""
        full = self.rows[row].recipe
        if not quick:
            return full
        reduced = full.quick()
        if reduced == full:
            raise ValueError(
                f"{type(full).__name__}.quick() changed no setting: its runs would pass for full"
            )
        return reduced

    def seeds_of(self, row: str, asked: int | None = None) -> range:
        """Return the seeds of a row, as many as are asked for, or else the default."""
        count = asked or self.rows[row].seeds or self.seeds
        return range(self.first_seed, self.first_seed + count)

    def seeds_by_recipe(self, *, quick: bool, asked: int | None = None) -> dict[Recipe, range]:
        """Return the seeds that each recipe is needed for; of its rows the one with most decides."""
        found: dict[Recipe, range] = {}
        for name in self.rows:
            recipe, seeds = self.recipe(name, quick=quick), self.seeds_of(name, asked)
            found[recipe] = max(seeds, found.get(recipe, seeds), key=len)
        return found

    def minutes_of(self, recipe: Recipe, pace: Pace, *, quick: bool = False) -> float:
        """Return how many minutes of one thread a run takes.

        `self.minutes` are those of all recipes together, two at a time.
        """
        recipes = len(self.seeds_by_recipe(quick=quick))
        said = (self.quick_minutes if quick else self.minutes) / recipes
        return pace.minutes(recipe, said if self.alone else 2 * said)

    def total_minutes(self, pace: Pace, at_once: int) -> float:
        """Return how long all runs of the default number of seeds take, so many at a time."""
        work = self.seeds_by_recipe(quick=False).items()
        minutes = [self.minutes_of(recipe, pace) for recipe, seeds in work for _ in seeds]
        return pace.together(minutes, 1 if self.alone else at_once)

    def comparison(self) -> Comparison:
        """Read the published figures.

        Raises
        ------
        ComparisonError
            The file says something that cannot be, or speaks of a row that is not there.
        """
        file = Path(self.home).with_name(f"{self.published or self.id}.json")
        return Comparison.read(file, self.rows)
