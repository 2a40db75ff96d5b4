"""A small pipeline with a gate (kfp reads annotations, so this file has no lazy ones)."""

from kfp import dsl


@dsl.component(base_image="hemix/pipeline:0", install_kfp_package=False)
def check(day: str) -> bool:
    return bool(day)


@dsl.component(base_image="hemix/pipeline:0", install_kfp_package=False)
def fit(day: str, steps: int) -> None:
    print(day, steps)


@dsl.component(base_image="hemix/pipeline:0", install_kfp_package=False)
def stop(day: str) -> None:
    raise SystemExit(day)


@dsl.pipeline(name="small")
def small(day: str, steps: int = 3, scheduled_time: str = "") -> None:
    """What passes the check is fitted; what does not is stopped."""
    gate = check(day=day)
    with dsl.If(gate.output == False, name="bad"):  # noqa: E712
        stop(day=day)
    with dsl.If(gate.output == True, name="good"):  # noqa: E712
        fit(day=day, steps=steps)
