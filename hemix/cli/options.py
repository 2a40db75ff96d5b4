"""Options that the commands which speak to a cluster share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hemix.pipelines.kfp_client.connection import resolve

if TYPE_CHECKING:
    from hemix.pipelines.kfp_client.connection import Connection

_SERVER = "Server"
_DATA = "Data and model"

HostOption = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Kubeflow Pipelines API. [dim]Default: HEMIX_KFP_HOST, KF_PIPELINES_ENDPOINT, the pod's "
        "own cluster, or the kubeconfig's current context[/dim]",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
NamespaceOption = Annotated[
    str,
    typer.Option(
        help="[dim]Default: HEMIX_KFP_NAMESPACE, the pod's, or the kubeconfig's[/dim]",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
TokenOption = Annotated[
    str,
    typer.Option(
        help="Better a file or HEMIX_KFP_TOKEN: others see a command's arguments.",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with the token; read again when the server refuses it. "
        "[dim]Default: HEMIX_KFP_TOKEN_FILE[/dim]",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
CaCertOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Certificates to trust. [dim]Default: HEMIX_KFP_CA_CERT[/dim]",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
ExperimentOption = Annotated[
    str, typer.Option(help="KFP experiment of the runs.", rich_help_panel=_SERVER)
]
CreateExperimentOption = Annotated[
    bool,
    typer.Option(
        "--create-experiment/--no-create-experiment",
        help="Make the experiment when it is absent.",
        rich_help_panel=_SERVER,
    ),
]
SettingsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.yaml",
        help="Cluster settings: images, resources, secrets, retries; see "
        "docs/operator/pipelines.md.",
        show_default=False,
    ),
]
ServiceAccountOption = Annotated[
    str,
    typer.Option(help="Kubernetes service account of the pods.", rich_help_panel=_SERVER),
]

DatasetOption = Annotated[
    str, typer.Option(help="A shipped data set: kuairand, ebnerd.", rich_help_panel=_DATA)
]
DefinitionOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE.yaml", help="Your own data set definition.", rich_help_panel=_DATA),
]
RecipeOption = Annotated[
    str,
    typer.Option(
        help="Training recipe. [dim]Default: the pipeline's[/dim]",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set one value of the definition (root, split.train.end) or of the recipe "
        "(training.seed); repeat for more.",
        rich_help_panel=_DATA,
    ),
]
RootOption = Annotated[
    str,
    typer.Option(
        metavar="s3://BUCKET/PREFIX",
        help="Where registry, feature store, checkpoints and artifacts of all runs are.",
        envvar="HEMIX_ROOT",
        show_default=False,
    ),
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.yaml",
        help="What a model must meet to be deployed; of experiment, monitoring and cleaning, their own "
        "policy.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
ShareOption = Annotated[
    float | None,
    typer.Option(
        help="Share of users of a challenger. [dim]Default: the pipeline's[/dim]",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
OnlineStoreOption = Annotated[
    str,
    typer.Option(
        help="Where features are served from: redis://HOST:PORT.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
RunnerOption = Annotated[
    str,
    typer.Option(
        metavar="OPTIONS",
        help='Where Beam runs: flags, a YAML file, or YAML such as "{runner: flink, parallelism: 8}"; '
        "see docs/operator/scaling.md.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
PathsInPodsOption = Annotated[
    bool,
    typer.Option(
        "--paths-in-pods",
        help="Local paths are those of a volume that the pods have.",
        rich_help_panel=_DATA,
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="Any parameter of the pipeline (YAML value, or @FILE); repeat for more.",
    ),
]


def connect(
    host: str, namespace: str, token: str, token_file: Path | None, ca_cert: Path | None
) -> Connection:
    """Where the options say the server is.

    Args:
        host: the API server's address; empty: from the environment, the pod or the kubeconfig.
        namespace: of the runs; empty: that of the pod or the kubeconfig.
        token: bearer token.
        token_file: file that holds it, read again for each request.
        ca_cert: certificate authority of the server, PEM.
    """
    return resolve(
        host=host, namespace=namespace, token=token, token_file=token_file, ca_cert=ca_cert
    )
