-- Annotation: a version of the model began to serve.
SELECT
    ts AS time,
    concat(version, ' ', toString(action), if(replaces = '', '', concat(', replaces ', replaces)),
        if(reason = '', '', concat(': ', reason))) AS text,
    toString(action) AS tags
FROM registry_events FINAL
WHERE $__timeFilter(ts) AND model = ${model:singlequote} AND action IN ('promoted', 'rolled_back')
ORDER BY time
LIMIT 200
