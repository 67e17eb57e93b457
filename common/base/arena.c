/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c: many small things freed together, in chunks that grow. */
#include <hd/base.h>

#include <stdalign.h>
#include <string.h>

#define ARENA_CHUNK_MIN ((size_t)4096)
#define ARENA_CHUNK_MAX ((size_t)1 << 20)

struct chunk {
    struct chunk *next;
    size_t used, capacity;
    alignas(max_align_t) char bytes[];
};

struct hd_arena {
    struct chunk *chunks; /* the newest first */
    size_t size, size_max;
    size_t chunk_next;
};

enum hd_code hd_arena_new(size_t size_max, struct hd_arena **ret_arena, struct hd_err *err)
{
    struct hd_arena *arena = hd_calloc(1, sizeof(*arena));
    if (arena == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an arena");
    arena->size_max = size_max;
    arena->chunk_next = ARENA_CHUNK_MIN;
    *ret_arena = arena;
    return HD_OK;
}

void hd_arena_free(struct hd_arena *arena)
{
    if (arena == NULL)
        return;
    while (arena->chunks != NULL) {
        struct chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        hd_free(chunk);
    }
    hd_free(arena);
}

static bool add_chunk(struct hd_arena *arena, size_t size)
{
    size_t capacity = arena->chunk_next > size ? arena->chunk_next : size;
    if (capacity > SIZE_MAX - sizeof(struct chunk))
        return false;
    struct chunk *chunk = hd_malloc(sizeof(*chunk) + capacity);
    if (chunk == NULL)
        return false;
    *chunk = (struct chunk){.next = arena->chunks, .capacity = capacity};
    arena->chunks = chunk;
    if (arena->chunk_next < ARENA_CHUNK_MAX)
        arena->chunk_next *= 2;
    return true;
}

void *hd_arena_alloc(struct hd_arena *arena, size_t size)
{
    if (size > arena->size_max - arena->size)
        return NULL;
    size_t padding = (alignof(max_align_t) - size % alignof(max_align_t)) % alignof(max_align_t);
    if (size > SIZE_MAX - padding)
        return NULL;
    size_t step = size + padding;
    struct chunk *chunk = arena->chunks;
    if (chunk == NULL || step > chunk->capacity - chunk->used) {
        if (!add_chunk(arena, step))
            return NULL;
        chunk = arena->chunks;
    }
    void *memory = chunk->bytes + chunk->used;
    chunk->used += step;
    arena->size += size;
    return memset(memory, 0, step);
}

char *hd_arena_strndup(struct hd_arena *arena, const char *text, size_t size)
{
    size = strnlen(text, size);
    char *copy = size < SIZE_MAX ? hd_arena_alloc(arena, size + 1) : NULL;
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

char *hd_arena_strdup(struct hd_arena *arena, const char *text)
{
    return hd_arena_strndup(arena, text, strlen(text));
}
