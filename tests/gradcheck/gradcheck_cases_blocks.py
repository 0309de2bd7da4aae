"""Blocks of newer networks and the losses beside them, right and with one mistake each.

Normalised weights, gates, attention with masks, noise that is fixed, kinks and ties, values far out;
some as the pairs of a course write them, which hand a cache from the forward to the backward.
"""

import numpy as np
from gradcheck_cases import Case, draw, sigmoid, softmax, softmax_backward

MUTANTS: list[Case] = []
INNOCENTS: list[Case] = []


def mutant(name, f, inputs, backward, *causes, **options):
    assert causes
    MUTANTS.append(Case(name, f, tuple(inputs), backward, causes, options))


def innocent(name, f, inputs, backward, **options):
    INNOCENTS.append(Case(name, f, tuple(inputs), backward, (), options))


X = draw(6, 4, seed=131)
Y = draw(6, 4, seed=132)
W = draw(4, 3, seed=133)
B = draw(3, seed=134)


# ---- normalised weights -------------------------------------------------------------------------
def weight_norm(x, v, s):
    return x @ (s * v / np.linalg.norm(v, axis=0))


def weight_norm_backward(g, x, v, s, project=True):
    n = np.linalg.norm(v, axis=0)
    u, gw = v / n, x.T @ g
    gs = (gw * u).sum(0)
    return g @ (s * u).T, s / n * (gw - (gs * u if project else 0)), gs


SCALES = np.array([0.5, -1.2, 2.0])
innocent("weight normalisation", weight_norm, (X, W, SCALES), weight_norm_backward)
mutant(
    "weight normalisation: length taken as constant",
    weight_norm,
    (X, W, SCALES),
    lambda g, *a: weight_norm_backward(g, *a, project=False),
    "missing-terms",
)
mutant(
    "weight normalisation: scale's gradient from the raw weights",
    weight_norm,
    (X, W, SCALES),
    lambda g, x, v, s: (*weight_norm_backward(g, x, v, s)[:2], (x.T @ g * v).sum(0)),
    "wrong-formula",
)
mutant(
    "weight normalisation: scale left out of the weights' gradient",
    weight_norm,
    (X, W, SCALES),
    lambda g, x, v, s: (
        weight_norm_backward(g, x, v, s)[0],
        weight_norm_backward(g, x, v, s)[1] / s,
        weight_norm_backward(g, x, v, s)[2],
    ),
    "missing-factor",
)


def powered(w, u):
    """Return the vectors of one power iteration."""
    v = w.T @ u
    v = v / np.linalg.norm(v)
    t = w @ v
    return t / np.linalg.norm(t), v


START = draw(4, seed=135)
LEFT, RIGHT = powered(W, START)


def spectral_norm(w):
    return w / (LEFT @ w @ RIGHT)


def spectral_norm_backward(g, w):
    s = LEFT @ w @ RIGHT
    return g / s - (g * w).sum() / s**2 * np.outer(LEFT, RIGHT)


def spectral_norm_anew(w):
    u, v = powered(w, START)
    return w / (u @ w @ v)


innocent("spectral norm, vectors kept", spectral_norm, (W,), spectral_norm_backward)
mutant(
    "spectral norm: sigma taken as constant",
    spectral_norm,
    (W,),
    lambda g, w: g / (LEFT @ w @ RIGHT),
    "missing-terms",
)
mutant(
    "spectral norm: vectors exchanged in a square",
    lambda w: w / (LEFT[:3] @ w @ RIGHT),
    (W[:3],),
    lambda g, w: (
        g / (LEFT[:3] @ w @ RIGHT)
        - (g * w).sum() / (LEFT[:3] @ w @ RIGHT) ** 2 * np.outer(RIGHT, LEFT[:3])
    ),
    "wrong-region",
)
mutant(
    "spectral norm: the power iteration is part of the function, but not of the gradient",
    spectral_norm_anew,
    (W,),
    spectral_norm_backward,
    "missing-terms",
)


# ---- normalised activations ---------------------------------------------------------------------
def group_norm(x, gamma, beta, groups=2):
    h = x.reshape(len(x), groups, -1)
    h = (h - h.mean(2, keepdims=True)) / np.sqrt(h.var(2, keepdims=True) + 1e-5)
    return h.reshape(x.shape) * gamma + beta


def group_norm_backward(g, x, gamma, beta, groups=2, over=2):
    z = x.reshape(len(x), groups, -1)
    s = np.sqrt(z.var(2, keepdims=True) + 1e-5)
    h = (z - z.mean(2, keepdims=True)) / s
    gh = (g * gamma).reshape(z.shape)
    dz = gh - gh.mean(over, keepdims=True) - h * (gh * h).mean(over, keepdims=True)
    return (dz / s).reshape(x.shape), (g * h.reshape(x.shape)).sum(0), g.sum(0)


CHANNELS = (draw(3, 8, seed=136), draw(8, seed=137), draw(8, seed=138))
innocent("group norm", group_norm, CHANNELS, group_norm_backward)
mutant(
    "group norm: means over the channels of all groups",
    group_norm,
    CHANNELS,
    lambda g, *a: group_norm_backward(g, *a, over=(1, 2)),
    "missing-terms",
)
mutant(
    "group norm: one group in the backward",
    group_norm,
    CHANNELS,
    lambda g, *a: group_norm_backward(g, *a, groups=1),
    "wrong-structure",
)
mutant(
    "group norm: gamma's gradient over the channels' groups interleaved",
    group_norm,
    CHANNELS,
    lambda g, *a: (
        group_norm_backward(g, *a)[0],
        group_norm_backward(g, *a)[1].reshape(2, 4).T.ravel(),
        g.sum(0),
    ),
    "transposed",
)

