/* SPDX-License-Identifier: Apache-2.0 */
/* minimize.c: GSL's vector BFGS (Fletcher 1987, section 2.6), wrapped. */
#include "minimize.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_multimin.h>
#include <math.h>

#define FIRST_STEP 0.3
#define LINE_TOLERANCE 0.1

struct problem {
    hd_minimize_fn function;
    void *data;
    double *gradient;
};

static void evaluate(const gsl_vector *x, void *params, double *ret_value, gsl_vector *ret_gradient)
{
    struct problem *problem = params;
    hd_assert(x->stride == 1 && ret_gradient->stride == 1);
    *ret_value = problem->function(x->data, ret_gradient->data, problem->data);
}

static double value_only(const gsl_vector *x, void *params)
{
    struct problem *problem = params;
    return problem->function(x->data, problem->gradient, problem->data);
}

static void gradient_only(const gsl_vector *x, void *params, gsl_vector *ret_gradient)
{
    double value;
    evaluate(x, params, &value, ret_gradient);
}

static void descend(gsl_multimin_fdfminimizer *minimizer, gsl_multimin_function_fdf *function,
                    const gsl_vector *start, uint32_t steps_max, double tolerance, double *x)
{
    if (gsl_multimin_fdfminimizer_set(minimizer, function, start, FIRST_STEP, LINE_TOLERANCE) !=
        GSL_SUCCESS)
        return;
    double best = gsl_multimin_fdfminimizer_minimum(minimizer);
    for (uint32_t step = 0; step < steps_max; step++) {
        int status = gsl_multimin_fdfminimizer_iterate(minimizer);
        double value = gsl_multimin_fdfminimizer_minimum(minimizer);
        if (value < best) {
            const gsl_vector *at = gsl_multimin_fdfminimizer_x(minimizer);
            best = value;
            for (size_t i = 0; i < function->n; i++)
                x[i] = gsl_vector_get(at, i);
        }
        if (status != GSL_SUCCESS || !isfinite(value) ||
            gsl_multimin_test_gradient(gsl_multimin_fdfminimizer_gradient(minimizer), tolerance) !=
                GSL_CONTINUE)
            return;
    }
}

enum hd_code hd_minimize(hd_minimize_fn function, void *data, size_t count, uint32_t steps_max,
                         double tolerance, double *x, struct hd_err *err)
{
    if (count == 0)
        return HD_OK;
    (void)gsl_set_error_handler_off();
    gsl_multimin_fdfminimizer *minimizer =
        gsl_multimin_fdfminimizer_alloc(gsl_multimin_fdfminimizer_vector_bfgs2, count);
    gsl_vector *start = gsl_vector_alloc(count);
    double *gradient = hd_calloc(count, sizeof(*gradient));
    bool enough = minimizer != NULL && start != NULL && gradient != NULL;
    if (enough) {
        struct problem problem = {function, data, gradient};
        gsl_multimin_function_fdf fdf = {value_only, gradient_only, evaluate, count, &problem};
        for (size_t i = 0; i < count; i++)
            gsl_vector_set(start, i, x[i]);
        descend(minimizer, &fdf, start, steps_max, tolerance, x);
    }
    if (minimizer != NULL)
        gsl_multimin_fdfminimizer_free(minimizer);
    if (start != NULL)
        gsl_vector_free(start);
    hd_free(gradient);
    return enough ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for %zu hyperparameters", count);
}
