"""What the figure of dose shows is what the results say."""

import numpy as np
from matplotlib.figure import Figure

from minisparse.experiments import plots_dose


def row(name, errors, **details):
    ours = {"error_mean": sum(errors) / len(errors), "errors": list(errors)}
    return {"name": name, "ours": ours, "details": details}


def test_the_dose_is_compared_seed_by_seed(tmp_path):
    rows = [row("c = 0, 30x", [2.0, 3.0, 4.0])]
    for c in (1, 10):
        for identity, more in (("real", 0.0), ("shuffled", 0.5), ("mean", -0.25)):
            errors = [2.0 + more, 3.0 + more, 4.0 + more]
            rows.append(row(f"c = {c}, {identity}, 30x", errors))
    results = {"title": "dose", "rows": rows, "settings": {"quick": False}}
    axes = Figure().subplots()
    plots_dose.panel(axes, results, 30, (1, 10))
    bars = {c.get_label(): c for c in axes.containers}
    found = {label: list(bar.lines[0].get_ydata()) for label, bar in bars.items()}
    assert found == {"real": [0, 0], "shuffled": [0.5, 0.5], "layer's mean": [-0.25, -0.25]}
    segments = bars["real"].lines[2][0].get_segments()
    assert np.ptp(segments[0][:, 1]) == 0  # the seeds differ, their differences do not
    path = tmp_path / "dose.png"
    twice = {
        **results,
        "rows": rows + [row(r["name"].replace("30x", "100x"), r["ours"]["errors"]) for r in rows],
    }
    plots_dose.draw(twice, path, (30, 100), (1, 10))
    assert path.stat().st_size > 10_000
