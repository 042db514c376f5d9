-- Values of the variable: every model, those with recent traffic first.
SELECT model
FROM windows
WHERE segment = ''
GROUP BY model
ORDER BY max(end) DESC, model
