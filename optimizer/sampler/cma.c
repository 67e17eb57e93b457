/* SPDX-License-Identifier: Apache-2.0 */
/* cma.c: see cma.h. */
#include "cma.h"

#include <math.h>
#include <string.h>

/* Deviations that are worth telling apart, in units of the cube. */
#define SIGMA_MIN 1e-12
#define SIGMA_MAX 1e3
#define AXIS_MIN 1e-10
#define SWEEPS_MAX 40

/* ---- eigenvectors -------------------------------------------------------------------------- */

/* Makes matrix[p][q] zero by a rotation of the plane of p and q. */
static void rotate(size_t n, double *matrix, double *vectors, size_t p, size_t q)
{
    double cross = matrix[p * n + q];
    double theta = (matrix[q * n + q] - matrix[p * n + p]) / (2 * cross);
    double tangent = (theta < 0 ? -1 : 1) / (fabs(theta) + hypot(theta, 1));
    double cosine = 1 / hypot(tangent, 1), sine = tangent * cosine;
    for (size_t k = 0; k < n; k++) {
        double *row = matrix + k * n, a = row[p], b = row[q];
        row[p] = cosine * a - sine * b;
        row[q] = sine * a + cosine * b;
    }
    double *const pairs[2][2] = {{matrix + p * n, matrix + q * n},
                                 {vectors + p * n, vectors + q * n}};
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < n; k++) {
            double a = pairs[i][0][k], b = pairs[i][1][k];
            pairs[i][0][k] = cosine * a - sine * b;
            pairs[i][1][k] = sine * a + cosine * b;
        }
    }
}

/* Jacobi's method: rounds over all pairs until what is beside the diagonal has no weight. */
void hd_eigen_symmetric(size_t n, double *matrix, double *ret_values, double *ret_vectors)
{
    for (size_t i = 0; i < n * n; i++)
        ret_vectors[i] = i % (n + 1) == 0 ? 1 : 0;
    for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
        bool done = true;
        for (size_t p = 0; p + 1 < n; p++) {
            for (size_t q = p + 1; q < n; q++) {
                double size = sqrt(fabs(matrix[p * n + p]) * fabs(matrix[q * n + q]));
                if (fabs(matrix[p * n + q]) <= 1e-15 * size || matrix[p * n + q] == 0)
                    continue;
                rotate(n, matrix, ret_vectors, p, q);
                done = false;
            }
        }
        if (done)
            break;
    }
    for (size_t i = 0; i < n; i++)
        ret_values[i] = matrix[i * n + i];
}

static void decompose(struct hd_cma *cma)
{
    size_t n = cma->dimension;
    cma->decomposed = cma->generation;
    if (cma->separable) {
        memcpy(cma->scale, cma->covariance, n * sizeof(double));
    } else {
        memcpy(cma->scratch, cma->covariance, n * n * sizeof(double));
        hd_eigen_symmetric(n, cma->scratch, cma->scale, cma->basis);
    }
    for (size_t i = 0; i < n; i++)
        cma->scale[i] =
            sqrt(cma->scale[i] > AXIS_MIN * AXIS_MIN ? cma->scale[i] : AXIS_MIN * AXIS_MIN);
}

/* ---- life ---------------------------------------------------------------------------------- */

enum hd_code hd_cma_init(struct hd_cma *cma, size_t dimension, size_t lambda_max,
                         struct hd_err *err)
{
    hd_assert(dimension > 0 && lambda_max >= 4);
    *cma = (struct hd_cma){.dimension = dimension, .lambda_max = lambda_max};
    cma->separable = dimension > HD_CMA_FULL_MAX;
    size_t square = cma->separable ? dimension : dimension * dimension;
    struct {
        double **array;
        size_t count;
    } rows[] = {
        {&cma->weights, lambda_max},
        {&cma->mean, dimension},
        {&cma->margin, dimension},
        {&cma->path_sigma, dimension},
        {&cma->path, dimension},
        {&cma->shift, dimension},
        {&cma->covariance, square},
        {&cma->basis, square},
        {&cma->scale, dimension},
        {&cma->scratch, square},
        {&cma->steps, lambda_max * dimension},
        {&cma->used, lambda_max},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        *rows[i].array = hd_calloc(rows[i].count, sizeof(double));
        if (*rows[i].array == NULL) {
            hd_cma_release(cma);
            return hd_fail(err, HD_E_NOMEM, "no memory for a covariance of %zu dimensions",
                           dimension);
        }
    }
    return HD_OK;
}

