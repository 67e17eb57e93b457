/* SPDX-License-Identifier: Apache-2.0 */
#include "experiments.h"

#include <string.h>

struct known {
    struct known *next; /* the one that was taken before it */
    struct hd_experiment *experiment;
    uint32_t jobs; /* that have it */
    char text[];
};

struct hd_experiments {
    struct known *first; /* taken last */
};

struct hd_experiments *hd_experiments_new(void)
{
    return hd_calloc(1, sizeof(struct hd_experiments));
}

static void forget(struct known **place)
{
    struct known *known = *place;
    *place = known->next;
    hd_experiment_free(known->experiment);
    hd_free(known);
}

void hd_experiments_free(struct hd_experiments *all)
{
    if (all == NULL)
        return;
    while (all->first != NULL)
        forget(&all->first);
    hd_free(all);
}

/* Out of the list; NULL: this text has not been read. */
static struct known *find(struct hd_experiments *all, const char *text)
{
    for (struct known **place = &all->first; *place != NULL; place = &(*place)->next) {
        struct known *known = *place;
        if (!hd_streq(known->text, text))
            continue;
        *place = known->next;
        return known;
    }
    return NULL;
}

static enum hd_code read_text(const char *text, const char *name, struct known **ret_known,
                              struct hd_err *err)
{
    size_t size = strlen(text);
    struct known *known = hd_calloc(1, sizeof(*known) + size + 1);
    if (known == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %s", name);
    memcpy(known->text, text, size);
    enum hd_code code = hd_experiment_parse_text(text, size, name, NULL, &known->experiment, err);
    if (code != HD_OK) {
        hd_free(known);
        return code;
    }
    *ret_known = known;
    return HD_OK;
}

enum hd_code hd_experiments_take(struct hd_experiments *all, const char *text, const char *name,
                                 const struct hd_experiment **ret_experiment, struct hd_err *err)
{
    struct known *known = find(all, text);
    enum hd_code code = known != NULL ? HD_OK : read_text(text, name, &known, err);
    if (code != HD_OK)
        return code;
    known->jobs++;
    known->next = all->first;
    all->first = known;
    *ret_experiment = known->experiment;
    return HD_OK;
}

void hd_experiments_release(struct hd_experiments *all, const struct hd_experiment *experiment)
{
    uint32_t idle = 0;
    if (experiment == NULL)
        return;
    for (struct known **place = &all->first; *place != NULL;) {
        struct known *known = *place;
        if (known->experiment == experiment)
            known->jobs--;
        if (known->jobs == 0 && idle == HD_EXPERIMENTS_IDLE_MAX) {
            forget(place);
            continue;
        }
        idle += known->jobs == 0 ? 1 : 0;
        place = &known->next;
    }
}

size_t hd_experiments_count(const struct hd_experiments *all)
{
    size_t count = 0;
    for (const struct known *known = all->first; known != NULL; known = known->next)
        count++;
    return count;
}
