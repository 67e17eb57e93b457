/* SPDX-License-Identifier: Apache-2.0 */
#include "run_services.h"

#include "common/cli.h"
#include "services_uuid.h"

#include <hd/os.h>
#include <hd/services.h>
#include <stdio.h>
#include <string.h>

struct teller {
    bool quiet;
    bool (*interrupted)(void);
};

static void say(void *context, const char *name, const char *text)
{
    const struct teller *teller = context;
    if (!teller->quiet)
        fprintf(stderr, "service %s: %s\n", name, text);
}

static bool is_interrupted(void *context)
{
    const struct teller *teller = context;
    return teller->interrupted();
}

/* What the set is called: "STATE_DIR#RUN". */
static enum hd_code make_label(const char *state_dir, const char *run_id,
                               char label[HD_SERVICES_PATH_MAX], struct hd_err *err)
{
    char *absolute = NULL;
    enum hd_code code = hd_path_absolute(NULL, state_dir, &absolute, err);
    if (code == HD_OK && !hd_format(label, HD_SERVICES_PATH_MAX, "%s#%s", absolute, run_id))
        code = hd_fail(err, HD_E_LIMIT, "the path %s is too long", state_dir);
    hd_free(absolute);
    return code;
}

/* A service that runs, or one that was to end and did. */
static bool is_whole(const struct hd_services *plan, const struct hd_service_found *found,
                     size_t count, const struct hd_services_options *options)
{
    size_t whole = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const char *state = "";
        for (size_t k = 0; k < count; k++)
            if (hd_streq(found[k].file, options->file) && hd_streq(found[k].host, options->host) &&
                hd_streq(found[k].name, plan->items[i].name))
                state = found[k].state;
        bool ended = plan->items[i].ready == HD_SERVICE_READY_EXIT && hd_streq(state, "exited");
        whole += hd_streq(state, "running") || ended ? 1 : 0;
    }
    return whole == plan->count;
}

static enum hd_code look(const struct hd_services *plan, const struct hd_services_options *options,
                         bool *ret_whole, struct hd_err *err)
{
    struct hd_service_found *found = NULL;
    size_t count;
    enum hd_code code = hd_services_list(options, &found, &count, err);
    if (code == HD_OK)
        *ret_whole = is_whole(plan, found, count, options);
    hd_free(found);
    return code;
}

enum hd_code run_services_up(const struct hd_experiment *experiment, const char *state_dir,
                             const char *run_id, bool quiet, bool (*interrupted)(void),
                             bool *ret_made, struct hd_err *err)
{
    char label[HD_SERVICES_PATH_MAX], uuid[HD_SERVICES_UUID_SIZE], host[HD_SERVICES_HOST_MAX];
    struct teller teller = {.quiet = quiet, .interrupted = interrupted};
    struct hd_services_options options = {.file = label,
                                          .host = services_host(host),
                                          .uuid = uuid,
                                          .interrupted = is_interrupted,
                                          .say = say,
                                          .context = &teller};
    bool whole = false;
    size_t removed;
    *ret_made = false;
    if (experiment == NULL || experiment->services == NULL)
        return HD_OK;
    services_make_uuid(uuid);
    enum hd_code code = make_label(state_dir, run_id, label, err);
    if (code == HD_OK)
        code = look(experiment->services, &options, &whole, err);
    if (code == HD_OK && !whole)
        code = hd_services_down(&options, &removed, err);
    if (code == HD_OK && !whole)
        code = hd_services_up(experiment->services, &options, err);
    *ret_made = code == HD_OK && !whole;
    return code == HD_OK ? HD_OK : hd_fail_in(err, "services");
}

enum hd_code run_services_stored(const char *state_dir, const char *run_id,
                                 struct hd_experiment **ret_experiment, struct hd_err *err)
{
    const struct cli_common common = {.state_dir = state_dir, .run = run_id};
    struct cli_source *source = NULL;
    struct hd_value *answer = NULL;
    enum hd_code code = cli_open(&common, &source, err);
    if (code == HD_OK)
        code = cli_read(source, "experiment", NULL, &answer, err);
    const struct hd_value *experiment = hd_value_get(answer, "experiment");
    if (code == HD_OK && experiment != NULL)
        code = hd_experiment_parse(experiment, "the stored experiment", NULL, ret_experiment, err);
    hd_value_free(answer);
    cli_close(source);
    return code;
}

void run_services_down(const struct hd_experiment *experiment, const char *state_dir,
                       const char *run_id)
{
    char label[HD_SERVICES_PATH_MAX], host[HD_SERVICES_HOST_MAX];
    const struct hd_services_options options = {.file = label, .host = services_host(host)};
    struct hd_err err;
    size_t removed;
    if (experiment == NULL || experiment->services == NULL)
        return;
    enum hd_code code = make_label(state_dir, run_id, label, &err);
    if (code == HD_OK)
        code = hd_services_down(&options, &removed, &err);
    if (code != HD_OK)
        fprintf(stderr, "hd: services are still there: %s; hd services list shows them\n",
                err.text);
}
