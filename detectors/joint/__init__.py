"""Several columns at once: what no single column shows, from sums that merge exactly.

Every watched column is turned into a whole number by its *slot* alone (`plan`), so rows are never needed twice and no
value travels. Of these numbers a pane keeps sums (`sums`): of each, of each product of two, and of some random waves.
They are integers: adding them is exact, in whatever order and by whomever it is done. From them follow

- `relations`: correlations of pairs, and the share of variance that the baseline's main directions leave out;
- `embedding`: the distance of two kernel mean embeddings (MMD).
"""
