-- The last step of every incident that has not been resolved by the end of the range: of alarms with one cause, the one
-- that speaks for them. Losses and promises are of labels, skew is of feature events.
SELECT
    severity, model, version, segment, kind,
    multiIf(kind IN ('loss', 'promise') OR JSONExtractString(evidence, 1, 'role') = 'loss', 'labels',
        kind = 'skew', 'features', 'predictions') AS source,
    summary, story, moved, attribution, onset, opened, updated
FROM (
    SELECT *
    FROM alarms FINAL
    WHERE updated <= $__toTime AND $__conditionalAll(model IN (${model:singlequote}), $model)
    ORDER BY revision DESC
    LIMIT 1 BY model, alarm_id
)
WHERE state != 'resolved' AND incident_id IN ('', alarm_id)
ORDER BY indexOf(['critical', 'error', 'warning', 'info'], toString(severity)), opened
LIMIT 200
