/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_rules.c: what a target's output says about a failed attempt: patterns with bounds.
 *
 * A pattern is a POSIX extended regular expression. Back references and large repetition counts
 * are refused, so that compiling takes little memory and matching little time.
 */
#include "read.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT_MAX 64   /* in one {n,m} */
#define PARTS_MAX 4000u /* that a pattern may become when it is compiled */

const char *hd_log_action_name(enum hd_log_action action)
{
    switch (action) {
    case HD_LOG_LABEL:
        return "label";
    case HD_LOG_NO_RETRY:
        return "no_retry";
    case HD_LOG_EXCLUDE_WORKER:
        return "exclude_worker";
    case HD_LOG_ACTION_COUNT:
        break;
    }
    return "unknown";
}

/* The largest number of a "{n,m}" whose brace `at` points behind. */
static unsigned repeat_count(const char *at)
{
    unsigned largest = 0, number = 0;
    for (; *at != '\0' && *at != '}'; at++) {
        bool digit = *at >= '0' && *at <= '9';
        number = digit ? number * 10 + (unsigned)(*at - '0') : 0;
        if (number > REPEAT_MAX)
            return number;
        largest = number > largest ? number : largest;
    }
    return largest;
}

/* Where the bracket expression that begins at `at` ends; its first ']' is a member. */
static const char *bracket_end(const char *at)
{
    at += at[1] == '^' ? 2 : 1;
    if (*at == ']')
        at++;
    while (*at != '\0' && *at != ']') {
        char kind = at[0] == '[' ? at[1] : '\0';
        if (kind == ':' || kind == '.' || kind == '=') {
            const char close[] = {kind, ']', '\0'};
            const char *end = strstr(at + 2, close);
            if (end == NULL)
                return at + strlen(at);
            at = end + 2;
        } else {
            at++;
        }
    }
    return at;
}

/* How many parts a pattern becomes: what is repeated by + or {n,m} is copied as often, groups with
 * all that they hold. A part that stands in no group or in a closed one counts in groups[0]. */
struct parts {
    unsigned groups[HD_LOG_PATTERN_MAX + 1]; /* of each group that is open */
    size_t depth;
    unsigned last; /* of what a repetition would repeat */
};

static void add_part(struct parts *parts, unsigned count)
{
    parts->groups[parts->depth] += count;
    parts->last = count;
}

/* False: too many. */
static bool repeat_part(struct parts *parts, unsigned times)
{
    if (times > REPEAT_MAX || parts->last > PARTS_MAX)
        return false;
    parts->groups[parts->depth] += parts->last * (times - 1);
    parts->last *= times;
    return parts->groups[parts->depth] <= PARTS_MAX;
}

static void close_group(struct parts *parts)
{
    unsigned inside = parts->groups[parts->depth];
    if (parts->depth == 0)
        return; /* regcomp says it better */
    parts->groups[parts->depth--] = 0;
    add_part(parts, inside + 1);
}

/* Reads the part that begins at *at and leaves *at at its last byte. */
static bool count_part(struct parts *parts, const char **at)
{
    unsigned times;
    switch (**at) {
    case '(':
        parts->depth++;
        parts->last = 0;
        return true;
    case ')':
        close_group(parts);
        return true;
    case '+': /* as one and {0,} */
        return repeat_part(parts, 2);
    case '{':
        times = repeat_count(*at + 1);
        return repeat_part(parts, times > 1 ? times + 1 : 2);
    case '[':
        *at = bracket_end(*at);
        break;
    case '\\':
        *at += (*at)[1] != '\0' ? 1 : 0;
        break;
    default:
        break;
    }
    add_part(parts, 1);
    return true;
}

static enum hd_code check_bounds(const char *pattern, struct hd_err *err)
{
    struct parts parts = {0};
    if (pattern[0] == '\0' || strlen(pattern) > HD_LOG_PATTERN_MAX)
        return hd_fail(err, HD_E_LIMIT, "a pattern has 1 to %d bytes", HD_LOG_PATTERN_MAX);
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at == '\\' && at[1] >= '1' && at[1] <= '9')
            return hd_fail(err, HD_E_INVALID, "back references (\\%c) are not allowed", at[1]);
        if (!count_part(&parts, &at))
            return hd_fail(err, HD_E_LIMIT,
                           "it repeats too often: at most %d in one {}, and %u parts when what is "
                           "repeated by {} and + is written out",
                           REPEAT_MAX, PARTS_MAX);
        if (*at == '\0')
            break; /* regcomp says it better */
    }
    return HD_OK;
}

/* `groups`: how many there must be at least. */
static enum hd_code check_pattern(const char *pattern, size_t groups, struct hd_err *err)
{
    enum hd_code code = check_bounds(pattern, err);
    if (code != HD_OK)
        return code;
    regex_t regex;
    int failed = regcomp(&regex, pattern, REG_EXTENDED);
    if (failed != 0) {
        char why[120];
        (void)regerror(failed, &regex, why, sizeof(why));
        return hd_fail(err, HD_E_INVALID, "not a regular expression: %s", why);
    }
    if (regex.re_nsub < groups)
        code = hd_fail(err, HD_E_INVALID,
                       "no group: put brackets around the number, as in loss=([^ ]+)");
    regfree(&regex);
    return code;
}

enum hd_code hd_log_pattern_check(const char *pattern, struct hd_err *err)
{
    return check_pattern(pattern, 0, err);
}

