/* SPDX-License-Identifier: Apache-2.0 */
/* library_checks.h: what the tests of libhyperdock share: a small experiment, calls that must go
 * well. */
#ifndef TESTS_LIBRARY_CHECKS_H
#define TESTS_LIBRARY_CHECKS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include <hyperdock.h>

#define DEFAULT_SEED 7

#define assert_e(call)                                                                             \
    do {                                                                                           \
        if ((call) != HYPERDOCK_OK)                                                                \
            fail_msg("%s: %s", #call, hyperdock_experiment_error(experiment));                     \
    } while (0)
#define assert_s(call)                                                                             \
    do {                                                                                           \
        if ((call) != HYPERDOCK_OK)                                                                \
            fail_msg("%s: %s", #call, hyperdock_error(session));                                   \
    } while (0)
#define assert_refused(call, code, said, part)                                                     \
    do {                                                                                           \
        assert_string_equal(hyperdock_code_name(call), hyperdock_code_name(code));                 \
        if (strstr(said, part) == NULL)                                                            \
            fail_msg("%s: \"%s\" does not hold \"%s\"", #call, said, part);                        \
    } while (0)

/* Of the session of that name. */
#define SAID(call, code, part) assert_refused(call, code, hyperdock_error(session), part)

static const char *const kinds[] = {"relu", "tanh", "gelu"};

static struct hyperdock_experiment *small_experiment(void)
{
    struct hyperdock_experiment *experiment = NULL;
    assert_int_equal(hyperdock_experiment_new(&experiment), HYPERDOCK_OK);
    assert_e(hyperdock_experiment_add_float(experiment, "lr", 1e-4, 1, 0, HYPERDOCK_LOG));
    assert_e(hyperdock_experiment_add_int(experiment, "units", 16, 256, 16, 0));
    assert_e(hyperdock_experiment_add_categorical(experiment, "kind", kinds, 3));
    assert_e(hyperdock_experiment_add_ordinal(experiment, "size", kinds, 2));
    assert_e(hyperdock_experiment_add_bool(experiment, "nesterov"));
    assert_e(hyperdock_experiment_add_constant(experiment, "epochs", "64"));
    assert_e(hyperdock_experiment_set_budgets(experiment, 1, 9));
    assert_e(hyperdock_experiment_set(experiment, "stop.iterations", "12"));
    assert_e(hyperdock_experiment_set_seed(experiment, DEFAULT_SEED));
    return experiment;
}

static struct hyperdock_session *small_session(const char *path)
{
    struct hyperdock_experiment *experiment = small_experiment();
    struct hyperdock_session *session = NULL;
    assert_e(hyperdock_open(experiment, path, &session));
    hyperdock_experiment_free(experiment);
    return session;
}

static uint32_t ask(struct hyperdock_session *session)
{
    enum hyperdock_answer answer;
    uint32_t job;
    assert_s(hyperdock_ask(session, &answer, &job));
    assert_int_equal(answer, HYPERDOCK_ASK_JOB);
    return job;
}

#endif
