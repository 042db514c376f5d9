-- Releases and rollbacks of the model, newest first. Looks 30 days further back, because a release outlives a range.
SELECT at, what, version, before, actor, reason
FROM (
    SELECT ts AS at, toString(action) AS what, toString(version) AS version, replaces AS before, actor, reason
    FROM registry_events FINAL
    WHERE model = ${model:singlequote} AND ts >= $__fromTime - INTERVAL 30 DAY AND ts <= $__toTime
    UNION ALL
    SELECT ts, concat('rollback ', toString(state)), toString(to_version), toString(from_version), actor, reason
    FROM rollbacks FINAL
    WHERE model = ${model:singlequote} AND ts >= $__fromTime - INTERVAL 30 DAY AND ts <= $__toTime
)
ORDER BY at DESC, what
LIMIT 100
