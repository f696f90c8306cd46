"""The census: an expression for each public function of JAX, under the variables that test_census.py defines.

A leading "~" marks a function whose derivative is not compared: it has none, or JAX refuses it.
"""

NUMPY = """
jnp.abs(x)|jnp.absolute(c)|jnp.acos(x)|jnp.acosh(p + 1)|jnp.add(x, v)|jnp.all(b, 1)|jnp.allclose(x, y)|jnp.amax(x, 1)
jnp.amin(x, 0)|jnp.angle(c)|jnp.any(b)|jnp.append(x, y)|jnp.append(x, y, 0)|jnp.arange(4) * v
jnp.apply_along_axis(jnp.cumsum, 1, x)|jnp.apply_over_axes(jnp.sum, x, (0, 1))|jnp.arccos(x)|jnp.arccosh(p + 1)
jnp.arcsin(x)|jnp.arcsinh(x)|jnp.arctan(x)|jnp.arctan2(x, y)|jnp.arctanh(x)|jnp.argmax(y, 1)|jnp.argmin(y)
jnp.argpartition(y, 1)|jnp.argsort(y, 0)|jnp.argwhere(b, size=12)|jnp.around(3 * x, 1)|jnp.array([n, n * 2])
jnp.array_equal(x, y)|jnp.array_equiv(x, y)|jnp.array_split(x, 3, 1)|jnp.asarray(x) * 2|jnp.asin(x)|jnp.asinh(x)
jnp.astype(x, jnp.float16)|jnp.atan(x)|jnp.atan2(x, y)|jnp.atanh(x)|jnp.atleast_1d(n)|jnp.atleast_2d(v)
jnp.atleast_3d(x)|jnp.average(x, 1, weights=p[0])|jnp.bartlett(5) * n|jnp.bincount(i[0] % 4, p[0], length=5)
jnp.bitwise_and(i, 5)|jnp.bitwise_count(u)|jnp.bitwise_invert(i)|jnp.bitwise_left_shift(i, 2)|jnp.bitwise_not(u)
jnp.bitwise_or(u, 8)|jnp.bitwise_right_shift(i, 1)|jnp.bitwise_xor(i, 3)|jnp.blackman(5) * n
jnp.block([[x, y], [y, x]])|jnp.broadcast_arrays(x, v)|jnp.broadcast_to(v, (3, 4)) * x|jnp.cbrt(x)|jnp.ceil(3 * x)
jnp.choose(i % 2, [x, y], mode="clip")|jnp.clip(x, -0.5, 0.5)|jnp.column_stack([v, v * 2])
jnp.compress(jnp.array([1, 0, 1], bool), x, 0, size=2)|jnp.concat([x, y])|jnp.concatenate([x, y], 1)|jnp.conj(c)
jnp.conjugate(c) * c|jnp.convolve(v, x[0], "same")|jnp.copy(x)|jnp.copysign(x, y)|jnp.corrcoef(x)
jnp.correlate(v, x[0], "full")|jnp.cos(c)|jnp.cosh(x)|jnp.count_nonzero(b, 1)|jnp.cov(x, y)
jnp.cross(x[:, :3], y[:, 1:])|jnp.cumprod(x, 1)|jnp.cumsum(x)|jnp.cumulative_prod(v)
jnp.cumulative_sum(v, include_initial=True)|jnp.deg2rad(x)|jnp.degrees(x)|jnp.delete(x, 1, 1)|jnp.diag(v)
jnp.diag_indices_from(s)|jnp.diagflat(x)|jnp.diagonal(x, 1)|jnp.diff(x, 2, append=n)
jnp.digitize(x, jnp.arange(-1.0, 1, 0.5))|jnp.divide(x, p)|jnp.divmod(x, p)|jnp.divmod(i, 3)|jnp.dot(x, v)
jnp.dsplit(x[None], 2)|jnp.dstack([x, y])|jnp.ediff1d(x, 1.0, 2.0)|jnp.einsum("ij,kj->ik", x, y)
jnp.einsum("...j,j", c, v)|jnp.empty_like(x) * 0|jnp.equal(i, 2)|jnp.exp(c)|jnp.exp2(x)|jnp.expand_dims(x, (0, 2))
jnp.expm1(x)|jnp.extract(b, x, size=5, fill_value=0)|jnp.eye(3) * s|jnp.fabs(x)
~jnp.fill_diagonal(s, n, inplace=False)|jnp.flatnonzero(b, size=4)|jnp.flip(x)|jnp.fliplr(x)|jnp.flipud(x)
jnp.float_power(p, 1.5)|jnp.floor(3 * x)|jnp.floor_divide(x, 0.3)|jnp.floor_divide(i, 2)|jnp.fmax(x, y)|jnp.fmin(x, y)
jnp.fmod(x, 0.3)|jnp.frexp(x)|jnp.fromfunction(lambda a, b: a * n + b, (2, 3))
jnp.frompyfunc(jnp.add, 2, 1, identity=0).reduce(v)|jnp.frompyfunc(jnp.multiply, 2, 1, identity=1).outer(v, v)
jnp.full((2, 3), n)|jnp.full_like(x, n)|jnp.gcd(i, 6)|jnp.geomspace(n + 1, 9.0, 4)|jnp.gradient(x, 0.5)
jnp.greater(x, y)|jnp.greater_equal(x, 0)|jnp.hamming(6) * n|jnp.hanning(6) * n|jnp.heaviside(x, 0.5)
jnp.histogram(x, 4, (-1, 1))|jnp.histogram(x, 4, weights=p)|jnp.histogram2d(x[0], y[0], 3)
jnp.histogram_bin_edges(x, 5)|jnp.histogramdd(x, 2)|jnp.hsplit(x, 2)|jnp.hstack([x, y])|jnp.hypot(x, y)|jnp.i0(x)
jnp.identity(3) @ s|jnp.imag(c)|jnp.indices((2, 2)) * n|jnp.inner(x, y)|jnp.insert(x, 1, n, 1)
jnp.interp(x, jnp.linspace(-1.0, 1.0, 4), v)|jnp.intersect1d(j, i[0], size=3)|jnp.invert(b)|jnp.isclose(x, y)
jnp.iscomplex(c)|jnp.isfinite(x)|jnp.isin(i, j)|jnp.isinf(x)|jnp.isnan(x)|jnp.isneginf(x)|jnp.isposinf(x)
jnp.isreal(c)|jnp.kaiser(5, 8.6) * n|jnp.kron(x, v)|jnp.lcm(i, 4)|jnp.ldexp(x, 3)|jnp.left_shift(i, 1)|jnp.less(x, y)
jnp.less_equal(x, y)|jnp.lexsort((i[0], j[0] * i[1]))|jnp.linspace(n, 3.0, 5)|jnp.log(p)|jnp.log(c)|jnp.log10(p)
jnp.log1p(x)|jnp.log2(p)|jnp.logaddexp(x, y)|jnp.logaddexp2(x, y)|jnp.logical_and(b, x > 0)|jnp.logical_not(b)
jnp.logical_or(b, ~b)|jnp.logical_xor(b, True)|jnp.logspace(0, n, 3)|jnp.matmul(x, y.T)|jnp.matrix_transpose(x)
jnp.matvec(x, v)|jnp.max(x, 1, where=b, initial=-1)|jnp.maximum(x, y)|jnp.mean(x, 0, where=y > -2)|jnp.median(x, 1)
jnp.meshgrid(v, x[0])|jnp.min(x)|jnp.minimum(x, y)|jnp.mod(x, 0.3)|jnp.modf(3 * x)|jnp.moveaxis(x[None], 0, 2)
jnp.multiply(c, x)|jnp.nan_to_num(x / (x > 0))|jnp.nanargmax(x, 0)|jnp.nanargmin(x, 1)|jnp.nancumprod(x, 1)
jnp.nancumsum(x)|jnp.nanmax(x, 1)|jnp.nanmean(x)|jnp.nanmedian(x, 0)|jnp.nanmin(x, 0)|jnp.nanpercentile(x, 30, 1)
jnp.nanprod(x, 1)|jnp.nanquantile(x, 0.4, 1)|jnp.nanstd(x, 1)|jnp.nansum(x)|jnp.nanvar(x, 0)|jnp.negative(x)
~jnp.nextafter(x, y)|jnp.nonzero(b, size=5)|jnp.not_equal(x, y)|jnp.ones(3) * n|jnp.ones_like(x) * x|jnp.outer(v, v)
jnp.packbits(b, 1)|jnp.pad(x, 1, mode="reflect")|jnp.pad(x, 1, constant_values=n)|jnp.pad(x, ((1, 2), (0, 1)), "edge")
jnp.pad(x, 2, "linear_ramp", end_values=0.5)|jnp.pad(x, 1, "mean")|jnp.partition(y, 1, 1)|jnp.percentile(x, 30, 1)
jnp.permute_dims(x, (1, 0))|jnp.piecewise(x, [x < 0, x > 0.5], [jnp.sin, jnp.cos, 0.3])
jnp.place(x, b, v, inplace=False)|jnp.poly(v)|jnp.polyadd(v, x[0, :2])|jnp.polyder(v, 2)|jnp.polydiv(v, x[0, :2])
jnp.polyint(v)|jnp.polymul(v, x[0])|jnp.polysub(v, x[0])|jnp.polyval(v, x)|jnp.positive(x)|jnp.pow(p, x)
jnp.power(p, y)|jnp.power(i, 2)|jnp.prod(x, 1)|jnp.ptp(x, 1)|jnp.put(x, j, v[:3], inplace=False)
jnp.put_along_axis(x, i % 4, y, 1, inplace=False)|jnp.quantile(x, 0.3, 0)|jnp.rad2deg(x)|jnp.radians(x)|jnp.ravel(x)
jnp.ravel_multi_index((i % 3, i % 4), (3, 4), mode="wrap")|jnp.real(c)|jnp.reciprocal(p)|jnp.remainder(x, -0.4)
jnp.remainder(i, -3)|jnp.repeat(x, 2, 1)|jnp.repeat(v, jnp.array([1, 0, 2, 1]), total_repeat_length=4)
jnp.reshape(x, (2, -1), order="F")|jnp.resize(x, (5, 3))|jnp.right_shift(i, 1)|jnp.rint(3 * x)|jnp.roll(x, 1, 1)
jnp.roll(x, j[0], 0)|jnp.rollaxis(x, 1)|jnp.rot90(x)|jnp.round(3 * x, 1)|jnp.searchsorted(jnp.sort(v), x, "right")
jnp.select([x < 0, y > 0], [x, y], n)|jnp.setdiff1d(j, i[0], size=3)|jnp.setxor1d(j, i[0], size=4)|~jnp.sign(c)
jnp.signbit(x)|jnp.sin(c)|jnp.sinc(x)|jnp.sinh(c)|jnp.sort(y, 1, descending=True)|jnp.sort_complex(v)|~jnp.spacing(x)
jnp.split(x, [1, 3], 1)|jnp.sqrt(p)|jnp.sqrt(c)|jnp.square(c)|jnp.squeeze(x[None])|jnp.stack([x, y], 1)
jnp.std(x, 1, ddof=1)|jnp.subtract(c, x)|jnp.sum(x, (0, 1), keepdims=True)|jnp.swapaxes(x, 0, 1)|jnp.take(x, j, 1)
jnp.take(x, j, 0, mode="fill")|jnp.take_along_axis(x, i % 4, 1)|jnp.tan(x)|jnp.tanh(c)
jnp.tensordot(x, y, ((0, 1), (0, 1)))|jnp.tile(x, (2, 1))|jnp.trace(s)|jnp.transpose(x)|jnp.trapezoid(x, dx=0.3)
jnp.tri(3) * s|jnp.tril(x, 1)|jnp.triu(x)|jnp.true_divide(x, p)|jnp.trunc(3 * x)|jnp.union1d(j, i[0], size=7)
jnp.unique(i, size=12)|jnp.unique(j, size=3, return_inverse=True, return_counts=True)
jnp.unpackbits(u.astype(jnp.uint8), 1)|jnp.unravel_index(j, (2, 3))|jnp.unstack(x, axis=1)|jnp.unwrap(4 * x)
jnp.vander(v, 3)|jnp.var(c, 1)|jnp.vdot(c, c)|jnp.vecdot(c, x)|jnp.vecmat(v, x.T)|jnp.vsplit(x, 3)|jnp.vstack([x, y])
jnp.vectorize(lambda a, r: jnp.sum(r) * a, signature="(),(n)->()")(v[:3], x)|jnp.where(b, x, y)|jnp.zeros_like(x) + x
jnp.zeros((3, 4)) + x|jnp.tril_indices_from(s)|jnp.diag_indices(3)[0] * n|jnp.triu_indices(3)[0] * n
jnp.tril_indices(3)[0] * n
jnp.ix_(j, j)|jnp.sum(jnp.ogrid[0:2, 0:3][1]) * n|jnp.r_[v, n]|jnp.c_[v, v]|x.at[j, 1].set(v[:3])
x.at[:, j].add(y[:, :3])|x[j]|x[:, ::-2]|x[..., None, 1:]|x.at[1].multiply(v)|x.at[j].apply(jnp.sin)
x.at[j].get(mode="fill", fill_value=2.0)|x @ y.T|x ** 2|p ** x|x // 0.5|x % 0.3|divmod(x, 0.3)|abs(c)
x.view(jnp.int32)|x.astype(jnp.bfloat16)|c.real * c.imag
"""

