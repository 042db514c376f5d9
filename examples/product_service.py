"""A product service that scores orders, and what it takes to have it watched: the lines marked with an arrow.

Run it against a broker, or with ``--dry-run`` to see the frames that would be sent::

    python examples/product_service.py --dry-run
    python examples/product_service.py --broker 127.0.0.1:19092 --orders 100000
"""

from __future__ import annotations

import argparse
import logging
import math
import random

import seawall
from seawall.wire import decode

MODEL, VERSION = "late-delivery", "2026-01"


def late_probability(order: dict[str, float | int | str | None]) -> float:
    """Stand in for a model."""
    distance_km, items = float(order["distance_km"] or 0.0), int(order["items"] or 0)
    return 1.0 / (1.0 + math.exp(3.0 - distance_km / 20.0 - items / 10.0))


def arriving(chance: random.Random) -> dict[str, float | int | str | None]:
    """Make up an order."""
    return {
        "distance_km": chance.expovariate(1 / 30),
        "items": chance.randint(1, 12),
        "carrier": chance.choice(["bike", "van", "van", "truck"]),
        "weight_kg": chance.gauss(4, 1) if chance.random() < 0.98 else None,
    }


def serve(client: seawall.Client, orders: int) -> None:
    """Score orders, and learn later which of them were late."""
    chance = random.Random(7)
    for number in range(orders):
        order = arriving(chance)
        probability = late_probability(order)
        event_id = client.log_prediction(  # <-- what the model saw and said
            order, score=probability, event_id=f"order-{number}", segments={"carrier": str(order["carrier"])}
        )
        was_late = chance.random() < probability
        client.log_label(event_id, was_late)  # <-- what turned out to be true


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--broker", help="bootstrap servers (default: SEAWALL_BROKER, or 127.0.0.1:19092)")
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--dry-run", action="store_true", help="keep the frames in memory and describe them")
    args = parser.parse_args()
    logging.basicConfig(level="INFO")
    memory = seawall.InMemoryTransport() if args.dry_run else None
    with seawall.Client(MODEL, VERSION, broker=args.broker, transport=memory) as client:  # <-- once a process
        serve(client, args.orders)
        client.flush()
        print(client.stats())
    for topic, _, value in memory.messages if memory else ():
        name, frame = decode(value, ("prediction_frame", "label_frame"))
        print(f"{topic}: a {name} of {frame['rows']} rows in {len(value)} bytes")


if __name__ == "__main__":
    main()
