"""Published tables, reproduced: what to run, what the paper found, and how the two compare.

A *recipe* is a kind of training with its settings; a recipe and a seed make a *run*, which is one
JSON file and is never done twice. An *experiment* is a published table: rows that name recipes,
and beside it a JSON file with the published figures. ``minisparse reproduce`` does the runs that
are missing and writes the comparison.

| file | what it holds |
| --- | --- |
| `recipe.py` | `Recipe`, `Outcome`: what a run is asked and what it answers |
| `experiment.py` | `Experiment`, `Row`: one published table |
| `catalogue.py` | the ids, and the module of each |
| `comparison.py`, `noise.py` | the published figures, and the verdict |
| `claims.py`, `intervals.py` | claims about a direction, and theirs |
| `choosing.py`, `choose.py` | settings that are chosen on held-out images, by rules |
| `store.py`, `environment.py` | a run as a file, and where it was done |
| `building.py`, `results.py`, `tables.py`, `plots.py` | what is made of the runs |
| `runner.py`, `jobs.py`, `parallel.py`, `cluster.py` | plan, run, resume: here or on many machines |
| `recipes/`, `entries/` | the kinds of training; the published tables |
"""
