/* SPDX-License-Identifier: Apache-2.0 */
#include "desk.h"

#include <string.h>

struct hd_desk {
    const struct hd_core *core;
    char *store_path;
    struct hd_depot *depot;
    struct hd_home *home;
    struct hd_shelf *shelf; /* NULL: no worker has asked for an image yet */
    void (*tell)(void *context, struct hd_event *event);
    void *context;
};

/* ---- opening and closing --------------------------------------------------------------------- */

static bool keeps_copy(void *context, struct hd_attempt_ref attempt)
{
    const struct hd_desk *desk = context;
    return hd_core_keeps_checkpoint(desk->core, attempt);
}

static bool wants_files(void *context, struct hd_attempt_ref attempt)
{
    const struct hd_desk *desk = context;
    return hd_core_wants_files(desk->core, attempt);
}

static void tell_of_file(void *context, struct hd_event *event)
{
    struct hd_desk *desk = context;
    desk->tell(desk->context, event);
}

static void tell_shelved(void *context, struct hd_attempt_ref attempt)
{
    struct hd_event event = {.kind = HD_EVENT_SHELVED, .attempt = attempt};
    tell_of_file(context, &event);
}

static void tell_unshelved(void *context, struct hd_attempt_ref attempt)
{
    struct hd_event event = {.kind = HD_EVENT_UNSHELVED, .attempt = attempt};
    tell_of_file(context, &event);
}

static enum hd_code open_depot(struct hd_desk *desk, const struct hd_desk_settings *settings,
                               struct hd_err *err)
{
    char directory[4096];
    const struct hd_depot_settings depot = {
        .directory = settings->depot != NULL ? settings->depot : directory,
        .bytes_max =
            settings->depot_bytes_max > 0 ? settings->depot_bytes_max : HD_DEPOT_BYTES_DEFAULT,
        .keeps = keeps_copy,
        .gone = tell_unshelved,
        .context = desk,
    };
    if (!hd_format(directory, sizeof(directory), "%s.depot", desk->store_path))
        return hd_fail(err, HD_E_LIMIT, "the path of the store is too long");
    return hd_depot_open(&depot, &desk->depot, err);
}

static enum hd_code open_home(struct hd_desk *desk, uint64_t bytes_max, struct hd_err *err)
{
    const struct hd_home_settings home = {
        .store_path = desk->store_path,
        .bytes_max = bytes_max,
        .keeps = wants_files,
        .tell = tell_of_file,
        .context = desk,
    };
    return hd_home_open(&home, &desk->home, err);
}

enum hd_code hd_desk_open(const struct hd_desk_settings *settings, struct hd_desk **ret_desk,
                          struct hd_err *err)
{
    struct hd_desk *desk = hd_calloc(1, sizeof(*desk));
    char *store_path = hd_strdup(settings->store_path);
    if (desk == NULL || store_path == NULL) {
        hd_free(store_path);
        hd_free(desk);
        return hd_fail(err, HD_E_NOMEM, "no memory for the master's files");
    }
    desk->core = settings->core;
    desk->store_path = store_path;
    desk->tell = settings->tell;
    desk->context = settings->context;
    enum hd_code code = open_depot(desk, settings, err);
    if (code == HD_OK)
        code = open_home(desk, settings->home_bytes_max, err);
    if (code != HD_OK) {
        hd_desk_close(desk);
        return code;
    }
    *ret_desk = desk;
    return HD_OK;
}

void hd_desk_close(struct hd_desk *desk)
{
    if (desk == NULL)
        return;
    hd_shelf_free(desk->shelf);
    hd_depot_close(desk->depot);
    hd_home_close(desk->home);
    hd_free(desk->store_path);
    hd_free(desk);
}

/* ---- images and code ------------------------------------------------------------------------- */

/* {"image": NAME, "offset": N}, or {"code": HASH, "offset": N}. Free the arguments. */
static enum hd_code read_wish(const struct hd_request *request, struct hd_value **ret_arguments,
                              const char **ret_name, uint64_t *ret_offset, struct hd_err *err)
{
    enum hd_code code = hd_json_parse(request->view_json, strlen(request->view_json), "arguments",
                                      &hd_value_limits_target, ret_arguments, err);
    if (code != HD_OK)
        return code;
    const struct hd_value *name = hd_value_get(*ret_arguments, request->view);
    const struct hd_value *offset = hd_value_get(*ret_arguments, "offset");
    if (name == NULL || name->kind != HD_VALUE_STRING || offset == NULL ||
        offset->kind != HD_VALUE_INT || offset->as.integer < 0)
        return hd_fail(err, HD_E_INVALID, "%s is asked for by its name and an offset",
                       request->view);
    *ret_name = name->as.string;
    *ret_offset = (uint64_t)offset->as.integer;
    return HD_OK;
}

/* Only what a run of ours is built into: a worker's token opens no other image. */
static bool is_built(const struct hd_target *target, const char *image)
{
    return target->build != NULL && hd_streq(target->image, image);
}

static bool is_code(const struct hd_target *target, const char *hash)
{
    return target->code_hash != NULL && hd_streq(target->code_hash, hash);
}

static bool some_run_has(const struct hd_core *core,
                         bool (*has)(const struct hd_target *target, const char *name),
                         const char *name)
{
    for (uint32_t i = 0; i < hd_core_run_count(core); i++) {
        struct hd_run_view view;
        hd_core_view_run(core, i, &view);
        if (has(&view.experiment->target, name))
            return true;
    }
    return false;
}

