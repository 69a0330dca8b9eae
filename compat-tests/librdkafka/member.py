"""A member of a group, with librdkafka: member.py TOPIC KEY=VALUE... (settings of the client).

It prints "partition offset" for each record, and "has N" when the number of its partitions changes, until SIGTERM, upon
which it commits, leaves and ends. Errors that are not passing are fatal.

With enable.auto.commit=false it commits twice a second and waits for the answer. Automatic commits do not wait for each
other: one that is sent again after the coordinator was lost can come after a newer one.
"""

import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException


def main(topic, settings):
    running = True

    def stop(*_):
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    config = dict(s.split("=", 1) for s in settings)
    consumer = Consumer(config)
    commits = config.get("enable.auto.commit") == "false"
    last = time.monotonic()
    held = set()

    def commit():
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as e:  # nothing new, or the group has moved on
            print("commit:", e, file=sys.stderr, flush=True)

    def say():
        print("has", len(held), flush=True)

    def assigned(_, partitions):
        held.update(p.partition for p in partitions)
        say()

    def revoked(_, partitions):
        if commits:
            commit()
        lost(_, partitions)

    def lost(_, partitions):
        held.difference_update(p.partition for p in partitions)
        say()

    consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=lost)
    while running:
        if commits and time.monotonic() - last >= 0.5:
            commit()  # of what is printed
            last = time.monotonic()
        message = consumer.poll(0.1)
        if message is None:
            continue
        error = message.error()
        if error is None:
            print(message.partition(), message.offset(), flush=True)
        elif error.fatal():
            raise KafkaException(error)
        else:
            print(error, file=sys.stderr, flush=True)
    if commits:
        commit()
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
