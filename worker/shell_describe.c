/* SPDX-License-Identifier: Apache-2.0 */
/* shell_describe.c: what this worker could do now, for a person who tests it. */
#include "shell_internal.h"

#include <string.h>
#include <unistd.h>

/* A target needs room for its files first of all. */
static enum hd_code try_root(const struct hd_root *root, struct hd_err *err)
{
    char path[HD_PATH_MAX];
    if (!hd_format(path, sizeof(path), "%s/.hyperdock-test.%ld", root->path, (long)getpid()))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", root->path);
    enum hd_code code = hd_file_write_atomic(path, "test\n", 5, 0600, err);
    (void)unlink(path);
    return code;
}

/* "process, docker; 3 of 4 slots free" */
bool shell_describe(struct shell *shell, char ret_about[HD_ABOUT_MAX])
{
    struct hd_engine *engines[] = {shell->process, shell->docker};
    struct hd_err err;
    char names[HD_ABOUT_MAX / 2] = "", trouble[HD_ABOUT_MAX / 2] = "", shipping[HD_ABOUT_MAX / 2];
    bool fit = false;
    for (size_t i = 0; i < HD_COUNT(engines); i++) {
        if (engines[i] == NULL)
            continue;
        const char *name = hd_engine_name(engines[i]);
        size_t used = strlen(names);
        if (hd_engine_answers(engines[i], &err) == HD_OK) {
            (void)hd_format(names + used, sizeof(names) - used, "%s%s", used > 0 ? ", " : "", name);
            fit = true;
        } else {
            (void)hd_format(trouble, sizeof(trouble), "; %s: %.90s", name, err.text);
        }
    }
    if (try_root(shell->settings->root, &err) != HD_OK) {
        (void)hd_format(trouble, sizeof(trouble), "; %.100s", err.text);
        fit = false;
    }
    uint32_t held = hd_agent_held_count(shell->agent), slots = shell->settings->slots;
    char gpus[32] = "";
    if (shell->gpus.count > 0)
        (void)hd_format(gpus, sizeof(gpus), "; %u GPUs", shell->gpus.count);
    hd_shipper_describe(shell->shipper, shipping, sizeof(shipping));
    (void)hd_format(ret_about, HD_ABOUT_MAX, "%s; %u of %u slots free%s%s%s%s",
                    names[0] != '\0' ? names : "no engine", held < slots ? slots - held : 0, slots,
                    gpus, trouble, shipping[0] != '\0' ? "; " : "", shipping);
    return fit;
}