static enum hd_code read_code(struct hd_desk *desk, const struct hd_request *request,
                              struct hd_buf *json, struct hd_err *err)
{
    struct hd_value *arguments = NULL;
    const char *hash = NULL;
    uint64_t offset = 0;
    enum hd_code code = read_wish(request, &arguments, &hash, &offset, err);
    if (code == HD_OK && !some_run_has(desk->core, is_code, hash))
        code = hd_fail(err, HD_E_NOTFOUND, "no run of this master has that code");
    if (code == HD_OK)
        code = hd_code_piece_read(desk->store_path, hash, offset, json, err);
    hd_value_free(arguments);
    return code;
}

static enum hd_code open_shelf(struct hd_desk *desk, struct hd_err *err)
{
    char directory[4096];
    if (desk->shelf != NULL)
        return HD_OK;
    if (!hd_format(directory, sizeof(directory), "%s.images", desk->store_path))
        return hd_fail(err, HD_E_LIMIT, "the path of the store is too long");
    return hd_shelf_new(directory, &desk->shelf, err);
}

static enum hd_code read_image(struct hd_desk *desk, const struct hd_request *request,
                               struct hd_buf *json, struct hd_err *err)
{
    struct hd_value *arguments = NULL;
    const char *image = NULL;
    uint64_t offset = 0;
    enum hd_code code = read_wish(request, &arguments, &image, &offset, err);
    if (code == HD_OK && !some_run_has(desk->core, is_built, image))
        code = hd_fail(err, HD_E_NOTFOUND, "no run of this master is built into that image");
    if (code == HD_OK)
        code = open_shelf(desk, err);
    if (code == HD_OK)
        code = hd_shelf_read(desk->shelf, image, offset, json, err);
    hd_value_free(arguments);
    return code;
}

/* ---- every view ------------------------------------------------------------------------------ */

static enum hd_code answer_checkpoint(struct hd_desk *desk, const struct hd_request *request,
                                      struct hd_buf *json, struct hd_err *err)
{
    bool shelved = false;
    struct hd_attempt_ref attempt;
    enum hd_code code =
        hd_depot_answer(desk->depot, desk->core, request, json, &shelved, &attempt, err);
    if (shelved) {
        hd_log(HD_LOG_INFO, "job %u, attempt %u: its work directory is here for other workers",
               attempt.job, attempt.attempt);
        tell_shelved(desk, attempt);
    }
    return code;
}

static enum hd_code answer_home(struct hd_desk *desk, const struct hd_request *request,
                                struct hd_buf *json, struct hd_err *err)
{
    return hd_home_answer(desk->home, desk->core, request, json, err);
}

static enum hd_code answer_needs(struct hd_desk *desk, const struct hd_request *request,
                                 struct hd_buf *json, struct hd_err *err)
{
    return hd_read_needs(desk->core, request->view_json, json, err);
}

static enum hd_code answer_over(struct hd_desk *desk, const struct hd_request *request,
                                struct hd_buf *json, struct hd_err *err)
{
    return hd_read_over(desk->core, request->view_json, json, err);
}

typedef enum hd_code (*answer_fn)(struct hd_desk *desk, const struct hd_request *request,
                                  struct hd_buf *json, struct hd_err *err);

/* Views that no reader of the store can answer; every other one is a reader's. */
static const struct view {
    const char *name;
    unsigned role;
    answer_fn answer;
} views[] = {
    {"image", HD_ROLE_WORKER, read_image},
    {"code", HD_ROLE_WORKER, read_code},
    {"checkpoint", HD_ROLE_WORKER, answer_checkpoint},
    {"needs", HD_ROLE_WORKER, answer_needs},
    {"over", HD_ROLE_WORKER, answer_over},
    {"home", HD_ROLE_WORKER, answer_home},
    {"fetch", HD_ROLE_READER, answer_home},
    {"bring", HD_ROLE_OPERATOR, answer_home},
};

static const struct view *find_view(const char *name)
{
    for (size_t i = 0; i < HD_COUNT(views); i++)
        if (hd_streq(views[i].name, name))
            return &views[i];
    return NULL;
}

unsigned hd_desk_role(const char *view)
{
    const struct view *found = find_view(view);
    return found != NULL ? found->role : HD_ROLE_READER;
}

enum hd_code hd_desk_answer(struct hd_desk *desk, const struct hd_request *request,
                            struct hd_buf *json, struct hd_err *err)
{
    const struct view *found = find_view(request->view);
    if (found != NULL)
        return found->answer(desk, request, json, err);
    return hd_is_live_view(request->view) ? hd_read_live_view(desk->core, request, hd_clock_ms(),
                                                              hd_clock_wall_ms(), json, err)
                                          : hd_read_view(desk->store_path, request, json, err);
}

/* ---- files over time ------------------------------------------------------------------------- */

void hd_desk_tell_all(struct hd_desk *desk)
{
    hd_depot_each(desk->depot, tell_shelved, desk);
    hd_home_tell_all(desk->home);
}

void hd_desk_sweep(struct hd_desk *desk)
{
    hd_depot_sweep(desk->depot);
    hd_home_sweep(desk->home);
}

uint64_t hd_desk_words(const struct hd_desk *desk)
{
    return hd_home_words(desk->home);
}

bool hd_desk_has_root(const struct hd_desk *desk, const char *root)
{
    return hd_home_has_root(desk->home, root);
}
