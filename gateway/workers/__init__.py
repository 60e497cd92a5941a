"""Several processes on the same listeners.

One process, the supervisor, binds the listeners, starts the workers and hands each connection that
it accepts to the one that has the fewest. It serves no request itself, but for the operator's port.

    count.py        how many workers there are to be
    supervisor.py   starts the workers, replaces those that end, drains them, joins what they tell
    process.py      one worker, as the supervisor sees it
    doorman.py      accepts connections and chooses who gets them
    passage.py      the way of a connection into a worker
    reception.py    the worker's end of it
    control.py      the messages between the supervisor and a worker
    worker.py       the worker: `python -m gateway.workers.worker`
    beginning.py    the loop and the log, with which every process begins
"""