FOURIER_AND_LINEAR_ALGEBRA = """
jnp.fft.fft(c)|jnp.fft.fft2(x)|jnp.fft.fftn(c)|jnp.fft.fftshift(x)|jnp.fft.hfft(c)|jnp.fft.ifft(c, axis=0)
jnp.fft.ifft2(c)|jnp.fft.ifftn(c)|jnp.fft.ifftshift(x)|jnp.fft.ihfft(x)|jnp.fft.irfft(c)|jnp.fft.irfft2(c)
jnp.fft.irfftn(c)|jnp.fft.rfft(x, 6)|jnp.fft.rfft2(x)|jnp.fft.rfftn(x)|jnp.fft.fftfreq(4) * v|jnp.fft.rfftfreq(6) * v
jnp.linalg.cross(x[:, :3], y[:, :3])|jnp.linalg.diagonal(s)|jnp.linalg.matmul(s, x)|jnp.linalg.matrix_norm(s)
jnp.linalg.matrix_power(s, 3)|jnp.linalg.matrix_transpose(x)|jnp.linalg.multi_dot([s, x, v])
jnp.linalg.norm(x, axis=1)|jnp.linalg.norm(s, 1)|jnp.linalg.outer(v, v)|jnp.linalg.tensordot(x, y)|jnp.linalg.trace(s)
jnp.linalg.vecdot(c, x)|jnp.linalg.vector_norm(x, ord=3)|jax.scipy.linalg.block_diag(s, x)
jax.scipy.linalg.toeplitz(v)|jax.scipy.linalg.hadamard(4) * n|jax.scipy.linalg.circulant(v)
jax.scipy.linalg.companion(v)|jax.scipy.linalg.convolution_matrix(v, 3)|jax.scipy.linalg.dft(3) * n
jax.scipy.linalg.fiedler(v)|jax.scipy.linalg.hankel(v)|jax.scipy.linalg.helmert(3) * n
jax.scipy.linalg.hilbert(3) * n|jax.scipy.linalg.invhilbert(3) * n|jax.scipy.linalg.leslie(v, x[0, :3])
jax.scipy.linalg.pascal(3) * n|jax.scipy.linalg.invpascal(3) * n
jax.scipy.linalg.fiedler_companion(v)|jax.scipy.sparse.linalg.cg(lambda t: s @ t, v[:3])[0]
jax.scipy.sparse.linalg.bicgstab(lambda t: s @ t, v[:3])[0]
"""

