/* Hand-written C for works A to C of `benchmarks.works`: what one core can do without a library. */
#include <math.h>
#include <stdint.h>
#include <string.h>

/* A: single rows through 1-3-1, all sizes known to the compiler. w: w1[3] w2[3] b1[3] b2. */
#define THREE_POINTS(NAME, VALUE, SLOPE)                                                           \
    void NAME(double *w, const double *x, const double *y, int64_t n_epochs, double rate) {        \
        double w1[3], w2[3], b1[3], b2 = w[9];                                                     \
        for (int j = 0; j < 3; j++) w1[j] = w[j], w2[j] = w[3 + j], b1[j] = w[6 + j];              \
        for (int64_t epoch = 0; epoch < n_epochs; epoch++)                                         \
            for (int i = 0; i < 3; i++) {                                                          \
                double h[3], out = b2;                                                             \
                for (int j = 0; j < 3; j++) {                                                      \
                    double z = w1[j] * x[i] + b1[j];                                               \
                    h[j] = VALUE;                                                                  \
                    out += w2[j] * h[j];                                                           \
                }                                                                                  \
                double step = rate * (out - y[i]);                                                 \
                b2 -= step;                                                                        \
                for (int j = 0; j < 3; j++) {                                                      \
                    double back = step * w2[j] * (SLOPE);                                          \
                    w2[j] -= step * h[j];                                                          \
                    w1[j] -= back * x[i];                                                          \
                    b1[j] -= back;                                                                 \
                }                                                                                  \
            }                                                                                      \
        for (int j = 0; j < 3; j++) w[j] = w1[j], w[3 + j] = w2[j], w[6 + j] = b1[j];              \
        w[9] = b2;                                                                                 \
    }
THREE_POINTS(three_points_relu, z > 0 ? z : 0, h[j] > 0 ? 1 : 0)
THREE_POINTS(three_points_tanh, tanh(z), 1 - h[j] * h[j])

/* B: Levenberg-Marquardt on 1-10-1 tanh with Nielsen's damping; returns its steps, -1 without end.
   w as above with 10 for 3. */
enum { H = 10, P = 31, MOST = 512 };

static double residuals(const double *w, const double *x, const double *y, int n, double *r,
                        double (*h)[MOST]) {
    for (int i = 0; i < n; i++) r[i] = w[30] - y[i];
    for (int j = 0; j < H; j++)
        for (int i = 0; i < n; i++) {
            /* tanh(z) = 1 - 2 / (exp(2 z) + 1): exp is vectorised by every recent compiler */
            h[j][i] = 1 - 2 / (exp(2 * (w[j] * x[i] + w[2 * H + j])) + 1);
            r[i] += w[H + j] * h[j][i];
        }
    double sum = 0;
    for (int i = 0; i < n; i++) sum += r[i] * r[i];
    return sum;
}

int64_t levenberg_marquardt(double *w, const double *x, const double *y, int64_t n, double mse,
                            int64_t n_steps) {
    static double J[P][MOST], h[H][MOST], h_trial[H][MOST], r[MOST], r_trial[MOST];
    double A[P][P], L[P][P], g[P], step[P], trial[P], mu = -1, growth = 2;
    double sum = residuals(w, x, y, n, r, h);
    int fresh = 1;
    for (int64_t k = 0; k < n_steps; k++) {
        if (sum <= mse * n) return k;
        if (fresh) {
            for (int j = 0; j < H; j++)
                for (int i = 0; i < n; i++) {
                    double back = w[H + j] * (1 - h[j][i] * h[j][i]);
                    J[j][i] = back * x[i];
                    J[H + j][i] = h[j][i];
                    J[2 * H + j][i] = back;
                }
            for (int i = 0; i < n; i++) J[30][i] = 1;
            for (int a = 0; a < P; a++) {
                g[a] = 0;
                for (int i = 0; i < n; i++) g[a] += J[a][i] * r[i];
                for (int b = 0; b <= a; b++) {
                    double s = 0;
                    for (int i = 0; i < n; i++) s += J[a][i] * J[b][i];
                    A[a][b] = s;
                }
            }
            if (mu < 0)
                for (int a = 0; a < P; a++) mu = fmax(mu, 1e-3 * A[a][a]);
        }
        for (int a = 0; a < P; a++)
            for (int b = 0; b <= a; b++) {
                double s = A[a][b] + (a == b) * mu;
                for (int c = 0; c < b; c++) s -= L[a][c] * L[b][c];
                L[a][b] = a == b ? sqrt(s) : s / L[b][b];
            }
        for (int a = 0; a < P; a++) {
            double s = -g[a];
            for (int c = 0; c < a; c++) s -= L[a][c] * step[c];
            step[a] = s / L[a][a];
        }
        for (int a = P - 1; a >= 0; a--) {
            double s = step[a];
            for (int c = a + 1; c < P; c++) s -= L[c][a] * step[c];
            step[a] = s / L[a][a];
        }
        double predicted = 0;
        for (int a = 0; a < P; a++) {
            predicted += step[a] * (mu * step[a] - g[a]);
            trial[a] = w[a] + step[a];
        }
        double sum_trial = residuals(trial, x, y, n, r_trial, h_trial);
        fresh = sum_trial < sum;
        if (fresh) {
            double ratio = 2 * (sum - sum_trial) / predicted - 1;
            mu *= fmax(1. / 3, 1 - ratio * ratio * ratio);
            growth = 2;
            sum = sum_trial;
            memcpy(w, trial, sizeof trial);
            memcpy(h, h_trial, sizeof h);
            memcpy(r, r_trial, sizeof r);
        } else {
            mu *= growth;
            growth *= 2;
        }
    }
    return -1;
}

