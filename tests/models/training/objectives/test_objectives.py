"""Every loss equals its loop; padding, empty groups, ids and codebooks do what they should."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hemix.errors import DefinitionError
from hemix.models.data.toy import toy_spec
from hemix.models.objective_config import GroupCEConfig, ObjectiveConfig
from hemix.models.training.objectives.codebooks import Codebooks
from hemix.models.training.objectives.group_ce import GroupCE
from hemix.models.training.objectives.groups import Groups
from hemix.models.training.objectives.in_batch_softmax import (
    batch_shares,
    corrected,
    in_batch_softmax,
)
from hemix.models.training.objectives.listce import listce
from hemix.models.training.objectives.objective import GROUPED
from tests.models.training.objectives import reference_objectives as slow
from tests.models.training.train_toy import toy_recipe

ROWS = 40


def made(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels and keys of 40 rows: users of 1 to 9 rows, some of one label."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(ROWS, generator=random, dtype=torch.float64)
    keys = torch.randint(0, 13, (ROWS,), generator=random) * 10**15 - 4
    labels = (torch.rand(ROWS, generator=random) < 0.4).double()
    labels[keys == keys[0]] = 1.0
    return logits.requires_grad_(), labels, keys


def assert_same(found: Tensor, expected: Tensor, logits: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    mine, theirs = (torch.autograd.grad(loss, logits)[0] for loss in (found, expected))
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    assert mine.abs().max() > 1e-4


@pytest.mark.parametrize("name", GROUPED)
def test_a_grouped_loss_is_its_loop(name: str) -> None:
    for seed in range(3):
        logits, labels, keys = made(seed)
        found = GROUPED[name](logits, labels, Groups.by(keys))
        assert_same(found, getattr(slow, name)(logits, labels.tolist(), keys.tolist()), logits)


def test_in_batch_softmax_is_its_loop() -> None:
    logits, labels, keys = made(3)
    found = in_batch_softmax(logits, labels, keys)
    assert_same(found, slow.in_batch_softmax(logits, labels.tolist(), keys.tolist()), logits)


def test_group_ce_is_its_loop() -> None:
    """Levels 0 to 2, through the codes of each row's user; gradients of the uncertainties too."""
    random = torch.Generator().manual_seed(0)
    logits, labels, keys = made(4)
    table = torch.randn(13, 3, generator=random)
    users = torch.unique(keys, return_inverse=True)[1]
    term = GroupCE(GroupCEConfig(codes=3, levels=2, whole_batch=True, first_weight=0.2), 3, 13)
    term.learn(torch.arange(13), table)
    assert bool(term.codebooks.ready)
    with torch.no_grad():
        term.log_variances.add_(torch.tensor([0.1, -0.2, 0.4]))
    codes = term.codes(table[users])
    expected_codes = [slow.codes(table[u], term.codebooks.vectors) for u in users]
    assert codes.tolist() == expected_codes
    found, told = term.loss(logits, labels, codes)
    t = term.log_variances.detach().double().requires_grad_()
    expected = slow.group_ce(logits, labels.tolist(), expected_codes, (0, 1, 2), t)
    assert_same(found, expected, logits)
    found, _ = term.loss(logits.detach(), labels, codes)
    expected = slow.group_ce(logits.detach(), labels.tolist(), expected_codes, (0, 1, 2), t)
    mine, theirs = (
        torch.autograd.grad(loss, by)[0]
        for loss, by in ((found, term.log_variances), (expected, t))
    )
    torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=0)
    assert told["level_0_rows"] == 1


# ---- padding, other groups, empty groups --------------------------------------------------------


