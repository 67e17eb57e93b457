/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make_checkpoint.c: the SQLite file that a master's memory store would have been, from a seed of
 * the simulator: `make_checkpoint SEED FILE`. With it tests/data/checkpoint-vN.db is made when the
 * tables of version N+1 come, see docs/storage.md. Every append of the first master is repeated
 * into the file (the linker sends hd_store_append() through here).
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

#include <hd/core.h>
#include <hd/store.h>

#define PARAMS_BYTES_MAX 65536

static struct {
    const struct hd_store *first; /* of the first master */
    struct hd_store *file;
    struct hd_core *core; /* knows each run's space */
} copy;

enum hd_code __real_hd_store_append(struct hd_store *store, const struct hd_fact *facts,
                                    size_t fact_count, struct hd_err *err);
enum hd_code __wrap_hd_store_append(struct hd_store *store, const struct hd_fact *facts,
                                    size_t fact_count, struct hd_err *err);

static enum hd_code check(enum hd_code code, const struct hd_err *err)
{
    if (code == HD_OK)
        return code;
    fprintf(stderr, "make_checkpoint: %s\n", err->text);
    exit(1);
}

/* What the driver adds for readers of the file. */
static void fill_params(struct hd_fact *fact, struct hd_buf *params)
{
    struct hd_run_view run;
    struct hd_err err;
    if (fact->kind != HD_FACT_CONFIG_PROPOSED)
        return;
    hd_core_view_run(copy.core, fact->run, &run);
    (void)check(
        hd_config_to_json(run.experiment->space, fact->as.config_proposed.values, params, &err),
        &err);
    fact->as.config_proposed.params_json = hd_buf_text(params);
}

enum hd_code __wrap_hd_store_append(struct hd_store *store, const struct hd_fact *facts,
                                    size_t fact_count, struct hd_err *err)
{
    enum hd_code code = __real_hd_store_append(store, facts, fact_count, err);
    copy.first = copy.first != NULL ? copy.first : store;
    if (code != HD_OK || store != copy.first)
        return code;
    for (size_t i = 0; i < fact_count; i++) {
        struct hd_err own;
        struct hd_fact fact = facts[i];
        struct hd_buf params;
        hd_buf_init(&params, PARAMS_BYTES_MAX);
        (void)check(hd_core_apply(copy.core, &fact, &own), &own);
        fill_params(&fact, &params);
        (void)check(__real_hd_store_append(copy.file, &fact, 1, &own), &own);
        hd_buf_release(&params);
    }
    return code;
}

int main(int argc, char **argv)
{
    uint64_t seed;
    if (argc != 3 || !hd_parse_u64(argv[1], &seed)) {
        fprintf(stderr, "usage: make_checkpoint SEED FILE\n");
        return 2;
    }
    struct hd_err err;
    static struct sim_plan plan;
    static struct sim_cover cover;
    struct sim_options options = {.trace = NULL};
    struct sim_result result;
    struct hd_core_options core_options = {.ping_ms = 5000};
    (void)check(hd_core_new(&core_options, &copy.core, &err), &err);
    (void)check(hd_store_open_sqlite(argv[2], &copy.file, &err), &err);
    struct sim_memory *memory = sim_memory_new();
    sim_plan_draw(seed, &plan);
    sim_run(seed, &plan, &options, memory, &cover, &result);
    printf("%s: %llu facts\n", argv[2], (unsigned long long)hd_store_last_seq(copy.file));
    sim_memory_free(memory);
    hd_store_close(copy.file);
    hd_core_free(copy.core);
    return result.failed ? 1 : 0;
}
