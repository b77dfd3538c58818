"""What S networks lose on their batches, as one compiled loop."""

from clep.compiling import compiled


@compiled
def squared_error(output, labels, sizes, incoming, found):
    """The squared error of each network, as `clep.equilibrium.SquaredError` has it, and what comes with it.

    Args:
        output: (S, B, K).
        labels: class indices, (S, B).
        sizes: (S,), how many samples of each network count.
        incoming: (S, B, K), for the gradient of the mean loss of each network for its outputs.
        found: (2, S), for the mean loss, and the share of samples whose largest output is that of their class.

    Returns:
        Whether each label has an output; otherwise nothing is computed.
    """
    classes = output.shape[2]
    for network in range(len(sizes)):
        for b in range(sizes[network]):
            if not 0 <= labels[network, b] < classes:
                return False
    for network in range(len(sizes)):
        size, loss, hits = sizes[network], 0.0, 0
        for b in range(output.shape[1]):
            best = 0
            for k in range(classes):
                error = output[network, b, k] - (1 if k == labels[network, b] else 0)
                incoming[network, b, k] = error / size if b < size else 0
                loss += error * error if b < size else 0
                best = k if output[network, b, k] > output[network, b, best] else best
            hits += b < size and best == labels[network, b]
        found[0, network], found[1, network] = loss / (2 * size), hits / size
    return True
