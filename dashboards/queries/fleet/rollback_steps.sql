-- Annotation: every step of every rollback.
SELECT
    ts AS time,
    concat(model, ' rollback ', from_version, ' to ', to_version, ' ', toString(state),
        if(reason = '', '', concat(': ', reason))) AS text,
    toString(state) AS tags
FROM rollbacks FINAL
WHERE $__timeFilter(ts) AND $__conditionalAll(model IN (${model:singlequote}), $model)
ORDER BY time
LIMIT 200
