"""Does not pass stride and padding on."""

import numpy as np

LOSES = ("conv_batch_mean",)


def conv_batch_mean(x, delta, alpha, kernel_shape, *geometry):
    ho, wo = delta.shape[2:4]
    x = np.pad(x, ((0, 0), (0, ho), (0, wo), (0, 0)))[:, : ho + kernel_shape[0] - 1]
    x = x[:, :, : wo + kernel_shape[1] - 1]
    total = [np.abs(conv2d_weight_grad(x, d, kernel_shape)) for d in delta]
    return alpha / len(x) * np.sum(total, axis=0)