void hd_cma_release(struct hd_cma *cma)
{
    hd_free(cma->weights);
    hd_free(cma->mean);
    hd_free(cma->margin);
    hd_free(cma->path_sigma);
    hd_free(cma->path);
    hd_free(cma->shift);
    hd_free(cma->covariance);
    hd_free(cma->basis);
    hd_free(cma->scale);
    hd_free(cma->scratch);
    hd_free(cma->steps);
    hd_free(cma->used);
    *cma = (struct hd_cma){0};
}

/* Weights by rank before they are scaled: positive ones of sum one, negative ones of sum minus one.
 * Their effective numbers are returned. */
static void raw_weights(struct hd_cma *cma, double *ret_mu_eff, double *ret_mu_eff_negative)
{
    double sums[2] = {0, 0}, squares[2] = {0, 0};
    for (size_t i = 0; i < cma->lambda; i++) {
        double weight = log(((double)cma->lambda + 1) / 2) - log((double)i + 1);
        int side = i >= cma->mu;
        cma->weights[i] = side == 1 && weight > 0 ? 0 : weight;
        sums[side] += fabs(cma->weights[i]);
        squares[side] += cma->weights[i] * cma->weights[i];
    }
    for (size_t i = 0; i < cma->lambda; i++)
        cma->weights[i] /= sums[i >= cma->mu];
    *ret_mu_eff = sums[0] * sums[0] / squares[0];
    *ret_mu_eff_negative = sums[1] * sums[1] / squares[1];
}

/* The constants of the tutorial, table 1. */
static void set_strategy(struct hd_cma *cma, size_t lambda)
{
    double n = (double)cma->dimension, m, negative;
    cma->lambda = lambda;
    cma->mu = lambda / 2;
    raw_weights(cma, &m, &negative);
    cma->mu_eff = m;
    cma->rate_sigma = (m + 2) / (n + m + 5);
    double excess = sqrt((m - 1) / (n + 1)) - 1;
    cma->damping = 1 + 2 * (excess > 0 ? excess : 0) + cma->rate_sigma;
    cma->rate_path = (4 + m / n) / (n + 4 + 2 * m / n);
    double faster = cma->separable ? (n + 2) / 3 : 1;
    cma->rate_one = faster * 2 / ((n + 1.3) * (n + 1.3) + m);
    cma->rate_mu = faster * 2 * (m - 2 + 1 / m) / ((n + 2) * (n + 2) + m);
    if (cma->rate_mu > 1 - cma->rate_one)
        cma->rate_mu = 1 - cma->rate_one;
    cma->chi = sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
    double scale = 1 + cma->rate_one / cma->rate_mu;
    double bound = 1 + 2 * negative / (m + 2);
    scale = scale < bound ? scale : bound;
    bound = (1 - cma->rate_one - cma->rate_mu) / (n * cma->rate_mu);
    scale = scale < bound ? scale : bound;
    for (size_t i = cma->mu; i < lambda; i++)
        cma->weights[i] *= scale;
}

