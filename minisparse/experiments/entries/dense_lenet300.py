"""LeNet-300-100 on MNIST without pruning: what every method starts from."""

from minisparse.experiments.entries.sensitivity_table1 import DENSE
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.results import Results


def _sentence(results: Results) -> str:
    ours = results["rows"][0]["ours"]
    return (
        f"LeNet-300-100 without pruning misclassifies {ours['error_mean']:.2f} % of the test images "
        f"(mean of {ours['n_seeds']} seeds)."
    )


EXPERIMENT = Experiment(
    id="dense-lenet300",
    title="LeNet-300-100 on MNIST, not pruned",
    paper="Tartaglione et al. 2018",
    where="Table 1, baseline",
    home=__file__,
    minutes=0.6,
    rows={"dense": Row(DENSE, series="dense")},
    sentence=_sentence,
    seeds=5,
    quick_minutes=0.1,
)