@pytest.mark.parametrize("name", GROUPED)
def test_a_group_does_not_feel_how_long_others_are(name: str) -> None:
    """Alone, beside a long list and beside a list of one label: the same slope, times the share."""
    loss = GROUPED[name]
    own, y = torch.tensor([1.5, 0.3], dtype=torch.float64), torch.tensor([1.0, 0.0]).double()

    def slope(more: list[float], labels: list[float], key: int) -> tuple[Tensor, Tensor]:
        s = torch.cat([own, torch.tensor(more, dtype=torch.float64)]).requires_grad_()
        labels_B = torch.cat([y, torch.tensor(labels, dtype=torch.float64)])
        keys = torch.tensor([0, 0] + [key] * len(more))
        value = loss(s, labels_B, Groups.by(keys))
        return value.detach(), torch.autograd.grad(value, s)[0][:2]

    alone, by_itself = slope([], [], 1)
    clicks, beside = slope([0.4, -3.0, 9.0], [1.0, 1.0, 1.0], 1)
    assert clicks == pytest.approx(alone.item(), rel=1e-12)
    torch.testing.assert_close(beside, by_itself)
    _, long = slope([0.4, -3.0, 9.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 1)
    assert (long / by_itself).std() == pytest.approx(0.0, abs=1e-9)


def test_one_list_of_two_has_its_printed_value() -> None:
    logits, labels = torch.tensor([1.5, 0.3]), torch.tensor([1.0, 0.0])
    assert listce(logits, labels, Groups.by(torch.zeros(2))).item() == pytest.approx(
        0.2633, abs=1e-4
    )


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("labels", [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]], ids=["clicks", "of one row"])
def test_no_group_with_both_labels_gives_0(name: str, labels: list[float]) -> None:
    """Clicks alone in one group; both labels, but every row a group of its own."""
    keys = torch.tensor([5, 5, 5]) if all(labels) else torch.arange(3)
    logits = torch.tensor([3.0, -1.0, 200.0], requires_grad=True)
    loss = GROUPED[name](logits, torch.tensor(labels), Groups.by(keys))
    assert loss.item() == 0
    assert torch.autograd.grad(loss, logits)[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", GROUPED)
def test_extreme_scores_stay_finite(name: str) -> None:
    logits = torch.tensor([-300.0, 300.0, 0.0], requires_grad=True)
    loss = GROUPED[name](logits, torch.tensor([1.0, 0.0, 0.0]), Groups.by(torch.zeros(3)))
    assert loss.isfinite()
    assert torch.autograd.grad(loss, logits)[0].isfinite().all()


# ---- ids ----------------------------------------------------------------------------------------


def test_an_item_is_no_evidence_against_itself() -> None:
    """Two users, one item; one user, two items in the other direction; places say nothing."""
    logits = torch.tensor([0.5, -0.5], requires_grad=True)
    for labels in ([1.0, 1.0], [1.0, 0.0]):
        loss = in_batch_softmax(logits, torch.tensor(labels), torch.tensor([7, 7]))
        assert loss.item() == 0
        assert torch.autograd.grad(loss, logits)[0].tolist() == [0, 0]
    # Another id with the same score (the same vector) is a negative, however alike it looks.
    other = in_batch_softmax(torch.zeros(2), torch.tensor([1.0, 0.0]), torch.tensor([7, 8]))
    assert other.item() == pytest.approx(0.6931, abs=1e-4)


def test_labels_are_no_columns() -> None:
    """Any order of the rows gives the same loss, and each row its own slope."""
    logits, labels, keys = made(5)
    for loss in (*GROUPED.values(), None):
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))

        def of(rows: Tensor, loss: Callable[..., Tensor] | None = loss) -> Tensor:
            s, y, k = logits[rows], labels[rows], keys[rows]
            return in_batch_softmax(s, y, k) if loss is None else loss(s, y, Groups.by(k))

        assert_same(of(order), of(torch.arange(ROWS)), logits)


def test_the_correction_is_subtracted() -> None:
    found = corrected(torch.zeros(2), torch.tensor([0.9, 0.1]))
    assert found.tolist() == pytest.approx([0.105, 2.303], abs=1e-3)
    assert batch_shares(torch.tensor([4, 9, 4, 4])).tolist() == [0.75, 0.25, 0.75, 0.75]


# ---- codebooks ----------------------------------------------------------------------------------