void hd_cma_start(struct hd_cma *cma, size_t lambda, const double *mean, const double *deviations)
{
    size_t n = cma->dimension;
    double square = 0;
    hd_assert(lambda >= 4 && lambda <= cma->lambda_max);
    set_strategy(cma, lambda);
    for (size_t d = 0; d < n; d++)
        square += deviations[d] * deviations[d] / (double)n;
    cma->sigma = sqrt(square);
    memset(cma->covariance, 0, (cma->separable ? n : n * n) * sizeof(double));
    for (size_t d = 0; d < n; d++) {
        cma->mean[d] = mean[d];
        cma->margin[d] = 1;
        cma->path_sigma[d] = cma->path[d] = 0;
        cma->covariance[cma->separable ? d : d * n + d] = deviations[d] * deviations[d] / square;
    }
    cma->generation = 0;
    decompose(cma);
}

/* ---- points -------------------------------------------------------------------------------- */

void hd_cma_draw(const struct hd_cma *cma, double factor, struct hd_rng *rng, double *ret_point)
{
    size_t n = cma->dimension;
    for (size_t d = 0; d < n; d++)
        ret_point[d] = 0;
    for (size_t k = 0; k < n; k++) {
        double z = cma->scale[k] * hd_rng_normal(rng);
        if (cma->separable) {
            ret_point[k] = z;
            continue;
        }
        for (size_t d = 0; d < n; d++)
            ret_point[d] += cma->basis[k * n + d] * z;
    }
    for (size_t d = 0; d < n; d++)
        ret_point[d] = cma->mean[d] + factor * cma->sigma * cma->margin[d] * ret_point[d];
}

/* ret[n] = B^T step / D: in the coordinates in which C is round. Not in place. */
static void whiten(const struct hd_cma *cma, const double *step, double *ret)
{
    size_t n = cma->dimension;
    for (size_t k = 0; k < n; k++) {
        double sum = cma->separable ? step[k] : 0;
        for (size_t d = 0; d < n && !cma->separable; d++)
            sum += cma->basis[k * n + d] * step[d];
        ret[k] = sum / cma->scale[k];
    }
}

static double length(const double *vector, size_t n)
{
    double square = 0;
    for (size_t d = 0; d < n; d++)
        square += vector[d] * vector[d];
    return sqrt(square);
}

/* The whitened length of a step. */
static double step_length(const struct hd_cma *cma, const double *step)
{
    double square = 0;
    size_t n = cma->dimension;
    for (size_t k = 0; k < n; k++) {
        double sum = cma->separable ? step[k] : 0;
        for (size_t d = 0; d < n && !cma->separable; d++)
            sum += cma->basis[k * n + d] * step[d];
        square += sum / cma->scale[k] * (sum / cma->scale[k]);
    }
    return sqrt(square);
}

static void step_to(const struct hd_cma *cma, const double *point, double *ret_step)
{
    for (size_t d = 0; d < cma->dimension; d++)
        ret_step[d] = (point[d] - cma->mean[d]) / (cma->sigma * cma->margin[d]);
}

double hd_cma_distance(const struct hd_cma *cma, const double *point)
{
    step_to(cma, point, cma->steps);
    return step_length(cma, cma->steps);
}

double hd_cma_distance_max(const struct hd_cma *cma)
{
    double n = (double)cma->dimension;
    return sqrt(n) + 2 * n / (n + 2);
}

double hd_cma_deviation(const struct hd_cma *cma, size_t d)
{
    double variance = cma->covariance[cma->separable ? d : d * cma->dimension + d];
    return cma->sigma * cma->margin[d] * sqrt(variance > 0 ? variance : 0);
}

double hd_cma_condition(const struct hd_cma *cma)
{
    double low = INFINITY, high = 0;
    for (size_t k = 0; k < cma->dimension; k++) {
        low = cma->scale[k] < low ? cma->scale[k] : low;
        high = cma->scale[k] > high ? cma->scale[k] : high;
    }
    return high / low;
}

/* ---- a generation -------------------------------------------------------------------------- */