SCIPY = """
jss.bernoulli(4) * n|jss.bessel_jn(p, v=2)|jss.beta(p, p + 1)|jss.betainc(2.0, 1.5, v)|jss.betaln(p, p + 1)
jss.boxcox(p, 0.5)|jss.boxcox1p(p, 0.5)|jss.comb(p + 3, 2.0)|jss.dawsn(x)|jss.digamma(p)|jss.entr(p)|jss.erf(x)
jss.erfc(x)|jss.erfcx(x)|jss.erfinv(x)|jss.exp1(p)|jss.expi(p)|jss.expit(x)|jss.expn(2, p)|jss.factorial(p)
jss.fresnel(p)|jss.gamma(p)|jss.gammainc(p, 1.5)|jss.gammaincc(p, 1.5)|jss.gammaln(p)|jss.gammasgn(x)
jss.hyp1f1(1.5, 2.5, v)|jss.hyp2f1(0.5, 1.5, 2.5, v)|jss.i0(x)|jss.i0e(x)|jss.i1(x)|jss.i1e(x)|jss.kl_div(p, p + 1)
jss.log_ndtr(x)|jss.log_softmax(x, axis=1)|jss.loggamma(p)|jss.logit(v)|jss.logsumexp(x, 1, b=p)
jss.multigammaln(p + 2, 2)
jss.ndtr(x)|jss.ndtri(v)|jss.owens_t(x, y)|jss.poch(p, 1.5)|jss.polygamma(2, p)|jss.rel_entr(p, p * 2)|jss.sici(p)
jss.softmax(x, axis=0)|jss.spence(p)|jss.xlog1py(x, p)|jss.xlogy(x, p)|jss.zeta(p + 2, 1.5)
jss.sph_harm_y(j[:1], j[:1] * 0, n[None], n[None], n_max=3)|jss.wofz(c)|jst.bernoulli.logpmf(j % 2, n * 0.5)
jst.beta.logpdf(v, 2.0, 3.0)|jst.beta.cdf(v, 2.0, 3.0)|jst.betabinom.logpmf(j % 3, 4, 1.5, n + 1)
jst.binom.logpmf(j % 3, 4, n * 0.5)|jst.cauchy.logpdf(x)|jst.cauchy.cdf(x)|jst.cauchy.ppf(v)|jst.chi2.logpdf(p, 3.0)
jst.chi2.sf(p, 3.0)|jst.dirichlet.logpdf(v / v.sum(), p[0])|jst.expon.logpdf(p)|jst.expon.cdf(p)
jst.gamma.logpdf(p, 2.0)|jst.gamma.cdf(p, 2.0)|jst.gennorm.logpdf(x, 2.5)|jst.gennorm.cdf(p, 2.5)
jst.geom.logpmf(j + 1, n * 0.5)|jst.gumbel_l.logpdf(x)|jst.gumbel_r.cdf(x)|jst.laplace.logpdf(x)|jst.laplace.cdf(x)
jst.logistic.logpdf(x)|jst.logistic.ppf(v)|jst.multinomial.logpmf(j % 3, 3, jnp.array([0.2, 0.3, 0.5]))
jst.nbinom.logpmf(j % 3, 4, n * 0.5)|jst.norm.logpdf(x, y, p)|jst.norm.cdf(x)|jst.norm.logcdf(x)|jst.norm.ppf(v)
jst.norm.sf(x)|jst.norm.isf(v)|jst.pareto.logpdf(p + 1, 2.0)|jst.poisson.logpmf(j, n + 1)|jst.poisson.cdf(j, n + 1)
jst.t.logpdf(x, 3.0)|jst.truncnorm.logpdf(x, -1.0, 1.0)|jst.truncnorm.cdf(x, -1.0, 1.0)|jst.uniform.logpdf(v)
jst.uniform.ppf(v)|jst.vonmises.logpdf(x, 2.0)|jst.wrapcauchy.logpdf(p, 0.5)|jst.mode(i, 1)|jst.rankdata(y, axis=1)
jst.sem(x, 1)|jsi.convolve(x, y, "same")|jsi.convolve2d(x, y, "valid")
jsi.correlate(x, y, "full")|jsi.correlate2d(x, y, "same")|jsi.csd(long, long * 2, nperseg=8)
jsi.detrend(x, type="constant")|jsi.fftconvolve(x, y)|jsi.istft(jsi.stft(long, nperseg=8)[2], nperseg=8)[1]
jsi.stft(long, nperseg=8)[2]|jsi.welch(long, nperseg=8)[1]|jax.scipy.fft.dct(x)|jax.scipy.fft.dctn(x)
jax.scipy.fft.idct(x)|jax.scipy.fft.idctn(x)
jax.scipy.ndimage.map_coordinates(x, [2 * x[0], 3 * v], 1, mode="nearest")
jax.scipy.ndimage.map_coordinates(x, [2 * x[0], 3 * v], 0)|jax.scipy.integrate.trapezoid(x, axis=0)
jax.scipy.cluster.vq.vq(x, y)
jax.scipy.interpolate.RegularGridInterpolator((jnp.arange(3.0), jnp.arange(4.0)), x)(p[:2, :2])
jax.scipy.spatial.transform.Rotation.from_rotvec(v[:3]).apply(x[:, :3])
jax.scipy.spatial.transform.Rotation.from_quat(v).as_matrix()
~jax.scipy.optimize.minimize(lambda t: jnp.sum((t - v) ** 2), v * 0, method="BFGS").x
odeint(lambda s, t: -s * v, v, jnp.array([0.0, 0.3]), rtol=1e-4)
"""