MEAN, VARIANCE = draw(4, seed=139), 0.5 + draw(4, seed=140) ** 2


def batch_norm_evaluated(x, gamma, beta):
    return (x - MEAN) / np.sqrt(VARIANCE + 1e-5) * gamma + beta


def batch_norm_evaluated_backward(g, x, gamma, beta):
    s = np.sqrt(VARIANCE + 1e-5)
    return g * gamma / s, (g * (x - MEAN) / s).sum(0), g.sum(0)


def as_in_training(g, x, gamma, beta):
    h = (x - MEAN) / np.sqrt(VARIANCE + 1e-5)
    gh = g * gamma
    dx = (gh - gh.mean(0) - h * (gh * h).mean(0)) / np.sqrt(VARIANCE + 1e-5)
    return dx, (g * h).sum(0), g.sum(0)


AFFINE = (X, draw(4, seed=141), draw(4, seed=142))
innocent("batch norm in evaluation", batch_norm_evaluated, AFFINE, batch_norm_evaluated_backward)
innocent(
    "batch norm in evaluation, float32",
    batch_norm_evaluated,
    AFFINE,
    batch_norm_evaluated_backward,
    dtype="float32",
)
mutant(
    "batch norm in evaluation: the gradient of training",
    batch_norm_evaluated,
    AFFINE,
    as_in_training,
    "missing-terms",
)
mutant(
    "batch norm in evaluation: variance for its root",
    batch_norm_evaluated,
    AFFINE,
    lambda g, x, gamma, beta: (
        g * gamma / (VARIANCE + 1e-5),
        *batch_norm_evaluated_backward(g, x, gamma, beta)[1:],
    ),
    "wrong-formula",
)


def layer_norm_pair(x, gamma, beta, eps=1e-5):
    mu, var = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    std = np.sqrt(var + eps)
    normal = (x - mu) / std
    return gamma * normal + beta, (normal, std, gamma)


def layer_norm_pair_backward(dout, cache):
    normal, std, gamma = cache
    d = dout * gamma
    dx = (d - d.mean(1, keepdims=True) - normal * (d * normal).mean(1, keepdims=True)) / std
    return dx, (dout * normal).sum(0), dout.sum(0)


def layer_norm_pair_over_the_batch(dout, cache):
    normal, std, gamma = cache
    d = dout * gamma
    dx = (d - d.mean(0) - normal * (d * normal).mean(0)) / std
    return dx, (dout * normal).sum(0), dout.sum(0)


innocent("layer norm with a cache", layer_norm_pair, AFFINE, layer_norm_pair_backward)
mutant(
    "layer norm with a cache: means over the batch",
    layer_norm_pair,
    AFFINE,
    layer_norm_pair_over_the_batch,
    "wrong-structure",
)
mutant(
    "layer norm with a cache: beta's gradient is gamma's",
    layer_norm_pair,
    AFFINE,
    lambda d, cache: (*layer_norm_pair_backward(d, cache)[:2], (d * cache[0]).sum(0)),
    "wrong-formula",
)


def rms(x, gain):
    return x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-6) * gain


def rms_backward(g, x, gain, root=True):
    r = np.sqrt((x * x).mean(1, keepdims=True) + 1e-6)
    h, gh = x / r, g * gain
    back = (gh * h).mean(1, keepdims=True)
    return (gh - h * back) / (r if root else r * r), (g * h).sum(0)


innocent("rms norm with a gain, float32", rms, AFFINE[:2], rms_backward, dtype="float32")
mutant(
    "rms norm with a gain: a mean subtracted as in layer norm",
    rms,
    AFFINE[:2],
    lambda g, x, gain: (
        rms_backward(g, x, gain)[0] - rms_backward(g, x, gain)[0].mean(1, keepdims=True),
        rms_backward(g, x, gain)[1],
    ),
    "missing-terms",
)
mutant(
    "rms norm with a gain: mean square for its root",
    rms,
    AFFINE[:2],
    lambda g, x, gain: rms_backward(g, x, gain, root=False),
    "wrong-formula",
)


# ---- convolutions and sequences -----------------------------------------------------------------
def causal(x, w, dilation=2):
    """Return y[t] = sum_k w[k] x[t - k dilation], with zeros before the beginning."""
    reach = dilation * (len(w) - 1)
    padded = np.concatenate([np.zeros(reach, x.dtype), x])
    return sum(w[k] * padded[reach - k * dilation :][: len(x)] for k in range(len(w)))


def causal_backward(g, x, w, dilation=2, padded=True):
    reach = dilation * (len(w) - 1)
    dx = np.zeros(len(x) + reach)
    dw = np.zeros(len(w))
    long = np.concatenate([np.zeros(reach), x])
    for k in range(len(w)):
        at = reach - k * dilation
        dx[at : at + len(x)] += w[k] * g
        dw[k] = g @ long[at : at + len(x)]
    return dx[reach:] if padded else dx[: len(x)], dw


LINE, TAPS = draw(11, seed=143), draw(3, seed=144)
innocent("causal convolution, dilated", causal, (LINE, TAPS), causal_backward)
mutant(
    "causal convolution: dilation forgotten",
    causal,
    (LINE, TAPS),
    lambda g, x, w: causal_backward(g, x, w, dilation=1),
    "wrong-region",
)
mutant(
    "causal convolution: padding cut off at the other end",
    causal,
    (LINE, TAPS),
    lambda g, x, w: causal_backward(g, x, w, padded=False),
    "wrong-structure",
)
mutant(
    "causal convolution: taps in the other order",
    causal,
    (LINE, TAPS),
    lambda g, x, w: (causal_backward(g, x, w)[0], causal_backward(g, x, w)[1][::-1]),
    "transposed",
)