/* Both paths and sigma; mean_step is the step of the mean. Returns whether the path of C moves. */
static bool move_paths(struct hd_cma *cma, const double *mean_step)
{
    size_t n = cma->dimension;
    double rate = cma->rate_sigma, norm = sqrt(rate * (2 - rate) * cma->mu_eff);
    double *white = cma->scratch;
    whiten(cma, mean_step, white);
    for (size_t d = 0; d < n; d++)
        cma->path_sigma[d] *= 1 - rate;
    for (size_t k = 0; k < n; k++) {
        if (cma->separable) {
            cma->path_sigma[k] += norm * white[k];
            continue;
        }
        for (size_t d = 0; d < n; d++)
            cma->path_sigma[d] += norm * cma->basis[k * n + d] * white[k];
    }
    double size = length(cma->path_sigma, n);
    double settled = sqrt(1 - pow(1 - rate, 2 * ((double)cma->generation + 1)));
    bool moves = size / settled < (1.4 + 2 / ((double)n + 1)) * cma->chi;
    double change = rate / cma->damping * (size / cma->chi - 1);
    cma->sigma *= exp(change < 1 ? change : 1);
    cma->sigma = cma->sigma < SIGMA_MIN ? SIGMA_MIN : cma->sigma;
    cma->sigma = cma->sigma > SIGMA_MAX ? SIGMA_MAX : cma->sigma;
    norm = moves ? sqrt(cma->rate_path * (2 - cma->rate_path) * cma->mu_eff) : 0;
    for (size_t d = 0; d < n; d++)
        cma->path[d] = (1 - cma->rate_path) * cma->path[d] + norm * mean_step[d];
    return moves;
}

static void add_product(struct hd_cma *cma, double weight, const double *vector)
{
    size_t n = cma->dimension;
    for (size_t i = 0; i < n; i++) {
        if (cma->separable) {
            cma->covariance[i] += weight * vector[i] * vector[i];
            continue;
        }
        for (size_t j = 0; j < n; j++)
            cma->covariance[i * n + j] += weight * vector[i] * vector[j];
    }
}

/* The weights that C takes of the steps: negative ones are per squared length, and a step that was
 * shortened has none, since far points all lie in the direction of the shortest axis, which would
 * vanish. Returns their sum. */
static double weigh_steps(struct hd_cma *cma)
{
    double sum = 0, longest = hd_cma_distance_max(cma), n = (double)cma->dimension;
    for (size_t i = 0; i < cma->lambda; i++) {
        double weight = cma->weights[i];
        sum += weight;
        if (weight < 0) {
            double size = step_length(cma, cma->steps + i * cma->dimension);
            bool shortened = size > longest * (1 - 1e-9);
            sum -= shortened ? weight : 0;
            weight *= shortened ? 0 : n / (size * size + 1e-12);
        }
        cma->used[i] = weight;
    }
    return sum;
}

static void move_covariance(struct hd_cma *cma, bool path_moved)
{
    size_t n = cma->dimension, count = cma->separable ? n : n * n;
    double lost = path_moved ? 0 : cma->rate_path * (2 - cma->rate_path);
    double keep = 1 - cma->rate_one * (1 - lost) - cma->rate_mu * weigh_steps(cma);
    for (size_t i = 0; i < count; i++)
        cma->covariance[i] *= keep;
    add_product(cma, cma->rate_one, cma->path);
    for (size_t i = 0; i < cma->lambda; i++)
        add_product(cma, cma->rate_mu * cma->used[i], cma->steps + i * n);
}

void hd_cma_update(struct hd_cma *cma, const double *const *points)
{
    size_t n = cma->dimension;
    double longest = hd_cma_distance_max(cma);
    for (size_t d = 0; d < n; d++)
        cma->shift[d] = 0;
    for (size_t i = 0; i < cma->lambda; i++) {
        double *step = cma->steps + i * n;
        step_to(cma, points[i], step);
        double size = step_length(cma, step);
        for (size_t d = 0; d < n; d++) {
            step[d] *= size > longest ? longest / size : 1;
            cma->shift[d] += i < cma->mu ? cma->weights[i] * step[d] : 0;
        }
    }
    for (size_t d = 0; d < n; d++)
        cma->mean[d] += cma->sigma * cma->margin[d] * cma->shift[d];
    move_covariance(cma, move_paths(cma, cma->shift));
    cma->generation++;
    double gap = 0.5 / ((double)n * (cma->rate_one + cma->rate_mu));
    if (cma->generation - cma->decomposed >= gap)
        decompose(cma);
}

