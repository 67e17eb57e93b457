/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minimize.h: smooth functions of many variables, minimised by GSL's BFGS. The only user of GSL.
 *
 * GSL's error handler is process-wide and aborts by default; it is switched off here, at each call
 * (and stays off), and every answer of GSL is checked instead.
 */
#ifndef HD_MODEL_MINIMIZE_H
#define HD_MODEL_MINIMIZE_H

#include <hd/base.h>

/* Value and gradient at x[count]. A value that is not finite ends the search at the best x before
 * it. */
typedef double (*hd_minimize_fn)(const double *x, double *ret_gradient, void *data);

/* x[count]: the start, then the best found. tolerance: of the gradient's length. Out of memory is
 * the only failure; x is untouched then. */
HD_NODISCARD enum hd_code hd_minimize(hd_minimize_fn function, void *data, size_t count,
                                      uint32_t steps_max, double tolerance, double *x,
                                      struct hd_err *err);

#endif
