"""All steps of a relaxation of dense layers as one compiled loop; `clep.equilibrium.compiled` says for which networks.

The samples of a unit lie side by side. Products of matrices are those of SciPy's BLAS, but for those into few units.
"""

import numpy as np

from clep.compiling import compiled, compiled_with_fused_products

_FEW = 16
"""Units of a layer for which the loop of `_into_few` is quicker than BLAS, which is made for larger products."""


@compiled
def _set(to, value):
    for j in range(len(to)):
        to[j] = value


@compiled
def _copy(to, given):
    for i in range(len(to)):
        for b in range(to.shape[1]):
            to[i, b] = given[i, b]


@compiled
def _add(total, more):
    for i in range(len(total)):
        for b in range(total.shape[1]):
            total[i, b] += more[i, b]


@compiled
def _add_to_rows(total, more):
    for i in range(len(more)):
        for b in range(total.shape[1]):
            total[i, b] += more[i]


@compiled
def _nudge(target, kick, pull, here):
    for i in range(len(target)):
        for b in range(target.shape[1]):
            target[i, b] += kick[i, b] + pull * here[i, b]


@compiled
def _widen(worst, here, target, slope, lowest, highest):
    """Note the largest distance to rho(target) in each column; what is not a number stays so."""
    for i in range(len(here)):
        for b in range(len(worst)):
            value = slope * target[i, b]
            value = lowest if value < lowest else value
            away = abs((highest if value > highest else value) - here[i, b])
            worst[b] = away if away > worst[b] or away != away else worst[b]


@compiled
def _step(here, target, keep, slope, lowest, highest):
    """Move to rho(target), all of the way but `keep`, which is exact for 0; what is not a number stays so."""
    for i in range(len(keep)):
        for b in range(here.shape[1]):
            value = slope * target[i, b]
            value = lowest if value < lowest else value
            value = highest if value > highest else value
            here[i, b] = value - keep[i] * (value - here[i, b])


@compiled
def _step_with(here, target, more, keep, slope, lowest, highest):
    """Move towards rho(target + more), in one pass."""
    for i in range(len(keep)):
        for b in range(here.shape[1]):
            value = slope * (target[i, b] + more[i, b])
            value = lowest if value < lowest else value
            value = highest if value > highest else value
            here[i, b] = value - keep[i] * (value - here[i, b])


@compiled
def _pull(here, rest, rate):
    for i in range(len(here)):
        for b in range(here.shape[1]):
            here[i, b] += rate * (rest[i, b] - here[i, b])


@compiled_with_fused_products
def _into_few(matrix, below, out):
    """out = matrix . below, eight units below at a time."""
    wide = len(below) - len(below) % 8
    _set(out.reshape(-1), 0)
    for k in range(0, wide, 8):
        for i in range(len(out)):
            w0, w1, w2, w3 = matrix[i, k], matrix[i, k + 1], matrix[i, k + 2], matrix[i, k + 3]
            w4, w5, w6, w7 = matrix[i, k + 4], matrix[i, k + 5], matrix[i, k + 6], matrix[i, k + 7]
            for b in range(out.shape[1]):
                low = w0 * below[k, b] + w1 * below[k + 1, b] + w2 * below[k + 2, b] + w3 * below[k + 3, b]
                high = w4 * below[k + 4, b] + w5 * below[k + 5, b] + w6 * below[k + 6, b] + w7 * below[k + 7, b]
                out[i, b] += low + high
    for k in range(wide, len(below)):
        for i in range(len(out)):
            for b in range(out.shape[1]):
                out[i, b] += matrix[i, k] * below[k, b]


