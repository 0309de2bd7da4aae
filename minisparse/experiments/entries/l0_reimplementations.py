"""Louizos et al. 2018, Table 1, "sep." on LeNet-5, with the lambdas of two re-implementations.

Registered on 2026-11-28, before the runs.  The paper gives no lambdas for its separate ones that we
know; ours of l0-table1 are fitted to its figures.  Two independent re-implementations have 10 and 0.5
for the convolutions and 0.1 for fc1; of fc2 one has 0.1, the other 10.  Without L2, as the paper has it,
and nothing chosen by us.  What we expect: fewer filters and more units than the paper's 9-18-65-25.
(One seed instead of three: cut on 2026-11-30 for want of time, before its results were looked at.)
"""

from minisparse.experiments.entries.l0_table1 import COLUMNS, details, widths_text
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.l0 import L0
from minisparse.experiments.results import Results

ROWS = {
    f"LeNet-5, sep., fc2 {fc2:g}": Row(
        L0(model="lenet5", strengths=(10, 0.5, 0.1, fc2)), series=f"LeNet-5, fc2 {fc2:g}"
    )
    for fc2 in (0.1, 10)
}


def _sentence(results: Results) -> str:
    parts = [
        f"{row['name']}: {widths_text(row['details'])}, {row['ours']['error_mean']:.2f} % test error"
        for row in results["rows"]
    ]
    return f"Units that are left with lambdas of others, mean of the seeds: {'; '.join(parts)}."


EXPERIMENT = Experiment(
    id="l0-reimplementations",
    title="L0 regularization, LeNet-5 on MNIST, lambdas of two re-implementations",
    paper="Louizos et al. 2018",
    where="Table 1, sep.",
    home=__file__,
    minutes=36,
    rows=ROWS,
    sentence=_sentence,
    seeds=1,
    quick_minutes=0.7,
    details=details,
    columns=COLUMNS,
)
