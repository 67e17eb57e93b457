/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.c: the phone book. A table in order of registration; a hash of (role, id) is compared
 * before the text, which is enough for HD_NS_ENTRIES_MAX entries that renew every few seconds.
 */
#include <hd/registry.h>

#include <string.h>

/* What a reply may hold, so that it always fits a message. */
#define REPLY_BYTES_MAX (HD_MESSAGE_BYTES_MAX / 2)
#define ENTRY_OVERHEAD_BYTES 64
#define RUN_OVERHEAD_BYTES 4

struct listing {
    struct hd_ns_entry entry; /* its texts lie in `texts` */
    size_t bytes;             /* about what it takes in a reply */
    uint64_t run_hashes[HD_NS_RUNS_PER_MASTER_MAX];
    char texts[];
};

/* What is looked at often lies close together. */
struct slot {
    uint64_t hash;
    int64_t expires_ms;
    enum hd_ns_role role;
    struct listing *listing;
};

struct hd_registry {
    int64_t ttl_ms_default;
    struct slot *slots;
    size_t count;
    size_t capacity;
    int64_t next_ms; /* nothing expires before; may be too early after renewals */
};

/* ---- listings -------------------------------------------------------------------------------- */

static uint64_t hash_of(enum hd_ns_role role, const char *id)
{
    return hd_hash_text(hd_hash_u64(HD_HASH_INIT, (uint64_t)role), id);
}

static size_t text_bytes(const struct hd_ns_entry *entry)
{
    size_t size = strlen(entry->id) + strlen(entry->address) + 2;
    for (size_t i = 0; i < entry->run_count; i++)
        size += strlen(entry->runs[i]) + 1;
    return size;
}

static const char *keep_text(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *kept = *at;
    memcpy(kept, text, size);
    *at += size;
    return kept;
}

/* A copy that owns its texts; NULL without memory. */
static struct listing *listing_new(const struct hd_ns_entry *entry)
{
    size_t size = text_bytes(entry);
    struct listing *listing = hd_malloc(sizeof(*listing) + size);
    if (listing == NULL)
        return NULL;
    char *at = listing->texts;
    listing->entry = *entry;
    listing->entry.id = keep_text(&at, entry->id);
    listing->entry.address = keep_text(&at, entry->address);
    for (size_t i = 0; i < entry->run_count; i++) {
        listing->entry.runs[i] = keep_text(&at, entry->runs[i]);
        listing->run_hashes[i] = hd_hash_text(HD_HASH_INIT, entry->runs[i]);
    }
    listing->bytes = size + ENTRY_OVERHEAD_BYTES + RUN_OVERHEAD_BYTES * entry->run_count;
    return listing;
}

static struct slot *find(struct hd_registry *registry, enum hd_ns_role role, const char *id)
{
    uint64_t hash = hash_of(role, id);
    for (size_t i = 0; i < registry->count; i++) {
        struct slot *slot = &registry->slots[i];
        if (slot->hash == hash && slot->role == role && hd_streq(slot->listing->entry.id, id))
            return slot;
    }
    return NULL;
}

static void drop(struct hd_registry *registry, size_t index)
{
    hd_free(registry->slots[index].listing);
    registry->count--;
    memmove(&registry->slots[index], &registry->slots[index + 1],
            (registry->count - index) * sizeof(registry->slots[0]));
}

static bool serves(const struct listing *listing, const char *run_id, uint64_t run_hash)
{
    for (size_t i = 0; i < listing->entry.run_count; i++)
        if (listing->run_hashes[i] == run_hash && hd_streq(listing->entry.runs[i], run_id))
            return true;
    return false;
}

/* ---- register ---------------------------------------------------------------------------------
 */

static void refuse(struct hd_ns_reply *reply, enum hd_code code, const char *text)
{
    reply->code = code;
    (void)hd_copy_text(reply->text, sizeof(reply->text), text);
}

/* The master that already serves one of the runs, or NULL. */
static const struct slot *rival(const struct hd_registry *registry, const struct hd_ns_entry *entry,
                                const char **ret_run_id)
{
    for (size_t k = 0; k < entry->run_count && entry->role == HD_NS_MASTER; k++) {
        uint64_t hash = hd_hash_text(HD_HASH_INIT, entry->runs[k]);
        for (size_t i = 0; i < registry->count; i++) {
            const struct slot *other = &registry->slots[i];
            if (other->role == HD_NS_MASTER && serves(other->listing, entry->runs[k], hash) &&
                !hd_streq(other->listing->entry.id, entry->id)) {
                *ret_run_id = entry->runs[k];
                return other;
            }
        }
    }
    return NULL;
}

