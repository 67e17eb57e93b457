/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts whose code is not here yet: they wait for it without holding up the others. */
#include "shell_internal.h"

static enum hd_code want(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                         const char *address, struct hd_err *err)
{
    const char *hash = entry->experiment->target.code_hash;
    hd_fetch_set_token(shell->fetch, shell->token);
    if (!shell_keep_lease(entry, lease))
        return hd_fail(err, HD_E_NOMEM, "no memory for a job that waits");
    enum hd_code code = hd_code_cache_want(shell->codes, hash, address, lease->run_id, err);
    entry->wants_code = code == HD_OK;
    if (code == HD_OK)
        hd_log(HD_LOG_INFO, "job %u: fetching code %.12s from the master", lease->attempt.job,
               hash);
    return code;
}

bool shell_has_code(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                    const char *address)
{
    char path[HD_PATH_MAX];
    struct hd_err err;
    const struct hd_target *target = &entry->experiment->target;
    if (target->code == NULL)
        return true;
    enum hd_code code =
        target->code_hash != NULL
            ? hd_policy_code(shell->settings->policy, &err)
            : hd_fail(&err, HD_E_INVALID,
                      "target.code: nobody has read its directory; start the run with hd or "
                      "hd-master");
    if (code != HD_OK) {
        shell_fail_start(shell, entry, lease, HD_OUTCOME_CONFIG_ERROR, err.text);
        return false;
    }
    if (hd_code_cache_find(shell->codes, target->code_hash, path))
        return true;
    if (want(shell, entry, lease, address, &err) != HD_OK) {
        shell_forget_lease(entry);
        shell_fail_start(shell, entry, lease, HD_OUTCOME_INFRA, err.text);
    }
    return false;
}

static void tell_doing(struct shell *shell, const struct hd_code_news *news)
{
    char text[HD_DOING_MAX] = "";
    if (!news->ended)
        (void)hd_format(text, sizeof(text), "fetching code %.12s %d %%", news->hash, news->percent);
    shell_tell_doing(shell, text);
}

static void take_end(struct shell *shell, struct entry *entry, const struct hd_code_news *news)
{
    char path[HD_PATH_MAX], why_not[HD_MESSAGE_MAX] = "target.code: it is gone again";
    bool here = news->code == HD_OK && hd_code_cache_find(shell->codes, news->hash, path);
    if (news->code != HD_OK)
        (void)hd_format(why_not, sizeof(why_not), "target.code: %.400s%s", news->err.text,
                        news->code == HD_E_FULL ? "; make room on this worker's disk" : "");
    shell_go_on(shell, entry, here ? NULL : why_not);
}

void shell_take_code(struct shell *shell, const struct hd_code_news *news)
{
    tell_doing(shell, news);
    for (size_t i = 0; news->ended && i < HD_HELD_MAX; i++) {
        struct entry *entry = shell->entries[i];
        if (entry != NULL && entry->wants_code && !entry->ended &&
            hd_streq(entry->experiment->target.code_hash, news->hash))
            take_end(shell, entry, news);
    }
}