def line(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def test_centres_stay_where_their_members_are() -> None:
    books = Codebooks(1, 2, 1, decay=0.8, expiry=0.0)
    batch = line(3.0, 4.0, 5.0, 10.0)
    books.start(batch)
    assert sorted(books.vectors.flatten().tolist()) == pytest.approx([4, 10], abs=1e-4)
    for _ in range(3):
        books.learn(batch)
    assert sorted(books.vectors.flatten().tolist()) == pytest.approx([4, 10], abs=1e-3)
    second = int(books.codes(line(10.0)))
    books.replace(0, second, torch.tensor([7.0]))
    books.learn(line(3.0, 4.0, 5.0))
    assert books.vectors[0, second].item() == 7
    books.learn(line(3.0, 4.0, 5.0, 7.0))
    assert books.vectors[0, second].item() == pytest.approx(7, abs=1e-3)


def test_dead_codes_are_replaced_by_a_row_of_the_batch() -> None:
    books = Codebooks(1, 2, 1, decay=0.1, expiry=0.5)
    books.start(line(0.0, 0.1, 10.0, 10.1))
    far = int(books.codes(line(10.0)))
    batch = line(0.0, 0.3, 1.0)
    books.learn(batch)
    books.learn(batch)
    assert books.vectors[0, far].item() in batch.flatten().tolist()


def test_each_row_has_codes_of_its_own() -> None:
    books = Codebooks(2, 4, 2)
    random = torch.Generator().manual_seed(0)
    books.start(torch.randn(60, 2, generator=random))
    rows = torch.randn(5, 2, generator=random)
    codes = books.codes(rows)
    assert len(torch.unique(codes, dim=0)) > 1
    assert books.codes(rows.flip(0)).tolist() == codes.flip(0).tolist()


def test_quantised_users_learn_straight_through_and_codebooks_do_not() -> None:
    books = Codebooks(2, 3, 2)
    books.start(torch.randn(30, 2, generator=torch.Generator().manual_seed(1)))
    before = {name: value.clone() for name, value in books.state_dict().items()}
    vectors = torch.randn(4, 2, requires_grad=True)
    near = books.quantised(vectors)
    codes = books.codes(vectors)
    sums = books.vectors[0][codes[:, 0]] + books.vectors[1][codes[:, 1]]
    torch.testing.assert_close(near.detach(), sums)
    near.square().sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(vectors.grad, 2 * near.detach())
    assert not any(value.requires_grad for value in books.buffers())
    for name, value in books.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_an_objective_without_codebooks_adds_nothing_to_a_version() -> None:
    plain = toy_recipe().build(toy_spec())
    assert not any(name.startswith("objective.") for name in plain.state_dict())
    held = toy_recipe(
        training__objective__group_ce__weight="1", training__objective__group_ce__codes="3"
    )
    names = [n for n in held.build(toy_spec()).state_dict() if n.startswith("objective.")]
    assert "objective.group_ce.codebooks.vectors" in names


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"bce__weight": "0"}, "every term's weight is 0"),
        ({"rcr__weight": "-1"}, "greater than or equal to 0"),
        ({"lambdarank__weight": "1"}, r"no field 'training.objective.lambdarank.weight'"),
        ({"rcr__by": "session"}, "'user' or 'request'"),
    ],
)
def test_objectives_that_cannot_be_are_refused(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        toy_recipe(**{f"training__objective__{key}": value for key, value in overrides.items()})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"codes": "31"}, "codes is 31, and the table of 'user_id' has 30 rows"),
        ({"field": "tag"}, "no id field of the user called 'tag'"),
    ],
)
def test_group_ce_needs_users(overrides: dict[str, str], message: str) -> None:
    named = {f"training__objective__group_ce__{key}": value for key, value in overrides.items()}
    recipe = toy_recipe(training__objective__group_ce__weight="1", **named)
    with pytest.raises(DefinitionError, match=message):
        recipe.build(toy_spec())


def test_what_does_not_go_together_is_refused() -> None:
    by_user = {"training__objective__bpr__weight": "1"}
    for name, value in (("balance_lengths", "true"), ("compile", "cuda_graphs")):
        with pytest.raises(DefinitionError, match=f"set {name}|{name}="):
            toy_recipe(**by_user, **{f"training__{name}": value})


def test_terms_are_active_by_their_weight() -> None:
    assert [*ObjectiveConfig().active()] == ["bce"]
    assert ObjectiveConfig().keys is None
    both = ObjectiveConfig.model_validate(
        {"rcr": {"weight": 1, "by": "request"}, "group_ce": {"weight": 1}}
    )
    assert [*both.active()] == ["bce", "rcr", "group_ce"]
    assert both.keys == ("user", "request")
    assert both.together == "request"
