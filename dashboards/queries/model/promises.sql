-- Every time that a broken promise was told of, newest first, with what was promised and what came.
SELECT
    updated AS told, toString(state) AS state, version, JSONExtractString(culprit, 'name') AS promise,
    JSONExtractString(culprit, 'detail') AS said, summary, alarm_id
FROM alarms FINAL
ARRAY JOIN JSONExtractArrayRaw(evidence) AS culprit
WHERE model = ${model:singlequote} AND kind = 'promise' AND $__timeFilter(updated)
ORDER BY updated DESC, alarm_id, revision DESC, promise
LIMIT 100
