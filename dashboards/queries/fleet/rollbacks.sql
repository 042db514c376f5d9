-- The last step of every rollback that is in flight or moved within the range; those that wait for somebody first.
SELECT
    state, model, from_version, to_version, mode, reason, actor, started, moved
FROM (
    SELECT
        model, rollback_id,
        argMax(state, seq) AS state,
        argMax(from_version, seq) AS from_version,
        argMax(to_version, seq) AS to_version,
        argMax(mode, seq) AS mode,
        argMax(reason, seq) AS reason,
        argMax(actor, seq) AS actor,
        min(ts) AS started,
        max(ts) AS moved
    FROM rollbacks FINAL
    WHERE ts <= $__toTime AND $__conditionalAll(model IN (${model:singlequote}), $model)
    GROUP BY model, rollback_id
)
WHERE state IN ('requested', 'approved', 'applied') OR moved >= $__fromTime
ORDER BY indexOf(['applied', 'approved', 'requested'], toString(state)) DESC, moved DESC
LIMIT 100
