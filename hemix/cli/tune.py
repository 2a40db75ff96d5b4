"""``hemix tune``: search a recipe's fields on the data of a finished run."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from hemix.errors import DefinitionError
from hemix.progress import say

OBJECTIVE = ("training.objective.", "training.balance_lengths", "training.compile")
"""Fields that the objective is made of, or that go with some objectives alone."""


class PrunerName(enum.StrEnum):
    """Which trials are stopped early."""

    MEDIAN = "median"
    HYPERBAND = "hyperband"
    NONE = "none"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("tune")(tune_command)


def tune_command(
    run: Annotated[
        str, typer.Option("--run", metavar="PLACE", help="Output root of a finished hemix run.")
    ],
    recipe: Annotated[
        str,
        typer.Option(help="Where the search starts: a recipe's name, or a YAML file of one."),
    ] = "compact",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set a field of the recipe before; repeat for more."
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Fields to search, over the ranker's own (docs/tuning.md).",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=0, help="Trials of the study in total; 0 only reports.")
    ] = 30,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0, help="Stop after so many minutes, also in a trial.", show_default=False
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Trainings per trial; its value is the mean.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of the search: the same seed, the same trials.")] = 0,
    pruner: Annotated[
        PrunerName, typer.Option(help="Which trials are stopped early.")
    ] = PrunerName.MEDIAN,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The study's folder. [dim]Default: PLACE/tune/RECIPE[/dim]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Search a recipe's fields on the transformed data of a finished run.

    Trials learn from the training window and are judged by the validation window; the test window is not read. A study that was interrupted goes on, its running trial too, when the command is given again; several processes may work on one study. Ends with DIR/best.yaml and DIR/report.html.

    [bold]Examples[/bold]

      hemix tune --run runs/kuairand --trials 50

      hemix tune --run runs/kuairand --recipe dcnv2 --space my_space.yaml --minutes 60 --seeds 3

      hemix run --recipe runs/kuairand/tune/compact/best.yaml
    """
    from hemix.models.training.recipes import recipe_of
    from hemix.models.training.suited import as_written, suited
    from hemix.models.tuning.space import read_space
    from hemix.models.tuning.study import StudyFolder, StudySettings
    from hemix.models.tuning.tune import tune
    from hemix.pipelines.local.tune import rows_of, write_study
    from hemix.pipelines.overrides import parse_overrides

    given = parse_overrides(set_ or ())
    if given.definition:
        raise DefinitionError(
            f"--set {next(iter(given.definition))}: the data are those of the run.",
            hint="Set fields of the recipe only.",
        )
    chosen = recipe_of(recipe, given.recipe)
    if chosen.training.warm_start:
        raise DefinitionError(
            "training.warm_start: trials begin with new weights.",
            hint="Leave it out here and set it for hemix run.",
        )
    record, rows = rows_of(run)
    searched = read_space(space, chosen)
    # What a trial may set itself is not added to the others' objective.
    own = any(field.startswith(OBJECTIVE) for field in searched)
    chosen = as_written(chosen) if own else suited(chosen, rows.spec, rows.train)
    settings = StudySettings.of(
        chosen,
        searched,
        seeds=seeds,
        seed=seed,
        pruner=pruner.value,
        data=rows.digest,
    )
    folder = StudyFolder(study or Path(record.folder.root) / "tune" / chosen.name, settings)
    try:
        tune(folder, rows, trials=trials, minutes=minutes)
    except KeyboardInterrupt:
        say("Interrupted; the same command continues where this one stopped.")
    for line in write_study(folder, record, rows):
        say(line)