/* C: adam on 10-100-1 relu in minibatches of rows order[], four rows at a time, so that each load
   of a weight serves four. The units are padded with zeros to whole vectors of 64 bytes. theta:
   w1[10][100] w2[100] b1[100] b2. REAL is float or double. */
typedef REAL vector __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));
typedef __typeof__((vector){0} > (vector){0}) mask;
enum { D = 10, UNITS = 100, WIDTH = 64 / sizeof(REAL), FOUR = 4 };
enum { U = (UNITS + WIDTH - 1) / WIDTH * WIDTH, ROWS = D + 2, N_THETA = ROWS * U + 1 };
#define AT(array, row) (*(vector *)((array) + (row) * U + j))
#define EACH_ROW _Pragma("GCC unroll 4") for (int r = 0; r < FOUR; r++)

/* p, g: a row of units an input, w2, b1, and last b2. */
static void four_rows(const REAL *restrict p, REAL *restrict g, const REAL (*x)[D], const REAL *y) {
    REAL h[FOUR * U], error[FOUR];
    vector sum[FOUR] = {0};
    for (int j = 0; j < U; j += WIDTH) {
        vector z[FOUR];
        EACH_ROW z[r] = AT(p, D + 1);
#pragma GCC unroll 10
        for (int k = 0; k < D; k++) {
            vector w = AT(p, k);
            EACH_ROW z[r] += x[r][k] * w;
        }
        EACH_ROW AT(h, r) = (vector)((mask)z[r] & (z[r] > 0));
        EACH_ROW sum[r] += AT(h, r) * AT(p, D);
    }
    for (int r = 0; r < FOUR; r++) {
        error[r] = p[N_THETA - 1] - y[r];
        for (int c = 0; c < WIDTH; c++) error[r] += sum[r][c];
        g[N_THETA - 1] += error[r];
    }
    for (int j = 0; j < U; j += WIDTH) {
        vector back[FOUR], g_w2 = AT(g, D), g_b1 = AT(g, D + 1);
        EACH_ROW {
            back[r] = (vector)((mask)(error[r] * AT(p, D)) & (AT(h, r) > 0));
            g_w2 += error[r] * AT(h, r);
            g_b1 += back[r];
        }
        AT(g, D) = g_w2, AT(g, D + 1) = g_b1;
#pragma GCC unroll 10
        for (int k = 0; k < D; k++) {
            vector g_k = AT(g, k);
            EACH_ROW g_k += x[r][k] * back[r];
            AT(g, k) = g_k;
        }
    }
}

void adam(REAL *theta, const REAL *X, const REAL *y, const int64_t *order, int64_t n,
          int64_t batch, int64_t n_epochs, double alpha) {
    REAL p[N_THETA] = {0}, g[N_THETA], m[N_THETA] = {0}, v[N_THETA] = {0};
    for (int k = 0; k < ROWS; k++) memcpy(p + k * U, theta + k * UNITS, sizeof(REAL) * UNITS);
    p[N_THETA - 1] = theta[ROWS * UNITS];
    for (int64_t t = 1; t <= n_epochs * n / batch; t++) {
        memset(g, 0, sizeof g);
        for (int64_t first = 0; first < batch; first += FOUR, order += FOUR) {
            REAL x[FOUR][D], target[FOUR];
            for (int r = 0; r < FOUR; r++) {
                memcpy(x[r], X + order[r] * D, sizeof x[r]);
                target[r] = y[order[r]];
            }
            four_rows(p, g, x, target);
        }
        REAL rate = 1e-3 * sqrt(1 - pow(0.999, t)) / (1 - pow(0.9, t)), share = (REAL)1 / batch;
        for (int k = 0; k < (D + 1) * U; k++) g[k] += (REAL)alpha * p[k];
        for (int k = 0; k < N_THETA; k++) {
            REAL slope = g[k] * share;
            m[k] = (REAL)0.9 * m[k] + (REAL)0.1 * slope;
            v[k] = (REAL)0.999 * v[k] + (REAL)0.001 * slope * slope;
            p[k] -= rate * m[k] / ((REAL)sqrt(v[k]) + (REAL)1e-8);
        }
    }
    for (int k = 0; k < ROWS; k++) memcpy(theta + k * UNITS, p + k * U, sizeof(REAL) * UNITS);
    theta[ROWS * UNITS] = p[N_THETA - 1];
}
