import numpy as np
import pytest
from every_method import NETS
from test_prune_dynamic import watched

from minisparse.autodiff import no_grad
from minisparse.prune.ac_dc import ACDC, DSD, is_compressed
from minisparse.prune.magnitude import magnitude_mask


def test_the_phases_of_the_papers_two_schedules():
    resnet = {"compress": [*range(10, 80, 10), 85], "restore": range(15, 80, 10)}
    assert not any(is_compressed(t, **resnet) for t in (0, 9, 15, 17, 25, 75, 80, 84))
    assert all(is_compressed(t, **resnet) for t in (10, 14, 20, 70, 74, 85, 100))
    ACDC(0.9, **resnet)  # in turns
    cifar = {"compress": [10, 50, 90, 130, 170], "restore": [30, 70, 110, 150]}
    assert [is_compressed(t, **cifar) for t in (9, 29, 30, 49, 50, 160, 199)] == [
        *(False, True, False, False, True, False, True)
    ]


@pytest.mark.parametrize("net", NETS)
def test_the_sparsity_is_exact_when_compressed_and_0_when_dense(net):
    look = watched(ACDC(0.7, [1, 3], [2]), net, epochs=4)
    total = look.masks[0].total
    kept = [m.kept for m in look.masks]
    few = total - round(0.7 * total)
    # six steps and the end of the epoch, seven looks for each of four epochs
    assert kept[:6] == [total] * 6
    assert kept[6:13] == [few] * 7
    assert kept[13:20] == [total] * 7
    assert kept[20:] == [few] * 8
    for mask, weights in zip(look.masks, look.weights, strict=True):
        for name, m in mask.items():
            assert not weights[name][~m].any()
    learns = {n: look.weights[18][n][~m].any() for n, m in look.masks[12].items()}
    assert all(learns.values()), "what was gone learns again"


def test_the_switch_to_dense_leaves_the_outputs_as_they_are():
    look = watched(ACDC(0.7, [1], [2]), epochs=3)
    x = np.random.default_rng(1).random((5, 6, 6, 1), np.float32)
    found = []
    for i in (12, 13):  # before and after the switch, without a step between
        model = NETS["mlp"](np.random.default_rng(0))
        model.load_state_dict(look.weights[i])
        with no_grad():
            found.append(model(x).numpy())
    np.testing.assert_array_equal(*found)
    assert look.masks[12].kept < look.masks[13].kept


def test_each_compression_chooses_anew_among_all_weights():
    look = watched(ACDC(0.7, [1, 3], [2]), epochs=4)
    first, second = look.masks[6], look.masks[20]
    assert first != second
    model = NETS["mlp"](np.random.default_rng(0))
    model.load_state_dict(look.weights[19])
    assert second == magnitude_mask(model, 1 - 0.7)


def test_dsd_ends_dense_and_what_comes_back_starts_at_zero():
    look = watched(DSD(0.5, 1, 2))
    for name, m in look.masks[6].items():
        assert m.sum() == np.floor(0.5 * m.size + 0.5), "layer by layer"
        assert not look.weights[13][name][~m].any()
    assert look.masks[-1].kept == look.masks[-1].total


@pytest.mark.parametrize(
    "times", [([1, 2], []), ([2], [1]), ([1], [1]), ([0.5], []), ([-1], []), ([1, 1], [])]
)
def test_times_that_do_not_take_turns_are_refused(times):
    with pytest.raises(ValueError, match="in turns"):
        ACDC(0.5, *times)
    with pytest.raises(ValueError, match="expected a sparsity"):
        ACDC(1.5, [1])


def test_what_is_planned_is_told():
    assert ACDC(0.5, [1, 5], [3]).planned_until() == 5
    assert DSD(0.5, 1, 7).planned_until() == 7
