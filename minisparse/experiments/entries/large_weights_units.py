"""The fair test of large weights with whole units, measured by what their batch norm sends.

Registered on 2026-11-30, before its runs, and after those on single weights.  Behind a batch norm the norm
of a filter says little about it; the paper of 2020 measures a filter by E[BN], the mean of what its batch
norm and relu send (`minisparse.prune.large_weights.mean_sent`).  Here filters of conv2 and conv3 and nodes
of fc1 go by it, the same share of each layer, until 85 % of the parameters are gone: those included that
nobody feeds any more.  Network, images, schedule, claims and admission are those of the fair test on
Fashion-MNIST (large_weights_fair_fashion.py), and so are the runs of the arms that keep all parameters, if
the first network of its list is taken here, too.  With one learning rate for all the claims held there, but
because the steps had become larger.  What we expect: units that send much are missed more, so their events
disturb far more; that the error is lower for it we doubt.
"""

from dataclasses import replace

from minisparse.experiments.choosing import chosen
from minisparse.experiments.entries import large_weights_fair as fair
from minisparse.experiments.entries import large_weights_fair_fashion as fashion
from minisparse.experiments.entries import large_weights_why as why

ID = "large-weights-units"
CANDIDATES = tuple(replace(each, granularity="unit") for each in fashion.CANDIDATES)

EXPERIMENT = replace(
    fashion.EXPERIMENT,
    id=ID,
    title="Pruning large units by E[BN] where all networks fit, 10,000 images of Fashion-MNIST",
    home=__file__,
    rows=fair.arms(CANDIDATES, chosen(__file__, ID), "units"),
    claims=fair.claims(ID, "units", "2026-11-30"),
    details=why.details,
    columns={**fair.COLUMNS, "a step turns units by": why.turned_column("turned_between")},
    choose={"settings": lambda: fair.choose(CANDIDATES)},
)
