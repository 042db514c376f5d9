-- Worst verdict of all windows that ended in each interval, one band for each model and version.
SELECT
    $__timeInterval(end) AS time,
    concat(model, ' ', version) AS series,
    max(transform(toString(verdict), ['stable', 'warning', 'error', 'drift'], [1, 2, 3, 4], 0)) AS severity
FROM windows FINAL
WHERE segment = '' AND $__timeFilter(end)
    AND $__conditionalAll(model IN (${model:singlequote}), $model)
    AND (model, horizon_us) NOT IN (
        SELECT model, min(horizon_us) FROM windows WHERE $__timeFilter(end)
        GROUP BY model HAVING uniqExact(horizon_us) > 1
    )
GROUP BY time, series
ORDER BY time, series