NN = """
nn.celu(x)|nn.dot_product_attention(q, q, q)|nn.dot_product_attention(q, q, q, is_causal=True)|nn.elu(x)|nn.gelu(x)
nn.gelu(x, approximate=False)|nn.glu(x, 1)|nn.hard_sigmoid(x)|nn.hard_silu(x)|nn.hard_swish(x)|nn.hard_tanh(2 * x)
nn.identity(x)|nn.leaky_relu(x)|nn.log1mexp(p)|nn.log_sigmoid(x)|nn.log_softmax(x)|nn.logmeanexp(x, 1)|nn.logsumexp(x)
nn.mish(x)|nn.one_hot(j, 4)|nn.relu(x)|nn.relu6(8 * x)|nn.selu(x)|nn.sigmoid(x)|nn.silu(x)|nn.soft_sign(x)
nn.softmax(x, where=b)|nn.softplus(x)|nn.sparse_plus(x)|nn.sparse_sigmoid(x)|nn.squareplus(x)|nn.standardize(x)
nn.swish(x)|nn.tanh(x)|init.constant(2.0)(k, (2, 3))|init.glorot_normal()(k, (2, 3))|init.glorot_uniform()(k, (2, 3))
init.he_normal()(k, (2, 3))|init.he_uniform()(k, (2, 3))|init.lecun_normal()(k, (2, 3))
init.lecun_uniform()(k, (2, 3))|init.normal()(k, (2,))|init.ones(k, (2,))|init.truncated_normal()(k, (3,))
init.uniform()(k, (3,))|init.variance_scaling(1.0, "fan_avg", "normal")(k, (2, 2))|init.zeros(k, (2,))
jax.image.resize(x, (5, 6), "linear")|jax.image.resize(x, (2, 2), "cubic")|jax.image.resize(x, (4, 6), "nearest")
jax.image.scale_and_translate(x, (4, 4), (0, 1), v[:2] + 0.5, x[0, :2], "linear")|jax.ops.segment_max(x, j, 4)
jax.ops.segment_min(x, j, 4)|~jax.ops.segment_prod(x, j, 4)|jax.ops.segment_sum(x, j, 4)
jax.tree.map(jnp.sin, {"a": x, "b": [v]})|jax.tree.reduce(lambda a, t: a + t.sum(), (x, v))
jax.flatten_util.ravel_pytree({"a": x, "b": v})[0]
"""