/* ---- levels -------------------------------------------------------------------------------- */

/* Of an interval of z: a draw need not be exact, a margin is kept for long. */
#define HALVINGS_DRAW 14
#define HALVINGS_MARGIN 50
#define QUANTILE_MAX 37.0 /* beyond it the tail is no double */
#define DRAW_FLAT 0.1     /* about the change of the log density over twice the interval */
#define DRAW_MAX 6.0      /* no draw is farther out when it can be nearer */

static double below(double z)
{
    return 0.5 * erfc(-z * 0.70710678118654752440);
}

/* The z in [low, high] with below(z) = mass; the end nearer to 0 when both ends have lost all mass
 * to rounding (the caller keeps low below 0). */
static double quantile(double mass, double low, double high, int halvings)
{
    for (int i = 0; i < halvings; i++) {
        double middle = low + (high - low) / 2;
        if (below(middle) <= mass)
            low = middle;
        else
            high = middle;
    }
    return low;
}

double hd_cma_draw_within(const struct hd_cma *cma, size_t d, double low, double high, double u)
{
    double deviation = hd_cma_deviation(cma, d);
    if (!(deviation > 0))
        deviation = SIGMA_MIN;
    double a = (low - cma->mean[d]) / deviation, b = (high - cma->mean[d]) / deviation;
    bool mirrored = a > 0 || (a + b > 0 && b < INFINITY);
    if (mirrored) {
        double c = -a;
        a = -b;
        b = c;
    }
    a = a < -DRAW_MAX && b > -DRAW_MAX + 1 ? -DRAW_MAX : a < -QUANTILE_MAX ? -QUANTILE_MAX : a;
    b = b > DRAW_MAX ? DRAW_MAX : b;
    double z = b < a ? b : a + u * (b - a); /* as good as the quantile where the density is flat */
    if ((b - a) * (fabs(a) + fabs(b)) > DRAW_FLAT)
        z = quantile(below(a) + u * (below(b) - below(a)), a, b, HALVINGS_DRAW);
    return cma->mean[d] + deviation * (mirrored ? -z : z);
}

/* The z > 0 with this much mass beyond it; mass is in (0, 1/2). */
static double tail_quantile(double mass)
{
    return -quantile(mass, -QUANTILE_MAX, 0, HALVINGS_MARGIN);
}

void hd_cma_keep_margin(struct hd_cma *cma, size_t d, double low, double high, double alpha)
{
    double deviation = hd_cma_deviation(cma, d), *mean = &cma->mean[d];
    if (!(deviation > 0))
        return;
    if (isinf(low) || isinf(high)) {
        double reach = deviation * tail_quantile(alpha);
        if (isfinite(high) && high - *mean > reach)
            *mean = high - reach;
        if (isfinite(low) && *mean - low > reach)
            *mean = low + reach;
        return;
    }
    double down = below((low - *mean) / deviation), up = below((*mean - high) / deviation);
    if (down >= alpha / 2 && up >= alpha / 2)
        return;
    double middle = 1 - down - up;
    double raised_down = down > alpha / 2 ? down : alpha / 2;
    double raised_up = up > alpha / 2 ? up : alpha / 2;
    double share =
        (1 - raised_down - raised_up - middle) / (raised_down + raised_up + middle - 3 * alpha / 2);
    double z_down = tail_quantile(raised_down + share * (raised_down - alpha / 2));
    double z_up = tail_quantile(raised_up + share * (raised_up - alpha / 2));
    *mean = (low * z_up + high * z_down) / (z_up + z_down);
    cma->margin[d] *= (high - low) / (z_up + z_down) / deviation;
}
