import numpy as np
import pytest

from minisparse.data import Augmentation, Split
from minisparse.kernels.dispatch import by_definition
from minisparse.nn import Flatten, Linear, Sequential
from minisparse.optim import SGD
from minisparse.prune.method import Method
from minisparse.train import CheckpointError, train


def images(n=12, h=6, w=7, c=3, dtype=np.float32):
    return (1 + np.arange(n * h * w * c).reshape(n, h, w, c) % 251).astype(dtype)


# ---- views --------------------------------------------------------------------------------------


def test_each_view_is_a_crop_of_the_padded_image_and_all_crops_come_with_the_same_chance():
    image, n, shift = images(1, 3, 4, 1)[0], 20_000, 1
    views = Augmentation(shift)(np.broadcast_to(image, (n, *image.shape)), np.random.default_rng(0))
    padded = np.pad(image, ((shift, shift), (shift, shift), (0, 0)))
    crops = [padded[i : i + 3, j : j + 4] for i in range(3) for j in range(3)]
    crops += [crop[:, ::-1] for crop in crops]
    counts = np.array([(views == crop).all((1, 2, 3)).sum() for crop in crops])
    assert counts.sum() == n
    assert np.abs(counts - n / 18).max() < 5 * np.sqrt(n / 18)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.float16])
def test_without_shifts_and_flips_an_image_stays_and_nothing_is_drawn(dtype):
    x, rng = images(dtype=dtype), np.random.default_rng(0)
    y = Augmentation(shift=0, flip=False)(x, rng)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x)
    assert not np.shares_memory(x, y)
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_without_shifts_an_image_is_mirrored_or_not():
    x = images(200)
    y = Augmentation(shift=0)(x, np.random.default_rng(0))
    same, turned = ((y == z).all((1, 2, 3)) for z in (x, x[:, :, ::-1]))
    assert (same ^ turned).all()
    assert 60 < same.sum() < 140


def test_without_flips_no_image_is_mirrored():
    y = Augmentation(shift=1, flip=False)(images(100), np.random.default_rng(0))
    rows = y[:, 2, :, 0]  # of numbers that grow from left to right, but for those from outside
    assert all((np.diff(row[row > 0]) > 0).sum() >= 4 for row in rows)


def test_a_shift_that_is_larger_than_the_image():
    y = Augmentation(shift=50)(images(300), np.random.default_rng(0))
    gone = ~y.any((1, 2, 3))
    assert 200 < gone.sum() < 300


def test_the_images_that_are_given_stay_as_they_are():
    x = images()
    x.setflags(write=False)
    Augmentation()(x, np.random.default_rng(0))
    np.testing.assert_array_equal(x, images())


def test_the_same_views_without_a_compiler_and_elsewhere(device):
    x, augment = images(), Augmentation(2)
    here = augment(x, np.random.default_rng(1))
    with by_definition():
        np.testing.assert_array_equal(augment(x, np.random.default_rng(1)), here)
    there = augment(device.asarray(x), np.random.default_rng(1))
    np.testing.assert_array_equal(device.asnumpy(there), here)


# ---- in training --------------------------------------------------------------------------------

SPLIT = Split(images(23, 4, 4, 2, np.uint8), np.arange(23) % 3)


class Watch(Method):
    """Keep the batches; be interrupted after step `until`."""

    until = -1

    def __init__(self):
        self.seen = []

    def after_step(self, run):
        self.seen.append(run.x.numpy())
        if run.step == self.until:
            raise KeyboardInterrupt


def fit(watch, augment, seed=3, **settings):
    rng = np.random.default_rng(seed)
    model = Sequential(Flatten(), Linear(32, 3, rng=rng))
    return train(
        *(model, SPLIT, SGD(model, 0.1, momentum=0.9)),
        epochs=2,
        rng=rng,
        batch_size=5,
        methods=[watch],
        augment=augment,
        progress=False,
        **settings,
    )


