"""LeNet-5 (Caffe) on MNIST without pruning: what every method starts from."""

from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.results import Results


def _sentence(results: Results) -> str:
    ours = results["rows"][0]["ours"]
    return (
        f"LeNet-5 without pruning misclassifies {ours['error_mean']:.2f} % of the test images "
        f"(mean of {ours['n_seeds']} seeds)."
    )


EXPERIMENT = Experiment(
    id="dense-lenet5",
    title="LeNet-5 on MNIST, not pruned",
    paper="Han et al. 2015",
    where="Table 1, LeNet-5",
    home=__file__,
    minutes=3,
    rows={
        "dense": Row(
            Dense(
                model="lenet5",
                lr=0.02,
                momentum=0.9,
                weight_decay=5e-4,
                epochs=15,
                decay_epochs=10,
            ),
            series="dense",
        )
    },
    sentence=_sentence,
    seeds=3,
    quick_minutes=0.3,
)
