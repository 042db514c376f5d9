-- Annotation: a version began to serve.
SELECT
    ts AS time,
    concat(model, ' ', version, ' ', toString(action), if(replaces = '', '', concat(', replaces ', replaces)),
        if(reason = '', '', concat(': ', reason))) AS text,
    toString(action) AS tags
FROM registry_events FINAL
WHERE $__timeFilter(ts) AND action IN ('promoted', 'rolled_back')
    AND $__conditionalAll(model IN (${model:singlequote}), $model)
ORDER BY time
LIMIT 200
