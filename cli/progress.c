/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <hd/os.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PLAIN_PERIOD_MS 10000
#define COLUMNS_DEFAULT 80
#define STANDS_MS 10000
#define MESSAGE_SHOWN_MAX 400

void progress_init(struct progress *progress, bool quiet)
{
    *progress = (struct progress){
        .terminal = isatty(STDERR_FILENO) == 1,
        .quiet = quiet,
        .budget_total = NAN,
        .budget_at_start = NAN,
        .started_ms = hd_clock_ms(),
        .incumbent_job = -1,
        .closed = -1,
    };
}

double progress_planned_budget(const struct hd_experiment *experiment)
{
    const struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    const struct hd_stop *stop = &experiment->stop;
    if (spec->iterations_max == 0 || stop->configs > 0 || stop->jobs > 0 ||
        stop->full_evaluations > 0)
        return NAN;
    uint32_t cycle = hd_iter_gen_cycle(spec);
    double total = 0;
    for (uint32_t i = 0; i < cycle && i < spec->iterations_max; i++) {
        struct hd_bracket_plan plan;
        hd_iter_gen_plan(spec, i, &plan);
        double times = floor((spec->iterations_max - i - 1) / (double)cycle) + 1;
        for (uint32_t k = 0; k < plan.rung_count; k++)
            total += times * plan.counts[k] * plan.budgets[k];
    }
    return total;
}

static const char *text_of(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : "";
}

static int64_t count_of(const struct hd_value *object, const char *key)
{
    double number = hd_value_number(hd_value_get(object, key));
    return isnan(number) ? 0 : (int64_t)number;
}

/* Losses are kept minimized; people see the objective as they wrote it. */
static double shown(const struct hd_value *status, double loss)
{
    return hd_streq(text_of(status, "direction"), "maximize") ? -loss : loss;
}

static void describe_time(char *text, size_t text_size, double seconds)
{
    if (seconds < 90)
        (void)hd_format(text, text_size, "%.0fs", seconds);
    else if (seconds < 5400)
        (void)hd_format(text, text_size, "%.0fm", seconds / 60);
    else
        (void)hd_format(text, text_size, "%.1fh", seconds / 3600);
}

static void describe_eta(struct progress *progress, double spent, char *text, size_t text_size)
{
    text[0] = '\0';
    if (isnan(progress->budget_at_start))
        progress->budget_at_start = spent;
    double gained = spent - progress->budget_at_start;
    double elapsed = (double)(hd_clock_ms() - progress->started_ms) / 1000;
    if (isnan(progress->budget_total) || gained <= 0 || elapsed < 1)
        return;
    double left = (progress->budget_total - spent) / (gained / elapsed);
    char time[32];
    describe_time(time, sizeof(time), left > 0 ? left : 0);
    (void)hd_format(text, text_size, " | ETA %s", time);
}

bool progress_stands(const struct progress *progress)
{
    return progress->closed >= 0 && hd_clock_ms() - progress->closed_ms >= STANDS_MS;
}

void progress_set_waits(struct progress *progress, const char *text)
{
    (void)hd_copy_text(progress->waits, sizeof(progress->waits), text);
}

static void note_closed(struct progress *progress, const struct hd_value *status)
{
    int64_t closed = count_of(hd_value_get(status, "jobs"), "closed");
    if (closed == progress->closed)
        return;
    progress->closed = closed;
    progress->closed_ms = hd_clock_ms();
    progress->waits[0] = '\0';
}

/* What a line leaves out to be shorter. */
enum brevity { WHOLE, WITHOUT_RUN, SHORT_WORDS, WITHOUT_RATE, BREVITY_COUNT };

/* Without an objective the exit code is all there is. */
static bool is_optimized(const struct hd_value *status)
{
    const struct hd_value *objective = hd_value_get(status, "objective");
    return objective == NULL || objective->kind != HD_VALUE_NULL;
}

static void describe_best(const struct hd_value *status, enum brevity brevity, char *text,
                          size_t text_size)
{
    const struct hd_value *incumbent = hd_value_get(status, "incumbent");
    text[0] = '\0';
    if (incumbent == NULL || incumbent->kind != HD_VALUE_OBJECT || !is_optimized(status))
        return;
    bool brief = brevity >= SHORT_WORDS;
    const struct hd_value *front = hd_value_get(status, "front_size");
    if (front != NULL && front->kind == HD_VALUE_INT) {
        (void)hd_format(text, text_size, " | front of %" PRId64, front->as.integer);
        return;
    }
    (void)hd_format(text, text_size, " | best %s%s%.6g at %s%.6g",
                    brief ? "" : text_of(status, "objective"), brief ? "" : " ",
                    shown(status, hd_value_number(hd_value_get(incumbent, "loss"))),
                    brief ? "" : "budget ", hd_value_number(hd_value_get(incumbent, "budget")));
}

