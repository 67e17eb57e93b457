/* SPDX-License-Identifier: Apache-2.0 */
/* docker_label.c: images that say by a label how their targets want to be run. Looked at once for
 * each run: a run keeps to the image that it began with. */
#include "docker.h"

static struct hd_docker_fresh name_of(const struct hd_docker_watch *watch)
{
    return (struct hd_docker_fresh){.run_uid = watch->attempt.run_uid,
                                    .image = hd_hash_text(0, watch->job.image)};
}

static bool is_known_cold(struct hd_docker_watch *watch)
{
    struct hd_docker *engine = watch->engine;
    const struct hd_docker_fresh name = name_of(watch);
    bool known = false;
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < HD_DOCKER_FRESH_MAX && !known; i++)
        known = engine->cold[i].run_uid == name.run_uid && engine->cold[i].image == name.image;
    pthread_mutex_unlock(&engine->lock);
    return known;
}

static void note_cold(struct hd_docker_watch *watch)
{
    struct hd_docker *engine = watch->engine;
    pthread_mutex_lock(&engine->lock);
    engine->cold[engine->cold_next] = name_of(watch);
    engine->cold_next = (engine->cold_next + 1) % HD_DOCKER_FRESH_MAX;
    pthread_mutex_unlock(&engine->lock);
}

enum hd_docker_phase hd_docker_judge_label(struct hd_docker_watch *watch)
{
    struct hd_err err;
    bool warm = false;
    if (watch->job.warm == NULL || !watch->job.warm->by_label || is_known_cold(watch))
        return HD_DOCKER_MAKE;
    enum hd_code code = hd_docker_image_warm(&watch->api, watch->job.image, &warm, &err);
    if (code == HD_E_NOTFOUND) {
        enum hd_docker_phase phase = hd_docker_get_image(watch, true);
        if (phase != HD_DOCKER_MAKE)
            return phase;
        code = hd_docker_image_warm(&watch->api, watch->job.image, &warm, &err);
    }
    if (code == HD_E_CANCELLED)
        return HD_DOCKER_LEAVE;
    if (code == HD_E_NOTFOUND)
        return HD_DOCKER_MAKE; /* it went again: what is made of it says so */
    if (code != HD_OK)
        return hd_docker_go_away(watch, err.text);
    if (!warm) {
        note_cold(watch);
        return HD_DOCKER_MAKE;
    }
    hd_docker_not_started(watch, false, "not started", "its image is one of a target that stays");
    watch->end.says_warm = true;
    return HD_DOCKER_ENDED;
}
