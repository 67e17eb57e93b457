/* SPDX-License-Identifier: Apache-2.0 */
/* A program that tunes a function of its own with libhyperdock. */
#include <hyperdock.h>
#include <stdio.h>

/* Lower is better; a greater budget is nearer to the truth. */
static double evaluate(double rate, int64_t units, const char *kind, double budget)
{
    double bend = kind[0] == 'r' ? 0.0 : 0.3;
    return (rate - 0.1) * (rate - 0.1) + (double)(units - 40) * (double)(units - 40) / 1e4 + bend +
           1.0 / budget;
}

static int fail(struct hyperdock_experiment *experiment, struct hyperdock_session *session)
{
    fprintf(stderr, "%s\n",
            session != NULL ? hyperdock_error(session) : hyperdock_experiment_error(experiment));
    return 1;
}

int main(void)
{
    static const char *const kinds[] = {"relu", "tanh"};
    struct hyperdock_experiment *experiment = NULL;
    struct hyperdock_session *session = NULL;
    if (hyperdock_experiment_new(&experiment) != HYPERDOCK_OK ||
        hyperdock_experiment_add_float(experiment, "rate", 1e-3, 1, 0, HYPERDOCK_LOG) ||
        hyperdock_experiment_add_int(experiment, "units", 8, 128, 8, 0) ||
        hyperdock_experiment_add_categorical(experiment, "kind", kinds, 2) ||
        hyperdock_experiment_set_budgets(experiment, 1, 27) ||
        hyperdock_experiment_set(experiment, "stop.iterations", "8") ||
        hyperdock_experiment_set_seed(experiment, 1) ||
        hyperdock_open(experiment, NULL, &session)) /* a path in place of NULL keeps the session */
        return fail(experiment, session);

    enum hyperdock_answer answer;
    uint32_t job;
    double rate, budget, value;
    int64_t units;
    const char *text;
    while (hyperdock_ask(session, &answer, &job) == HYPERDOCK_OK && answer == HYPERDOCK_ASK_JOB) {
        if (hyperdock_get_double(session, job, "rate", &rate) ||
            hyperdock_get_int(session, job, "units", &units) ||
            hyperdock_get_text(session, job, "kind", &text) ||
            hyperdock_job_budget(session, job, &budget, NULL) ||
            hyperdock_tell(session, job, evaluate(rate, units, text, budget)))
            return fail(experiment, session);
    }
    if (hyperdock_best(session, &job, &value) || hyperdock_job_config(session, job, &text))
        return fail(experiment, session);
    printf("%u jobs, best %g: %s\n", (unsigned)hyperdock_job_count(session), value, text);
    hyperdock_close(session);
    hyperdock_experiment_free(experiment);
    return 0;
}
