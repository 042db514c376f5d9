-- Late events belong to panes long past, so this looks a week further back than the range.
SELECT
    model, version, source, topic,
    sum(rows) AS events,
    min(pane_start) AS oldest,
    max(pane_start) AS newest
FROM late_events FINAL
WHERE pane_start >= $__fromTime - INTERVAL 7 DAY AND pane_start <= $__toTime
    AND $__conditionalAll(model IN (${model:singlequote}), $model)
GROUP BY model, version, source, topic
ORDER BY events DESC, model, version, source, topic
LIMIT 100
