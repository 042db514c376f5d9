-- Annotation: from when an alarm opened until it was resolved, or until the end of the range.
SELECT
    opened AS time,
    ifNull(resolved, $__toTime) AS timeEnd,
    concat(severity, ' ', kind, ': ', summary) AS text,
    kind AS tags
FROM (
    SELECT *
    FROM alarms FINAL
    WHERE model = ${model:singlequote} AND $__timeTo(opened)
    ORDER BY revision DESC
    LIMIT 1 BY alarm_id
)
WHERE resolved IS NULL OR $__timeFrom(resolved)
ORDER BY time
LIMIT 200