def test_the_batch_is_augmented_after_it_was_normalized():
    plain, moved, asked = Watch(), Watch(), []

    def augment(x, rng):
        asked.append(x.copy())
        return Augmentation(1)(x, rng)

    normalize = (0.4, 0.2)
    fit(plain, None, normalize=normalize)
    fit(moved, augment, normalize=normalize)
    np.testing.assert_array_equal(asked[0], plain.seen[0])  # the first order was drawn before
    assert all(x.dtype == np.float32 for x in asked)
    assert (moved.seen[0] == 0).any()  # the mean, and not the black of a border
    assert not (plain.seen[0] == 0).any()
    assert [x.shape for x in moved.seen] == [x.shape for x in plain.seen]


def test_every_epoch_sees_other_views():
    watch = Watch()
    fit(watch, Augmentation(1))
    first, second = (np.concatenate(watch.seen[a : a + 5]) for a in (0, 5))
    rows = {x.tobytes() for x in first}
    assert sum(x.tobytes() in rows for x in second) < 12


@pytest.mark.parametrize("until", [1, 3, 5, 7])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, until):
    augment, whole = Augmentation(2), Watch()
    expected = fit(whole, augment)
    settings = {"checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0}
    interrupted, rest = Watch(), Watch()
    interrupted.until = until
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, augment, **settings)
    found = fit(rest, augment, **settings)
    for a, b in zip(rest.seen, whole.seen[-len(rest.seen) :], strict=True):
        np.testing.assert_array_equal(a, b)
    for name, value in expected.model.state_dict().items():
        assert found.model.state_dict()[name].tobytes() == value.tobytes()
    assert found.rng.bit_generator.state == expected.rng.bit_generator.state


def test_a_checkpoint_knows_how_its_images_were_augmented(tmp_path):
    path = tmp_path / "run.npz"
    fit(Watch(), Augmentation(2), checkpoint=path)
    told = r"augment was 'Augmentation\(shift=2, flip=True\)', is "
    with pytest.raises(CheckpointError, match=told + r"'Augmentation\(shift=1, flip=True\)'"):
        fit(Watch(), Augmentation(1), checkpoint=path)
    with pytest.raises(CheckpointError, match=told + "'absent'"):
        fit(Watch(), None, checkpoint=path)


def test_a_generator_of_its_own_is_refused_where_a_run_could_not_be_resumed(tmp_path):
    class Own:
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def __call__(self, x, rng):  # noqa: ARG002
            return x

    fit(Watch(), Own())
    with pytest.raises(ValueError, match=r"Own\.rng is another Generator than the run's"):
        fit(Watch(), Own(), checkpoint=tmp_path / "run.npz")


# ---- what makes no sense ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"shift": -1}, ValueError, "shift, in pixels, is a whole number >= 0, got -1"),
        ({"shift": 1.5}, TypeError, "shift, in pixels, is a whole number >= 0, got 1.5"),
        ({"shift": np.array([1])}, TypeError, "shift, in pixels, is a whole number >= 0, got array"),
        ({"shift": True}, TypeError, "shift, in pixels, is a whole number >= 0, got True"),
        ({"flip": "yes"}, TypeError, "flip is True or False, got 'yes'"),
        ({"flip": 0.5}, TypeError, "flip is True or False, got 0.5"),
    ],
)
def test_settings_that_make_no_sense(settings, error, told):
    with pytest.raises(error, match=told):
        Augmentation(**settings)


def test_arguments_that_make_no_sense():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"images are \[N, H, W, C\], got shape \[6, 7, 3\]"):
        Augmentation()(images()[0], rng)
    with pytest.raises(TypeError, match="expected an array"):
        Augmentation()([[1.0]], rng)
    with pytest.raises(TypeError, match="rng must be a Generator"):
        Augmentation()(images(), 0)
    with pytest.raises(TypeError, match=r"augment is a function of \(images, rng\), got 4"):
        fit(Watch(), 4)
