"""A member of a group, with librdkafka: member.py TOPIC KEY=VALUE... (settings of the client).

It prints "partition offset" for each record, and "has N" when the number of its partitions changes, until SIGTERM, upon
which it commits, leaves and ends. Errors that are not passing are fatal.
"""

import signal
import sys

from confluent_kafka import Consumer, KafkaException


def main(topic, settings):
    running = True

    def stop(*_):
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    consumer = Consumer(dict(s.split("=", 1) for s in settings))
    held = set()

    def say():
        print("has", len(held), flush=True)

    def assigned(_, partitions):
        held.update(p.partition for p in partitions)
        say()

    def revoked(_, partitions):
        held.difference_update(p.partition for p in partitions)
        say()

    consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
    while running:
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
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
