-- The last step of every alarm that was open at some time of the range.
SELECT
    toString(state) AS state, severity, kind, version, segment, summary, attribution, attribution_why, opened, resolved
FROM (
    SELECT *
    FROM alarms FINAL
    WHERE model = ${model:singlequote} AND updated <= $__toTime
    ORDER BY revision DESC
    LIMIT 1 BY alarm_id
) AS latest
WHERE latest.state != 'resolved' OR updated >= $__fromTime
ORDER BY latest.state = 'resolved', updated DESC
LIMIT 200
