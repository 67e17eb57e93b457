/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker's shell asks of the shipper: each holds the lock for a small file's time. */
#include "shipper_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- for the shell -------------------------------------------------------------------------- */

static struct hd_item *new_item(const struct hd_shipment *shipment)
{
    struct hd_item *item = hd_calloc(1, sizeof(*item));
    if (item == NULL)
        return NULL;
    const struct hd_artifacts_spec *spec = shipment->spec;
    item->attempt = shipment->attempt;
    item->state = HD_ITEM_RUNNING;
    item->budget = shipment->budget;
    item->loss = (double)NAN;
    item->outcome = HD_OUTCOME_INFRA;
    item->since_wall_ms = hd_clock_wall_ms();
    item->spec.keep = spec->keep;
    item->run_dir = hd_strdup(shipment->run_dir);
    bool good = item->run_dir != NULL &&
                hd_copy_text(item->run_id, sizeof(item->run_id), shipment->run_id) &&
                hd_copy_text(item->config_id, sizeof(item->config_id), shipment->config_id);
    if (good && spec->files != NULL)
        good = (item->spec.files = hd_calloc(spec->file_count + 1, sizeof(char *))) != NULL;
    for (size_t i = 0; good && i < spec->file_count; i++) {
        good = (item->spec.files[i] = hd_strdup(spec->files[i])) != NULL;
        item->spec.file_count += good;
    }
    if (!good) {
        hd_item_free(item);
        return NULL;
    }
    return item;
}

static void begin_new(struct hd_shipper *shipper, const struct hd_shipment *shipment)
{
    struct hd_item *item = new_item(shipment);
    if (item == NULL || !shipper_add(shipper, item)) {
        hd_item_free(item);
        if (!shipper->full_told)
            hd_log(HD_LOG_ERROR,
                   "job %u: its artifacts will not be shipped: %d attempts are waiting",
                   shipment->attempt.job, HD_ARTIFACT_QUEUE_MAX);
        shipper->full_told = true;
        return;
    }
    item->begun = true;
    item->look_at_ms = hd_clock_ms() + SHIPPER_LOOK_EVERY_MS;
    shipper_write_down(shipper, item);
}

void hd_shipper_begin(struct hd_shipper *shipper, const struct hd_shipment *shipment)
{
    if (shipper == NULL)
        return;
    pthread_mutex_lock(&shipper->lock);
    struct hd_item *item = shipper_find(shipper, shipment->attempt);
    if (item != NULL)
        item->begun = true;
    else if (!shipper->off && !shipment->spec->off)
        begin_new(shipper, shipment);
    pthread_cond_signal(&shipper->changed);
    pthread_mutex_unlock(&shipper->lock);
}

void hd_shipper_end(struct hd_shipper *shipper, struct hd_attempt_ref attempt,
                    enum hd_outcome outcome, double loss, double violation)
{
    if (shipper == NULL)
        return;
    pthread_mutex_lock(&shipper->lock);
    struct hd_item *item = shipper_find(shipper, attempt);
    if (item != NULL && item->state == HD_ITEM_RUNNING) {
        item->state = HD_ITEM_ENDED;
        item->outcome = outcome;
        item->loss = loss;
        item->violation = violation;
        item->since_wall_ms = hd_clock_wall_ms();
        shipper_write_down(shipper, item);
    }
    pthread_cond_signal(&shipper->changed);
    pthread_mutex_unlock(&shipper->lock);
}

/* Under the lock. Whether anything of it was shipped its second file tells. */
static void forget(struct hd_shipper *shipper, struct hd_item *item)
{
    char path[4096];
    struct hd_err ignored;
    bool touched = hd_item_path(shipper->directory, item->attempt, "shipped", path, sizeof(path),
                                &ignored) == HD_OK &&
                   hd_path_exists(path);
    if (item->busy) {
        item->doomed = true;
    } else if (touched) {
        item->state = HD_ITEM_REMOVING;
        shipper_write_down(shipper, item);
    } else {
        shipper_erase(shipper, item);
    }
}

void hd_shipper_forget(struct hd_shipper *shipper, struct hd_attempt_ref attempt)
{
    if (shipper == NULL)
        return;
    pthread_mutex_lock(&shipper->lock);
    struct hd_item *item = shipper_find(shipper, attempt);
    if (item != NULL)
        forget(shipper, item);
    pthread_cond_signal(&shipper->changed);
    pthread_mutex_unlock(&shipper->lock);
}

void hd_shipper_settle(struct hd_shipper *shipper)
{
    if (shipper == NULL)
        return;
    pthread_mutex_lock(&shipper->lock);
    for (size_t i = shipper->count; i-- > 0;)
        if (shipper->items[i]->state == HD_ITEM_RUNNING && !shipper->items[i]->begun)
            forget(shipper, shipper->items[i]);
    pthread_mutex_unlock(&shipper->lock);
}

size_t hd_shipper_waiting(struct hd_shipper *shipper)
{
    if (shipper == NULL)
        return 0;
    pthread_mutex_lock(&shipper->lock);
    size_t count = shipper->off ? 0 : shipper_count_waiting(shipper);
    pthread_mutex_unlock(&shipper->lock);
    return count;
}

int hd_shipper_fd(const struct hd_shipper *shipper)
{
    return shipper != NULL ? shipper->event_fd : -1;
}

bool hd_shipper_needs(struct hd_shipper *shipper, const char *run_dir)
{
    if (shipper == NULL)
        return false;
    pthread_mutex_lock(&shipper->lock);
    bool needed = false;
    for (size_t i = 0; i < shipper->count && !needed; i++)
        needed = (shipper->items[i]->state == HD_ITEM_RUNNING ||
                  shipper->items[i]->state == HD_ITEM_ENDED) &&
                 hd_streq(shipper->items[i]->run_dir, run_dir);
    pthread_mutex_unlock(&shipper->lock);
    return needed;
}

void hd_shipper_describe(struct hd_shipper *shipper, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    if (shipper == NULL)
        return;
    pthread_mutex_lock(&shipper->lock);
    size_t waiting = shipper_count_waiting(shipper);
    if (shipper->off && waiting > 0)
        (void)hd_format(ret_text, size, "artifacts: shipping is off, %zu attempts wait", waiting);
    else if (!shipper->off)
        (void)hd_format(ret_text, size, "artifacts: %" PRIu64 " attempts shipped, %zu wait%s%s%s",
                        shipper->shipped_attempts, waiting, shipper->retry_ms > 0 ? " (" : "",
                        shipper->retry_ms > 0 ? shipper->trouble.text : "",
                        shipper->retry_ms > 0 ? ")" : "");
    pthread_mutex_unlock(&shipper->lock);
}

void hd_shipper_hurry(struct hd_shipper *shipper)
{
    pthread_mutex_lock(&shipper->lock);
    shipper->retry_at_ms = 0;
    for (size_t i = 0; i < shipper->count; i++)
        shipper->items[i]->look_at_ms = 0;
    pthread_cond_signal(&shipper->changed);
    pthread_mutex_unlock(&shipper->lock);
}
