-- The last step of every alarm that was open at some time of the range. Alarms that another speaks for name it.
SELECT
    toString(state) AS state, severity, kind, version, segment, summary, story, moved, attribution, attribution_why,
    onset, opened, resolved, if(incident_id IN ('', alarm_id), '', incident_id) AS part_of, alarm_id
FROM (
    SELECT *
    FROM alarms FINAL
    WHERE model = ${model:singlequote} AND updated <= $__toTime
    ORDER BY revision DESC
    LIMIT 1 BY alarm_id
) AS latest
WHERE latest.state != 'resolved' OR updated >= $__fromTime
ORDER BY latest.state = 'resolved', incident_id NOT IN ('', alarm_id), updated DESC
LIMIT 200
