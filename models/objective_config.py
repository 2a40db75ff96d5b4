"""Which terms a training minimises, and the weight of each (docs/objectives.md says which when)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hemix.texts.frozen import Frozen

By = Literal["user", "request"]
Mask = Literal["random", "feature", "dimension"]


class TermConfig(Frozen):
    """A term of the objective; at weight 0 it is not computed."""

    weight: float = Field(default=0.0, ge=0)
    """Weight of the term in the sum; 0 leaves it out."""


class BceConfig(TermConfig):
    """Binary cross-entropy of every impression, which makes scores probabilities."""

    weight: float = Field(default=1.0, ge=0)
    """Weight of the term in the sum; 0 leaves it out."""


class Comparing(TermConfig):
    """A term that compares rows with each other."""


class InBatchSoftmaxConfig(Comparing):
    """Softmax of each positive row against the batch's negative rows."""

    against: Literal["items", "users", "both"] = "items"
    """Whose id keeps a row from being a negative: its item's, its user's, or the mean of both
    directions."""
    correction: bool = False
    """Subtract the log of each item's share of the batch from its logit, in training alone."""


class GroupedConfig(Comparing):
    """A term that compares rows of one group with each other, on one state of the user."""

    by: By = "user"
    """Rows that are compared: of one user, or of one request."""


class GroupCEConfig(Comparing):
    """Hierarchical group-wise ranking: rows of users with alike embeddings are compared."""

    field: str = ""
    """Id field of the user whose embedding is quantised; empty: the one of the key `user_id`."""
    levels: int = Field(default=2, ge=0, le=8)
    """L: codebooks; groups share the first 1, 2, ... L codes."""
    codes: int = Field(default=8, ge=2)
    """K: codes of each codebook."""
    whole_batch: bool = False
    """Also compare all rows of the batch (level 0)."""
    quantised: float = Field(default=0.1, ge=0)
    """Weight of the log loss of scores whose user embedding is replaced by its quantised one; 0:
    that pass is not made."""
    first_weight: float = Field(default=0.1, gt=0)
    """What a level's loss is multiplied by at first; learnt from there on."""
    decay: float = Field(default=0.99, gt=0, lt=1)
    """Decay of the moving averages that the codebooks are."""
    expiry: float = Field(default=0.1, ge=0, lt=1)
    """A code with less than this share of the mean count is replaced."""


class CL4CTRConfig(TermConfig):
    """CL4CTR's self-supervised terms on the field embeddings; set `weight` to 1 to use them."""

    alpha: float = Field(default=1.0, ge=0)
    """Weight of the contrastive term; 0: no encoder."""
    beta: float = Field(default=0.01, ge=0)
    """Weight of alignment and uniformity."""
    mask: Mask = "random"
    """What is hidden of a view: single numbers, whole fields, or dimensions of all fields."""
    dropped: float = Field(default=0.5, gt=0, lt=1)
    """Share that is hidden."""
    released_cosine: bool = False
    """Add 1e-4 to the product of two norms in the uniformity, as in the released code."""


class ObjectiveConfig(Frozen):
    """The terms whose weighted sum a training minimises."""

    bce: BceConfig = BceConfig()
    """Pointwise log loss (weight 1 unless said otherwise)."""
    in_batch_softmax: InBatchSoftmaxConfig = InBatchSoftmaxConfig()
    """Softmax against the batch's negatives."""
    ranknet: GroupedConfig = GroupedConfig()
    """Every pair of a clicked and another row of a group, all pairs alike."""
    bpr: GroupedConfig = GroupedConfig()
    """The same pairs, every clicked row alike."""
    listnet: GroupedConfig = GroupedConfig()
    """Top-one probabilities of labels and scores of a group."""
    listce: GroupedConfig = GroupedConfig()
    """Softmax cross-entropy of a group."""
    jrc: GroupedConfig = GroupedConfig()
    """JRC's generative term: each row against the group's rows under its own label."""
    rcr: GroupedConfig = GroupedConfig()
    """Regression-compatible ListCE: sigmoids in place of exponentials."""
    group_ce: GroupCEConfig = GroupCEConfig()
    """RCR in groups of users with alike embeddings, level by level."""
    cl4ctr: CL4CTRConfig = CL4CTRConfig()
    """Contrast, alignment and uniformity of the field embeddings."""
    jrc_without_lists: bool = False
    """Add JRC by user, of weight 1, to log loss where no other term compares rows, less than half of the
    training rows share a request and, in every task, half are of users with both labels; the training
    says what it took."""

    def active(self) -> dict[str, TermConfig]:
        """The terms whose weight is not 0, in order."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            k: term for k, term in named.items() if isinstance(term, TermConfig) and term.weight
        }

    @property
    def compares(self) -> bool:
        """Whether a term compares rows with each other."""
        return any(isinstance(term, Comparing) for term in self.active().values())

    @property
    def keys(self) -> tuple[By, ...] | None:
        """By what rows share the user's state in a further pass; None: nothing compares rows."""
        if not self.compares:
            return None
        terms = self.active().values()
        by = {getattr(term, "by", "user") for term in terms if isinstance(term, Comparing)}
        names: tuple[By, ...] = ("user", "request")
        return tuple(name for name in names if name in by)

    @property
    def together(self) -> By | None:
        """Whose rows must stand together in a batch; None: any order will do."""
        grouped = [t.by for t in self.active().values() if isinstance(t, GroupedConfig)]
        if not grouped:
            return None
        return "user" if "user" in grouped else "request"

    @model_validator(mode="after")
    def _something(self) -> ObjectiveConfig:
        if not self.active():
            raise ValueError("every term's weight is 0, so there is nothing to learn")
        return self
