-- Values of the variable: which stream was counted.
SELECT source
FROM windows
WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND segment = ''
    AND end >= $__fromTime - INTERVAL 30 DAY AND end <= $__toTime
GROUP BY source
ORDER BY indexOf(['labels', 'features', 'predictions'], toString(source)) DESC
