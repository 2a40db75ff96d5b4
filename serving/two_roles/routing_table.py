"""The predictors file: which version is served where, to whom. What a transformer follows.

On Kubernetes a ConfigMap that the deployer writes and every transformer pod mounts; a change is
taken over without a restart.

    salt: 3f0c2a9b5d7e1846
    predictors:
      - {version: kuairand-a1, state: champion, share: 0.9, url: "http://kuairand-a1-predictor.hemix"}
      - {version: kuairand-b2, state: challenger, share: 0.1, url: "http://kuairand-b2-predictor.hemix"}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import yaml
from pydantic import Field, field_validator, model_validator

from hemix.errors import RegistryError
from hemix.serving.registry.transitions import Challenger, RegistryState, VersionState
from hemix.texts.documents import checked, parse
from hemix.texts.frozen import Frozen


class Predictor(Frozen):
    """One version: its predictor's ``url`` (no path), its state, its share of users ``[0, 1]``."""

    version: str = Field(min_length=1)
    url: str
    state: Literal["champion", "challenger"]
    share: float = Field(ge=0.0, le=1.0)

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not http://host[:port]")
        return url.rstrip("/")


class Predictors(Frozen):
    """The whole file: one champion, any number of challengers, the salt that cuts the users."""

    salt: str
    predictors: tuple[Predictor, ...]

    @model_validator(mode="after")
    def _whole(self) -> Predictors:
        names = [predictor.version for predictor in self.predictors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"version {min(twice)} is given twice")
        if sum(predictor.state == "champion" for predictor in self.predictors) != 1:
            raise ValueError("exactly one predictor must be the champion")
        if sum(predictor.share for predictor in self.predictors) > 1.0 + 1e-9:
            raise ValueError("the shares sum to more than 1")
        return self

    @staticmethod
    def of(state: RegistryState, urls: Mapping[str, str]) -> Predictors:
        """The file that says what a registry says; ``urls`` maps a version to its predictor."""
        return Predictors(
            salt=state.salt,
            predictors=tuple(
                Predictor(
                    version=version,
                    url=urls[version],
                    state="champion" if version == state.champion else "challenger",
                    share=share,
                )
                for version, share in state.shares.items()
            ),
        )

    def to_yaml(self) -> str:
        """The file's text; equal values give equal text."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def state(self) -> RegistryState:
        """What it says as a registry's state, so that users are assigned alike everywhere."""
        champion = next(p.version for p in self.predictors if p.state == "champion")
        versions: dict[str, VersionState] = {p.version: p.state for p in self.predictors}
        return RegistryState(
            champion=champion,
            challengers=tuple(
                Challenger(version=p.version, share=p.share)
                for p in self.predictors
                if p.state == "challenger"
            ),
            salt=self.salt,
            champions=(champion,),
            versions=versions,
        )


def parse_predictors(text: str, *, where: str) -> Predictors:
    """Predictors of YAML or JSON text.

    Raises:
        RegistryError: not a predictors file; names ``where`` and the key.
    """
    hint = "Write salt and a list predictors of {version, url, state, share}."
    document = parse(text, "a predictors file", where=where, hint=hint, error=RegistryError)
    return checked(Predictors, document, hint=hint, error=RegistryError)


class PredictorsFile:
    """Follows a predictors file by its content (a ConfigMap's mount changes by symbolic link).

    Args:
        path: YAML or JSON.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text: str | None = None
        self._predictors: Predictors | None = None

    def predictors(self) -> Predictors:
        """What the file says now; RegistryError when it cannot be used."""
        try:
            text = self.path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RegistryError(
                f"{self.path}: cannot read ({reason}).",
                hint="Mount the predictors file there, or pass --predictors FILE.",
            ) from error
        if self._predictors is None or text != self._text:
            self._predictors = parse_predictors(text, where=str(self.path))
            self._text = text
        return self._predictors

    def state(self) -> RegistryState:
        """The state, as a registry would say it; errors as in :meth:`predictors`."""
        return self.predictors().state()

    def url(self, version: str) -> str:
        """Where a version's predictor is, by the file as it was read last."""
        assert self._predictors is not None
        for predictor in self._predictors.predictors:
            if predictor.version == version:
                return predictor.url
        raise RegistryError(f"{self.path} names no predictor of {version}.")
