/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and growing the core's tables. Growth happens in reserve and at restore only. */
#include "core_internal.h"

#include <math.h>
#include <string.h>

static enum hd_code grow(void **array, uint32_t *capacity, uint32_t wanted, size_t item_size,
                         struct hd_err *err)
{
    if (wanted <= *capacity)
        return HD_OK;
    uint32_t next = *capacity < 16 ? 16 : *capacity;
    while (next < wanted)
        next = next > UINT32_MAX / 2 ? wanted : next * 2;
    void *bigger = hd_realloc(*array, (size_t)next * item_size);
    if (bigger == NULL)
        return hd_fail(err, HD_E_NOMEM, "the master is out of memory");
    *array = bigger;
    *capacity = next;
    return HD_OK;
}

static uint32_t table_slot(const struct hd_core *core, const char *id)
{
    uint32_t mask = core->worker_table_size - 1;
    uint32_t slot = (uint32_t)hd_hash_text(HD_HASH_INIT, id) & mask;
    while (core->worker_table[slot] != HD_NONE &&
           strcmp(core->workers[core->worker_table[slot]].id, id) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

struct worker *core_find_worker(const struct hd_core *core, const char *id)
{
    if (core->worker_table_size == 0)
        return NULL;
    uint32_t index = core->worker_table[table_slot(core, id)];
    return index == HD_NONE ? NULL : &core->workers[index];
}

uint32_t core_add_worker(struct hd_core *core, const char *id)
{
    uint32_t slot = table_slot(core, id);
    if (core->worker_table[slot] != HD_NONE)
        return core->worker_table[slot];
    hd_assert(core->worker_count < core->worker_capacity);
    uint32_t index = core->worker_count++;
    struct worker *worker = &core->workers[index];
    memset(worker, 0, sizeof(*worker));
    (void)hd_copy_text(worker->id, sizeof(worker->id), id);
    worker->root = HD_NONE;
    core->worker_table[slot] = index;
    return index;
}

enum hd_code core_reserve_worker(struct hd_core *core, struct hd_err *err)
{
    if (core->worker_count >= HD_WORKERS_MAX)
        return hd_fail(err, HD_E_LIMIT, "more than %d workers in one state directory",
                       HD_WORKERS_MAX);
    enum hd_code code = grow((void **)&core->workers, &core->worker_capacity,
                             core->worker_count + 1, sizeof(*core->workers), err);
    if (code != HD_OK || (core->worker_count + 1) * 2 <= core->worker_table_size)
        return code;
    uint32_t size = core->worker_table_size == 0 ? 64 : core->worker_table_size * 2;
    uint32_t *table = hd_malloc(size * sizeof(*table));
    if (table == NULL)
        return hd_fail(err, HD_E_NOMEM, "the master is out of memory");
    memset(table, 0xff, size * sizeof(*table));
    hd_free(core->worker_table);
    core->worker_table = table;
    core->worker_table_size = size;
    for (uint32_t i = 0; i < core->worker_count; i++)
        table[table_slot(core, core->workers[i].id)] = i;
    return HD_OK;
}

uint32_t core_find_root(const struct hd_core *core, const char *root)
{
    for (uint32_t i = 0; i < core->root_count; i++)
        if (strcmp(core->roots[i], root) == 0)
            return i;
    return HD_NONE;
}

uint32_t core_add_root(struct hd_core *core, const char *root)
{
    if (root == NULL || root[0] == '\0')
        return HD_NONE;
    uint32_t index = core_find_root(core, root);
    if (index != HD_NONE || core->root_count >= core->root_capacity)
        return index;
    index = core->root_count++;
    (void)hd_copy_text(core->roots[index], HD_ROOT_ID_MAX, root);
    return index;
}

const char *core_root_text(const struct hd_core *core, uint32_t root)
{
    return root == HD_NONE ? "" : core->roots[root];
}

enum hd_code core_reserve_root(struct hd_core *core, struct hd_err *err)
{
    if (core->root_count >= HD_ROOTS_MAX)
        return hd_fail(err, HD_E_LIMIT, "more than %d work roots in one state directory",
                       HD_ROOTS_MAX);
    return grow((void **)&core->roots, &core->root_capacity, core->root_count + 2,
                sizeof(*core->roots), err);
}

struct run *core_find_run_uid(const struct hd_core *core, uint64_t run_uid, uint32_t *ret_run)
{
    for (uint32_t i = 0; i < core->run_count; i++) {
        if (core->runs[i]->run_uid == run_uid) {
            *ret_run = i;
            return core->runs[i];
        }
    }
    return NULL;
}

bool core_run_final(const struct run *run)
{
    return run->state == HD_RUN_FINISHED || run->state == HD_RUN_CANCELLED;
}

int64_t core_ping_ms(const struct hd_core *core)
{
    int64_t ping_ms = core->options.ping_ms;
    for (uint32_t i = 0; i < core->run_count; i++) {
        const struct run *run = core->runs[i];
        if (!core_run_final(run) && run->experiment->ping_ms < ping_ms)
            ping_ms = run->experiment->ping_ms;
    }
    return ping_ms;
}

bool core_next_repeat(const struct run *run, struct hd_race_estimate *ret_estimate,
                      uint32_t *ret_repeat)
{
    return run->race != NULL &&
           hd_race_next(run->race, run->experiment->iter_gen.budget_max,
                        hd_iter_gen_finished(run->gen), ret_estimate, ret_repeat);
}

uint32_t core_config_seed(const struct run *run, uint32_t config, uint32_t repeat)
{
    return hd_core_job_seed(run->seed, config, repeat);
}

uint32_t hd_core_job_seed(uint64_t run_seed, uint32_t config, uint32_t repeat)
{
    uint64_t hash = hd_hash_u64(hd_hash_text(HD_HASH_INIT, "config-seed"), run_seed);
    hash = hd_hash_u64(hash, config);
    return (uint32_t)((repeat > 0 ? hd_hash_u64(hash, repeat) : hash) >> 33);
}

uint32_t core_job_root(const struct run *run, const struct job *job)
{
    return job->repeat > 0 ? HD_NONE : run->configs[job->config].root;
}

/* One more config, one more job, `spare_live` more live attempts, one more slot taken. */
static enum hd_code reserve_run(struct run *run, uint32_t spare_live, struct hd_err *err)
{
    uint32_t config_capacity = run->config_capacity;
    enum hd_code code = grow((void **)&run->configs, &config_capacity, run->config_count + 1,
                             sizeof(*run->configs), err);
    if (code == HD_OK && config_capacity != run->config_capacity) {
        size_t row = run->param_count > 0 ? run->param_count : 1;
        double *values = hd_realloc(run->values, (size_t)config_capacity * row * sizeof(double));
        if (values == NULL)
            return hd_fail(err, HD_E_NOMEM, "the master is out of memory");
        run->values = values;
        run->config_capacity = config_capacity;
    }
    if (code == HD_OK)
        code = grow((void **)&run->jobs, &run->job_capacity, run->job_count + 1, sizeof(*run->jobs),
                    err);
    if (code == HD_OK)
        code = grow((void **)&run->live, &run->live_capacity, run->live_count + spare_live,
                    sizeof(*run->live), err);
    if (code == HD_OK) /* every live attempt may come back to the queue */
        code = grow((void **)&run->queue, &run->queue_capacity,
                    run->queue_count + run->live_count + spare_live + 1, sizeof(*run->queue), err);
    if (code == HD_OK)
        code = grow((void **)&run->excluded, &run->excluded_capacity, run->excluded_count + 1,
                    sizeof(*run->excluded), err);
    if (code == HD_OK && run->race != NULL)
        code = hd_race_reserve(run->race, err);
    return code == HD_OK ? hd_iter_gen_reserve(run->gen, err) : code;
}

enum hd_code core_reserve_run(struct run *run, uint32_t spare_live, struct hd_err *err)
{
    return core_run_final(run) ? HD_OK : reserve_run(run, spare_live, err);
}

enum hd_code core_reserve_reopened(struct run *run, struct hd_err *err)
{
    return reserve_run(run, 1, err);
}

/* Room for one more root in the scratch of a run. */
enum hd_code core_reserve_roots(const struct hd_core *core, struct run *run, struct hd_err *err)
{
    if (core_run_final(run))
        return HD_OK;
    enum hd_code code = grow((void **)&run->root_able, &run->root_able_capacity,
                             core->root_count + 1, sizeof(*run->root_able), err);
    return code == HD_OK ? grow((void **)&run->root_ready, &run->root_ready_capacity,
                                core->root_count + 1, sizeof(*run->root_ready), err)
                         : code;
}

enum hd_code core_reserve_slot(struct hd_core *core, struct hd_err *err)
{
    if (core->run_count >= HD_RUNS_MAX)
        return hd_fail(err, HD_E_LIMIT, "more than %d runs in one state directory", HD_RUNS_MAX);
    return grow((void **)&core->runs, &core->run_capacity, core->run_count + 1, sizeof(*core->runs),
                err);
}

/* The text is kept beside what it says: it becomes the run's first fact. */
static enum hd_code take_known(struct run *run, const char *known_json, struct hd_err *err)
{
    hd_buf_init(&run->known_json, HD_KNOWN_BYTES_MAX);
    if (known_json == NULL || known_json[0] == '\0')
        return HD_OK;
    enum hd_code code = hd_buf_puts(&run->known_json, known_json, err);
    return code == HD_OK ? hd_known_parse(known_json, run->experiment, &run->known, err) : code;
}

enum hd_code core_new_run(const struct hd_fact_run_created *created, struct run **ret_run,
                          struct hd_err *err)
{
    const char *run_id = created->run_id, *json = created->experiment_json;
    enum hd_code code = hd_check_id("run id", run_id, err);
    if (code != HD_OK)
        return code;
    struct run *run = hd_calloc(1, sizeof(*run));
    if (run == NULL)
        return hd_fail(err, HD_E_NOMEM, "the master is out of memory");
    (void)hd_copy_text(run->run_id, sizeof(run->run_id), run_id);
    run->run_uid = created->run_uid;
    run->seed = created->seed;
    hd_buf_init(&run->json, HD_EXPERIMENT_BYTES_MAX);
    hd_buf_init(&run->image_json, HD_EXPERIMENT_BYTES_MAX);
    code = hd_experiment_parse_text(json, strlen(json), "experiment", NULL, &run->experiment, err);
    if (code == HD_OK)
        code = hd_experiment_to_json(run->experiment, &run->json, err);
    if (code == HD_OK)
        code = take_known(run, created->known_json, err);
    if (code == HD_OK)
        code = hd_iter_gen_new(&run->experiment->iter_gen, &run->gen, err);
    if (code == HD_OK && run->experiment->noise.repeats > 1)
        code = hd_race_new(&run->experiment->noise, &run->race, err);
    if (code == HD_OK) {
        run->param_count = run->experiment->space->param_count;
        size_t row = run->param_count > 0 ? run->param_count : 1;
        run->ready = hd_calloc(HD_ASKS_MAX, sizeof(*run->ready));
        run->ready_values = hd_calloc(HD_ASKS_MAX * row, sizeof(double));
        uint32_t kept = run->experiment->keep_work;
        run->best = kept > 0 ? hd_calloc(kept, sizeof(*run->best)) : NULL;
        bool several = run->experiment->objective_count > 1;
        run->front = several ? hd_calloc(HD_FRONT_HOME_MAX, sizeof(*run->front)) : NULL;
        if (run->ready == NULL || run->ready_values == NULL || (kept > 0 && run->best == NULL) ||
            (several && run->front == NULL))
            code = hd_fail(err, HD_E_NOMEM, "the master is out of memory");
    }
    if (code != HD_OK) {
        core_free_run(run);
        return code;
    }
    core_limits_init(run);
    run->elapsed_mark_ms = HD_NEVER_MS;
    run->unfit_since_ms = HD_NEVER_MS;
    *ret_run = run;
    return HD_OK;
}

enum hd_code core_prepare_image(struct hd_core *core, const struct run *run, const char *image,
                                struct hd_err *err)
{
    struct hd_experiment *experiment = NULL;
    const char *json = hd_buf_text(&run->json);
    const struct hd_target *target = &run->experiment->target;
    if (target->image == NULL)
        return hd_fail(err, HD_E_UNSUPPORTED, "the target of run %s is a command: it has no image",
                       run->run_id);
    if (target->build != NULL)
        return hd_fail(err, HD_E_UNSUPPORTED,
                       "the image of run %s is built from a directory: another one is another run",
                       run->run_id);
    if (strlen(image) >= HD_IMAGE_NAME_MAX)
        return hd_fail(err, HD_E_LIMIT, "the name of an image has at most %d characters",
                       HD_IMAGE_NAME_MAX - 1);
    enum hd_code code =
        hd_experiment_parse_text(json, strlen(json), "experiment", NULL, &experiment, err);
    if (code != HD_OK)
        return code;
    hd_free(experiment->target.image);
    experiment->target.image = hd_strdup(image);
    hd_buf_clear(&core->pending_json);
    code = experiment->target.image != NULL
               ? hd_experiment_to_json(experiment, &core->pending_json, err)
               : hd_fail(err, HD_E_NOMEM, "the master is out of memory");
    hd_experiment_free(experiment);
    experiment = NULL;
    json = hd_buf_text(&core->pending_json);
    if (code == HD_OK) /* as a file with that image would be */
        code = hd_experiment_parse_text(json, strlen(json), "run", NULL, &experiment, err);
    hd_experiment_free(experiment);
    return code;
}

void core_free_run(struct run *run)
{
    if (run == NULL)
        return;
    hd_experiment_free(run->experiment);
    hd_free(run->best);
    hd_free(run->front);
    hd_buf_release(&run->json);
    hd_buf_release(&run->known_json);
    hd_buf_release(&run->image_json);
    hd_known_free(run->known);
    hd_iter_gen_free(run->gen);
    hd_race_free(run->race);
    hd_free(run->configs);
    hd_free(run->values);
    hd_free(run->jobs);
    hd_free(run->live);
    hd_free(run->queue);
    hd_free(run->ready);
    hd_free(run->ready_values);
    hd_free(run->excluded);
    hd_free(run->root_able);
    hd_free(run->root_ready);
    hd_free(run);
}

enum hd_code hd_core_new(const struct hd_core_options *options, struct hd_core **ret_core,
                         struct hd_err *err)
{
    struct hd_core *core = hd_calloc(1, sizeof(*core));
    if (core == NULL || (core->scratch = hd_malloc(HD_SCRATCH_BYTES)) == NULL) {
        hd_free(core);
        return hd_fail(err, HD_E_NOMEM, "the master is out of memory");
    }
    hd_buf_init(&core->pending_json, HD_EXPERIMENT_BYTES_MAX);
    core->options = *options;
    core->parked_first = core->parked_last = HD_NONE;
    core->expiry_ms = core->parked_expiry_ms = HD_NEVER_MS;
    *ret_core = core;
    return HD_OK;
}

void hd_core_free(struct hd_core *core)
{
    if (core == NULL)
        return;
    for (uint32_t i = 0; i < core->run_count; i++)
        core_free_run(core->runs[i]);
    core_free_run(core->pending_run);
    hd_buf_release(&core->pending_json);
    hd_free(core->runs);
    hd_free(core->workers);
    hd_free(core->worker_table);
    hd_free(core->roots);
    hd_free(core->scratch);
    hd_free(core);
}