static bool check_entry(const struct hd_registry *registry, int64_t now_ms,
                        const struct hd_ns_entry *entry, struct hd_ns_reply *reply)
{
    char text[HD_REASON_MAX];
    const char *run_id = "";
    if (entry->id[0] == '\0') {
        refuse(reply, HD_E_INVALID, "a registration without an id");
        return false;
    }
    if (entry->role == HD_NS_MASTER && entry->address[0] == '\0') {
        refuse(reply, HD_E_INVALID, "a master without an address");
        return false;
    }
    for (size_t i = 0; i < entry->run_count; i++)
        if (entry->runs[i][0] == '\0') {
            refuse(reply, HD_E_INVALID, "a registration with an empty run id");
            return false;
        }
    const struct slot *other = rival(registry, entry, &run_id);
    if (other == NULL)
        return true;
    (void)hd_format(text, sizeof(text),
                    "run %s is served by another master, at %s; stop that one, or wait %lld s if "
                    "it is dead",
                    run_id, other->listing->entry.address,
                    (long long)((other->expires_ms - now_ms + 999) / 1000));
    refuse(reply, HD_E_EXISTS, text);
    return false;
}

static bool reserve(struct hd_registry *registry)
{
    if (registry->count < registry->capacity)
        return true;
    size_t capacity = registry->capacity == 0 ? 16 : 2 * registry->capacity;
    if (capacity > HD_NS_ENTRIES_MAX)
        capacity = HD_NS_ENTRIES_MAX;
    struct slot *slots = hd_realloc(registry->slots, capacity * sizeof(registry->slots[0]));
    if (slots == NULL)
        return false;
    registry->slots = slots;
    registry->capacity = capacity;
    return true;
}

static const char *role_name(enum hd_ns_role role)
{
    switch (role) {
    case HD_NS_MASTER:
        return "master";
    case HD_NS_WORKER:
        return "worker";
    }
    return "unknown";
}

static void note_entry(char *note, const char *what, const struct hd_ns_entry *entry)
{
    (void)hd_format(note, HD_REASON_MAX, "%s %s %s%s%s%s%s", role_name(entry->role), entry->id,
                    what, entry->address[0] != '\0' ? " at " : "", entry->address,
                    entry->run_count > 0 ? ", run " : "",
                    entry->run_count > 0 ? entry->runs[0] : "");
}

/* Puts the entry in place of `old`, or at the end, where there is room. */
static void put(struct hd_registry *registry, struct slot *old, struct listing *listing,
                int64_t expires_ms)
{
    enum hd_ns_role role = listing->entry.role;
    if (old == NULL)
        old = &registry->slots[registry->count++];
    else
        hd_free(old->listing);
    *old = (struct slot){hash_of(role, listing->entry.id), expires_ms, role, listing};
    if (expires_ms < registry->next_ms)
        registry->next_ms = expires_ms;
}

static void do_register(struct hd_registry *registry, int64_t now_ms,
                        const struct hd_ns_request *request, struct hd_ns_reply *reply, char *note)
{
    const struct hd_ns_entry *entry = &request->entry;
    struct slot *old = find(registry, entry->role, entry->id);
    uint64_t incarnation = old != NULL ? old->listing->entry.incarnation : 0;
    bool renewal = old != NULL && incarnation == entry->incarnation;
    if (entry->incarnation < incarnation) {
        refuse(reply, HD_E_CONFLICT,
               "a later start with this id is registered: two programs use "
               "one id, or this one is out of date");
        return;
    }
    if (!check_entry(registry, now_ms, entry, reply))
        return;
    if (old == NULL && registry->count == HD_NS_ENTRIES_MAX) {
        refuse(reply, HD_E_LIMIT, "the nameserver is full");
        return;
    }
    struct listing *listing = old != NULL || reserve(registry) ? listing_new(entry) : NULL;
    if (listing == NULL) {
        refuse(reply, HD_E_NOMEM, "the nameserver is out of memory");
        return;
    }
    int64_t ttl_ms = request->ttl_ms > 0 ? request->ttl_ms : registry->ttl_ms_default;
    put(registry, old, listing, now_ms + ttl_ms);
    if (!renewal)
        note_entry(note, "registered", &listing->entry);
}

