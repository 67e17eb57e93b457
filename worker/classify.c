/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classify.c: what an attempt's end means: reads loss.json, and makes the outcome of the raw end
 * that an engine reported. Pure: text and values in, values out.
 *
 * Everything in loss.json was written by a program that nobody checked: each part is bounded, and
 * what cannot be understood becomes a message for the person, never an error.
 */
#include <hd/engine.h>

#include <ctype.h>
#include <math.h>
#include <string.h>

#define LOSS_EXCERPT_MAX 40 /* bytes of an unreadable text that are shown */

/* ---- reading loss.json ---------------------------------------------------------------------- */

/* Keys with a meaning of their own; all others are kept for the person. */
static bool is_own_key(const char *key)
{
    static const char *const own[] = {"loss", "value", "state", "status", "msg", "message"};
    for (size_t i = 0; i < HD_COUNT(own); i++)
        if (hd_streq(key, own[i]))
            return true;
    return false;
}

static bool equals_ignoring_case(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++)
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
    return *a == *b;
}

static bool is_failed_state(const struct hd_value *value)
{
    static const char *const failed[] = {"fail", "failed", "failure", "error"};
    if (value == NULL || value->kind != HD_VALUE_STRING)
        return false;
    for (size_t i = 0; i < HD_COUNT(failed); i++)
        if (equals_ignoring_case(value->as.string, failed[i]))
            return true;
    return false;
}

/* A number, or a text that is one: some writers put quotes around NaN, or around all numbers. */
static bool read_number(const struct hd_value *value, double *ret_number)
{
    if (hd_value_is_number(value)) {
        *ret_number = hd_value_number(value);
        return true;
    }
    return value != NULL && value->kind == HD_VALUE_STRING &&
           hd_parse_double(value->as.string, ret_number);
}

/* Not the first objective, which other names stand for too. */
static bool find_measure(const struct hd_value *object, const char *name, double *ret_number)
{
    const struct hd_value *metrics = hd_value_get(object, "metrics");
    return read_number(hd_value_get(object, name), ret_number) ||
           (metrics != NULL && metrics->kind == HD_VALUE_OBJECT &&
            read_number(hd_value_get(metrics, name), ret_number));
}

/* The objective's own name is what the person asked for, so it goes before the general names. */
static bool find_loss(const struct hd_value *object, const struct hd_experiment *experiment,
                      double *ret_number)
{
    const char *name = experiment != NULL ? experiment->objective.name : NULL;
    if (name != NULL && read_number(hd_value_get(object, name), ret_number))
        return true;
    if (read_number(hd_value_get(object, "loss"), ret_number) ||
        read_number(hd_value_get(object, "value"), ret_number))
        return true;
    const struct hd_value *metrics = hd_value_get(object, "metrics");
    return name != NULL && metrics != NULL && metrics->kind == HD_VALUE_OBJECT &&
           read_number(hd_value_get(metrics, name), ret_number);
}

static void keep_message(const struct hd_value *object, struct hd_loss *loss)
{
    static const char *const keys[] = {"msg", "message", "error"};
    for (size_t i = 0; i < HD_COUNT(keys); i++) {
        const struct hd_value *value = hd_value_get(object, keys[i]);
        if (value != NULL && value->kind == HD_VALUE_STRING && value->as.string[0] != '\0') {
            (void)hd_copy_text(loss->message, sizeof(loss->message), value->as.string);
            return;
        }
    }
}

/* `,"key":value` into part; false when it does not fit. */
static bool write_entry(const char *key, const struct hd_value *value, bool first,
                        struct hd_buf *part)
{
    struct hd_err err;
    hd_buf_clear(part);
    return (first || hd_buf_puts(part, ",", &err) == HD_OK) &&
           hd_json_write_string(key, part, &err) == HD_OK &&
           hd_buf_puts(part, ":", &err) == HD_OK &&
           hd_json_write(value, HD_JSON_COMPACT, part, &err) == HD_OK;
}

static size_t measure_count(const struct hd_experiment *experiment)
{
    return experiment != NULL ? hd_experiment_measure_count(experiment) : 0;
}

static bool is_measure(const struct hd_experiment *experiment, const char *key)
{
    for (size_t i = 0; i < measure_count(experiment); i++)
        if (hd_streq(hd_experiment_measure_name(experiment, i), key))
            return true;
    return false;
}

