/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_data.c: data sets and read-only volumes for an engine that does not see our directories.
 * Each is copied into a volume of the engine's, once for each state of it, and mounted from there,
 * read-only:
 *
 *   <state dir>/volumes/<name>   which volume is filled: when it was made, and from which directory
 *
 * The name says what is in it: a hash over names, sizes and times, since contents would have to be
 * read for every job. The volume of an earlier state is removed as soon as nobody uses it.
 */
#include "context.h"
#include "docker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTE_BYTES_MAX (HD_DOCKER_PATH_SIZE + 128)
#define ANSWER_MAX 65536

/* ---- what it is called ---------------------------------------------------------------------- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool stamp_tree(const char *directory, uint64_t *hash)
{
    char *path = hd_strdup(directory);
    char *const roots[] = {path, NULL};
    FTS *walk = path != NULL ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name) : NULL;
    bool good = walk != NULL;
    uint64_t entries = 0;
    for (FTSENT *entry; good && (entry = fts_read(walk)) != NULL;) {
        if (entry->fts_info == FTS_DP)
            continue;
        good = entry->fts_info != FTS_DNR && entry->fts_info != FTS_ERR &&
               entry->fts_info != FTS_NS && ++entries <= HD_DOCKER_COPY_ENTRIES_MAX;
        if (!good)
            break;
        *hash = hd_hash_text(*hash, entry->fts_path + strlen(directory));
        *hash = hd_hash_u64(*hash, (uint64_t)entry->fts_statp->st_mode);
        if (entry->fts_info == FTS_D)
            continue;
        *hash = hd_hash_u64(*hash, (uint64_t)entry->fts_statp->st_size);
        *hash = hd_hash_u64(*hash, (uint64_t)entry->fts_statp->st_mtim.tv_sec);
        *hash = hd_hash_u64(*hash, (uint64_t)entry->fts_statp->st_mtim.tv_nsec);
    }
    if (walk != NULL)
        fts_close(walk);
    hd_free(path);
    return good;
}

static enum hd_code add_source(struct hd_docker_watch *watch, const char *source,
                               const char **ret_volume, struct hd_err *err)
{
    for (size_t i = 0; i < watch->volume_count; i++)
        if (hd_streq(watch->volumes[i].source, source)) {
            *ret_volume = watch->volumes[i].name;
            return HD_OK;
        }
    struct hd_docker_volume *volume = &watch->volumes[watch->volume_count];
    uint64_t hash = hd_hash_text(HD_HASH_INIT, watch->engine->worker);
    hash = hd_hash_text(hash, source);
    if (!stamp_tree(source, &hash))
        return hd_fail(err, HD_E_IO, "the data set %s cannot be read, or holds more than %u files",
                       source, HD_DOCKER_COPY_ENTRIES_MAX);
    (void)hd_format(volume->name, sizeof(volume->name), "hyperdock-data-%016llx",
                    (unsigned long long)hash);
    volume->source = source;
    watch->volume_count++;
    *ret_volume = volume->name;
    return HD_OK;
}

/* What is written to would have to come back, and meet what others wrote meanwhile. */
static enum hd_code add_mount(struct hd_docker_watch *watch, const struct hd_mount *mount,
                              const char **ret_volume, struct hd_err *err)
{
    struct stat status;
    if (!mount->read_only)
        return hd_fail(err, HD_E_INVALID,
                       "target.volumes: %s is written to, and this engine does not see the "
                       "worker's disk: mount it read-only there",
                       mount->source);
    if (stat(mount->source, &status) == 0 && !S_ISDIR(status.st_mode))
        return hd_fail(err, HD_E_INVALID,
                       "target.volumes: %s is not a directory, and this engine does not see the "
                       "worker's disk: name the directory that it is in",
                       mount->source);
    return add_source(watch, mount->source, ret_volume, err);
}

bool hd_docker_is_linked_data(const struct hd_mount *mount)
{
    static const char below[] = "/hyperdock/data/";
    return strncmp(mount->target, below, sizeof(below) - 1) == 0;
}

