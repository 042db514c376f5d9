-- Annotation: from when an incident opened until it was resolved, or until the end of the range.
SELECT
    opened AS time,
    ifNull(resolved, $__toTime) AS timeEnd,
    concat(severity, ' ', kind, ': ', summary, if(story = '', '', concat('\n', story))) AS text,
    kind AS tags
FROM (
    SELECT *
    FROM alarms FINAL
    WHERE model = ${model:singlequote} AND opened <= $__toTime
    ORDER BY revision DESC
    LIMIT 1 BY alarm_id
)
WHERE (resolved IS NULL OR resolved >= $__fromTime) AND incident_id IN ('', alarm_id)
ORDER BY time
LIMIT 200
