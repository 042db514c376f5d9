-- Values of the variable: what to compare with. Other versions first, so that the default says something.
SELECT version
FROM windows
WHERE model = ${model:singlequote} AND segment = ''
    AND end >= $__fromTime - INTERVAL 30 DAY AND end <= $__toTime
GROUP BY version
ORDER BY version = ${version:singlequote}, min(end) DESC, version DESC
