/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts that wait for something before their targets can start: code, services, a state. */
#include "shell_internal.h"

#define LEASE_BYTES_MAX (4u * 1024u * 1024u)

static bool copy(struct hd_arena *arena, const char **text)
{
    *text = hd_arena_strdup(arena, *text);
    return *text != NULL;
}

bool shell_keep_lease(struct entry *entry, const struct hd_lease *lease)
{
    struct hd_err ignored;
    if (hd_arena_new(LEASE_BYTES_MAX, &entry->lease_arena, &ignored) != HD_OK)
        return false;
    struct hd_lease *kept = hd_arena_alloc(entry->lease_arena, sizeof(*kept));
    if (kept == NULL)
        return false;
    *kept = *lease;
    if (!copy(entry->lease_arena, &kept->run_id) || !copy(entry->lease_arena, &kept->root) ||
        !copy(entry->lease_arena, &kept->directory) ||
        !copy(entry->lease_arena, &kept->directory_owner) ||
        !copy(entry->lease_arena, &kept->image_id) ||
        !copy(entry->lease_arena, &kept->params_json) ||
        !copy(entry->lease_arena, &kept->target_json))
        return false;
    entry->lease = kept;
    return true;
}

void shell_forget_lease(struct entry *entry)
{
    hd_arena_free(entry->lease_arena);
    entry->lease_arena = NULL;
    entry->lease = NULL;
}

const char *shell_address_of(const struct shell *shell, const char *master)
{
    for (uint32_t i = 0; i < HD_AGENT_MASTERS_MAX; i++)
        if (shell->clients[i].address[0] != '\0' &&
            hd_streq(hd_agent_master_id(shell->agent, i), master))
            return shell->clients[i].address;
    return NULL;
}

void shell_go_on(struct shell *shell, struct entry *entry, const char *why_not)
{
    struct hd_arena *arena = entry->lease_arena;
    const struct hd_lease *lease = entry->lease;
    const char *address = shell_address_of(shell, entry->master);
    entry->lease = NULL;
    entry->lease_arena = NULL;
    entry->wants_code = entry->wants_services = false;
    if (why_not == NULL)
        shell_prepare(shell, entry, lease, address != NULL ? address : "");
    else
        shell_fail_start(shell, entry, lease, HD_OUTCOME_INFRA, why_not);
    hd_arena_free(arena);
}
