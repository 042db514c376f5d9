-- Jensen-Shannon distance of every column between two ranges, each added up from its panes (counts add exactly).
-- When the two baselines cut a number differently, the other range's bins are spread evenly over this one's.
WITH
    toUInt32(${reference:singlequote}) AS back_s,
    (SELECT min(horizon_us) FROM windows WHERE model = ${model:singlequote} AND $__timeFilter(end)) AS pane_us,
    this AS (
        SELECT layout_id, sumForEach(counts) AS total, sum(rows) AS events
        FROM windows FINAL
        WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
            AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote}) AND horizon_us = pane_us
            AND start >= $__fromTime AND end <= $__toTime
        GROUP BY layout_id
        ORDER BY events DESC
        LIMIT 1
    ),
    other AS (
        SELECT layout_id, sumForEach(counts) AS total, sum(rows) AS events
        FROM windows FINAL
        WHERE model = ${model:singlequote} AND version = ${against:singlequote} AND source = ${source:singlequote}
            AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote}) AND horizon_us = pane_us
            AND start >= $__fromTime - INTERVAL back_s SECOND
            AND end <= if(back_s = 0, $__toTime, $__fromTime)
        GROUP BY layout_id
        ORDER BY events DESC
        LIMIT 1
    ),
    this_columns AS (
        SELECT role, name, kind, edges, categories, arraySlice(total, first_slot + 1, slots) AS n
        FROM layouts FINAL INNER JOIN this USING (layout_id)
    ),
    other_columns AS (
        SELECT role, name, kind, edges, categories, arraySlice(total, first_slot + 1, slots) AS n
        FROM layouts FINAL INNER JOIN other USING (layout_id)
    ),
    aligned AS (
        SELECT
            a.role AS role, a.name AS name, a.kind AS kind, a.n AS this_n, b.n AS other_n,
            kind = 'categorical' OR a.edges = b.edges AS is_exact,
            arrayIntersect(a.categories, b.categories) AS shared,
            arrayConcat([-inf], a.edges) AS lows,
            arrayConcat(a.edges, [inf]) AS highs,
            multiIf(
                empty(b.n), [],
                kind = 'numeric', arrayMap(x -> toFloat64(x), arraySlice(this_n, 3)),
                arrayConcat(
                    [toFloat64(this_n[2]) + arraySum((x, c) -> if(has(shared, c), 0, x), arraySlice(this_n, 3), a.categories)],
                    arrayMap(c -> toFloat64(this_n[indexOf(a.categories, c) + 2]), shared))) AS p,
            multiIf(
                empty(b.n), [],
                kind = 'numeric' AND is_exact, arrayMap(x -> toFloat64(x), arraySlice(other_n, 3)),
                kind = 'numeric', arrayMap(
                    (low, high, i) ->
                        if(i = 1, toFloat64(other_n[3]), 0)
                        + if(i = length(lows), toFloat64(other_n[-1]), 0)
                        + arraySum(
                            (x, from, to) -> x * greatest(0, least(to, high) - greatest(from, low)) / (to - from),
                            arraySlice(other_n, 4, length(b.edges) - 1),
                            arraySlice(b.edges, 1, length(b.edges) - 1),
                            arraySlice(b.edges, 2)),
                    lows, highs, arrayEnumerate(lows)),
                arrayConcat(
                    [toFloat64(other_n[2]) + arraySum((x, c) -> if(has(shared, c), 0, x), arraySlice(other_n, 3), b.categories)],
                    arrayMap(c -> toFloat64(other_n[indexOf(b.categories, c) + 2]), shared))) AS q
        FROM this_columns AS a
        LEFT JOIN other_columns AS b ON b.role = a.role AND b.name = a.name AND b.kind = a.kind
    )
SELECT
    name AS column,
    role,
    if(arraySum(p) > 0 AND arraySum(q) > 0,
        sqrt(greatest(0, 0.5 * arraySum(
            (x, y) -> if(x > 0, x * log2(2 * x / (x + y)), 0) + if(y > 0, y * log2(2 * y / (x + y)), 0),
            arrayMap(x -> x / greatest(arraySum(p), 1), p), arrayMap(x -> x / greatest(arraySum(q), 1), q)))),
        NULL) AS distance,
    this_n[1] / greatest(arraySum(this_n), 1) AS missing_this,
    if(empty(other_n), NULL, other_n[1] / greatest(arraySum(other_n), 1)) AS missing_other,
    toUInt64(arraySum(this_n)) AS events_this,
    toUInt64(arraySum(other_n)) AS events_other,
    multiIf(empty(other_n), 'nothing to compare with', is_exact, 'same', 'interpolated') AS bins
FROM aligned
ORDER BY distance DESC NULLS LAST, column
LIMIT 100