def depthwise(x, w):
    return x[:-2] * w[0] + x[1:-1] * w[1] + x[2:] * w[2]


def depthwise_backward(g, x, w):
    dx = np.zeros_like(x)
    for k in range(3):
        dx[k : len(x) - 2 + k] += g * w[k]
    return dx, np.stack([(g * x[k : len(x) - 2 + k]).sum(0) for k in range(3)])


DEEP = (draw(7, 3, seed=145), draw(3, 3, seed=146))
innocent("depthwise convolution", depthwise, DEEP, depthwise_backward)
mutant(
    "depthwise convolution: channels summed in the kernel's gradient",
    depthwise,
    DEEP,
    lambda g, x, w: (
        depthwise_backward(g, x, w)[0],
        np.broadcast_to(depthwise_backward(g, x, w)[1].sum(1, keepdims=True), w.shape),
    ),
    "wrong-structure",
)


def circular(x):
    return x + 0.5 * np.roll(x, 1)


innocent("circular", circular, (LINE,), lambda g, x: g + 0.5 * np.roll(g, -1))
mutant(
    "circular: the last one does not come round",
    circular,
    (LINE,),
    lambda g, x: g + 0.5 * np.append(g[1:], 0),
    "wrong-elements",
)
mutant(
    "circular: rolled on",
    circular,
    (LINE,),
    lambda g, x: g + 0.5 * np.roll(g, 1),
    "wrong-structure",
)


def reflected(x):
    return np.pad(x, 2, mode="reflect")


def reflected_backward(g, x, edge=0):
    dx = g[2:-2].copy()
    for k in (1, 2):
        dx[k - edge] += g[2 - k]
        dx[-1 - k + edge] += g[len(g) - 3 + k]
    return dx


innocent("reflected border", reflected, (LINE,), reflected_backward)
mutant(
    "reflected border: the edge repeated",
    reflected,
    (LINE,),
    lambda g, x: reflected_backward(g, x, edge=1),
    "missing-terms",
)
mutant(
    "reflected border: cut off",
    reflected,
    (LINE,),
    lambda g, x: g[2:-2],
    "wrong-region",
)


def twice_as_large(x):
    return x.repeat(2, axis=0).repeat(2, axis=1)


innocent(
    "nearest neighbours",
    twice_as_large,
    (X,),
    lambda g, x: g.reshape(6, 2, 4, 2).sum((1, 3)),
)
mutant(
    "nearest neighbours: one of four",
    twice_as_large,
    (X,),
    lambda g, x: g[::2, ::2],
    "missing-terms",
)
mutant(
    "nearest neighbours: tiles for neighbours",
    twice_as_large,
    (X,),
    lambda g, x: g.reshape(2, 6, 2, 4).sum((0, 2)),
    "wrong-structure",
)


def lstm_cell(x, c):
    i, f, o, u = np.split(x, 4, axis=1)
    new = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
    return sigmoid(o) * np.tanh(new)


def lstm_cell_backward(g, x, c, through_output=True, order=(0, 1, 2, 3)):
    i, f, o, u = np.split(x, 4, axis=1)
    i, f, o, u = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(u)
    t = np.tanh(f * c + i * u)
    dc = g * o * (1 - t * t)
    do = g * t * o * (1 - o) if through_output else 0 * o
    parts = dc * u * i * (1 - i), dc * c * f * (1 - f), do, dc * i * (1 - u * u)
    return np.concatenate([parts[k] for k in order], axis=1), dc * f


CELL = (draw(3, 8, seed=147), draw(3, 2, seed=148))
innocent("LSTM cell", lstm_cell, CELL, lstm_cell_backward)
mutant(
    "LSTM cell: output gate's gradient left out",
    lstm_cell,
    CELL,
    lambda g, x, c: lstm_cell_backward(g, x, c, through_output=False),
    "wrong-elements",
)
mutant(
    "LSTM cell: gates in another order",
    lstm_cell,
    CELL,
    lambda g, x, c: lstm_cell_backward(g, x, c, order=(1, 0, 2, 3)),
    "transposed",
)


# ---- attention ----------------------------------------------------------------------------------
def masked_attention(q, k, v):
    scores = q @ k.T / np.sqrt(q.shape[1])
    scores = np.where(np.tri(len(q), dtype=bool), scores, -1e9)
    return softmax(scores) @ v


def masked_attention_backward(g, q, k, v, within=True, scale=True):
    root = np.sqrt(q.shape[1])
    scores = q @ k.T / root
    if within:
        scores = np.where(np.tri(len(q), dtype=bool), scores, -1e9)
    p = softmax(scores)
    ds = p * (g @ v.T - (p * (g @ v.T)).sum(1, keepdims=True))
    ds = ds / root if scale else ds
    return ds @ k, ds.T @ q, p.T @ g


QKV = draw(5, 3, seed=149), draw(5, 3, seed=150), draw(5, 2, seed=151)
innocent("causal attention", masked_attention, QKV, masked_attention_backward)
innocent(
    "causal attention, float32", masked_attention, QKV, masked_attention_backward, dtype="float32"
)
mutant(
    "causal attention: mask forgotten in the backward",
    masked_attention,
    QKV,
    lambda g, *a: masked_attention_backward(g, *a, within=False),
    "wrong-region",
)
mutant(
    "causal attention: scale forgotten",
    masked_attention,
    QKV,
    lambda g, *a: masked_attention_backward(g, *a, scale=False),
    "constant-factor",
)
mutant(
    "causal attention: queries for keys",
    masked_attention,
    QKV,
    lambda g, q, k, v: (
        masked_attention_backward(g, q, k, v)[0],
        masked_attention_backward(g, q, k, v)[0],
        masked_attention_backward(g, q, k, v)[2],
    ),
    "missing-terms",
)


