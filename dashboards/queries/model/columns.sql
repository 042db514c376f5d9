-- Values of the variable: columns of the version, its score first; of labels its losses.
SELECT concat(role, '/', column) AS key
FROM window_columns
WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
    AND end >= $__fromTime - INTERVAL 30 DAY AND end <= $__toTime
GROUP BY role, column
ORDER BY indexOf(['feature', 'label', 'prediction', 'score', 'loss'], toString(role)) DESC, column
LIMIT 4096
