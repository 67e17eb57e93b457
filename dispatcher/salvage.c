/* SPDX-License-Identifier: Apache-2.0 */
/* salvage.c: the facts of a damaged store up to the damage, in a new one. */
#include <sys/stat.h>

#include <hd/core.h>
#include <hd/fsck.h>

#define BATCH_MAX 256 /* facts of one commit */
#define PING_MS 5000  /* of a core that never serves */

struct salvage {
    struct hd_core *core; /* decides which facts are still good */
    struct hd_store *store;
    struct hd_fact batch[BATCH_MAX];
    struct hd_fact *blocks[BATCH_MAX]; /* what the texts of batch live in */
    size_t batch_count;
    bool failed; /* the new store: no damage of the old one explains that */
};

static void clear_batch(struct salvage *salvage)
{
    for (size_t i = 0; i < salvage->batch_count; i++)
        hd_free(salvage->blocks[i]);
    salvage->batch_count = 0;
}

static enum hd_code write_batch(struct salvage *salvage, struct hd_err *err)
{
    enum hd_code code = salvage->batch_count == 0 ? HD_OK
                                                  : hd_store_append(salvage->store, salvage->batch,
                                                                    salvage->batch_count, err);
    clear_batch(salvage);
    salvage->failed = salvage->failed || code != HD_OK;
    return code;
}

static enum hd_code keep(void *context, const struct hd_fact *fact, struct hd_err *err)
{
    struct salvage *salvage = context;
    enum hd_code code = hd_core_apply(salvage->core, fact, err);
    if (code != HD_OK)
        return code;
    struct hd_fact **block = &salvage->blocks[salvage->batch_count];
    code = hd_facts_copy(fact, 1, block, err);
    if (code != HD_OK) {
        salvage->failed = true;
        return code;
    }
    salvage->batch[salvage->batch_count++] = **block;
    return salvage->batch_count == BATCH_MAX ? write_batch(salvage, err) : HD_OK;
}

static bool is_damage(enum hd_code code)
{
    return code == HD_E_CORRUPT || code == HD_E_INVALID || code == HD_E_LIMIT;
}

static enum hd_code copy_facts(struct salvage *salvage, struct hd_reader *reader,
                               struct hd_err *err)
{
    uint64_t last_seq;
    enum hd_code code = hd_reader_load(reader, keep, salvage, &last_seq, err);
    if (code == HD_OK || (is_damage(code) && !salvage->failed))
        code = write_batch(salvage, err);
    return code;
}

enum hd_code hd_salvage(const char *path, const char *to, uint64_t *ret_fact_count,
                        struct hd_err *err)
{
    struct hd_err spare;
    err = err != NULL ? err : &spare;
    struct hd_reader *reader = NULL;
    struct hd_core_options options = {.ping_ms = PING_MS};
    struct stat st;
    if (lstat(to, &st) == 0)
        return hd_fail(err, HD_E_EXISTS, "%s exists: name a new file", to);
    struct salvage *salvage = hd_calloc(1, sizeof(*salvage));
    if (salvage == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to salvage");
    enum hd_code code = hd_reader_open(path, &reader, err);
    if (code == HD_OK)
        code = hd_core_new(&options, &salvage->core, err);
    if (code == HD_OK)
        code = hd_store_open_sqlite(to, &salvage->store, err);
    if (code == HD_OK)
        code = copy_facts(salvage, reader, err);
    if (code == HD_OK)
        *ret_fact_count = hd_store_last_seq(salvage->store);
    clear_batch(salvage);
    hd_store_close(salvage->store);
    hd_core_free(salvage->core);
    hd_reader_close(reader);
    hd_free(salvage);
    return code;
}
