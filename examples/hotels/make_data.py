"""Make up a session log of a hotel search: ``python examples/hotels/make_data.py FOLDER [SESSIONS]``.

People look at a few hotels, then a list of 15 is shown and one of them is clicked out to. They click
what they have looked at, what is cheap within the list, and what stands high; a tenth of the hotels
opens in the last days. Two files: ``sessions.csv`` with both kinds of rows, ``hotels.csv``.
"""

from __future__ import annotations

import csv
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

START = datetime(2024, 5, 1)
DAYS, HOTELS, LISTED = 8, 600, 15
CITIES = ("oslo", "rome", "lima", "kyoto", "cairo")
AMENITIES = ("wifi", "pool", "parking", "gym", "bar")


def main(folder: Path, sessions: int) -> None:
    """Write both files; the same ones for the same number of sessions."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    city = rng.integers(0, len(CITIES), HOTELS)
    stars = rng.integers(1, 6, HOTELS)
    quality = rng.normal(0, 1, HOTELS)
    usual = np.exp(3.6 + 0.25 * stars + rng.normal(0, 0.3, HOTELS))
    opened = np.where(np.arange(HOTELS) % 10 == 0, rng.uniform(5, DAYS, HOTELS), 0.0)
    with (folder / "hotels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["hotel", "city", "stars", "amenities"])
        for hotel in range(HOTELS):
            some = [name for name in AMENITIES if rng.random() < 0.4]
            table.writerow([f"h{hotel}", CITIES[city[hotel]], stars[hotel], "|".join(some)])
    with (folder / "sessions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["user", "at", "action", "hotel", "shown", "prices"])
        for day in np.sort(rng.uniform(0, DAYS, sessions)):
            user, where = rng.integers(0, sessions // 3), rng.integers(0, len(CITIES))
            there = np.flatnonzero((city == where) & (opened <= day))
            liked = quality[there] + rng.gumbel(0, 1, len(there))
            looked = there[np.argsort(-liked)[: rng.integers(0, 5)]]
            at = START + timedelta(days=float(day))
            for hotel in looked:
                action = "image" if rng.random() < 0.5 else "info"
                table.writerow([f"u{user}", f"{at:%Y-%m-%d %H:%M:%S}", action, f"h{hotel}", "", ""])
                at += timedelta(seconds=int(rng.integers(5, 90)))
            others = rng.choice(np.setdiff1d(there, looked), LISTED - len(looked), replace=False)
            shown = rng.permutation(np.concatenate([looked, others]))
            price = np.round(usual[shown] * np.exp(rng.normal(0, 0.15, LISTED)))
            rank = price.argsort().argsort()
            wanted = quality[shown] + 2.5 * np.isin(shown, looked) - 0.12 * rank
            wanted += -0.1 * np.arange(LISTED) + rng.gumbel(0, 1, LISTED)
            clicked = shown[np.argmax(wanted)]
            table.writerow(
                [
                    f"u{user}",
                    f"{at:%Y-%m-%d %H:%M:%S}",
                    "clickout",
                    f"h{clicked}",
                    "|".join(f"h{hotel}" for hotel in shown),
                    "|".join(f"{value:.0f}" for value in price),
                ]
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4000)