static enum hd_code parse_rule(const struct hd_reader *reader, const struct hd_value *item,
                               const char *path, struct hd_log_rule *rule)
{
    static const char *const keys[] = {"match", "action", "label"};
    const char *actions[HD_LOG_ACTION_COUNT];
    for (int i = 0; i < HD_LOG_ACTION_COUNT; i++)
        actions[i] = hd_log_action_name((enum hd_log_action)i);
    if (item->kind != HD_VALUE_OBJECT)
        return hd_read_wrong_type(reader, item, path, "",
                                  "a map, such as {match: \"CUDA error\", action: no_retry}");
    size_t action = HD_LOG_LABEL;
    enum hd_code code = hd_read_keys(reader, item, path, keys, HD_COUNT(keys));
    if (code == HD_OK)
        code = hd_read_text(reader, item, path, "match", &rule->match);
    if (code == HD_OK && rule->match == NULL)
        code = hd_read_fail(reader, HD_E_INVALID, item, path, "match",
                            "missing; give a regular expression");
    if (code == HD_OK && hd_log_pattern_check(rule->match, reader->err) != HD_OK)
        code = hd_read_wrap(reader, hd_value_get(item, "match"), path, "match");
    if (code == HD_OK)
        code = hd_read_choice(reader, item, path, "action", actions, HD_COUNT(actions), &action);
    rule->action = (enum hd_log_action)action;
    if (code == HD_OK)
        code = hd_read_text(reader, item, path, "label", &rule->label);
    if (code == HD_OK && rule->label != NULL && strlen(rule->label) >= HD_LABEL_MAX)
        code = hd_read_fail(reader, HD_E_LIMIT, hd_value_get(item, "label"), path, "label",
                            "at most %d bytes", HD_LABEL_MAX - 1);
    if (code == HD_OK && rule->label == NULL && action == HD_LOG_LABEL)
        code = hd_read_fail(reader, HD_E_INVALID, item, path, "label",
                            "missing; a rule has a label, or an action: no_retry, exclude_worker");
    return code;
}

enum hd_code hd_log_rules_parse(const struct hd_reader *reader, const struct hd_value *root,
                                struct hd_experiment *experiment)
{
    const struct hd_value *list = hd_read_member(root, "log_rules");
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, list, "log_rules", "", "a list of rules");
    size_t count = list->as.array.count;
    if (count > HD_LOG_RULES_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, "log_rules", "", "at most %d are allowed",
                            HD_LOG_RULES_MAX);
    experiment->log_rules = hd_calloc(count + 1, sizeof(*experiment->log_rules));
    if (experiment->log_rules == NULL)
        return hd_read_nomem(reader);
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < count; i++) {
        char path[READ_PATH_MAX];
        struct hd_log_rule *rule = &experiment->log_rules[experiment->log_rule_count++];
        hd_format(path, sizeof(path), "log_rules[%zu]", i);
        code = parse_rule(reader, list->as.array.items[i], path, rule);
        if (code == HD_OK && rule->label == NULL && (rule->label = hd_strdup("")) == NULL)
            code = hd_read_nomem(reader);
    }
    return code;
}

void hd_log_rules_release(struct hd_experiment *experiment)
{
    for (size_t i = 0; i < experiment->log_rule_count; i++) {
        hd_free(experiment->log_rules[i].match);
        hd_free(experiment->log_rules[i].label);
    }
    hd_free(experiment->log_rules);
}

/* ---- values in the output ------------------------------------------------------------------- */

static enum hd_code parse_output_value(const struct hd_reader *reader, const char *name,
                                       const struct hd_value *item,
                                       struct hd_output_value *ret_value)
{
    static const char path[] = "target.from_output";
    if (item->kind != HD_VALUE_STRING)
        return hd_read_wrong_type(reader, item, path, name,
                                  "a regular expression with a group, such as loss=([^ ]+)");
    if (name[0] == '\0' || strlen(name) > HD_OBJECTIVE_NAME_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, item, path, name, "a name has 1 to %d bytes",
                            HD_OBJECTIVE_NAME_MAX);
    if (check_pattern(item->as.string, 1, reader->err) != HD_OK)
        return hd_read_wrap(reader, item, path, name);
    ret_value->name = hd_strdup(name);
    ret_value->match = hd_strdup(item->as.string);
    return ret_value->name != NULL && ret_value->match != NULL ? HD_OK : hd_read_nomem(reader);
}

enum hd_code hd_from_output_parse(const struct hd_reader *reader,
                                  const struct hd_value *target_object, struct hd_target *target)
{
    const struct hd_value *map = hd_read_member(target_object, "from_output");
    if (map == NULL)
        return HD_OK;
    if (map->kind != HD_VALUE_OBJECT)
        return hd_read_wrong_type(reader, map, "target", "from_output",
                                  "a map of names and regular expressions");
    size_t count = map->as.object.count;
    if (count > HD_OUTPUT_VALUES_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, map, "target", "from_output",
                            "at most %d are allowed", HD_OUTPUT_VALUES_MAX);
    if (target->warm.on)
        return hd_read_fail(reader, HD_E_INVALID, map, "target", "from_output",
                            "a warm target has one output for many jobs: it answers on its socket");
    target->from_output = hd_calloc(count + 1, sizeof(*target->from_output));
    if (target->from_output == NULL)
        return hd_read_nomem(reader);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = parse_output_value(reader, map->as.object.keys[i], map->as.object.items[i],
                                  &target->from_output[target->from_output_count++]);
    return code;
}

void hd_from_output_release(struct hd_target *target)
{
    for (size_t i = 0; i < target->from_output_count; i++) {
        hd_free(target->from_output[i].name);
        hd_free(target->from_output[i].match);
    }
    hd_free(target->from_output);
}
