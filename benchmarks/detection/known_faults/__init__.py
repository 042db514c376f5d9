"""Known faults in real data: Seawall and others on the same panes. See `docs/detection-benchmark.md`.

In the order in which things happen:

- `tables`: rows that come inside Python packages, and two generators;
- `streams`: those rows as traffic (exchangeable, autocorrelated, wandering, seasonal), hour after hour;
- `faults`: what goes wrong with one named feature, or a pair of them;
- `courses`: how a fault comes: at once, by degrees, now and then, or in a share of the rows;
- `priors`: the classes of the rows change their shares; `flips`: the truth parts from the predictions;
- `cases`: a quiet stream and its faulty twins, written to files that every tool reads, and the three protocols;
- `environments`: each tool in an environment of its own, and `rivals` the scripts that run there;
- `seawall_pages`: what Seawall would have paged, by the code path of `seawall backtest`;
- `scoring`: pages from scores, thresholds at a matched rate, delays, misses and culprits;
- `report` and `plots`: tables, plots, and ``build/detection.json``.
"""
