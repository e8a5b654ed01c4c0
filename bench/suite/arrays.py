"""The drop-in functions of arrays, against SciPy, NumPy and JAX in the same run."""

import numpy as np

from . import fastkl
from .blocks import ratio

LARGE = 10_000_000


def normalised(n, kind="f8"):
    rng = np.random.default_rng(0)
    p, q = rng.random(n), rng.random(n)
    return (p / p.sum()).astype(kind), (q / q.sum()).astype(kind)


class AgainstDot:
    """In units of ``p @ q``, which reads the same bytes."""

    params = ("entropy", "jensenshannon")
    param_names = ("function",)
    timeout = 300

    def setup(self, name):
        self.p, self.q = normalised(LARGE)
        self.function = getattr(fastkl, name)
        self.function(self.p, self.q)

    def time_fastkl(self, name):
        self.function(self.p, self.q)

    def track_ratio_to_dot(self, name):
        return ratio(lambda: self.function(self.p, self.q), lambda: self.p @ self.q)

    track_ratio_to_dot.unit = "p @ q"


class Single:
    """Single precision, in units of the time of double precision."""

    params = ("entropy", "jensenshannon")
    param_names = ("function",)
    timeout = 300

    def setup(self, name):
        self.function = getattr(fastkl, name)
        self.pairs = normalised(LARGE, "f4"), normalised(LARGE)
        for pair in self.pairs:
            self.function(*pair)

    def track_ratio_to_double(self, name):
        single, double = self.pairs
        return ratio(lambda: self.function(*single), lambda: self.function(*double))

    track_ratio_to_double.unit = "f8"


class ElementsAgainstAdd:
    """``rel_entr(x, y, out=o)`` in units of ``np.add(x, y, out=o)``."""

    timeout = 300

    def setup(self):
        self.x, self.y = normalised(LARGE)
        self.out = np.empty(LARGE)
        fastkl.rel_entr(self.x, self.y, out=self.out)

    def track_ratio_to_add(self):
        return ratio(
            lambda: fastkl.rel_entr(self.x, self.y, out=self.out), lambda: np.add(self.x, self.y, out=self.out)
        )

    track_ratio_to_add.unit = "np.add"


class AgainstJax:
    """``entropy`` in units of jax.jit of the same sum."""

    params = ("rel_entr", "p log(p/q)")
    param_names = ("form",)
    timeout = 300

    def setup(self, form):
        try:
            import jax
        except ModuleNotFoundError:
            raise NotImplementedError("JAX is not installed") from None
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp
        from jax.scipy.special import rel_entr

        forms = {"rel_entr": lambda p, q: rel_entr(p, q).sum(), "p log(p/q)": lambda p, q: (p * jnp.log(p / q)).sum()}
        self.p, self.q = normalised(LARGE)
        self.given = jax.device_put(self.p), jax.device_put(self.q)
        self.theirs = jax.jit(forms[form])
        self.theirs(*self.given)
        fastkl.entropy(self.p, self.q)

    def track_ratio_to_jax(self, form):
        return ratio(lambda: fastkl.entropy(self.p, self.q), lambda: self.theirs(*self.given).block_until_ready())

    track_ratio_to_jax.unit = "jax.jit"


class AgainstSciPy:
    """In units of the namesake in SciPy."""

    params = (
        "entropy, N = 100",
        "jensenshannon, N = 100",
        "rel_entr, N = 1",
        "rel_entr, N = 100",
        "kl_div, N = 1",
        "kl_div, N = 100",
        "entropy, axis 1 of 10^5 x 100",
        "entropy, axis 0 of 100 x 10^5",
    )
    param_names = ("work",)
    timeout = 300

    def setup(self, work):
        from scipy.spatial import distance
        from scipy.special import kl_div, rel_entr
        from scipy.stats import entropy

        theirs = {"entropy": entropy, "jensenshannon": distance.jensenshannon, "rel_entr": rel_entr, "kl_div": kl_div}
        name, _, size = work.partition(", ")
        self.counts = {}
        settings = {}
        if size.startswith("N"):
            args = normalised(int(size[4:]))
            self.counts = {"calls": 2000}
        else:
            axis = int(size[5])
            shape = (10**5, 100) if axis else (100, 10**5)
            rng = np.random.default_rng(0)
            args, settings = (rng.random(shape), rng.random(shape)), {"axis": axis}
            self.counts = {"calls": 8, "blocks": 5}
        ours, known = getattr(fastkl, name), theirs[name]
        # without a call in between where nanoseconds count
        self.ours = (lambda: ours(*args, **settings)) if settings else (lambda a=args[0], b=args[1]: ours(a, b))
        self.theirs = (lambda: known(*args, **settings)) if settings else (lambda a=args[0], b=args[1]: known(a, b))
        self.ours()

    def time_fastkl(self, work):
        self.ours()

    def track_ratio_to_scipy(self, work):
        return ratio(self.ours, self.theirs, **self.counts)

    track_ratio_to_scipy.unit = "SciPy"


class Tokens:
    """The KL of every token from logits, in units of reading them and of torch, on all threads."""

    params = ("float32", "float16", "bfloat16")
    param_names = ("logits",)
    timeout = 300

    def setup(self, kind):
        from bench import tokens

        kinds = tokens.kinds()
        if kind not in kinds:
            raise NotImplementedError("ml_dtypes is not installed")
        a, b = (x.astype(kinds[kind]) for x in tokens.logits(tokens.QUICK_ROWS))
        self.tokens, self.pair, self.ours = tokens, (a, b), lambda: fastkl.entropy(a, b, log=True, axis=-1)
        self.ours()

    def time_fastkl(self, kind):
        self.ours()

    def track_ratio_to_reading(self, kind):
        reading = self.tokens.reading(*self.pair)
        reading()
        return ratio(self.ours, reading, blocks=5, calls=8)

    track_ratio_to_reading.unit = "reading"

    def track_ratio_to_torch(self, kind):
        try:
            theirs = self.tokens.by_torch(*self.pair)
        except ModuleNotFoundError:
            raise NotImplementedError("torch is not installed") from None
        return ratio(self.ours, theirs, blocks=3, calls=4)

    track_ratio_to_torch.unit = "torch"
