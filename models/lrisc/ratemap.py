"""The rate map on the air: levels of all latent vectors -> bytes -> levels.

A range coder (constriction) under an adaptive model: each level is predicted from its neighbours to the left and above,
and what has been coded so far sharpens the prediction. Counts are integers, so that both ends agree bit for bit.
"""

import numpy as np

_ABSENT = -1


def encode_map(levels: np.ndarray, num_levels: int) -> bytes:
    """Levels int [h, w] in [0, num_levels) -> bytes. Smooth maps take about 2 bits a vector."""
    import constriction

    model = _AdaptiveModel(num_levels)
    coded = np.full(levels.shape, _ABSENT)
    counts = np.empty((levels.size, num_levels))
    for index, (row, column) in enumerate(np.ndindex(levels.shape)):
        context = model.context(coded, row, column)
        level = int(levels[row, column])
        counts[index] = model.counts[context]
        model.update(context, level)
        coded[row, column] = level
    # The encoder knows every distribution beforehand, and hands them over at once: the same bytes, in half the time.
    coder = constriction.stream.queue.RangeEncoder()
    family = constriction.stream.model.Categorical(perfect=False)
    coder.encode(levels.ravel().astype(np.int32), family, counts / counts.sum(axis=1, keepdims=True))
    return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


def decode_map(data: bytes, shape: tuple[int, int], num_levels: int) -> np.ndarray:
    """The inverse of `encode_map`: bytes -> int64 [h, w].

    Raises:
        ValueError: no map has this code. Most damaged bytes give other levels without an error: CRCs must tell.
    """
    import constriction

    words = np.frombuffer(data + b"\0" * (-len(data) % 4), "<u4").astype(np.uint32)
    coder = constriction.stream.queue.RangeDecoder(words)
    model = _AdaptiveModel(num_levels)
    coded = np.full(shape, _ABSENT)
    for row, column in np.ndindex(shape):
        context = model.context(coded, row, column)
        try:
            level = int(coder.decode(model.distribution(context)))
        except AssertionError as error:  # constriction's own way to say so
            raise ValueError("these bytes are no rate map") from error
        model.update(context, level)
        coded[row, column] = level
    return coded


class _AdaptiveModel:
    """Counts of levels given the rounded mean of the neighbours already known."""

    PRIOR, STEP = 64, 24  # weight of the first guess, and of each observation

    def __init__(self, num_levels: int) -> None:
        distance = np.abs(np.arange(num_levels)[:, None] - np.arange(num_levels)[None, :])
        peaked = self.PRIOR >> np.minimum(distance, 6)
        flat = np.full((1, num_levels), self.PRIOR // num_levels + 1)
        self.counts = np.concatenate([peaked + 1, flat])  # the last row has no neighbour to go by
        self._fresh = [True] * len(self.counts)
        self._models: list[object] = [None] * len(self.counts)

    def context(self, coded: np.ndarray, row: int, column: int) -> int:
        """Which row of counts predicts this place."""
        left = int(coded[row, column - 1]) if column else _ABSENT
        above = int(coded[row - 1, column]) if row else _ABSENT
        if left == _ABSENT or above == _ABSENT:
            return max(left, above) if max(left, above) != _ABSENT else len(self.counts) - 1
        return (left + above + 1) // 2

    def distribution(self, context: int) -> object:
        """The categorical model of a context."""
        import constriction

        if self._fresh[context]:
            counts = self.counts[context].astype(np.float64)
            self._models[context] = constriction.stream.model.Categorical(counts / counts.sum(), perfect=False)
            self._fresh[context] = False
        return self._models[context]

    def update(self, context: int, level: int) -> None:
        """Learn from a coded level; its neighbours in value profit a little."""
        counts = self.counts[context]
        counts[level] += self.STEP
        counts[max(0, level - 1) : level + 2] += self.STEP // 8
        self._fresh[context] = True
