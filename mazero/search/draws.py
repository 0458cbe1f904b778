"""Random numbers for kernels: splitmix64, one generator for each root, and the Dirichlet noise of root policies."""

import math

import numpy as np

from mazero.search.jit import helper

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_U11, _U27, _U30, _U31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


@helper
def mix(x):
    """Finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64-bit integers."""
    x = (x ^ (x >> _U30)) * _MIX_1
    x = (x ^ (x >> _U27)) * _MIX_2
    return x ^ (x >> _U31)


@helper
def share(state):
    """The number in [0, 1) of a generator in this state, a multiple of 2 ** -53."""
    return np.float64(np.int64(mix(state) >> _U11)) * (1.0 / 9007199254740992.0)


@helper
def uniform(rng, b):
    """The next number of generator b, rng (B,)."""
    rng[b] += GOLDEN
    return share(rng[b])


@helper
def dirichlet(rng, b, alpha, out):
    """Fills out (A,) with one symmetric Dirichlet draw."""
    total = 0.0
    for a in range(out.size):
        out[a] = gamma(rng, b, alpha)
        total += out[a]
    for a in range(out.size):  # if every draw underflowed, which takes a minute alpha: even rather than a division by 0
        out[a] = out[a] / total if total > 0.0 else 1.0 / out.size


@helper
def gamma(rng, b, alpha):
    """A Gamma(alpha, 1) draw: Marsaglia and Tsang (ACM TOMS 26, 2000), for alpha < 1 through alpha + 1."""
    boost = 1.0
    if alpha < 1.0:
        boost = (1.0 - uniform(rng, b)) ** (1.0 / alpha)
        alpha += 1.0
    d = alpha - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        radius = math.sqrt(-2.0 * math.log(1.0 - uniform(rng, b)))
        x = radius * math.cos(2.0 * math.pi * uniform(rng, b))  # Box and Muller
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(1.0 - uniform(rng, b)) < 0.5 * x * x + d - d * v + d * math.log(v):
            return boost * d * v
