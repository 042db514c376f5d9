-- Values of the variable: versions of the model, the one that began last first.
SELECT version
FROM windows
WHERE model = ${model:singlequote} AND segment = ''
    AND end >= $__fromTime - INTERVAL 30 DAY AND end <= $__toTime
GROUP BY version
ORDER BY min(end) DESC, version DESC
