-- Every judged column at its worst moment of the range, the worst column first.
SELECT
    column, role,
    max(evidence) AS ratio,
    argMax(evidence, end) AS ratio_now,
    argMax(js, evidence) AS js_value,
    argMax(effect_limit, evidence) AS js_limit,
    argMax(js_chance, evidence) AS js_by_chance,
    argMax(missing_share, evidence) AS missing,
    argMax(unseen_share, evidence) AS unseen,
    argMax(out_of_range_share, evidence) AS out_of_range,
    argMax(end, evidence) AS window_end
FROM (
    SELECT
        column, role, end, evidence,
        if(isFinite(js), toNullable(js), NULL) AS js,
        if(isFinite(effect_limit), toNullable(effect_limit), NULL) AS effect_limit,
        if(isFinite(js_chance), toNullable(js_chance), NULL) AS js_chance,
        if(isFinite(missing_share), missing_share, 0) AS missing_share,
        if(isFinite(unseen_share), unseen_share, 0) AS unseen_share,
        if(isFinite(out_of_range_share), out_of_range_share, 0) AS out_of_range_share
    FROM window_columns FINAL
    WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
        AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
        AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
        AND isFinite(evidence) AND verdict != 'not_enough_data'
)
GROUP BY column, role
ORDER BY ratio DESC, column
LIMIT 50
