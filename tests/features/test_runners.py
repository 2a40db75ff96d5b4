"""Runner configurations, and the real pipelines through a job service and outside workers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hemix.components.build_examples import step as build_step
from hemix.components.transform import step as transform_step
from hemix.errors import DataError, DefinitionError, EnvironmentProblem
from hemix.features.beam.options import beam_options
from hemix.features.beam.runner_config import runner_flags
from hemix.features.beam.staging import staged
from hemix.features.definition import DatasetDefinition
from hemix.files import sha256_folder
from tests.features.portable import WORKERS, portable_runner


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("", ()),
        ("runner: direct", ()),
        (
            "{runner: direct, processes: 4}",
            ("--direct_running_mode=multi_processing", "--direct_num_workers=4"),
        ),
        (
            "{runner: portable, job_endpoint: 'jobs:8099', environment: DOCKER, "
            "environment_config: 'hemix/features:0.1.0', shared: /mnt/x}",
            (
                "--runner=PortableRunner",
                "--job_endpoint=jobs:8099",
                "--environment_type=DOCKER",
                "--environment_config=hemix/features:0.1.0",
                "--parallelism=1",
                "--job_server_timeout=86400",
                "--hemix_shared=/mnt/x",
            ),
        ),
        (
            "{runner: flink, parallelism: 8, timeout_s: 60, flags: ['--checkpointing_interval=60000']}",
            (
                "--runner=PortableRunner",
                "--job_endpoint=hemix-flink-jobserver:8099",
                "--artifact_endpoint=hemix-flink-jobserver:8098",
                "--environment_type=EXTERNAL",
                "--environment_config=localhost:50000",
                "--parallelism=8",
                "--job_server_timeout=60",
                "--checkpointing_interval=60000",
            ),
        ),
        (
            "{runner: spark, job_endpoint: 'spark-jobs:8099'}",
            (
                "--runner=PortableRunner",
                "--job_endpoint=spark-jobs:8099",
                "--environment_type=EXTERNAL",
                "--environment_config=localhost:50000",
                "--job_server_timeout=86400",
            ),
        ),
        (
            "{runner: dataflow, project: p, region: europe-west4, temp_location: 'gs://b/t', "
            "image: 'europe-docker.pkg.dev/p/hemix/features:0.1.0'}",
            (
                "--runner=DataflowRunner",
                "--project=p",
                "--region=europe-west4",
                "--temp_location=gs://b/t",
                "--sdk_container_image=europe-docker.pkg.dev/p/hemix/features:0.1.0",
                "--sdk_location=container",
                "--num_workers=1",
                "--max_num_workers=10",
            ),
        ),
        ("--runner=FlinkRunner --flink_master=f:8081", ("--runner=FlinkRunner", "--flink_master=f:8081")),
    ],
)  # fmt: skip
def test_a_configuration_becomes_flags(text: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    assert runner_flags(text) == flags
    file = tmp_path / "runner.yaml"
    file.write_text(text)
    if text and not text.startswith("--"):
        assert runner_flags(str(file)) == flags


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{runner: dask}", "scheduler"),
        ("--runner=DaskRunner", "no such name"),
        ("{runner: portable}", "job_endpoint"),
        ("{runner: portable, job_endpoint: jobs}", "job_endpoint"),
        ("{runner: direct, workers: 3}", "workers"),
        ("{runner: dataflow, project: p, region: r, temp_location: /tmp}", "temp_location"),
        ("{runner: flink, environment: LOOPBACK}", "environment"),
        ("{runner: flink, flags: [parallelism]}", "flags"),
        ("no-such-file.yaml", "no-such-file.yaml"),
        ("{runner", "not valid YAML"),
        ("--a b", "'b' is not a Beam flag"),
    ],
)
def test_a_wrong_configuration_is_named(text: str, named: str) -> None:
    with pytest.raises(DefinitionError, match=named):
        runner_flags(text)


def test_options_are_checked_before_anything_runs() -> None:
    with pytest.raises(DefinitionError, match="--direct_workers=2 is not an option"):
        beam_options(["--direct_workers=2"])
    with pytest.raises(EnvironmentProblem, match="No Beam job service listens at localhost:1"):
        beam_options(["{runner: portable, job_endpoint: 'localhost:1'}"])
    assert (
        beam_options(["{runner: direct, processes: 2}"]).get_all_options()["direct_running_mode"]
        == "multi_processing"
    )


def test_a_shared_folder_carries_inputs_and_outputs(tmp_path: Path) -> None:
    shared, source, out = (tmp_path / name for name in ("shared", "in", "out"))
    shared.mkdir()
    source.mkdir()
    (source / "a").write_text("1")
    flags = [f"--hemix_shared={shared}"]
    with staged(flags, inputs={"x": source}, outputs={"y": out}) as place:
        assert place["x"].is_relative_to(shared)
        place["y"].mkdir()
        (place["y"] / "b").write_text((place["x"] / "a").read_text())
    assert (out / "b").read_text() == "1"
    assert not list(shared.iterdir())
    with pytest.raises(RuntimeError), staged(flags, inputs={}, outputs={"y": tmp_path / "no"}):
        raise RuntimeError
    assert not (tmp_path / "no").exists()
    assert not list(shared.iterdir())
    gone = ["{runner: flink, shared: /not/there}"]
    with pytest.raises(EnvironmentProblem, match="/not/there"), staged(gone, inputs={}, outputs={}):
        pass


@pytest.mark.timeout(900)
def test_outside_workers_write_the_same_bytes(
    small_definition: DatasetDefinition,
    small_events: Path,
    small_examples: Path,
    small_transformed: Path,
    small_transform: Path,
    tmp_path: Path,
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with portable_runner(tmp_path) as runner:
        options = [f"{runner[:-1]}, shared: {shared}}}"]
        build_step.run(
            definition=small_definition,
            events=small_events,
            out_examples=tmp_path / "examples",
            runner_options=options,
        )
        assert sha256_folder(tmp_path / "examples") == sha256_folder(small_examples)
        transform_step.run(
            definition=small_definition,
            examples=small_examples,
            out_transformed=tmp_path / "transformed",
            out_transform=tmp_path / "transform",
            runner_options=options,
        )
        damaged = tmp_path / "damaged"
        shutil.copytree(small_events, damaged)
        path = max((damaged / "behaviors").rglob("*.parquet"), key=lambda file: file.stat().st_size)
        data = path.read_bytes()
        path.write_bytes(data[:4] + bytes(len(data) // 3) + data[4 + len(data) // 3 :])
        with pytest.raises(DataError, match=path.name):
            build_step.run(
                definition=small_definition,
                events=damaged,
                out_examples=tmp_path / "never",
                runner_options=options,
            )
    assert not (tmp_path / "never").exists()
    assert sha256_folder(tmp_path / "transformed") == sha256_folder(small_transformed)
    assert but_for_names(tmp_path / "transform") == but_for_names(small_transform)
    started = (tmp_path / "pool.log").read_text().count("Starting worker with command")
    assert started >= 2 * WORKERS  # of build_examples, and of transform
    assert not list(shared.iterdir())


def but_for_names(transform: Path) -> dict[str, str]:
    """Digests of a transform's files: the graph, vocabularies and all."""
    return sha256_folder(transform)