/* Entries that do not fit are left out whole, so that what is kept is always valid JSON. */
static void keep_info(const struct hd_value *object, const struct hd_experiment *experiment,
                      struct hd_loss *loss)
{
    const char *name = experiment != NULL ? experiment->objective.name : NULL;
    struct hd_buf part;
    hd_buf_init(&part, sizeof(loss->info_json));
    size_t used = 0;
    for (size_t i = 0; i < object->as.object.count; i++) {
        const char *key = object->as.object.keys[i];
        if (is_own_key(key) || (name != NULL && hd_streq(key, name)) || is_measure(experiment, key))
            continue;
        if (!write_entry(key, object->as.object.items[i], used == 0, &part))
            continue;
        size_t start = used == 0 ? 1 : used;
        if (start + part.size + 2 > sizeof(loss->info_json))
            continue;
        loss->info_json[0] = '{';
        memcpy(loss->info_json + start, part.data, part.size);
        used = start + part.size;
    }
    if (used > 0) {
        loss->info_json[used] = '}';
        loss->info_json[used + 1] = '\0';
    }
    hd_buf_release(&part);
}

static void set_loss(double number, const struct hd_experiment *experiment, struct hd_loss *loss)
{
    loss->present = true;
    loss->loss = experiment != NULL && experiment->objective.maximize ? -number : number;
}

/* With several objectives or constraints. */
static void set_measure(const struct hd_experiment *experiment, size_t index, double number,
                        struct hd_loss *loss)
{
    bool objective = index < experiment->objective_count;
    bool negated = objective && hd_experiment_objective(experiment, index)->maximize;
    loss->measures[index] = negated ? -number : number;
    loss->measure_count = index + 1;
}

/* false: one is missing, and the message says which. */
static bool find_measures(const struct hd_value *object, const struct hd_experiment *experiment,
                          struct hd_loss *loss)
{
    size_t count = measure_count(experiment);
    for (size_t i = 0; i < count; i++) {
        double number;
        const char *name = hd_experiment_measure_name(experiment, i);
        bool found =
            i == 0 ? find_loss(object, experiment, &number) : find_measure(object, name, &number);
        if (!found) {
            loss->measure_count = 0;
            (void)hd_format(loss->message, sizeof(loss->message),
                            "loss.json holds an object without a number named \"%.200s\", which is "
                            "%s of the experiment",
                            name,
                            i < experiment->objective_count ? "an objective" : "a constraint");
            return false;
        }
        set_measure(experiment, i, number, loss);
    }
    return true;
}

static void read_object(const struct hd_value *object, const struct hd_experiment *experiment,
                        struct hd_loss *loss)
{
    double number;
    loss->failed = is_failed_state(hd_value_get(object, "state")) ||
                   is_failed_state(hd_value_get(object, "status"));
    keep_message(object, loss);
    keep_info(object, experiment, loss);
    if (measure_count(experiment) > 0) {
        loss->present = find_measures(object, experiment, loss) || loss->failed;
        loss->loss = loss->measure_count > 0 ? loss->measures[0] : (double)NAN;
    } else if (find_loss(object, experiment, &number)) {
        set_loss(number, experiment, loss);
    } else if (loss->failed) {
        loss->present = true;
    } else {
        const char *name = experiment != NULL ? experiment->objective.name : NULL;
        if (name == NULL || hd_streq(name, "loss"))
            (void)hd_copy_text(loss->message, sizeof(loss->message),
                               "loss.json holds an object without a number named \"loss\"");
        else
            (void)hd_format(loss->message, sizeof(loss->message),
                            "loss.json holds an object without a number named \"%s\" or \"loss\"",
                            name);
    }
}

/* Several objectives: their numbers in the order of the experiment, then those of the
 * constraints. */
static void read_list(const struct hd_value *list, const struct hd_experiment *experiment,
                      struct hd_loss *loss)
{
    size_t count = measure_count(experiment);
    double number = 0;
    bool good = list->as.array.count == count;
    for (size_t i = 0; i < count && good; i++) {
        good = read_number(list->as.array.items[i], &number);
        if (good)
            set_measure(experiment, i, number, loss);
    }
    if (!good) {
        loss->measure_count = 0;
        (void)hd_format(loss->message, sizeof(loss->message),
                        "loss.json holds a list that is not the %zu numbers of the objectives and "
                        "constraints",
                        count);
        return;
    }
    loss->present = true;
    loss->loss = loss->measures[0];
}

static void refuse_bare(const struct hd_experiment *experiment, struct hd_loss *loss)
{
    (void)hd_format(loss->message, sizeof(loss->message),
                    "loss.json holds one number; the experiment has %zu objectives and "
                    "constraints: write an object with their names",
                    measure_count(experiment));
}

