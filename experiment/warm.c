/* SPDX-License-Identifier: Apache-2.0 */
/* warm.c: what is started before its job is known: `target.warm`, a target that stays alive and
 * takes jobs one after another, and `target.ahead`, a container that is made while another one
 * runs. */
#include "describe.h"

#include <string.h>

#define PATH "target"
#define JOBS_MAX 1000000000u
#define IDLE_MS_MAX (7 * INT64_C(86400000))

/* The first ${...} that stands for another value in each job, and its size; NULL: none. */
static const char *find_per_job(const char *text, size_t *ret_size)
{
    static const char *const of_run[] = {"${run_id}", "${uuid}"};
    while ((text = strchr(text, '$')) != NULL) {
        size_t size = text[1] == '{' ? strcspn(text, "}") + 1 : text[1] == '$' ? 2 : 1;
        bool same = text[1] != '{';
        for (size_t i = 0; i < HD_COUNT(of_run); i++)
            same = same || (size == strlen(of_run[i]) && strncmp(text, of_run[i], size) == 0);
        if (!same) {
            *ret_size = size;
            return text;
        }
        text += size;
    }
    return NULL;
}

/* What jobs of one run must have in common, and why. */
struct common {
    const char *args, *word;
};
static const struct common of_warm = {
    .args = "cli gives params on the command line, and a warm target is started once for many "
            "jobs: leave it out",
    .word = "a warm target is started once for many: it reads it in the line of each job",
};
static const struct common of_ahead = {
    .args = "cli gives params on the command line, and a container that is made ahead does not "
            "know its job: leave it out",
    .word = "a container that is made ahead does not know its job: it reads params.json and "
            "job.json",
};

static enum hd_code check_word(const struct hd_reader *reader, const struct hd_value *object,
                               const char *key, const char *word, const struct common *common)
{
    size_t size = 0;
    const char *found = find_per_job(word, &size);
    if (found == NULL)
        return HD_OK;
    return hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, key), PATH, key,
                        "%.*s differs from job to job, and %s", (int)size, found, common->word);
}

/* What it is started with holds for all of its jobs. */
static enum hd_code check_common(const struct hd_reader *reader, const struct hd_value *object,
                                 const struct hd_target *target, const struct common *common)
{
    enum hd_code code = HD_OK;
    if (target->args_cli)
        return hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, "args"), PATH, "args", "%s",
                            common->args);
    for (size_t i = 0; i < target->command_count && code == HD_OK; i++)
        code = check_word(reader, object, "command", target->command[i], common);
    for (size_t i = 0; i < target->env_count && code == HD_OK; i++)
        code = check_word(reader, object, "env", target->env[i].value, common);
    return code;
}

/* A label is the image's word for how it is started by itself: what gives a job's own values on the
 * command line, or reads its output, was not written for a target that stays. */
static bool may_be_labelled(const struct hd_value *object, const struct hd_target *target)
{
    size_t size = 0;
    bool may =
        target->image != NULL && !target->args_cli && hd_read_member(object, "from_output") == NULL;
    for (size_t i = 0; i < target->command_count && may; i++)
        may = find_per_job(target->command[i], &size) == NULL;
    for (size_t i = 0; i < target->env_count && may; i++)
        may = find_per_job(target->env[i].value, &size) == NULL;
    return may;
}

static enum hd_code parse_map(const struct hd_reader *reader, const struct hd_value *map,
                              struct hd_warm_spec *warm)
{
    static const char *const names[] = {"jobs", "idle", "heartbeat"};
    static const char path[] = PATH ".warm";
    enum hd_code code = hd_read_keys(reader, map, path, names, HD_COUNT(names));
    if (code == HD_OK)
        code = hd_read_u32(reader, map, path, "jobs", 1, JOBS_MAX, &warm->jobs);
    if (code == HD_OK)
        code = hd_read_ms(reader, map, path, "idle", 0, IDLE_MS_MAX, &warm->idle_ms);
    if (code == HD_OK)
        code =
            hd_read_ms(reader, map, path, "heartbeat", 0, HD_DURATION_MS_MAX, &warm->heartbeat_ms);
    return code;
}

enum hd_code hd_warm_parse(const struct hd_reader *reader, const struct hd_value *object,
                           struct hd_target *target)
{
    const struct hd_value *value = hd_read_member(object, "warm");
    struct hd_warm_spec *warm = &target->warm;
    enum hd_code code = HD_OK;
    *warm = (struct hd_warm_spec){.jobs = HD_WARM_JOBS_DEFAULT, .idle_ms = HD_WARM_IDLE_MS_DEFAULT};
    if (value == NULL || (value->kind == HD_VALUE_STRING && hd_streq(value->as.string, "auto"))) {
        warm->by_label = may_be_labelled(object, target);
        return HD_OK;
    }
    if (value->kind == HD_VALUE_OBJECT) {
        warm->on = true;
        code = parse_map(reader, value, warm);
    } else if (value->kind == HD_VALUE_BOOL) {
        warm->on = value->as.boolean;
    } else {
        return hd_read_wrong_type(reader, value, PATH, "warm",
                                  "true, false, auto or a map of jobs, idle and heartbeat");
    }
    return code == HD_OK && warm->on ? check_common(reader, object, target, &of_warm) : code;
}

enum hd_code hd_ahead_parse(const struct hd_reader *reader, const struct hd_value *object,
                            struct hd_target *target)
{
    const struct hd_value *value = hd_value_get(object, "ahead");
    enum hd_code code = hd_read_bool(reader, object, PATH, "ahead", &target->ahead);
    if (code != HD_OK || !target->ahead)
        return code;
    if (target->image == NULL)
        return hd_read_fail(reader, HD_E_INVALID, value, PATH, "ahead",
                            "needs an image: a command has no container that could be made before");
    if (target->warm.on)
        return hd_read_fail(reader, HD_E_INVALID, value, PATH, "ahead",
                            "a warm target is there already when its next job comes: leave it out");
    const struct hd_container *container = &target->container;
    if (container->ports != NULL || (container->networks != NULL && container->networks[1] != NULL))
        return hd_read_fail(reader, HD_E_INVALID, value, PATH, "ahead",
                            "goes with one network and no ports: two containers are there at once");
    return check_common(reader, object, target, &of_ahead);
}

struct hd_value *hd_warm_describe(const struct hd_warm_spec *warm)
{
    if (warm->by_label)
        return hd_value_new_string("auto");
    if (!warm->on)
        return hd_value_new_bool(false);
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "jobs", hd_value_new_int(warm->jobs)) &&
                put(map, "idle", new_ms(warm->idle_ms)) &&
                put(map, "heartbeat", new_ms(warm->heartbeat_ms));
    return finish(map, good);
}
