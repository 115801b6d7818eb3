"""Requests that fail, so many a second, on new and on kept connections, until SIGTERM.

    failing.py HOST:PORT A_SECOND

Every request is answered before it ends: what the gateway logged, the client got.
"""

import http.client
import itertools
import signal
import sys
import threading
import time

# The upstream's behaviours, and a port where nobody listens.
TARGETS = ("/close", "/reset", "/cut", "/refused", "/slow")
# Requests at a time: those that are slow take a second each.
MOST_AT_ONCE = 64
ANSWER_LIMIT_S = 20

stopping = threading.Event()


def main():
    """Starts each request at its time, whatever became of those before."""
    address, a_second = sys.argv[1], float(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    room = threading.Semaphore(MOST_AT_ONCE)
    asking = []
    began = time.monotonic()
    for number in itertools.count():
        if stopping.wait(max(0.0, began + number / a_second - time.monotonic())):
            break
        room.acquire()
        asking = [thread for thread in asking if thread.is_alive()]
        asking.append(threading.Thread(target=ask, args=(address, number, room)))
        asking[-1].start()
    for thread in asking:
        thread.join()


def ask(address, number, room):
    """Asks once, or twice on one connection; each answer is read to its end."""
    connection = http.client.HTTPConnection(address, timeout=ANSWER_LIMIT_S)
    try:
        for turn in range(1 + number % 2):
            target = TARGETS[(number + turn) % len(TARGETS)]
            connection.request("GET", target, headers={"X-Number": f"{number}-{turn}"})
            connection.getresponse().read()
    finally:
        connection.close()
        room.release()


if __name__ == "__main__":
    main()