enum hd_code hd_docker_name_data(struct hd_docker_watch *watch, struct hd_docker_place *ret_place,
                                 struct hd_err *err)
{
    const struct hd_engine_job *job = &watch->job;
    enum hd_code code = HD_OK;
    if (job->data_dir == NULL && job->mount_count == 0)
        return HD_OK;
    if (watch->volumes == NULL) {
        watch->volumes =
            hd_arena_alloc(watch->arena, (job->mount_count + 1) * sizeof(*watch->volumes));
        watch->mount_volumes =
            hd_arena_alloc(watch->arena, (job->mount_count + 1) * sizeof(*watch->mount_volumes));
    }
    if (watch->volumes == NULL || watch->mount_volumes == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu volumes", job->mount_count);
    watch->volume_count = 0;
    if (job->data_dir != NULL)
        code = add_source(watch, job->data_dir, &ret_place->data_volume, err);
    for (size_t i = 0; i < job->mount_count && code == HD_OK; i++) {
        watch->mount_volumes[i] = NULL;
        if (!hd_docker_is_linked_data(&job->mounts[i]))
            code = add_mount(watch, &job->mounts[i], &watch->mount_volumes[i], err);
    }
    ret_place->mount_volumes = watch->mount_volumes;
    return code;
}

/* ---- what is there already ------------------------------------------------------------------ */

/* When the engine made it: one that was removed and made again is empty, whatever we noted. */
static enum hd_code made_at(struct hd_docker_watch *watch, const struct hd_docker_volume *volume,
                            char *ret_text, size_t size, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    struct hd_buf body;
    struct hd_value *value = NULL;
    int status = 0;
    (void)hd_format(path, sizeof(path), "/volumes/%s", volume->name);
    enum hd_code code = hd_docker_ask(&watch->api, "GET", path, NULL, &status, &body, err);
    if (code != HD_OK)
        return code;
    const struct hd_value_limits limits = {ANSWER_MAX, 1000, 8};
    if (status != 200)
        code = hd_docker_refused(status, &body, "look at the volume of a data set", err);
    else
        code = hd_json_parse(hd_buf_text(&body), body.size, "volume", &limits, &value, err);
    const struct hd_value *made = code == HD_OK ? hd_value_get(value, "CreatedAt") : NULL;
    if (code == HD_OK && (made == NULL || made->kind != HD_VALUE_STRING ||
                          !hd_copy_text(ret_text, size, made->as.string)))
        code = hd_fail(err, HD_E_INVALID, "the Docker engine does not say when a volume was made");
    hd_value_free(value);
    hd_buf_release(&body);
    return code;
}

static bool note_path(const struct hd_docker *docker, const char *name, char *ret_path)
{
    return docker->volumes_dir[0] != '\0' &&
           hd_format(ret_path, HD_DOCKER_PATH_SIZE, "%s/%s", docker->volumes_dir, name);
}

static bool read_note(const struct hd_docker *docker, const char *name, struct hd_buf *note)
{
    char path[HD_DOCKER_PATH_SIZE];
    struct hd_err ignored;
    hd_buf_init(note, NOTE_BYTES_MAX);
    return note_path(docker, name, path) &&
           hd_file_read(path, NOTE_BYTES_MAX - 1, true, note, &ignored) == HD_OK;
}

static void write_note(const struct hd_docker_watch *watch, const struct hd_docker_volume *volume,
                       const char *made)
{
    char path[HD_DOCKER_PATH_SIZE], note[NOTE_BYTES_MAX];
    struct hd_err ignored;
    if (note_path(watch->engine, volume->name, path) &&
        hd_format(note, sizeof(note), "%s\n%s\n", made, volume->source) &&
        hd_mkdirs(watch->engine->volumes_dir, 0700, &ignored) == HD_OK)
        (void)!hd_file_write_atomic(path, note, strlen(note), 0600, &ignored);
}

static bool is_filled(const struct hd_docker_watch *watch, const struct hd_docker_volume *volume,
                      const char *made)
{
    struct hd_buf note;
    size_t size = strlen(made);
    bool filled = read_note(watch->engine, volume->name, &note) &&
                  strncmp(hd_buf_text(&note), made, size) == 0 && note.size > size &&
                  note.data[size] == '\n';
    hd_buf_release(&note);
    return filled;
}

/* The states of before; the engine refuses to remove what a container uses. */
static void remove_older(struct hd_docker_watch *watch, const struct hd_docker_volume *volume)
{
    char line[NOTE_BYTES_MAX], path[HD_DOCKER_PATH_SIZE], url[HD_DOCKER_URL_MAX];
    DIR *stream = opendir(watch->engine->volumes_dir);
    (void)hd_format(line, sizeof(line), "\n%s\n", volume->source);
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        struct hd_buf note, body;
        struct hd_err ignored;
        int status = 0;
        if (strncmp(entry->d_name, "hyperdock-data-", 15) != 0 || strlen(entry->d_name) > 64 ||
            hd_streq(entry->d_name, volume->name))
            continue;
        bool same = read_note(watch->engine, entry->d_name, &note) &&
                    strstr(hd_buf_text(&note), line) != NULL;
        hd_buf_release(&note);
        (void)hd_format(url, sizeof(url), "/volumes/%s", entry->d_name);
        if (!same ||
            hd_docker_ask(&watch->api, "DELETE", url, NULL, &status, &body, &ignored) != HD_OK)
            continue;
        hd_buf_release(&body);
        if ((status == 204 || status == 404) && note_path(watch->engine, entry->d_name, path))
            (void)unlink(path);
    }
    if (stream != NULL)
        closedir(stream);
}

