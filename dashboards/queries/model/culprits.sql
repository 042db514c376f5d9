-- Every judged column at its worst moment of the range, the worst column first.
SELECT
    column, role, ratio, ratio_now,
    worst.1 AS js_value, worst.2 AS js_limit, worst.3 AS js_by_chance,
    worst.4 AS missing, worst.5 AS unseen, worst.6 AS out_of_range, worst.7 AS window_end
FROM (
    SELECT
        column, role,
        max(evidence) AS ratio,
        argMax(evidence, end) AS ratio_now,
        -- one tuple, so that all values are of the same window: argMax skips NULLs
        argMax((
            if(isFinite(js), toNullable(js), NULL),
            if(isFinite(effect_limit), toNullable(effect_limit), NULL),
            if(isFinite(js_chance), toNullable(js_chance), NULL),
            if(isFinite(missing_share), toNullable(missing_share), NULL),
            if(isFinite(unseen_share), toNullable(unseen_share), NULL),
            if(isFinite(out_of_range_share), toNullable(out_of_range_share), NULL),
            end
        ), evidence) AS worst
    FROM window_columns FINAL
    WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
        AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
        AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
        AND isFinite(evidence) AND verdict != 'not_enough_data'
    GROUP BY column, role
)
ORDER BY ratio DESC, column, role
LIMIT 50