def rotary(x, angle):
    a, b = np.split(x, 2, axis=1)
    return np.concatenate(
        [a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], axis=1
    )


TURNS = draw(6, 2, seed=152)


def rotary_backward(g, x, angle):
    (a, b), (u, v) = np.split(x, 2, axis=1), np.split(g, 2, axis=1)
    c, s = np.cos(angle), np.sin(angle)
    dangle = u * (-a * s - b * c) + v * (a * c - b * s)
    return rotary(g, -angle), dangle


innocent("rotary embedding", rotary, (X, TURNS), rotary_backward)
mutant(
    "rotary embedding: turned on, not back",
    rotary,
    (X, TURNS),
    lambda g, x, angle: (rotary(g, angle), rotary_backward(g, x, angle)[1]),
    "wrong-formula",
)


# ---- gates --------------------------------------------------------------------------------------
def glu(x):
    a, b = np.split(x, 2, axis=1)
    return a * sigmoid(b)


def glu_backward(g, x):
    a, b = np.split(x, 2, axis=1)
    s = sigmoid(b)
    return np.concatenate([g * s, g * a * s * (1 - s)], axis=1)


innocent("gated linear unit", glu, (X,), glu_backward)
mutant(
    "gated linear unit: halves exchanged",
    glu,
    (X,),
    lambda g, x: np.roll(glu_backward(g, x), 2, axis=1),
    "transposed",
)
mutant(
    "gated linear unit: gate's value left out of its gradient",
    glu,
    (X,),
    lambda g, x: np.concatenate(
        [glu_backward(g, x)[:, :2], glu_backward(g, x)[:, 2:] / x[:, :2]], axis=1
    ),
    "wrong-region",
)


def prelu(x, a):
    return np.where(x > 0, x, a * x)


innocent(
    "PReLU, one slope for all",
    prelu,
    (X, np.array(0.2)),
    lambda g, x, a: (np.where(x > 0, g, a * g), (g * np.minimum(x, 0)).sum()),
)
innocent(
    "PReLU, one slope for all, zeros among the inputs",
    prelu,
    (X * (np.abs(X) > 0.5), np.array(0.2)),
    lambda g, x, a: (np.where(x > 0, g, a * g), (g * np.minimum(x, 0)).sum()),
)
mutant(
    "PReLU: slope's gradient from the positive side",
    prelu,
    (X, np.array(0.2)),
    lambda g, x, a: (np.where(x > 0, g, a * g), (g * np.maximum(x, 0)).sum()),
    "wrong-structure",
)
mutant(
    "PReLU: slope's gradient is a mean",
    prelu,
    (X, np.array(0.2)),
    lambda g, x, a: (np.where(x > 0, g, a * g), (g * np.minimum(x, 0)).mean()),
    "constant-factor",
)
mutant(
    "PReLU: slope's gradient not summed",
    prelu,
    (X, np.array(0.2)),
    lambda g, x, a: (np.where(x > 0, g, a * g), g * np.minimum(x, 0)),
    "missing-broadcast-sum",
)


def layer_scale(x, w, scale):
    return x + scale * np.tanh(x @ w)


SQUARE, SMALL = draw(4, 4, seed=153), np.full(4, 1e-6)


def layer_scale_backward(g, x, w, scale):
    t = np.tanh(x @ w)
    d = g * scale * (1 - t * t)
    return g + d @ w.T, x.T @ d, (g * t).sum(0)


innocent(
    "layer scale at its small beginning", layer_scale, (X, SQUARE, SMALL), layer_scale_backward
)
mutant(
    "layer scale at its small beginning: left out for the weights",
    layer_scale,
    (X, SQUARE, SMALL),
    lambda g, x, w, scale: (
        layer_scale_backward(g, x, w, scale)[0],
        layer_scale_backward(g, x, w, scale)[1] * 1e6,
        layer_scale_backward(g, x, w, scale)[2],
    ),
    "constant-factor",
)
mutant(
    "layer scale: upstream left out for the scale",
    layer_scale,
    (X, SQUARE, SMALL),
    lambda g, x, w, scale: (
        *layer_scale_backward(g, x, w, scale)[:2],
        np.tanh(x @ w).sum(0),
    ),
    "upstream-ignored",
)


def bilinear(x, a, y):
    return np.einsum("ni,oij,nj->no", x, a, y)


FORM = draw(2, 4, 4, seed=154)


def bilinear_backward(g, x, a, y):
    return (
        np.einsum("no,oij,nj->ni", g, a, y),
        np.einsum("no,ni,nj->oij", g, x, y),
        np.einsum("no,oij,ni->nj", g, a, x),
    )


innocent("bilinear form", bilinear, (X, FORM, Y), bilinear_backward)
mutant(
    "bilinear form: transpose missing on the right",
    bilinear,
    (X, FORM, Y),
    lambda g, x, a, y: (*bilinear_backward(g, x, a, y)[:2], np.einsum("no,oij,nj->ni", g, a, x)),
    "transposed",
)
mutant(
    "bilinear form: matrices transposed",
    bilinear,
    (X, FORM, Y),
    lambda g, x, a, y: (
        bilinear_backward(g, x, a, y)[0],
        bilinear_backward(g, x, a, y)[1].transpose(0, 2, 1),
        bilinear_backward(g, x, a, y)[2],
    ),
    "transposed",
)


def autoencoder(x, w):
    return np.tanh(x @ w) @ w.T


