"""What each node of a training starts: torch.distributed.run, its options, and what is to be trained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.policy.programs import is_module
from hemix.infra.check.rules.world import Pod, World

Manifest = dict[str, Any]
_TORCHRUN = {"rdzv-backend", "rdzv-endpoint", "rdzv-id", "local-addr", "rdzv-conf", "max-restarts",
             "module", "nnodes", "nproc-per-node", "monitor-interval", "log-dir"}  # fmt: skip


def problems(world: World) -> Iterator[str]:
    """The containers that Trainer starts on each node."""
    for pod in world.pods:
        if pod.maker != "trainer":
            continue
        for container in pod.spec.get("containers") or ():
            words = [*(container.get("command") or ()), *(container.get("args") or ())]
            for problem in _torchrun(pod, container, [str(word) for word in words]):
                yield f"{pod.title}: container {container.get('name')}: {problem}"


def _torchrun(pod: Pod, container: Manifest, words: list[str]) -> Iterator[str]:
    if words[:3] != ["python", "-m", "torch.distributed.run"]:
        yield f"the nodes of a training start torch.distributed.run, not {' '.join(words[:3])}"
        return
    told: dict[str, str] = {}
    rest: list[str] = []
    for word in words[3:]:
        match = re.fullmatch(r"--([a-z-]+)(?:=(.*))?", word)
        if match and not rest:
            told[match[1]] = match[2] or ""
            if match[1] not in _TORCHRUN:
                yield f"{word!r} is no option of torch.distributed.run's"
        else:
            rest.append(word)
    for option, wanted in (
        ("rdzv-backend", "c10d"),
        ("rdzv-endpoint", "$(PET_MASTER_ADDR):$(PET_MASTER_PORT)"),
        ("local-addr", "$(POD_IP)"),
    ):
        if told.get(option) != wanted:
            yield f"--{option} is {told.get(option)!r}, not {wanted}"
    if not re.fullmatch(r"join_timeout=\d+", told.get("rdzv-conf", "")):
        yield f"--rdzv-conf is {told.get('rdzv-conf')!r}, not join_timeout=SECONDS"
    if not re.fullmatch(r"\d+", told.get("max-restarts", "")):
        yield f"--max-restarts is {told.get('max-restarts')!r}"
    if "module" not in told or len(rest) != 2 or not is_module(rest[0]):
        yield f"there is no module {rest[:1]} to train (--module)"
        return
    try:
        work = json.loads(rest[1])
    except ValueError as error:
        yield f"what is to be trained cannot be read ({error})"
        return
    yield from _work(work)
    if work.get("attempt") != told.get("rdzv-id"):
        yield f"--rdzv-id {told.get('rdzv-id')} is not its attempt {work.get('attempt')}"


def _work(work: Any) -> Iterator[str]:
    from pydantic import ValidationError

    from hemix.components.train.worker import Work

    try:
        found = Work.model_validate(work)
    except ValidationError as error:
        yield f"what is to be trained: {error.errors()[0]['loc']} {error.errors()[0]['msg']}"
        return
    for key in ("spec", "train", "validation", "checkpoints"):
        place = str(getattr(found, key))
        if not re.match(r"^(s3|gs)://[^/]+/\S+|^/\S+", place):
            yield f"{key} {place!r} is no place"
