/* SPDX-License-Identifier: Apache-2.0 */
#include "run_services.h"

#include "common/cli.h"
#include "services_host.h"

#include <hd/os.h>
#include <hd/services.h>
#include <stdio.h>
#include <stdlib.h>
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
    char ensured[HD_SERVICES_UUID_SIZE];
    *ret_made = false;
    if (experiment == NULL || experiment->services == NULL)
        return HD_OK;
    hd_services_make_uuid(uuid);
    enum hd_code code = make_label(state_dir, run_id, label, err);
    if (code == HD_OK)
        code = hd_services_ensure(experiment->services, &options, ensured, ret_made, err);
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

static void tell_left(const struct hd_err *err)
{
    fprintf(stderr, "hd: services are still there: %s; hd services list shows them\n", err->text);
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
        tell_left(&err);
}

/* ---- of workers ------------------------------------------------------------------------------ */

int64_t run_services_down_ms(const struct hd_experiment *experiment)
{
    if (experiment == NULL || !experiment->services_per_worker)
        return 0;
    return (int64_t)(experiment->services->layer_count + 1) * HD_SERVICES_STOP_S * 1000;
}

/* Their sets are called by their own state directories. */
void run_services_down_left(const char *state_dir)
{
    char host[HD_SERVICES_HOST_MAX];
    struct hd_services_options options = {.host = services_host(host)};
    struct hd_service_found *found = NULL;
    struct hd_err err;
    char *absolute = realpath(state_dir, NULL); /* as workers call their directories */
    size_t count = 0, removed;
    enum hd_code code = HD_OK;
    if (absolute == NULL || hd_services_list(&options, &found, &count, &err) != HD_OK)
        count = 0; /* without an engine there are none, or nobody can say */
    for (size_t i = 0; code == HD_OK && i < count; i++) {
        size_t size = strlen(absolute);
        if (strncmp(found[i].file, absolute, size) != 0 || found[i].file[size] != '/' ||
            !hd_streq(found[i].host, options.host) ||
            (i > 0 && hd_streq(found[i].uuid, found[i - 1].uuid)))
            continue;
        options.uuid = found[i].uuid;
        code = hd_services_down(&options, &removed, &err);
    }
    if (code != HD_OK)
        tell_left(&err);
    hd_free(found);
    free(absolute);
}
