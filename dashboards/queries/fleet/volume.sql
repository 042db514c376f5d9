-- Predictions a minute. Only panes are added up: longer windows overlap and would count an event many times.
SELECT
    $__timeInterval(start) AS time,
    model,
    toFloat64(sum(rows)) * 60 / greatest($__interval_s, min(horizon_us) / 1000000) AS events
FROM windows FINAL
WHERE segment = '' AND source = 'predictions' AND $__timeFilter(start)
    AND $__conditionalAll(model IN (${model:singlequote}), $model)
    AND (model, horizon_us) IN (SELECT model, min(horizon_us) FROM windows WHERE $__timeFilter(end) GROUP BY model)
GROUP BY time, model
ORDER BY time, model