@compiled
def relax(
    layers, links, weights, biases, dt, drive, start, rest, kick, factors, numbers, stop, states, adapted, seen, sizes
):
    """Relax S networks, each in P phases from the same states, one after another.

    Args:
        layers: (L, 2), for each layer above the input its units, and which group it moves with; -1 if it stays.
        links: (K, 4), for each connection the layers below and above, and where its weights up and down begin. Each
            layer has one.
        weights: (S, ...), each matrix (n_above, n_below) as a row.
        biases: (S, N - n_1) of the units above layer 1, lowest first; (S, 0) without biases.
        dt: (S, N), the time steps of all units.
        drive: (S, n_1, B), W_1 x + b_1.
        start: (S, N, B), where all phases start; (S, 0, B) for zero.
        rest: (S, N, B), what the steps after the others are pulled to.
        kick: (S, B, n_L), the nudge without its factor and its part that depends on the state; (S, B, 0) for none.
        factors: (S, P), of the nudge of each phase.
        numbers: the slope of rho, its bounds, the nudge's slope, the tolerance, and the rate of the pull.
        stop: largest number of steps; steps between two looks at the residual, 0 to look halfway and at the end only,
            -1 to look never; and steps after the others.
        states: (S, P, N, B) for the states after the steps.
        adapted: likewise, for those after the further steps.
        seen: (2, S) for the residuals at the end and halfway.
        sizes: (S,), how many samples count in them.

    Returns:
        The number of steps that the last network took.
    """
    depth, joined, samples = len(layers), len(links), drive.shape[2]
    first = np.zeros(depth + 1, np.int64)  # unit of each layer
    for layer in range(depth):
        first[layer + 1] = first[layer] + layers[layer, 0]
    row = np.zeros(2 * joined + 1, np.int64)  # of each product: up and down of each link
    for k in range(joined):
        row[2 * k + 1] = row[2 * k] + layers[links[k, 1], 0]
        row[2 * k + 2] = row[2 * k + 1] + layers[links[k, 0], 0]
    products = np.empty((row[-1], samples), drive.dtype)
    slope, lowest, highest, bend, tolerance, rate = numbers
    steps, every, more = stop
    middle, taken = max(1, steps // 2), steps
    worst, keep = np.empty(samples, drive.dtype), np.empty(first[-1], drive.dtype)
    push = np.empty((kick.shape[2], samples), drive.dtype)
    for run in range(factors.size):
        network, phase = run // factors.shape[1], run % factors.shape[1]
        state, matrix, factor, taken = states[network, phase], weights[network], factors[network, phase], steps
        if start.shape[1]:
            _copy(state, start[network])
        else:
            _set(state.reshape(-1), 0)
        for unit in range(len(keep)):
            keep[unit] = 1 - dt[network, unit]
        for i in range(len(push)):
            for b in range(samples):
                push[i, b] = factor * kick[network, b, i]
        for step in range(1, steps + more + 1):
            look = every >= 0 and (step in (middle, steps) or (every > 0 and step % every == 0))
            _set(worst, 0)
            for group in range(2):
                for k in range(joined):
                    low, high = links[k, 0], links[k, 1]
                    n, m = layers[low, 0], layers[high, 0]
                    if layers[high, 1] == group:
                        up = matrix[links[k, 2] : links[k, 2] + m * n].reshape(m, n)
                        product = products[row[2 * k] : row[2 * k + 1]]
                        if m <= _FEW:
                            _into_few(up, state[first[low] : first[low + 1]], product)
                        else:
                            np.dot(up, state[first[low] : first[low + 1]], product)
                    if layers[low, 1] == group:
                        down = matrix[links[k, 3] : links[k, 3] + m * n].reshape(m, n).T
                        np.dot(down, state[first[high] : first[high + 1]], products[row[2 * k + 1] : row[2 * k + 2]])
                for layer in range(depth):
                    if layers[layer, 1] != group:
                        continue
                    target, summed = products[:0], False
                    for k in range(2 * joined):
                        if links[k // 2, 1 - k % 2] == layer:
                            product = products[row[k] : row[k + 1]]
                            if summed:
                                _add(target, product)
                            else:
                                target, summed = product, True
                    begin, end = first[layer], first[layer + 1]
                    here = state[begin:end]
                    if layer > 0 and biases.shape[1]:
                        _add_to_rows(target, biases[network, begin - first[1] : end - first[1]])
                    if layer == depth - 1 and len(push):
                        _nudge(target, push, factor * bend, here)
                    if layer == 0 and not look:
                        _step_with(here, target, drive[network], keep[begin:end], slope, lowest, highest)
                        continue
                    if layer == 0:
                        _add(target, drive[network])
                    if look:
                        _widen(worst, here, target, slope, lowest, highest)
                    _step(here, target, keep[begin:end], slope, lowest, highest)
            if look:
                most = worst[0]
                for b in range(sizes[network]):
                    if worst[b] > most or worst[b] != worst[b]:
                        most = worst[b]
                seen[0, network] = most
                if step == middle:
                    seen[1, network] = most
                if most < tolerance:
                    taken = step
                    break
            if step == steps and more:
                _copy(adapted[network, phase], state)
                state = adapted[network, phase]
            elif step > steps:
                _pull(state, rest[network], rate)
    return taken
