/* SPDX-License-Identifier: Apache-2.0 */
/* context_ignore.c: the rules of a .dockerignore. See context.h. */
#include "context.h"

#include <fnmatch.h>
#include <string.h>

/* Blanks around it, "./" and slashes at its ends mean nothing. */
static char *trim(char *rule)
{
    bool except = false;
    rule += strspn(rule, " \t");
    if (*rule == '!') {
        except = true;
        rule++;
        rule += strspn(rule, " \t");
    }
    for (;;) {
        if (rule[0] == '/')
            rule++;
        else if (rule[0] == '.' && rule[1] == '/')
            rule += 2;
        else
            break;
    }
    size_t size = strlen(rule);
    while (size > 0 && strchr(" \t/", rule[size - 1]) != NULL)
        rule[--size] = '\0';
    if (size == 0 || hd_streq(rule, "."))
        return NULL;
    if (!except)
        return rule;
    *--rule = '!'; /* at least the one that was there was taken off */
    return rule;
}

enum hd_code hd_ignore_parse(const char *text, size_t size, struct hd_ignore *ret_ignore,
                             struct hd_err *err)
{
    struct hd_ignore ignore = {.text = hd_malloc(size + 1),
                               .rules = hd_calloc(HD_IGNORE_RULES_MAX, sizeof(char *))};
    if (ignore.text == NULL || ignore.rules == NULL) {
        hd_ignore_release(&ignore);
        return hd_fail(err, HD_E_NOMEM, "no memory for its rules");
    }
    memcpy(ignore.text, text, size);
    ignore.text[size] = '\0';
    for (char *at = ignore.text, *next; at != NULL && *at != '\0'; at = next) {
        next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        at[strcspn(at, "\r")] = '\0';
        char *rule = at[0] == '#' ? NULL : trim(at);
        if (rule == NULL)
            continue;
        if (ignore.rule_count == HD_IGNORE_RULES_MAX) {
            hd_ignore_release(&ignore);
            return hd_fail(err, HD_E_LIMIT, "more than %d rules",
                           HD_IGNORE_RULES_MAX);
        }
        ignore.rules[ignore.rule_count++] = rule;
    }
    *ret_ignore = ignore;
    return HD_OK;
}

void hd_ignore_release(struct hd_ignore *ignore)
{
    hd_free(ignore->text);
    hd_free(ignore->rules);
    *ignore = (struct hd_ignore){0};
}

static bool part_fits(const char *pattern, size_t pattern_size, const char *part, size_t part_size)
{
    char one[256], other[256];
    return hd_format(one, sizeof(one), "%.*s", (int)pattern_size, pattern) &&
           hd_format(other, sizeof(other), "%.*s", (int)part_size, part) &&
           fnmatch(one, other, FNM_NOESCAPE) == 0;
}

/* Part by part; "**" is any number of them. A path below a directory that fits, fits. */
static bool fits(const char *pattern, const char *path)
{
    size_t pattern_size = strcspn(pattern, "/"), size = strcspn(path, "/");
    const char *pattern_rest = pattern[pattern_size] == '/' ? pattern + pattern_size + 1 : "";
    const char *rest = path[size] == '/' ? path + size + 1 : "";
    if (pattern[0] == '\0')
        return true;
    if (path[0] == '\0')
        return hd_streq(pattern, "**");
    if (pattern_size == 2 && strncmp(pattern, "**", 2) == 0)
        return pattern_rest[0] == '\0' || fits(pattern_rest, path) || fits(pattern, rest);
    return part_fits(pattern, pattern_size, path, size) && fits(pattern_rest, rest);
}

bool hd_ignore_fits(const struct hd_ignore *ignore, const char *path)
{
    bool out = false;
    for (size_t i = 0; i < ignore->rule_count; i++) {
        const char *rule = ignore->rules[i];
        bool except = rule[0] == '!';
        if (fits(rule + except, path))
            out = !except;
    }
    return out;
}
