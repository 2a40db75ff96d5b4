"""``make demo``: two versions of a real log, an endpoint that splits users between them, real requests."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hemix.errors import HemixError
from hemix.pipelines.demo.endpoint import Endpoint, running_endpoint
from hemix.pipelines.demo.heldout import HeldOutRequest, held_out_requests
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord
from hemix.pipelines.local.telling import tell
from hemix.serving.client import Protocol, rank
from hemix.texts.shown import command

OUTPUT = Path("runs") / "demo"
# KuaiRand's days are Beijing days.
FIRST = (
    "split.train.end=2022-04-29T00:00:00+08:00",
    "split.test.start=2022-04-29T00:00:00+08:00",
    "split.test.end=2022-05-01T00:00:00+08:00",
)
REQUESTS = 200
SHOWN = 3
PROTOCOLS = ("v1", "v2", "grpc")


def demo(console: Console, output: Path = OUTPUT) -> None:
    """Run both trainings, serve, ask, show. A second call takes all steps from the cache.

    Raises:
        HemixError: a run failed, or the endpoint did not start or answer.
    """
    start = time.monotonic()
    folder = RunFolder(output.resolve())
    console.print(Rule("Version 1: trained on 25-28 April, tested on 29-30 April", align="left"))
    first = _run(folder, FIRST)
    console.print(Rule("Version 2: trained on 25-30 April, tested on 1-8 May", align="left"))
    second = _run(folder, ())
    console.print(Rule("The endpoint: version 2 on trial against version 1", align="left"))
    requests = held_out_requests(second, users=REQUESTS)
    with running_endpoint(folder, console) as endpoint:
        answers = _ask_all(console, endpoint, requests, (first.version, second.version))
        _same_over_all_protocols(console, endpoint, requests[0])
    for request, answer in list(zip(requests, answers, strict=True))[:SHOWN]:
        console.print(
            f"\nUser {request.user_id}, {request.when:%d %B %H:%M} UTC, "
            f"served by {answer['variant']} {answer['version']}:"
        )
        console.print(_ranked(request, answer))
    console.print(Rule("Done", align="left"))
    for line in (
        f"Both runs, the endpoint and {len(requests)} requests: {time.monotonic() - start:.0f} s.",
        f"Report of version 2: {folder.report}",
        f"Report of version 1: {folder.report_of(first.version)}",
        f"To call it yourself:  {command(_hemix(), 'serve', '--models', output)}",
        f"and in another shell: {command(_hemix(), 'rank', *_asked(requests[0]))}",
        f"To make {output} small:  {command(_hemix(), 'clean', output)}",
    ):
        console.print(Text(line), soft_wrap=True)


def _run(folder: RunFolder, overrides: tuple[str, ...]) -> RunRecord:
    sets = [part for override in overrides for part in ("--set", override)]
    words = ["run", "--dataset", "kuairand", "--output", str(folder.root), *sets]
    done = subprocess.run([sys.executable, "-m", "hemix", *words], check=False)
    if done.returncode:
        # The run has already said what is wrong.
        sys.exit(done.returncode)
    return RunRecord.read(folder.record)


def _ask_all(
    console: Console,
    endpoint: Endpoint,
    requests: list[HeldOutRequest],
    versions: tuple[str, str],
) -> list[dict[str, object]]:
    """One request of each user, over the three protocols in turn; prints who was served by whom."""
    answers = []
    seen: Counter[tuple[str, str]] = Counter()
    for number, request in enumerate(requests):
        protocol = cast(Protocol, PROTOCOLS[number % len(PROTOCOLS)])
        answer = _ask(endpoint, request, protocol)
        seen[str(answer["version"]), protocol] += 1
        answers.append(answer)
    console.print(f"{len(requests)} held-out users, one request each:")
    table = Table()
    for name in ("version", "role", *PROTOCOLS, "users", "share"):
        table.add_column(name, justify="left" if name in ("version", "role") else "right")
    roles = {a["version"]: a["variant"] for a in answers}
    for version in versions:
        counts = [seen[version, protocol] for protocol in PROTOCOLS]
        share = f"{sum(counts) / len(requests):.1%}"
        role = str(roles.get(version, "-"))
        table.add_row(version, role, *map(str, counts), str(sum(counts)), share)
    console.print(table)
    return answers


def _ask(endpoint: Endpoint, request: HeldOutRequest, protocol: Protocol) -> dict[str, object]:
    return rank(
        request.user_id,
        request.item_ids,
        context=request.context,
        candidates=request.candidates,
        request_id=request.request_id,
        timestamp_ms=request.timestamp_ms,
        url=endpoint.grpc if protocol == "grpc" else endpoint.http,
        protocol=protocol,
    )


def _same_over_all_protocols(console: Console, endpoint: Endpoint, request: HeldOutRequest) -> None:
    lists = [_ask(endpoint, request, cast(Protocol, p))["ranked_item_ids"] for p in PROTOCOLS]
    if any(found != lists[0] for found in lists):
        raise HemixError(f"V1, V2 and gRPC rank user {request.user_id} differently: {lists}.")
    console.print(f"User {request.user_id} gets the same list over V1, V2 and gRPC.")


def _ranked(request: HeldOutRequest, answer: dict[str, object]) -> Table:
    """The ranked list of one user beside what the user then did."""
    scores = cast(dict[str, list[float]], answer["scores"])
    place = {item: i for i, item in enumerate(cast(list[object], answer["item_ids"]))}
    table = Table()
    table.add_column("#", justify="right")
    table.add_column("item", justify="right")
    for task in request.labels:
        table.add_column(f"p({task})", justify="right")
        table.add_column(task)
    for number, item in enumerate(cast(list[object], answer["ranked_item_ids"]), start=1):
        row = [str(number), str(item)]
        for task, truth in request.labels.items():
            row += [f"{scores[task][place[item]]:.3f}", "yes" if truth[place[item]] else ""]
        table.add_row(*row)
    return table


def _asked(request: HeldOutRequest) -> list[object]:
    """The first candidates of a request, as words of ``hemix rank``."""
    items = ",".join(map(str, request.item_ids[:5]))
    context = [
        word for name, value in request.context.items() for word in ("--context", f"{name}={value}")
    ]
    own = [
        word
        for name, values in request.candidates.items()
        for word in (
            "--candidate",
            f"{name}={','.join('' if v is None else str(v) for v in values[:5])}",
        )
    ]
    return ["--user", request.user_id, "--items", items, *context, *own]


def _hemix() -> Path:
    """The command as one can type it here."""
    script = Path(sys.executable).with_name("hemix")
    return script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script


def main() -> None:
    """Run the demo; on an error print it and exit with its code."""
    try:
        demo(Console(file=sys.stdout))
    except Exception as error:
        sys.exit(tell(error))


if __name__ == "__main__":
    main()
