-- What predictions cost: the mean of each loss over windows of labels, whatever stream is chosen above.
SELECT
    $__timeInterval(end) AS time,
    transform(toString(column), ['error', 'brier', 'log_loss', 'absolute_error', 'residual', 'squared_error'],
        ['error rate', 'mean Brier score', 'mean log loss', 'mean absolute error', 'mean of predicted less true',
            'mean squared error'], toString(column)) AS loss,
    avg(mean) AS value
FROM window_columns FINAL
WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = 'labels' AND role = 'loss'
    AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
    AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end) AND isFinite(mean)
GROUP BY time, loss
ORDER BY time, loss