def autoencoder_backward(g, x, w, encoder=True):
    h = np.tanh(x @ w)
    d = g @ w * (1 - h * h)
    return d @ w.T, g.T @ h + (x.T @ d if encoder else 0)


innocent("autoencoder with tied weights", autoencoder, (X, W), autoencoder_backward)
mutant(
    "autoencoder with tied weights: the decoder's use alone",
    autoencoder,
    (X, W),
    lambda g, x, w: autoencoder_backward(g, x, w, encoder=False),
    "missing-terms",
)


def maxout(x):
    return x.reshape(len(x), -1, 2).max(2)


def maxout_backward(g, x, share=False):
    z = x.reshape(len(x), -1, 2)
    top = z == z.max(2, keepdims=True)
    if not share:
        top = np.eye(2)[z.argmax(2)]
    return (g[..., None] * top).reshape(x.shape)


TIED = np.round(X)
innocent("maxout", maxout, (X,), maxout_backward)
innocent("maxout with ties", maxout, (np.repeat(TIED[:, :2], 2, axis=1),), maxout_backward)
mutant(
    "maxout with ties: to both",
    maxout,
    (np.repeat(TIED[:, :2], 2, axis=1),),
    lambda g, x: maxout_backward(g, x, share=True),
    "kink",
)


# ---- projections and noise ----------------------------------------------------------------------
def sparsemax(x):
    z = np.sort(x)[::-1]
    k = np.arange(1, x.size + 1)
    size = k[1 + k * z > np.cumsum(z)][-1]
    return np.maximum(x - (z[:size].sum() - 1) / size, 0)


def sparsemax_backward(g, x):
    on = sparsemax(x) > 0
    return on * (g - g[on].mean())


SCORES = np.array([0.9, 0.6, -0.4, 0.75, -1.0])
innocent("sparsemax", sparsemax, (SCORES,), sparsemax_backward)
mutant(
    "sparsemax: threshold taken as constant",
    sparsemax,
    (SCORES,),
    lambda g, x: g * (sparsemax(x) > 0),
    "missing-terms",
)
mutant(
    "sparsemax: mean over all",
    sparsemax,
    (SCORES,),
    lambda g, x: (sparsemax(x) > 0) * (g - g.mean()),
    "missing-terms",
)
mutant(
    "sparsemax: softmax's gradient",
    sparsemax,
    (SCORES,),
    lambda g, x: sparsemax(x) * (g - g @ sparsemax(x)),
    "wrong-formula",
)

NOISE = -np.log(-np.log(np.random.default_rng(155).random((6, 4))))


def gumbel(x, temperature=0.7):
    return softmax((x + NOISE) / temperature)


innocent(
    "Gumbel-softmax, noise fixed",
    gumbel,
    (X,),
    lambda g, x: softmax_backward(g, (x + NOISE) / 0.7) / 0.7,
)
innocent(
    "Gumbel-softmax, noise fixed, float32",
    gumbel,
    (X,),
    lambda g, x: softmax_backward(g, (x + NOISE) / 0.7) / 0.7,
    dtype="float32",
)
mutant(
    "Gumbel-softmax: temperature forgotten",
    gumbel,
    (X,),
    lambda g, x: softmax_backward(g, (x + NOISE) / 0.7),
    "constant-factor",
)
mutant(
    "Gumbel-softmax: noise forgotten",
    gumbel,
    (X,),
    lambda g, x: softmax_backward(g, x / 0.7) / 0.7,
    "wrong-formula",
)


def unit(x, y):
    return (x * y).sum(1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))


