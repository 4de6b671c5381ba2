"""Our speed and memory beside TRL's, side by side on one machine: `python -m benchmarks.bench`.

A row is one kind of work (`rows`), given to both sides as the same tokens (`workloads`). Each side is a
process of its own, ours in this environment and TRL's in TRL's; they take turns (`turns`, `sides`), so that
whatever else the machine does meets both, and their times are compared in pairs (`pairs`). What the machine
could do at best is measured in the same run (`floor`). Results are kept in `benchmarks/results/bench.json`
and told in `docs/benchmarks.md` (`page`). How both grow with the size of the work: `growth`.
"""
