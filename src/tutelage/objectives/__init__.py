"""The mathematics of training: masked operations, KL estimators, advantages and losses. torch only.

Everything here takes tensors and gives tensors. A loss returns a frozen `NamedTuple` of `loss`, which
carries the gradient, and diagnostics, which do not. `response_mask` is True where a token counts; tensors
are `(B, T)`, and where the order of tokens plays no part, packed `(N,)` ones serve as well.

Means take their denominator as an argument (`num_tokens`, `total_weight`). Leave it out and the mean is
over what was given; pass the whole batch's and the losses of its micro-batches add up to the whole loss,
and so do their diagnostics, except for those that are a maximum, a minimum or a variance.

Left out on purpose: models, devices, logging, and the reading of values (`.item()`).
"""
