import numpy as np
import pytest
from every_method import cnn, data, mlp
from hooks import begin
from test_prune_batch import images
from test_prune_nisp import deep

from minisparse import nn
from minisparse.autodiff import concatenate
from minisparse.optim import SGD
from minisparse.prune import reconstruction
from minisparse.prune.batch import Batch
from minisparse.prune.nodes import hidden_units
from minisparse.prune.reconstruction import (
    LayerwisePruning,
    Products,
    Reader,
    outgoing,
    patches,
    records_of,
    watch,
    with_outgoing,
)
from minisparse.prune.schedule import one_shot


def strided(rng):
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 3, padding=1, rng=rng), nn.ReLU()),
        *(nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), rng=rng), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(60, 3, bias=False, rng=rng)),
    )


class Branches(nn.Module):
    """Two branches side by side, read by one layer."""

    def __init__(self, rng):
        self.left, self.right = nn.Linear(36, 4, rng=rng), nn.Linear(36, 3, rng=rng)
        self.out = nn.Linear(7, 3, rng=rng)

    def forward(self, x):
        x = x.reshape(-1, 36)
        return self.out(concatenate([self.left(x).relu(), self.right(x).relu()], axis=-1))


ALL = [mlp, cnn, deep, strided, Branches]


def setting(net, n=8):
    rng = np.random.default_rng(0)
    model = net(rng).to(np.float64).eval()
    for p in model.parameters():
        if p.ndim == 1:
            p.data = 0.3 * rng.standard_normal(p.shape)
    return model, Batch(model, images(n))


def readers_of(model, batch, layer):
    """Return the readers of a layer, watched at all places."""
    records = records_of(batch)
    u = next(u for u in hidden_units(model, batch.x[:1]) if u.layer == layer)
    found = []
    for name, where in zip(u.readers, u.where, strict=True):
        y = records[name].output.numpy()
        found.append(Reader.of(records[name], where, y, np.arange(y.size // y.shape[-1])))
    return found


@pytest.mark.parametrize("net", ALL)
def test_the_contributions_add_up_to_the_pre_activation(net):
    model, batch = setting(net)
    records = records_of(batch)
    for u in hidden_units(model, batch.x[:1]):
        (reader,) = readers_of(model, batch, u.layer)
        z, y = (np.concatenate(parts) for parts in zip(*reader.contributions(rows=7), strict=True))
        np.testing.assert_allclose(z.sum(axis=1), y, atol=1e-12)
        if net is not Branches:
            seen = records[u.readers[0]].output.numpy()
            np.testing.assert_allclose(reader.y, seen.reshape(-1, seen.shape[-1]))


@pytest.mark.parametrize("net", ALL)
def test_a_contribution_is_what_is_missing_without_the_unit(net):
    model, batch = setting(net)
    before = records_of(batch)
    for u in hidden_units(model, batch.x[:1]):
        (reader,) = readers_of(model, batch, u.layer)
        z = np.concatenate([z for z, _ in reader.contributions()])
        w = reader.weights()
        w[:, 1] = 0
        state = model.state_dict()
        reader.write(w)
        name = u.readers[0]
        change = before[name].output.numpy() - records_of(batch)[name].output.numpy()
        model.load_state_dict(state)
        np.testing.assert_allclose(z[:, 1], change.ravel(), atol=1e-12)


def test_the_gram_matrix_is_that_of_all_rows_together():
    model, batch = setting(cnn)
    (reader,) = readers_of(model, batch, "0")
    z, y = (np.concatenate(parts) for parts in zip(*reader.contributions(), strict=True))
    found = Products.of(reader.contributions(rows=3))
    np.testing.assert_allclose(found.gram, z.T @ z)
    np.testing.assert_allclose(found.target, z.T @ y)
    gram, target = found.centred()
    centred = z - z.mean(axis=0)
    np.testing.assert_allclose(gram, centred.T @ centred, atol=1e-10)
    np.testing.assert_allclose(target, centred.T @ (y - y.mean()), atol=1e-10)


def test_some_places_are_those_of_all_places():
    x = np.random.default_rng(0).standard_normal((3, 6, 5, 2))
    setting = (3, 2), (2, 1), (1, 0)
    whole = patches(x, *setting, np.arange(3 * 3 * 4))
    index = np.array([35, 0, 17])
    np.testing.assert_array_equal(patches(x, *setting, index), whole[index])
    np.testing.assert_array_equal(
        whole[17], np.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))[1, 2:5, 1:3]
    )


def test_what_is_taken_out_can_be_put_back():
    w = np.arange(48.0).reshape(2, 2, 4, 3)
    where = np.array([[2, 0]])
    assert outgoing(w, where)[0, 0].tolist() == w[0, 0, 2].tolist()
    np.testing.assert_array_equal(with_outgoing(w, where, outgoing(w, where)), w)
    changed = with_outgoing(w, where, np.zeros((4, 2, 3)))
    assert not changed[..., where, :].any()
    np.testing.assert_array_equal(changed[..., [1, 3], :], w[..., [1, 3], :])


class Keep(LayerwisePruning):
    """Keep the first units, and remember how many were left and what their readers see."""

    def reduce(self, u, alive, count, batch):
        self.seen[u.layer] = watch(u, batch, self.rng, self.before)
        return np.cumsum(alive) <= count


def keeping(net):
    model, batch = setting(net)
    method = Keep(one_shot(0.0))
    method.seen = {}
    method.before = {name: r.output.numpy() for name, r in records_of(batch).items()}
    method.units = method.find_units(begin(method, model, SGD(model, 0.1), data()))
    return method, batch


def test_a_later_layer_sees_the_images_through_the_pruned_ones_and_knows_what_it_returned_before():
    method, batch = keeping(mlp)
    mask = method.choose(0.5, batch)
    assert {n: int(a.sum()) for n, a in method.alive().items()} == {"1.weight": 6, "3.weight": 4}
    assert mask == method.mask()
    (fc3,) = method.seen["3"]
    before = np.sort(method.before["5"].sum(axis=1))
    np.testing.assert_allclose(np.sort(fc3.y.sum(axis=1)), before)
    assert not np.allclose(np.sort(fc3.own().sum(axis=1)), before)


def test_at_most_so_many_places_are_looked_at(monkeypatch):
    monkeypatch.setattr(reconstruction, "ROWS", 5)
    method, batch = keeping(cnn)
    method.choose(0.5, batch)
    assert [len(r.y) for (r,) in method.seen.values()] == [5, 5]


def test_layers_that_are_pruned_one_after_another_cannot_share_one_ranking():
    with pytest.raises(ValueError, match="one after another"):
        Keep(one_shot(0.5), scope="global")
