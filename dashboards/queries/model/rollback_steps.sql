-- Annotation: every step of the model's rollbacks.
SELECT
    ts AS time,
    concat('rollback ', from_version, ' to ', to_version, ' ', toString(state),
        if(reason = '', '', concat(': ', reason))) AS text,
    toString(state) AS tags
FROM rollbacks FINAL
WHERE $__timeFilter(ts) AND model = ${model:singlequote}
ORDER BY time
LIMIT 200