static void read_value(const struct hd_value *value, const struct hd_experiment *experiment,
                       struct hd_loss *loss)
{
    double number;
    if (value->kind == HD_VALUE_OBJECT)
        read_object(value, experiment, loss);
    else if (value->kind == HD_VALUE_ARRAY && measure_count(experiment) > 0)
        read_list(value, experiment, loss);
    else if (read_number(value, &number) && measure_count(experiment) > 0)
        refuse_bare(experiment, loss);
    else if (read_number(value, &number))
        set_loss(number, experiment, loss);
    else
        (void)hd_format(loss->message, sizeof(loss->message),
                        "loss.json holds %s, not a number or an object with \"loss\"",
                        hd_value_kind_name(value->kind));
}

/* Length of a word such as nan, -NAN, inf, Infinity, -nan(ind) at text, or 0; *ret_name gets the
 * spelling that the JSON reader knows. */
static size_t odd_number(const char *text, size_t size, const char **ret_name)
{
    static const struct {
        const char *word;
        const char *positive, *negative;
    } odd[] = {
        {"infinity", "Infinity", "-Infinity"},
        {"inf", "Infinity", "-Infinity"},
        {"nan(ind)", "NaN", "NaN"},
        {"nan", "NaN", "NaN"},
    };
    size_t sign = size > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    for (size_t i = 0; i < HD_COUNT(odd); i++) {
        size_t length = strlen(odd[i].word);
        if (size - sign < length)
            continue;
        size_t at = 0;
        while (at < length && tolower((unsigned char)text[sign + at]) == odd[i].word[at])
            at++;
        bool ends = at == length && (sign + at == size || !isalnum((unsigned char)text[sign + at]));
        if (ends) {
            *ret_name = text[0] == '-' ? odd[i].negative : odd[i].positive;
            return sign + length;
        }
    }
    return 0;
}

/* One step of a target's text into text that JSON takes: printf("%f") of C, and MATLAB's, write
 * nan, -nan, inf, which outside of strings become the literals that the reader takes; bytes that
 * are not UTF-8, as of messages in Latin-1, become U+FFFD inside them. Returns how much was read.
 */
static size_t respell_one(const char *text, size_t size, bool in_string, const char **ret_instead)
{
    size_t length = in_string ? 0 : odd_number(text, size, ret_instead);
    if (length > 0)
        return length;
    *ret_instead = NULL;
    if (!in_string)
        return 1;
    if (text[0] == '\\' && size > 1)
        return 2;
    length = hd_utf8_size(text, size);
    if (length == 0)
        *ret_instead = "\xef\xbf\xbd";
    return length > 0 ? length : 1;
}

/* False when there was nothing to change. */
static bool respell(const char *text, size_t size, struct hd_buf *out)
{
    struct hd_err err;
    bool changed = false;
    bool in_string = false;
    for (size_t i = 0, step; i < size; i += step) {
        const char *instead;
        step = respell_one(text + i, size - i, in_string, &instead);
        changed = changed || instead != NULL;
        if (step == 1 && text[i] == '"')
            in_string = !in_string;
        if ((instead != NULL ? hd_buf_puts(out, instead, &err)
                             : hd_buf_append(out, text + i, step, &err)) != HD_OK)
            return false;
    }
    return changed;
}

enum hd_code hd_target_json_parse(const char *text, size_t size, const char *name,
                                  struct hd_value **ret_value, struct hd_err *err)
{
    enum hd_code code = hd_json_parse(text, size, name, &hd_value_limits_target, ret_value, err);
    if (code == HD_OK || size > hd_value_limits_target.bytes_max)
        return code;
    struct hd_buf respelled;
    struct hd_err ignored;
    hd_buf_init(&respelled, hd_value_limits_target.bytes_max * 3);
    if (respell(text, size, &respelled) &&
        hd_json_parse(respelled.data, respelled.size, name, &hd_value_limits_target, ret_value,
                      &ignored) == HD_OK)
        code = HD_OK;
    hd_buf_release(&respelled);
    return code;
}

/* A bare number in a form that JSON does not know: "+0.5", ".5", "1e-3\n". */
static bool parse_bare(const char *text, size_t size, double *ret_number)
{
    char word[64];
    if (size == 0 || size >= sizeof(word) || memchr(text, '\0', size) != NULL)
        return false;
    memcpy(word, text, size);
    word[size] = '\0';
    return hd_parse_double(word, ret_number);
}

