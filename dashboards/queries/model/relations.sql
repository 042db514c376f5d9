-- Pairs of columns at their worst moment of the range, the pair furthest from usual first. A window stores its ten
-- furthest; in a name ~ stands for how far a column is from its median.
SELECT
    concat(replaceRegexpOne(a, '^(~?)[^/]*/', '\\1'), ' and ', replaceRegexpOne(b, '^(~?)[^/]*/', '\\1')) AS pair,
    max(moved) AS ratio,
    argMax(r, (moved, end)) AS correlation_then,
    argMax(r_usual, (moved, end)) AS correlation_usual,
    argMax(end, (moved, end)) AS window_end
FROM (
    SELECT end, a, b, r, r_usual, moved
    FROM window_relations FINAL
    ARRAY JOIN first AS a, second AS b, correlation AS r, usual AS r_usual, evidence AS moved
    WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
        AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
        AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
)
-- of a window without enough events nothing is said
WHERE end NOT IN (
    SELECT end FROM windows FINAL
    WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
        AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
        AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
        AND verdict = 'not_enough_data'
)
GROUP BY pair
ORDER BY ratio DESC, pair
LIMIT 20
