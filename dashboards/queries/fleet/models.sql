-- Values of the variable: every model that ever closed a window of the last 30 days, those with recent traffic first.
SELECT model
FROM windows
WHERE segment = '' AND end >= $__fromTime - INTERVAL 30 DAY AND end <= $__toTime
GROUP BY model
ORDER BY max(end) DESC, model