RANDOM = """
jr.ball(k, 3)|jr.bernoulli(k, v)|jr.beta(k, p, 2.0)|jr.binomial(k, 5.0, 0.4, (3,))|jr.bits(k, (3,))
jr.bits(k, (3,), jnp.uint8)|jr.categorical(k, x)|jr.cauchy(k, (3,))|jr.chisquare(k, p)|jr.choice(k, x, (2,))
jr.choice(k, v, (3,), p=p[0] / p[0].sum())|jr.choice(k, v, (3,), replace=False)|jr.key_data(jr.clone(k))
jr.dirichlet(k, p[0])|jr.double_sided_maxwell(k, n, p)|jr.exponential(k, (3,))|jr.f(k, p, 3.0)
jr.key_data(jr.fold_in(k, j[0]))|jr.gamma(k, p)|jr.generalized_normal(k, 2.0, (3,))|jr.geometric(k, v)
jr.gumbel(k, (3,))|jr.laplace(k, (3,))|jr.loggamma(k, p)|jr.logistic(k, (3,))|jr.lognormal(k, v)|jr.maxwell(k, (3,))
jr.normal(k, (3,)) * n|jr.multinomial(k, 6.0, v / v.sum())|jr.normal(k, (2,), jnp.complex64)|jr.pareto(k, p)
jr.permutation(k, x)|jr.permutation(k, x, 1, independent=True)|jr.poisson(k, p)|jr.rademacher(k, (3,))
jr.randint(k, (3,), 0, 9)|jr.rayleigh(k, p)|jr.key_data(jr.split(k, 3))|jr.t(k, p)|jr.triangular(k, 0.0, v, 1.0)
jr.truncated_normal(k, x, 1.0)|jr.uniform(k, (3,), minval=n)|jr.wald(k, p)|jr.weibull_min(k, p, 2.0)
jr.normal(o, (3,))|jr.key_data(jr.wrap_key_data(o))|jr.split(o)|jr.fold_in(o, 3)|jr.PRNGKey(j[0])
jr.key_data(jr.key(j[0]))|jr.uniform(jr.key(7, impl="rbg"), (3,)) * n
jr.bits(jr.key(7, impl="unsafe_rbg"), (3,)) * u[0, 0]
jr.permutation(o, 5)|jr.randint(o, (3,), -4, j[0] + 9)|jr.bits(k, (3,), jnp.uint16)
"""

