from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from hemix.errors import DefinitionError
from hemix.serving.experiments.assignment import Variant, assign, epoch_of
from hemix.serving.experiments.layers import Experiments
from hemix.serving.experiments.live import LiveExperiments

TEXT = """
layers:
  - name: ranking
    salt: ranking-1
    variants:
      - {name: clicks, share: 0.5}
      - {name: watched, share: 0.5, order: {click: 1.0, long_view: 0.5}}
  - name: page
    salt: page-1
    variants:
      - {name: short, share: 0.3}
      - {name: middle, share: 0.3}
      - {name: long, share: 0.4}
"""
USERS = range(30_000)
MODEL = (
    Variant(name="champion", version="a", share=0.8),
    Variant(name="challenger", version="b", share=0.2),
)


def cells(experiments: Experiments) -> dict[tuple[str, ...], int]:
    """Users of each combination of variants, model layer first."""
    counts: dict[tuple[str, ...], int] = {}
    for user in USERS:
        model = assign(MODEL, salt="model-salt", user_id=user).name
        key = (model, *(a.variant for a in experiments.assign(user)))
        counts[key] = counts.get(key, 0) + 1
    return counts


@pytest.mark.slow
def test_layers_cut_independently_two_by_two_and_all_together() -> None:
    experiments = Experiments.parse(TEXT)
    counts = cells(experiments)
    shares = [
        {v.name: v.share for v in MODEL},
        *({v.name: v.share for v in layer.variants} for layer in experiments.layers),
    ]
    for a, b in itertools.combinations(range(3), 2):
        table = [
            [sum(n for key, n in counts.items() if (key[a], key[b]) == (x, y)) for y in shares[b]]
            for x in shares[a]
        ]
        assert chi2_contingency(table).pvalue > 1e-4, (a, b)
    keys = list(itertools.product(*shares))
    expected = [
        len(USERS) * math.prod(s[name] for s, name in zip(shares, key, strict=True)) for key in keys
    ]
    assert chisquare([counts.get(key, 0) for key in keys], expected).pvalue > 1e-4


def test_two_layers_with_one_salt_would_not_be_independent_and_are_refused() -> None:
    with pytest.raises(DefinitionError, match="salt 'ranking-1'"):
        Experiments.parse(TEXT.replace("page-1", "ranking-1"))


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_a_user_gets_the_same_everywhere(user: int) -> None:
    experiments = Experiments.parse(TEXT)
    again = Experiments.model_validate_json(experiments.model_dump_json())
    assert experiments.assign(user) == again.assign(str(user))


def test_the_variants_order_is_assigned_with_it() -> None:
    found = {a.variant: a.order for u in USERS[:100] for a in Experiments.parse(TEXT).assign(u)[:1]}
    assert found == {"clicks": None, "watched": {"click": 1.0, "long_view": 0.5}}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("share: 0.4", "share: 0.5", "shares sum to 1.1"),
        ("name: middle", "name: short", "two variants have one name"),
        ("name: page", "name: ranking", "name 'ranking'"),
        ("name: page", "name: model", "the registry makes this layer"),
        (
            "{name: short, share: 0.3}",
            "{name: short, share: 0.3, order: {click: 1}}",
            "both set order",
        ),
        ("order: {click: 1.0, long_view: 0.5}", "order: {click: 0}", "weight that is not 0"),
        ("share: 0.4", "share: 0.4, colour: red", r"layers\[1\]\.variants\[2\]\.colour"),
        ("salt: page-1", "salt: ''", r"layers\[1\]\.salt"),
        ("layers:", "layers: [", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(old: str, new: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message.replace("(", r"\(")) as caught:
        Experiments.parse(TEXT.replace(old, new), where="experiments.yaml")
    assert caught.value.message.startswith("experiments.yaml: ")


def test_an_epoch_changes_with_the_split_and_with_nothing_else() -> None:
    layer = Experiments.parse(TEXT).layers[0]
    assert layer.epoch == Experiments.parse(TEXT + "\n# a remark\n").layers[0].epoch
    for old, new in (("ranking-1", "ranking-2"), ("0.5}}", "0.7}}"), ("clicks", "plain")):
        assert Experiments.parse(TEXT.replace(old, new)).layers[0].epoch != layer.epoch
    shifted = tuple(Variant(name=v.name, version=v.version, share=0.5) for v in MODEL)
    assert epoch_of(MODEL, "s") == epoch_of(MODEL, "s")
    assert len({epoch_of(MODEL, "s"), epoch_of(MODEL, "t"), epoch_of(shifted, "s")}) == 3


def test_a_changed_file_is_taken_over_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "experiments.yaml"
    live = LiveExperiments(path)
    assert live.assign(7) == ()
    path.write_text(TEXT)
    assert live.refresh()
    before = live.assign(7)
    assert [a.layer for a in before] == ["ranking", "page"]
    path.write_text(TEXT.replace("share: 0.4", "share: 0.9"))
    with pytest.raises(DefinitionError, match="shares sum"):
        live.refresh()
    assert live.assign(7) == before
    assert not live.refresh()  # said once
    path.unlink()
    assert live.refresh()
    assert live.assign(7) == ()