static void describe(struct progress *progress, const struct hd_value *status, enum brevity brevity,
                     char *text, size_t text_size)
{
    const struct hd_value *jobs = hd_value_get(status, "jobs");
    int64_t ok = count_of(hd_value_get(status, "outcomes"), "ok");
    int64_t closed = count_of(jobs, "closed");
    double spent = hd_value_number(hd_value_get(status, "budget_spent"));
    double rate = hd_value_number(hd_value_get(status, "rate_per_minute"));
    bool brief = brevity >= SHORT_WORDS;
    char run[HD_ID_MAX + 3] = "", best[160], eta[64], speed[48] = "", failed[32] = "";
    char total[48] = "";
    if (brevity == WHOLE)
        (void)hd_format(run, sizeof(run), "%s: ", text_of(status, "run_id"));
    describe_best(status, brevity, best, sizeof(best));
    if (closed > ok)
        (void)hd_format(failed, sizeof(failed), ", %" PRId64 " not ok", closed - ok);
    if (!isnan(rate) && brevity < WITHOUT_RATE)
        (void)hd_format(speed, sizeof(speed), " | %.4g%s/min", rate, brief ? "" : " jobs");
    if (progress->waits[0] != '\0') {
        (void)hd_format(text, text_size, "%s%" PRId64 " done, %" PRId64 " running%s | waits for %s",
                        run, closed, count_of(jobs, "running"), failed, progress->waits);
        return;
    }
    describe_eta(progress, spent, eta, sizeof(eta));
    if (!isnan(progress->budget_total))
        (void)hd_format(total, sizeof(total), "%s%.6g", brief ? "/" : " of ",
                        progress->budget_total);
    (void)hd_format(text, text_size,
                    "%s%" PRId64 " done, %" PRId64 " running%s | budget %.6g%s%s%s%s", run, closed,
                    count_of(jobs, "running"), failed, spent, total, best, speed, eta);
}

/* A line that the terminal would wrap could not be rewritten. The last column stays free: some
 * terminals wrap when it is taken. */
void progress_line(struct progress *progress, const struct hd_value *status, size_t columns,
                   char *text, size_t text_size)
{
    for (int brevity = WHOLE; brevity < BREVITY_COUNT; brevity++) {
        describe(progress, status, (enum brevity)brevity, text, text_size);
        if (strlen(text) < columns)
            return;
    }
    text[columns > 0 ? columns - 1 : 0] = '\0';
}

static size_t terminal_columns(void)
{
    struct winsize size;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : COLUMNS_DEFAULT;
}

void progress_show(struct progress *progress, const struct hd_value *status)
{
    note_closed(progress, status);
    if (progress->quiet)
        return;
    char text[512];
    if (progress->terminal) {
        progress_line(progress, status, terminal_columns(), text, sizeof(text));
        fprintf(stderr, "\r\033[K%s", text);
        fflush(stderr);
        progress->line_open = true;
        return;
    }
    describe(progress, status, WHOLE, text, sizeof(text));
    const struct hd_value *incumbent = hd_value_get(status, "incumbent");
    int64_t job =
        incumbent != NULL && incumbent->kind == HD_VALUE_OBJECT ? count_of(incumbent, "job") : -1;
    int64_t now_ms = hd_clock_ms();
    bool news = job != progress->incumbent_job || now_ms - progress->said_ms >= PLAIN_PERIOD_MS;
    if (!news || hd_streq(text, progress->last))
        return;
    progress->incumbent_job = job;
    progress->said_ms = now_ms;
    (void)hd_copy_text(progress->last, sizeof(progress->last), text);
    fprintf(stderr, "%s\n", text);
}

void progress_note(struct progress *progress, const char *text)
{
    progress_end(progress);
    fprintf(stderr, "%s\n", text);
}

void progress_end(struct progress *progress)
{
    if (progress->line_open)
        fputc('\n', stderr);
    progress->line_open = false;
}