/* ---- filling it ----------------------------------------------------------------------------- */

static enum hd_code put(struct hd_docker_watch *watch, const struct hd_docker_volume *volume,
                        const char *id, struct hd_err *err)
{
    struct hd_docker_refusal refusal;
    int fd = -1;
    const struct hd_pack_tree tree = {

        .directory = volume->source, .name = "data", .bytes_max = HD_DOCKER_COPY_BYTES_MAX};
    enum hd_code code = hd_docker_open_archive(watch->job.run_dir, &fd, err);
    if (code == HD_OK)
        code = hd_pack_tree(&tree, fd, err);
    if (code == HD_OK)
        code = hd_pack_end(fd, err);
    if (code == HD_OK)
        code =
            hd_docker_put_archive(&watch->api, id, "/", fd, HD_DOCKER_COPY_STALL_MS, &refusal, err);
    if (fd >= 0)
        close(fd);
    return code;
}

static enum hd_code fill(struct hd_docker_watch *watch, const struct hd_docker_volume *volume,
                         struct hd_err *err)
{
    struct hd_docker_refusal refusal;
    char id[HD_DOCKER_ID_SIZE];
    struct hd_buf body;
    struct hd_err ignored;
    char name[HD_ENGINE_NAME_MAX];
    hd_buf_init(&body, 4 * HD_DOCKER_PATH_SIZE);
    (void)hd_format(name, sizeof(name), "%s-fill", volume->name);
    enum hd_code code = hd_docker_remove(&watch->api, name, err);
    if (code == HD_OK)
        code = hd_docker_write_filler(&watch->job, volume->name, &body, err);
    if (code == HD_OK)
        code = hd_docker_create(&watch->api, name, hd_buf_text(&body), id, &refusal, err);
    if (code == HD_OK) {
        code = put(watch, volume, id, err);
        (void)!hd_docker_remove(&watch->api, id, &ignored);
    }
    hd_buf_release(&body);
    return code;
}

/* One job fills it, the others wait; false: something came between. */
static bool begin_filling(struct hd_docker_watch *watch)
{
    struct hd_docker *docker = watch->engine;
    pthread_mutex_lock(&docker->lock);
    while (docker->filling && !docker->closing && !watch->stop_asked && !watch->gone_asked)
        pthread_cond_wait(&docker->changed, &docker->lock);
    bool mine = !docker->filling;
    docker->filling = docker->filling || mine;
    pthread_mutex_unlock(&docker->lock);
    return mine;
}

static void end_filling(struct hd_docker_watch *watch)
{
    struct hd_docker *docker = watch->engine;
    pthread_mutex_lock(&docker->lock);
    docker->filling = false;
    pthread_cond_broadcast(&docker->changed);
    pthread_mutex_unlock(&docker->lock);
}

static enum hd_code send_volume(struct hd_docker_watch *watch,
                                const struct hd_docker_volume *volume, struct hd_err *err)
{
    char made[64];
    enum hd_code code = made_at(watch, volume, made, sizeof(made), err);
    if (code != HD_OK || is_filled(watch, volume, made))
        return code;
    hd_engine_say(watch->engine->queue, watch->attempt, "copying the data set to the engine");
    code = fill(watch, volume, err);
    if (code == HD_OK) {
        write_note(watch, volume, made);
        remove_older(watch, volume);
    }
    hd_engine_say(watch->engine->queue, watch->attempt, "");
    return code;
}

enum hd_code hd_docker_send_data(struct hd_docker_watch *watch, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    if (watch->volume_count == 0)
        return HD_OK;
    if (!begin_filling(watch))
        return hd_fail(err, HD_E_CANCELLED, "interrupted");
    for (size_t i = 0; i < watch->volume_count && code == HD_OK; i++)
        code = send_volume(watch, &watch->volumes[i], err);
    end_filling(watch);
    return code;
}