static void say_unreadable(const char *text, size_t size, const char *why, struct hd_loss *loss)
{
    char excerpt[LOSS_EXCERPT_MAX + 1];
    size_t length = size < LOSS_EXCERPT_MAX ? size : LOSS_EXCERPT_MAX;
    for (size_t i = 0; i < length; i++)
        excerpt[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    excerpt[length] = '\0';
    (void)hd_format(loss->message, sizeof(loss->message),
                    "loss.json cannot be read (it begins with '%s'): %.300s", excerpt, why);
}

void hd_loss_parse(const char *text, size_t size, const struct hd_experiment *experiment,
                   struct hd_loss *ret_loss)
{
    *ret_loss = (struct hd_loss){.loss = (double)NAN};
    while (size > 0 && isspace((unsigned char)text[0])) {
        text++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    if (size == 0) {
        (void)hd_copy_text(ret_loss->message, sizeof(ret_loss->message), "loss.json is empty");
        return;
    }
    double number;
    if (parse_bare(text, size, &number)) {
        if (measure_count(experiment) > 0)
            refuse_bare(experiment, ret_loss);
        else
            set_loss(number, experiment, ret_loss);
        return;
    }
    struct hd_err err = {0};
    struct hd_value *value = NULL;
    if (hd_target_json_parse(text, size, "loss.json", &value, &err) == HD_OK)
        read_value(value, experiment, ret_loss);
    else
        say_unreadable(text, size, err.text, ret_loss);
    hd_value_free(value);
}

/* ---- the outcome ---------------------------------------------------------------------------- */

static const char *signal_name(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {1, "SIGHUP"},
        {2, "SIGINT"},
        {3, "SIGQUIT"},
        {4, "SIGILL, illegal instruction"},
        {6, "SIGABRT"},
        {7, "SIGBUS"},
        {8, "SIGFPE"},
        {9, "SIGKILL"},
        {11, "SIGSEGV, a bad memory access"},
        {13, "SIGPIPE"},
        {15, "SIGTERM"},
        {24, "SIGXCPU"},
        {25, "SIGXFSZ"},
        {31, "SIGSYS"},
    };
    for (size_t i = 0; i < HD_COUNT(names); i++)
        if (names[i].number == number)
            return names[i].name;
    return NULL;
}

static void describe_exit(int code, char *text, size_t size)
{
    const char *name = code > 128 ? signal_name(code - 128) : NULL;
    if (name != NULL)
        (void)hd_format(text, size, "exit code %d (%s)", code, name);
    else
        (void)hd_format(text, size, "exit code %d", code);
}

struct verdict {
    enum hd_outcome outcome;
    double loss;
};

static struct verdict make_verdict(enum hd_outcome outcome)
{
    return (struct verdict){outcome, (double)NAN};
}

static struct verdict judge_stopped(const struct hd_engine_end *end, const struct hd_loss *loss,
                                    enum hd_outcome stop_outcome, char *message, size_t size)
{
    if (end->timed_out) {
        (void)hd_copy_text(message, size,
                           "it ran longer than its time limit and was ended; raise "
                           "target.timeout if it needs more");
        return make_verdict(HD_OUTCOME_TIMEOUT);
    }
    struct verdict verdict = make_verdict(stop_outcome);
    if (stop_outcome == HD_OUTCOME_STOPPED && loss->present && !loss->failed &&
        isfinite(loss->loss))
        verdict.loss = loss->loss;
    (void)hd_format(message, size, "ended on request (%s)", hd_outcome_name(stop_outcome));
    return verdict;
}

static struct verdict judge_oom(const struct hd_engine_end *end, char *message, size_t size)
{
    char how[96];
    describe_exit(end->exit_code, how, sizeof(how));
    if (end->exit_code == 137)
        (void)hd_copy_text(message, size,
                           "killed for passing its memory limit; raise target.resources.memory "
                           "or make the program smaller");
    else
        (void)hd_format(message, size,
                        "a process of it was killed for passing the memory limit, the program "
                        "then ended with %s; raise target.resources.memory",
                        how);
    return make_verdict(HD_OUTCOME_OOM);
}

static struct verdict judge_bad_exit(const struct hd_engine_end *end, const struct hd_loss *loss,
                                     char *message, size_t size)
{
    char how[96];
    describe_exit(end->exit_code, how, sizeof(how));
    if (end->exit_code == 137) {
        (void)hd_format(message, size,
                        "%s, and neither Hyperdock nor its memory limit did it: an operator, "
                        "the machine short of memory, or the engine stopping",
                        how);
        return make_verdict(HD_OUTCOME_INFRA);
    }
    if (loss->failed && loss->message[0] != '\0')
        (void)hd_format(message, size, "%s (%s)", loss->message, how);
    else if (end->exit_code == 127)
        (void)hd_format(message, size, "%s: a command was not found; see its log", how);
    else if (end->exit_code == 126)
        (void)hd_format(message, size, "%s: a command could not be executed; see its log", how);
    else
        (void)hd_format(message, size, "%s%s; see its log", how,
                        loss->present && !loss->failed ? ", although it wrote a loss" : "");
    return make_verdict(HD_OUTCOME_FAILED);
}

static struct verdict judge_good_exit(const struct hd_loss *loss,
                                      const struct hd_experiment *experiment, char *message,
                                      size_t size)
{
    if (loss->failed) {
        (void)hd_format(message, size, "%s",
                        loss->message[0] != '\0' ? loss->message
                                                 : "the target reported a failure in loss.json");
        return make_verdict(HD_OUTCOME_FAILED);
    }
    if (experiment != NULL && experiment->objective.exit_code_only)
        return (struct verdict){HD_OUTCOME_OK, 0.0};
    if (!loss->present) {
        (void)hd_format(message, size, "exit code 0, but no result: %s",
                        loss->message[0] != '\0' ? loss->message : "loss.json was not written");
        return make_verdict(HD_OUTCOME_NO_RESULT);
    }
    if (!isfinite(loss->loss)) {
        (void)hd_format(message, size, "the loss is %s: the configuration diverged",
                        isnan(loss->loss) ? "NaN" : "infinite");
        return make_verdict(HD_OUTCOME_DIVERGED);
    }
    for (size_t i = 0; i < loss->measure_count; i++) {
        if (isfinite(loss->measures[i]))
            continue;
        (void)hd_format(message, size, "%.200s is %s: the configuration diverged",
                        hd_experiment_measure_name(experiment, i),
                        isnan(loss->measures[i]) ? "NaN" : "infinite");
        return make_verdict(HD_OUTCOME_DIVERGED);
    }
    (void)hd_copy_text(message, size, loss->message);
    return (struct verdict){HD_OUTCOME_OK, loss->loss};
}

static struct verdict judge(const struct hd_engine_end *end, const struct hd_loss *loss,
                            const struct hd_experiment *experiment, enum hd_outcome stop_outcome,
                            char *message, size_t size)
{
    if (end->timed_out || end->stopped)
        return judge_stopped(end, loss, stop_outcome, message, size);
    if (end->uncharged) {
        (void)hd_copy_text(message, size, end->message);
        return make_verdict(HD_OUTCOME_PREEMPTED);
    }
    switch (end->kind) {
    case HD_END_NOT_STARTED:
        (void)hd_format(message, size, "%s",
                        end->message[0] != '\0' ? end->message : "it could not be started");
        return make_verdict(end->config_error ? HD_OUTCOME_CONFIG_ERROR : HD_OUTCOME_INFRA);
    case HD_END_ENGINE_LOST:
        (void)hd_format(message, size, "%s",
                        end->message[0] != '\0' ? end->message : "the engine lost it");
        return make_verdict(HD_OUTCOME_INFRA);
    case HD_END_EXITED:
        break;
    }
    /* Hyperdock never looked at how a target ended that had written a loss.json. */
    if (experiment != NULL && experiment->target.as_hyperdock && loss->present)
        return judge_good_exit(loss, experiment, message, size);
    if (end->oom_killed)
        return judge_oom(end, message, size);
    if (end->exit_code != 0)
        return judge_bad_exit(end, loss, message, size);
    return judge_good_exit(loss, experiment, message, size);
}

void hd_classify(const struct hd_engine_end *end, const struct hd_loss *loss,
                 const struct hd_experiment *experiment, enum hd_outcome stop_outcome,
                 struct hd_result *ret_result, char *message, size_t message_size)
{
    hd_assert(message_size > 0);
    message[0] = '\0';
    struct verdict verdict = judge(end, loss, experiment, stop_outcome, message, message_size);
    /* A clock that was set back must not make a job that ended before it began. */
    int64_t finished =
        end->finished_wall_ms < end->started_wall_ms ? end->started_wall_ms : end->finished_wall_ms;
    *ret_result = (struct hd_result){
        .outcome = verdict.outcome,
        .loss = verdict.loss,
        .started_wall_ms = end->started_wall_ms,
        .finished_wall_ms = finished,
        .exit_code = end->kind == HD_END_EXITED ? end->exit_code : -1,
        .message = message,
        .info_json = loss->info_json,
        .directory = "",
    };
    if (verdict.outcome == HD_OUTCOME_OK) {
        memcpy(ret_result->measures, loss->measures, sizeof(ret_result->measures));
        ret_result->measure_count = loss->measure_count;
    }
}