static void print_json(const struct hd_value *value)
{
    struct hd_buf text;
    struct hd_err err;
    hd_buf_init(&text, HD_VIEW_JSON_MAX);
    if (value == NULL)
        printf("null");
    else if (hd_json_write(value, HD_JSON_COMPACT, &text, &err) == HD_OK)
        printf("%s", hd_buf_text(&text));
    else
        printf("null");
    hd_buf_release(&text);
}

/* How many jobs ended otherwise than well, and what the last of them said: a run whose jobs all
 * fail may well finish. */
static void print_failures(const struct hd_value *status)
{
    const struct hd_value *outcomes = hd_value_get(status, "outcomes");
    const struct hd_value *failure = hd_value_get(status, "last_failure");
    int64_t count = 0;
    for (size_t i = 0; outcomes != NULL && i < outcomes->as.object.count; i++) {
        const char *outcome = outcomes->as.object.keys[i];
        if (hd_streq(outcome, "ok") || hd_streq(outcome, "stopped")) /* early, as planned */
            continue;
        printf("%s%" PRId64 " %s", count++ == 0 ? "not ok: " : ", ", count_of(outcomes, outcome),
               outcome);
    }
    if (count > 0)
        putchar('\n');
    if (count == 0 || failure == NULL || failure->kind != HD_VALUE_OBJECT)
        return;
    char message[MESSAGE_SHOWN_MAX];
    (void)hd_copy_text(message, sizeof(message), text_of(failure, "message"));
    for (char *c = message; *c != '\0'; c++) /* they would move the cursor of whoever reads */
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    const struct hd_value *requeued = hd_value_get(failure, "requeued");
    bool again = requeued != NULL && requeued->kind == HD_VALUE_BOOL && requeued->as.boolean;
    printf("last failure: job %" PRId64 " %s%s: %s (hd show, hd logs)\n", count_of(failure, "job"),
           text_of(failure, "outcome"), again ? ", queued again" : "", message);
}

void progress_print_end(const struct hd_value *status, const char *state_dir, bool json)
{
    if (json) {
        print_json(status);
        putchar('\n');
        return;
    }
    const struct hd_value *jobs = hd_value_get(status, "jobs");
    const struct hd_value *incumbent = hd_value_get(status, "incumbent");
    const char *state = text_of(status, "state"), *reason = text_of(status, "reason");
    printf("run %s: %s%s%s\n", text_of(status, "run_id"),
           hd_streq(state, "active") ? "stopped before its end" : state,
           reason[0] != '\0' ? ": " : "", reason);
    printf("jobs: %" PRId64 " done, %" PRId64 " ok; budget spent: %.6g\n", count_of(jobs, "closed"),
           count_of(hd_value_get(status, "outcomes"), "ok"),
           hd_value_number(hd_value_get(status, "budget_spent")));
    print_failures(status);
    const struct hd_value *front = hd_value_get(status, "front_size");
    bool several = front != NULL && front->kind == HD_VALUE_INT;
    if (several)
        printf("front: %" PRId64 " config%s that no other one beats (hd best shows %s)\n",
               front->as.integer, front->as.integer == 1 ? "" : "s",
               front->as.integer == 1 ? "it" : "them");
    if (!is_optimized(status)) {
        printf("nothing is optimized: a job with exit code 0 has succeeded\n");
    } else if (incumbent != NULL && incumbent->kind == HD_VALUE_OBJECT) {
        char estimate[64] = "";
        const struct hd_value *error = hd_value_get(incumbent, "error");
        if (hd_value_is_number(error))
            (void)hd_format(estimate, sizeof(estimate), " +- %.2g (%" PRId64 " results)",
                            hd_value_number(error), count_of(incumbent, "results"));
        printf("%s %s: %.6g%s at budget %.6g (job %" PRId64 ")\n%s config: ",
               several ? "its end by" : "best", text_of(status, "objective"),
               shown(status, hd_value_number(hd_value_get(incumbent, "loss"))), estimate,
               hd_value_number(hd_value_get(incumbent, "budget")), count_of(incumbent, "job"),
               several ? "its" : "best");
        print_json(hd_value_get(incumbent, "params"));
        putchar('\n');
    } else {
        bool goes_on = hd_streq(state, "active") || hd_streq(state, "paused");
        printf("no job has succeeded%s\n", goes_on ? " yet" : "");
    }
    if (state_dir != NULL)
        printf("results: %s (hd jobs, hd best, hd export read it)\n", state_dir);
}