static void do_unregister(struct hd_registry *registry, const struct hd_ns_entry *entry,
                          struct hd_ns_reply *reply, char *note)
{
    struct slot *slot = find(registry, entry->role, entry->id);
    if (slot == NULL)
        return; /* asked twice, or expired: gone is gone */
    if (entry->incarnation < slot->listing->entry.incarnation) {
        refuse(reply, HD_E_CONFLICT, "a later start with this id is registered: it stays");
        return;
    }
    note_entry(note, "left", &slot->listing->entry);
    drop(registry, (size_t)(slot - registry->slots));
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static void collect(const struct hd_registry *registry, enum hd_ns_role role, const char *run_id,
                    struct hd_ns_reply *reply)
{
    size_t bytes = 0;
    uint64_t run_hash = hd_hash_text(HD_HASH_INIT, run_id);
    for (size_t i = 0; i < registry->count; i++) {
        const struct listing *listing = registry->slots[i].listing;
        if (registry->slots[i].role != role ||
            (run_id[0] != '\0' && !serves(listing, run_id, run_hash)))
            continue;
        bytes += listing->bytes;
        if (reply->entry_count == HD_NS_LIST_MAX || bytes > REPLY_BYTES_MAX) {
            reply->more = true;
            return;
        }
        reply->entries[reply->entry_count++] = listing->entry;
    }
}

/* ---- the machine ------------------------------------------------------------------------------
 */

enum hd_code hd_registry_new(int64_t ttl_ms_default, struct hd_registry **ret_registry,
                             struct hd_err *err)
{
    hd_assert(ttl_ms_default > 0 && ttl_ms_default <= HD_NS_TTL_MS_MAX);
    struct hd_registry *registry = hd_calloc(1, sizeof(*registry));
    if (registry == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a registry");
    registry->ttl_ms_default = ttl_ms_default;
    registry->next_ms = HD_NEVER_MS;
    *ret_registry = registry;
    return HD_OK;
}

void hd_registry_free(struct hd_registry *registry)
{
    if (registry == NULL)
        return;
    for (size_t i = 0; i < registry->count; i++)
        hd_free(registry->slots[i].listing);
    hd_free(registry->slots);
    hd_free(registry);
}

void hd_registry_step(struct hd_registry *registry, int64_t now_ms,
                      const struct hd_ns_request *request, struct hd_ns_reply *ret_reply,
                      char *note)
{
    ret_reply->code = HD_OK;
    ret_reply->text[0] = '\0';
    ret_reply->entry_count = 0;
    ret_reply->more = false;
    note[0] = '\0';
    (void)hd_registry_expire(registry, now_ms);
    switch (request->kind) {
    case HD_NS_REGISTER:
        do_register(registry, now_ms, request, ret_reply, note);
        break;
    case HD_NS_UNREGISTER:
        do_unregister(registry, &request->entry, ret_reply, note);
        break;
    case HD_NS_LOOKUP:
        collect(registry, HD_NS_MASTER, request->run_id, ret_reply);
        break;
    case HD_NS_LIST:
        collect(registry, request->role, "", ret_reply);
        break;
    case HD_NS_KIND_COUNT:
        refuse(ret_reply, HD_E_INVALID, "an unknown request");
        break;
    }
}

int64_t hd_registry_expire(struct hd_registry *registry, int64_t now_ms)
{
    if (now_ms < registry->next_ms)
        return registry->next_ms;
    registry->next_ms = HD_NEVER_MS;
    size_t kept = 0;
    for (size_t i = 0; i < registry->count; i++) {
        struct slot slot = registry->slots[i];
        if (slot.expires_ms <= now_ms) {
            hd_free(slot.listing);
            continue;
        }
        if (slot.expires_ms < registry->next_ms)
            registry->next_ms = slot.expires_ms;
        registry->slots[kept++] = slot;
    }
    registry->count = kept;
    return registry->next_ms;
}

size_t hd_registry_count(const struct hd_registry *registry, enum hd_ns_role role)
{
    size_t count = 0;
    for (size_t i = 0; i < registry->count; i++)
        count += registry->slots[i].role == role ? 1 : 0;
    return count;
}