def unit_backward(g, x, y, project=True):
    a, b = (np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    c = unit(x, y)[:, None] * project
    return g[:, None] * (y / b - c * x / a) / a, g[:, None] * (x / a - c * y / b) / b


innocent("cosine similarity", unit, (X, Y), unit_backward)
innocent("cosine similarity, parallel", unit, (X, 2 * X), unit_backward)
mutant(
    "cosine similarity: lengths taken as constant",
    unit,
    (X, Y),
    lambda g, x, y: unit_backward(g, x, y, project=False),
    "wrong-formula",
)
mutant(
    "cosine similarity: gradients swapped",
    unit,
    (X, Y),
    lambda g, x, y: unit_backward(g, x, y)[::-1],
    "swapped-arguments",
)


# ---- losses -------------------------------------------------------------------------------------
LABELS = np.array([0, 3, 1, 1, 2, 0])
ONES = np.eye(4)[LABELS]


def focal(x, gamma=2.0):
    p = (softmax(x) * ONES).sum(1)
    return -((1 - p) ** gamma) * np.log(p)


def focal_backward(g, x, gamma=2.0, through_weight=True):
    p = (softmax(x) * ONES).sum(1)
    slope = -((1 - p) ** gamma) / p
    if through_weight:
        slope = slope + gamma * (1 - p) ** (gamma - 1) * np.log(p)
    return (g * slope * p)[:, None] * (ONES - softmax(x))


innocent("focal loss", focal, (X,), focal_backward)
mutant(
    "focal loss: weight taken as constant",
    focal,
    (X,),
    lambda g, x: focal_backward(g, x, through_weight=False),
    "wrong-formula",
)
mutant(
    "focal loss: cross-entropy's gradient",
    focal,
    (X,),
    lambda g, x: g[:, None] * (softmax(x) - ONES),
    "wrong-formula",
)


def log_cosh(x, y):
    d = np.abs(x - y)
    return (d + np.log1p(np.exp(-2 * d)) - np.log(2)).mean()


innocent(
    "log cosh",
    log_cosh,
    (X, Y),
    lambda g, x, y: tuple(s * g * np.tanh(x - y) / 24 for s in (1, -1)),
)
innocent(
    "log cosh, far out",
    log_cosh,
    (400 * X, Y),
    lambda g, x, y: tuple(s * g * np.tanh(x - y) / 24 for s in (1, -1)),
)
mutant(
    "log cosh: tanh of the sum",
    log_cosh,
    (X, Y),
    lambda g, x, y: tuple(s * g * np.tanh(x + y) / 24 for s in (1, -1)),
    "wrong-formula",
)
mutant(
    "log cosh: the target's gradient not negative",
    log_cosh,
    (X, Y),
    lambda g, x, y: tuple(g * np.tanh(x - y) / 24 for _ in "xy"),
    "constant-factor",
)


def softplus(x):
    return np.logaddexp(0, x)


FAR = np.array([-700.0, -40.0, -3.0, 0.0, 3.0, 40.0, 700.0])
innocent("softplus far out", softplus, (FAR,), lambda g, x: g * sigmoid(x))
innocent(
    "softplus far out, float32", softplus, (FAR / 10,), lambda g, x: g * sigmoid(x), dtype="float32"
)
mutant(
    "softplus far out: overflow guarded by 0",
    softplus,
    (FAR,),
    lambda g, x: g * np.where(x > 30, 0.0, sigmoid(x)),
    "wrong-region",
)
mutant(
    "softplus far out: exp over exp",
    softplus,
    (np.append(FAR, 800.0),),
    lambda g, x: g * np.exp(x) / (1 + np.exp(x)),
    "not-finite",
)
mutant(
    "softplus: its own value for the slope",
    softplus,
    (X,),
    lambda g, x: g * softplus(x),
    "wrong-formula",
)


def quantile(x, y):
    d = y - x
    return np.maximum(0.9 * d, -0.1 * d)


innocent(
    "quantile loss met exactly",
    quantile,
    (TIED, TIED + np.array([0.0, 1.0, -1.0, 0.0])),
    lambda g, x, y: tuple(s * g * np.where(y > x, 0.9, -0.1) for s in (-1, 1)),
)
mutant(
    "quantile loss: sides exchanged",
    quantile,
    (X, Y),
    lambda g, x, y: tuple(s * g * np.where(y > x, 0.1, -0.9) for s in (-1, 1)),
    "wrong-formula",
)
mutant(
    "quantile loss met exactly: the slopes' sum",
    quantile,
    (TIED, TIED + np.array([0.0, 1.0, -1.0, 0.0])),
    lambda g, x, y: tuple(s * g * np.select([y > x, y < x], [0.9, -0.1], 1.0) for s in (-1, 1)),
    "kink",
)


def svm(x, y):
    """Return the loss of a course's classifier and what its backward needs."""
    rows = np.arange(len(x))
    margins = np.maximum(0, x - x[rows, y][:, None] + 1)
    margins[rows, y] = 0
    return margins.sum() / len(x), (margins, y)


def svm_backward(dout, cache, right=True, mean=True):
    margins, y = cache
    rows = np.arange(len(y))
    dx = (margins > 0).astype(float)
    if right:
        dx[rows, y] -= dx.sum(1)
    return dout * dx / (len(y) if mean else 1)


STEPS = np.round(2 * draw(6, 4, seed=156)) / 2  # many margins are met exactly
innocent("hinge with a cache", svm, (X, LABELS), svm_backward)
innocent("hinge with a cache, margins met exactly", svm, (STEPS, LABELS), svm_backward)
mutant(
    "hinge with a cache: not divided by the batch",
    svm,
    (X, LABELS),
    lambda d, cache: svm_backward(d, cache, mean=False),
    "constant-factor",
)
mutant(
    "hinge with a cache: the right class not counted",
    svm,
    (X, LABELS),
    lambda d, cache: svm_backward(d, cache, right=False),
    "wrong-elements",
    "wrong-region",
)


def smooth_labels(x, eps=0.1):
    t = (1 - eps) * ONES + eps / 4
    return -(t * np.log(softmax(x))).sum(1).mean()


innocent(
    "smoothed labels",
    smooth_labels,
    (X,),
    lambda g, x: g * (softmax(x) - 0.9 * ONES - 0.025) / 6,
)
mutant(
    "smoothed labels: sharp ones in the backward",
    smooth_labels,
    (X,),
    lambda g, x: g * (softmax(x) - ONES) / 6,
    "wrong-formula",
)


def contrast(x, y):
    s = x @ y.T
    return np.mean(np.log(np.exp(s).sum(1)) - np.diag(s))


def contrast_backward(g, x, y, positives=True):
    d = g * (softmax(x @ y.T) - (np.eye(len(x)) if positives else 0)) / len(x)
    return d @ y, d.T @ x


innocent("contrastive loss", contrast, (X, Y), contrast_backward)
mutant(
    "contrastive loss: positives left out",
    contrast,
    (X, Y),
    lambda g, x, y: contrast_backward(g, x, y, positives=False),
    "wrong-formula",
)


def triplet(a, p, n):
    return np.maximum(((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + 1, 0)


def triplet_backward(g, a, p, n, active=True):
    on = (triplet(a, p, n) > 0 if active else np.ones(len(a)))[:, None] * g[:, None]
    return 2 * on * (n - p), 2 * on * (p - a), 2 * on * (a - n)


TRIPLET = X, Y, draw(6, 4, seed=157)
innocent("triplet loss", triplet, TRIPLET, triplet_backward)
mutant(
    "triplet loss: inactive ones too",
    triplet,
    TRIPLET,
    lambda g, a, p, n: triplet_backward(g, a, p, n, active=False),
    "wrong-region",
)


def gaussian(x, log_variance):
    return 0.5 * (log_variance + x**2 * np.exp(-log_variance))


innocent(
    "Gaussian likelihood",
    gaussian,
    (X, Y),
    lambda g, x, v: (g * x * np.exp(-v), g * 0.5 * (1 - x**2 * np.exp(-v))),
)
mutant(
    "Gaussian likelihood: variance's half forgotten",
    gaussian,
    (X, Y),
    lambda g, x, v: (g * x * np.exp(-v), g * (1 - x**2 * np.exp(-v))),
    "constant-factor",
)
mutant(
    "Gaussian likelihood: variance for its logarithm",
    gaussian,
    (X, Y),
    lambda g, x, v: (g * x / v, g * 0.5 * (1 - x**2 * np.exp(-v))),
    "wrong-formula",
)


def dice(x):
    return 1 - 2 * (x * ONES).sum() / (x.sum() + ONES.sum())


innocent(
    "dice loss",
    dice,
    (sigmoid(X),),
    lambda g, x: -2 * g * (ONES * (x.sum() + 6) - (x * ONES).sum()) / (x.sum() + 6) ** 2,
)
mutant(
    "dice loss: denominator taken as constant",
    dice,
    (sigmoid(X),),
    lambda g, x: -2 * g * ONES / (x.sum() + 6),
    "missing-terms",
)


# ---- kinks, clips and penalties -----------------------------------------------------------------
ZEROS = X * (np.abs(X) > 0.7)
innocent("L1 at zeros", lambda w: np.abs(w).sum(), (ZEROS,), lambda g, w: g * np.sign(w))
innocent(
    "L1 at zeros: 1 chosen",
    lambda w: np.abs(w).sum(),
    (ZEROS,),
    lambda g, w: g * np.where(w >= 0, 1.0, -1.0),
)
innocent(
    "L1 at zeros, float32",
    lambda w: np.abs(w).sum(),
    (ZEROS,),
    lambda g, w: g * np.sign(w),
    dtype="float32",
)
mutant(
    "L1: absolute value for the sign",
    lambda w: np.abs(w).sum(),
    (X,),
    lambda g, w: g * np.abs(w),
    "missing-factor",
)
mutant(
    "L1 at zeros: 2 chosen",
    lambda w: np.abs(w).sum(),
    (ZEROS,),
    lambda g, w: g * np.where(w == 0, 2.0, np.sign(w)),
    "kink",
)


def elastic(w):
    return 0.3 * np.abs(w).sum() + 0.5 * 0.2 * (w * w).sum()


innocent("elastic net", elastic, (ZEROS,), lambda g, w: g * (0.3 * np.sign(w) + 0.2 * w))
mutant(
    "elastic net: only the ridge",
    elastic,
    (X,),
    lambda g, w: g * 0.2 * w,
    "wrong-formula",
)
mutant(
    "elastic net: ridge's factor 2 at one penalty only",
    elastic,
    (X,),
    lambda g, w: g * (0.3 * np.sign(w) + 0.4 * w),
    "wrong-formula",
)


def group_lasso(w):
    return np.linalg.norm(w, axis=1).sum()


BLANK = np.where(np.arange(6)[:, None] % 2, X, 0)


def group_lasso_backward(g, w):
    n = np.linalg.norm(w, axis=1, keepdims=True)
    return g * w / np.where(n > 0, n, 1)


innocent("group lasso with empty groups", group_lasso, (BLANK,), group_lasso_backward)
mutant(
    "group lasso: norm over the other axis",
    group_lasso,
    (X,),
    lambda g, w: g * w / np.linalg.norm(w, axis=0),
    "wrong-formula",
)
mutant(
    "group lasso: norms of all groups together",
    group_lasso,
    (X,),
    lambda g, w: g * w / np.linalg.norm(w),
    "wrong-formula",
)


def clipped_norm(x):
    return x * min(1.0, 1 / np.linalg.norm(x))


def clipped_norm_backward(g, x):
    n = np.linalg.norm(x)
    return g if n <= 1 else g / n - x * (g * x).sum() / n**3


innocent("clipped by norm", clipped_norm, (X,), clipped_norm_backward)
innocent("clipped by norm, inside", clipped_norm, (0.01 * X,), clipped_norm_backward)
mutant(
    "clipped by norm: factor taken as constant",
    clipped_norm,
    (X,),
    lambda g, x: g * min(1.0, 1 / np.linalg.norm(x)),
    "missing-terms",
)
mutant(
    "clipped by value: gradient clipped for the value",
    lambda x: np.clip(x, -0.5, 0.5),
    (X,),
    lambda g, x: np.clip(g, -0.5, 0.5) * (np.abs(x) < 0.5),
    "upstream-ignored",
)


def running_product(x):
    return np.cumprod(x)


def running_product_backward(g, x, inclusive=True):
    y = g * np.cumprod(x)
    total = np.cumsum(y[::-1])[::-1]
    return (total if inclusive else np.append(total[1:], 0)) / x


POSITIVE = 0.5 + np.abs(draw(7, seed=158))
innocent("cumulative product", running_product, (POSITIVE,), running_product_backward)
mutant(
    "cumulative product: its own term left out",
    running_product,
    (POSITIVE,),
    lambda g, x: running_product_backward(g, x, inclusive=False),
    "missing-terms",
)
mutant(
    "cumulative product: summed from the front",
    running_product,
    (POSITIVE,),
    lambda g, x: np.cumsum(g * np.cumprod(x)) / x,
    "wrong-structure",
)


TOKENS = np.array([2, 0, 2, 5, 2, 0])


def embed(table):
    return table[TOKENS] * 2.0


def embed_backward(g, table, add=True):
    d = np.zeros_like(table)
    if add:
        np.add.at(d, TOKENS, 2 * g)
    else:
        d[TOKENS] += 2 * g
    return d


innocent("scaled embedding, tokens repeated", embed, (X,), embed_backward)
innocent("scaled embedding, tokens repeated, float32", embed, (X,), embed_backward, dtype="float32")
mutant(
    "scaled embedding: += at repeated tokens",
    embed,
    (X,),
    lambda g, table: embed_backward(g, table, add=False),
    "wrong-region",
)


def pooled(x):
    """Return the maxima of 2 x 2 windows and what the backward needs."""
    z = x.reshape(3, 2, 2, 2).transpose(0, 2, 1, 3).reshape(3, 2, 4)
    return z.max(2), (z, x.shape)


def pooled_backward(dout, cache, all_of_them=False):
    z, shape = cache
    on = z == z.max(2, keepdims=True) if all_of_them else np.eye(4)[z.argmax(2)]
    d = on * dout[..., None]
    return d.reshape(3, 2, 2, 2).transpose(0, 2, 1, 3).reshape(shape)


FLAT = np.maximum(TIED, 0)
innocent("max pool with a cache, ties", pooled, (FLAT,), pooled_backward)
mutant(
    "max pool with a cache, ties: all of them",
    pooled,
    (FLAT,),
    lambda d, cache: pooled_backward(d, cache, all_of_them=True),
    "kink",
)
mutant(
    "max pool with a cache: windows not put back",
    pooled,
    (X,),
    lambda d, cache: (np.eye(4)[cache[0].argmax(2)] * d[..., None]).reshape(cache[1]),
    "transposed",
)


def affine_relu(x, w, b):
    a = x @ w + b
    return np.maximum(a, 0), (x, w, a)


def affine_relu_backward(dout, cache):
    x, w, a = cache
    d = dout * (a > 0)
    return d @ w.T, x.T @ d, d.sum(0)


innocent("affine and relu with a cache", affine_relu, (X, W, B), affine_relu_backward)
mutant(
    "affine and relu with a cache: mask of the input's sign, not the sum's",
    affine_relu,
    (X[:, :3], SQUARE[:3, :3], B),
    lambda d, cache: (
        (d * (cache[0] > 0)) @ cache[1].T,
        cache[0].T @ (d * (cache[0] > 0)),
        (d * (cache[0] > 0)).sum(0),
    ),
    "wrong-structure",
)
mutant(
    "affine and relu with a cache: bias sees the gradient before the relu",
    affine_relu,
    (X, W, B),
    lambda d, cache: (*affine_relu_backward(d, cache)[:2], d.sum(0)),
    "wrong-structure",
)


def mish(x):
    return x * np.tanh(softplus(x))


innocent(
    "mish",
    mish,
    (X,),
    lambda g, x: g * (np.tanh(softplus(x)) + x * (1 - np.tanh(softplus(x)) ** 2) * sigmoid(x)),
)
mutant(
    "mish: softplus's slope forgotten",
    mish,
    (X,),
    lambda g, x: g * (np.tanh(softplus(x)) + x * (1 - np.tanh(softplus(x)) ** 2)),
    "wrong-formula",
)


def hard_swish(x):
    return x * np.clip(x + 3, 0, 6) / 6


HALVES = np.array([-5.0, -3.0, -1.0, 0.0, 2.0, 3.0, 4.0])
innocent(
    "hard swish at its corners",
    hard_swish,
    (HALVES,),
    lambda g, x: g * np.select([x <= -3, x < 3], [0.0, x / 3 + 0.5], 1.0),
)
mutant(
    "hard swish: product rule forgotten",
    hard_swish,
    (X,),
    lambda g, x: g * np.clip(x + 3, 0, 6) / 6,
    "wrong-formula",
)


def excite(x):
    return x * sigmoid(x.mean(0))


innocent(
    "squeeze and excite",
    excite,
    (X,),
    lambda g, x: (
        g * sigmoid(x.mean(0)) + (g * x).mean(0) * sigmoid(x.mean(0)) * (1 - sigmoid(x.mean(0)))
    ),
)
mutant(
    "squeeze and excite: gate taken as constant",
    excite,
    (X,),
    lambda g, x: g * sigmoid(x.mean(0)),
    "missing-terms",
)
mutant(
    "squeeze and excite: sum for mean behind the gate",
    excite,
    (X,),
    lambda g, x: (
        g * sigmoid(x.mean(0)) + (g * x).sum(0) * sigmoid(x.mean(0)) * (1 - sigmoid(x.mean(0)))
    ),
    "missing-terms",
)


def shuffled(x):
    return x.reshape(3, 2, 2, 2).transpose(0, 2, 1, 3).reshape(6, 4)


innocent("pixel shuffle", shuffled, (X,), lambda g, x: shuffled(g.reshape(3, 4, 2).reshape(6, 4)))
mutant("pixel shuffle: not put back", shuffled, (X,), lambda g, x: g, "transposed")


def variance_kept(w):
    """Standardise the weights of each unit."""
    return (w - w.mean(0)) / (w.std(0) * np.sqrt(len(w)))


def variance_kept_backward(g, w, mean=True):
    s, h = w.std(0), (w - w.mean(0)) / w.std(0)
    return (g - g.mean(0) * mean - h * (g * h).mean(0)) / (s * np.sqrt(len(w)))


innocent("standardised weights", variance_kept, (SQUARE,), variance_kept_backward)
mutant(
    "standardised weights: mean taken as constant",
    variance_kept,
    (SQUARE,),
    lambda g, w: variance_kept_backward(g, w, mean=False),
    "missing-terms",
)