LAX = """
lax.abs(x)|lax.acos(x)|lax.acosh(p + 1)|lax.add(x, y)|lax.approx_max_k(x, 2)
lax.approx_min_k(y, 2, reduction_dimension=0)|lax.argmax(y, 1, jnp.int32)|lax.argmin(y, 0, jnp.int32)|lax.asin(x)
lax.asinh(x)|lax.associative_scan(jnp.add, x)|lax.associative_scan(lambda a, b: a @ b, jnp.stack([s, s, s]))
lax.atan(x)|lax.atan2(x, y)|lax.atanh(x)|lax.batch_matmul(q, q.transpose(0, 1, 3, 2))|lax.bessel_i0e(x)
lax.bessel_i1e(x)|~lax.betainc(p, p, p / 4)|lax.bitcast_convert_type(x, jnp.int16)|lax.bitwise_and(i, i)
lax.bitwise_not(i)|lax.bitwise_or(u, u)|lax.bitwise_xor(b, b)|lax.broadcast(v, (2,))
lax.broadcast_in_dim(v, (4, 2), (0,))|lax.broadcasted_iota(jnp.float32, (3, 4), 1) * x|lax.cbrt(x)|lax.ceil(3 * x)
lax.clamp(-0.3, x, 0.4)|lax.clz(u)|lax.collapse(x, 0)|lax.complex(x, y)|lax.concatenate([x, y], 0)
lax.cond(n > 0, jnp.sin, jnp.cos, x)|lax.cond(b[0, 0], lambda: x, lambda: y)|lax.conj(c)
lax.conv(im, ke, (1, 1), "SAME")|lax.conv_general_dilated(im, ke, (2, 1), ((1, 0), (0, 1)), rhs_dilation=(1, 2))
lax.conv_general_dilated_local(im, kl, (1, 1), "VALID", (2, 2))
lax.conv_general_dilated_patches(im, (2, 2), (1, 1), "SAME")
lax.conv_transpose(im, kt, (2, 2), "SAME", dimension_numbers=("NCHW", "HWIO", "NCHW"))
lax.conv_with_general_padding(im, ke, (1, 1), ((0, 0), (0, 0)), None, None)|lax.convert_element_type(x, jnp.int32)
lax.cos(x)|lax.cosh(x)|lax.cumlogsumexp(x, 1)|lax.cummax(x, 1)|lax.cummin(x, 0, reverse=True)|lax.cumprod(x, 1)
lax.cumsum(i, 0)
lax.custom_linear_solve(lambda t: s @ t, v[:3], lambda mv, r: jax.scipy.sparse.linalg.cg(mv, r)[0], symmetric=True)
lax.custom_root(lambda t: t ** 3 - p, p, lambda f, g: lax.fori_loop(0, 30, lambda _, t: t - (t ** 3 - lax.stop_gradient(p)) / (3 * t ** 2), g), lambda g, y: y / g(jnp.ones_like(y)))
lax.digamma(p)|lax.div(x, p)|lax.div(i, i | 1)|lax.dot(x, v)
lax.dot_general(x, y, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)
lax.dot_general(x, y, (((1,), (1,)), ((0,), (0,))))|lax.dynamic_index_in_dim(x, j[0], 0)
lax.dynamic_slice(x, (j[0], 1), (2, 2))|lax.dynamic_slice_in_dim(x, j[1], 2, 1)
lax.dynamic_update_index_in_dim(x, v, j[2], 0)|lax.dynamic_update_slice(x, y[:2, :2], (j[0], -1))
lax.dynamic_update_slice_in_dim(x, y[:1], j[0], 0)|lax.eq(i, i)|lax.erf(x)|lax.erf_inv(x)|lax.erfc(x)|lax.exp(x)
lax.exp2(x)|lax.expand_dims(x, (1,))|lax.expm1(x)|lax.fft(c, "FFT", (4,))|lax.floor(3 * x)
lax.fori_loop(0, 3, lambda a, t: jnp.sin(t) + a, x)|~lax.fori_loop(0, j[0] + 2, lambda a, t: jnp.sin(t) + a, x)
lax.full((2,), n)|lax.full_like(x, n)|lax.ge(x, y)|lax.gt(x, y)
lax.gather(x, j[:, None], lax.GatherDimensionNumbers((1,), (0,), (0,)), (1, 4))|lax.igamma(p, p)|lax.igammac(p, p + 1)
~lax.igamma_grad_a(p, p)|lax.imag(c)|lax.index_in_dim(x, 1)|lax.index_take(x, (j,), (0,))|lax.integer_pow(x, -2)
lax.iota(jnp.int32, 4) * v|lax.is_finite(x)|lax.le(x, y)|lax.lgamma(p)|lax.log(p)|lax.log1p(x)|lax.logistic(x)
lax.lt(x, y)|lax.map(lambda r: r.sum() * n, x)|lax.map(jnp.sin, x, batch_size=2)|lax.max(x, y)|lax.min(i, i)
lax.mul(x, y)|lax.mulhi(u, u)|lax.ne(x, y)|lax.neg(x)|~lax.nextafter(x, y)|lax.optimization_barrier((x, y))
lax.pad(x, n, ((1, 0, 1), (-1, 2, 0)))|lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos)
lax.polygamma(jnp.ones_like(p), p)|lax.population_count(i)|lax.pow(p, x)|lax.pow(x, 3)|~lax.random_gamma_grad(p, p)
lax.real(c)|lax.reciprocal(p)|lax.reduce(x, np.float32(0), lax.add, (0,))
~lax.reduce((x, i), (np.float32(0), np.int32(0)), lambda a, b: (a[0] + b[0], a[1] + b[1]), (1,))
lax.reduce_and(b, (0,))|lax.reduce_max(x, (1,))|lax.reduce_min(x, (0,))|lax.reduce_or(b, (0, 1))
lax.reduce_precision(x, 6, 8)|lax.reduce_prod(x, (1,))|lax.reduce_sum(x, (0,))
lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "SAME")
lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 1), "VALID")
lax.reduce_window(x, 0.0, lambda a, b: a + b + a * b, (2, 2), (1, 1), "VALID")|lax.reduce_xor(i, (0,))|lax.rem(x, p)
lax.rem(i, i | 1)|lax.reshape(x, (4, 3), (1, 0))|lax.rev(x, (0,))|lax.rng_bit_generator(jnp.tile(o, 2), (3,))
lax.round(3 * x)|lax.round(3 * x, lax.RoundingMethod.TO_NEAREST_EVEN)|lax.rsqrt(p)
lax.scan(lambda a, t: (a * t, a + t), v, x)|lax.scan(lambda a, t: (a * t + n, (a, t)), v, x, reverse=True, unroll=2)
lax.scan(lambda a, _: (a + p.sum(), None), n, length=3)|lax.scatter_add(v, j[:, None], x[0, :3], sd)
lax.scatter_sub(v, j[:, None], x[0, :3], sd)|lax.scatter(v, j[:, None], x[0, :3], sd)
lax.scatter_max(v, j[:, None], x[0, :3], sd)|lax.scatter_min(v, j[:, None], x[0, :3], sd)
lax.scatter_mul(v, j[:, None], x[0, :3], sd, unique_indices=True)|lax.select(b, x, y)|lax.select_n(b, x, y)
lax.select_n(i % 3, x, y, p)|lax.shift_left(i, i % 5)|lax.shift_right_arithmetic(i, i % 5)
lax.shift_right_logical(u, u % 7)|lax.sign(x)|lax.sin(x)|lax.sinh(x)|lax.slice(x, (0, 1), (3, 4), (2, 1))
lax.slice_in_dim(x, 1, 3, 1, 1)|lax.sort(y, dimension=0)|lax.sort((y, x), num_keys=1)|lax.sort_key_val(y, x)
lax.split(x, (1, 3), 1)|lax.sqrt(p)|lax.square(x)|lax.squeeze(x[None], (0,))|lax.stack([x, y])
lax.stop_gradient(x) * x|lax.sub(x, y)|lax.switch(j[0], [jnp.sin, jnp.cos, lambda t: t * n], x)|lax.tan(x)|lax.tanh(x)
lax.tile(x, (2, 1))|lax.top_k(y, 2)|lax.transpose(x, (1, 0))|lax.unstack(x)
lax.while_loop(lambda t: t.sum() < 30, lambda t: t * 2 + 1, i)|~lax.zeta(p + 2, p)
lax.with_sharding_constraint(x, jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0]))|jax.device_put(x) * 2
jax.checkpoint(jnp.sin)(x)|jax.jit(jnp.sin, inline=True)(x)|jax.jit(jnp.sin, donate_argnums=0)(x)
jax.grad(lambda t: jnp.sum(t ** 3))(x)|jax.vmap(jnp.dot)(x, y)|jax.jvp(jnp.sin, (x,), (y,))
jax.hessian(lambda t: jnp.prod(t))(v)|jax.linearize(jnp.sin, x)[1](y)
jax.closure_convert(lambda t: t * v, v)[0](v, *jax.closure_convert(lambda t: t * v, v)[1])
jax.linear_transpose(lambda t: 3 * t, x)(y)|jax.named_call(jnp.sin)(x)
jax.custom_gradient(lambda t: (t * 2, lambda g: g * 5))(x)
jax.remat(lambda t: jnp.sin(jnp.sin(t)), policy=jax.checkpoint_policies.everything_saveable)(x)|lax.all_gather(x, "a")
~lax.all_to_all(qa, "a", 0, 0)|lax.axis_index("a") * n|lax.axis_size("a") * n|~lax.pmax(x, "a")|lax.pmean(x, "a")
~lax.pmin(x, "a")|lax.ppermute(x, "a", [(0, 1), (1, 0)])|lax.pshuffle(x, "a", [1, 0])|lax.psum(x, "a")
lax.psum_scatter(qa, "a")|~lax.pswapaxes(qa, "a", 0)|lax.psum(1, "a") * n|lax.all_gather(x, "a", axis=1, tiled=True)
lax.psum_scatter(qa, "a", tiled=True)|~lax.all_to_all(qa, "a", 0, 1, tiled=True)
"""  # noqa: E501  (one expression a row)

