-- Events a minute of every version: a release is one line going down and another going up.
SELECT
    $__timeInterval(start) AS time,
    version,
    toFloat64(sum(rows)) * 60 / greatest($__interval_s, min(horizon_us) / 1000000) AS events
FROM windows FINAL
WHERE model = ${model:singlequote} AND source = ${source:singlequote}
    AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote}) AND $__timeFilter(start)
    AND horizon_us = (SELECT min(horizon_us) FROM windows WHERE model = ${model:singlequote} AND $__timeFilter(end))
GROUP BY time, version
ORDER BY time, version
