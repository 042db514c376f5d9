-- How the chosen column spread over its bins. Bins are those of the layout, merged to about sixteen rows.
WITH
    counted AS (
        SELECT $__timeInterval(start) AS time, layout_id, sumForEach(counts) AS total
        FROM windows FINAL
        WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
            AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote}) AND $__timeFilter(start)
            AND horizon_us = (SELECT min(horizon_us) FROM windows WHERE model = ${model:singlequote} AND $__timeFilter(end))
        GROUP BY time, layout_id
    ),
    shape AS (
        SELECT layout_id, kind, first_slot, slots, edges, categories,
            greatest(intDiv(length(edges) + 14, 16), 1) AS merged
        FROM layouts FINAL
        WHERE concat(role, '/', name) = ${column:singlequote}
    ),
    cells AS (
        SELECT
            time,
            cell.1 AS slot,
            cell.2 AS events,
            intDiv(slot - 3, merged) * merged AS first_bin,
            least(first_bin + merged, length(edges) - 1) AS last_bin,
            multiIf(
                slot = 0, '000 missing',
                kind = 'categorical' AND slot = 1, '001 never seen',
                kind = 'categorical' AND slot > 31, '999 other categories',
                kind = 'categorical', concat(leftPad(toString(slot), 3, '0'), ' ', categories[slot - 1]),
                slot = 1, '001 infinite',
                slot = 2, '002 below',
                slot = slots - 1, '999 above',
                concat(leftPad(toString(first_bin + 3), 3, '0'), ' ', printf('%.4g', edges[first_bin + 1]), ' … ',
                    printf('%.4g', edges[last_bin + 1]))) AS bin
        FROM counted
        INNER JOIN shape USING (layout_id)
        ARRAY JOIN arrayMap((events, i) -> (toInt64(i) - 1, events), arraySlice(total, first_slot + 1, slots),
            arrayEnumerate(arraySlice(total, first_slot + 1, slots))) AS cell
    )
SELECT
    time, bin,
    sum(events) / any(all_events) AS share
FROM cells
INNER JOIN (SELECT time, sum(events) AS all_events FROM cells GROUP BY time) AS totals USING (time)
WHERE all_events > 0
GROUP BY time, bin
HAVING sum(events) > 0 OR match(bin, '^(00[3-9]|0[1-9]|[1-8])')
ORDER BY time, bin