GROUPS = (NUMPY, FOURIER_AND_LINEAR_ALGEBRA, SCIPY, NN, RANDOM, LAX)

# Functions of JAX that compute no array from arrays, are another name of one that is here, or stand on decompositions
# of matrices.
ABSENT = """
array_repr array_str broadcast_shapes can_cast einsum_path empty from_dlpack frombuffer fromfile fromiter fromstring
get_printoptions iscomplexobj isdtype isrealobj isscalar issubdtype iterable load mask_indices ndim printoptions
promote_types result_type save savez set_printoptions shape trim_zeros triu_indices_from unique_all unique_counts
unique_inverse unique_values get_scaled_dot_general_config scaled_dot_general scaled_matmul kaiming_normal
kaiming_uniform xavier_normal xavier_uniform ConvGeneralDilatedDimensionNumbers DotDimensionNumbers PrecisionLike
after_all dce_sink broadcast_like broadcast_to_rank composite conv_dimension_numbers conv_general_permutations
conv_general_shape_tuple conv_shape_tuple conv_transpose_shape_tuple create_token dtype padtype_to_pads pbroadcast
pcast precv psend ragged_all_to_all ragged_dot ragged_dot_general reduce_window_shape_tuple rng_uniform scatter_apply
scaled_dot shape_as_value key_dtype key_impl scan stage zeros_like_array polyfit roots delta_orthogonal orthogonal
multivariate_normal
"""
