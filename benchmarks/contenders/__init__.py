"""Seawall beside other Python stream processors, doing the same work from the same topic: ``make bench-contenders``.

The work: decode single prediction events (Avro, single-object encoding) of twenty numbers, put them into windows of
one minute of event time, and give for each window and number a histogram of 64 bins and count, mean, sum of squared
deviations, minimum and maximum. Each window that a contender gives is compared with what the events hold: counts and
bins by equality, moments to 1e-9.

A contender is a process of its own. Its clock runs from the first event that it is handed until the driver, which
reads the contender's output topic, has the last window; its rate is the events of the windows that it closed by then.
One that does not finish within the time it is given is judged by the windows that it closed.
"""
