-- Records that could not be used, by reason, with the newest one as an example to look up.
SELECT
    topic, reason,
    sum(events) AS letters,
    max(seen) AS last_seen,
    argMax(detail, seen) AS example,
    argMax(concat(toString(partition), '/', toString(offset)), seen) AS place
FROM dead_letters FINAL
WHERE $__timeFilter(seen)
GROUP BY topic, reason
ORDER BY letters DESC, topic, reason
LIMIT 100
