-- Values and labels of the variable: window lengths that are judged, shortest first.
SELECT
    toString(horizon_us) AS horizon,
    multiIf(
        horizon_us % 86400000000 = 0, concat(toString(intDiv(horizon_us, 86400000000)), ' d'),
        horizon_us % 3600000000 = 0, concat(toString(intDiv(horizon_us, 3600000000)), ' h'),
        horizon_us % 60000000 = 0, concat(toString(intDiv(horizon_us, 60000000)), ' min'),
        concat(toString(horizon_us / 1000000), ' s')) AS shown
FROM window_columns
WHERE model = ${model:singlequote} AND version = ${version:singlequote}
    AND end >= $__fromTime - INTERVAL 30 DAY AND end <= $__toTime
GROUP BY horizon_us
ORDER BY horizon_us
