-- The last step of every alarm that has not been resolved by the end of the range.
SELECT
    severity, model, version, segment, kind, summary, attribution, opened, updated
FROM (
    SELECT *
    FROM alarms FINAL
    WHERE updated <= $__toTime AND $__conditionalAll(model IN (${model:singlequote}), $model)
    ORDER BY revision DESC
    LIMIT 1 BY model, alarm_id
)
WHERE state != 'resolved'
ORDER BY indexOf(['critical', 'error', 'warning', 'info'], toString(severity)), opened
LIMIT 200
