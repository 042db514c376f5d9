-- Values of the variable. All traffic is stored as the empty segment, which a drop-down cannot show.
SELECT if(segment = '', '(all)', toString(segment)) AS segment_shown
FROM windows
WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
    AND end >= $__fromTime - INTERVAL 30 DAY AND end <= $__toTime
GROUP BY segment
ORDER BY segment
LIMIT 1000
