/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a Docker engine, or what stands in for one, answers: no crash, bounded and terminated
 * results. The first byte chooses the parser, so that one corpus serves all. */
#include "docker_json.h"

#include <string.h>

#define FOUND_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void swallow(void *context, const char *bytes, size_t size)
{
    size_t *total = context;
    hd_assert(size > 0 && bytes != NULL);
    *total += size;
}

static void fuzz_frames(const char *text, size_t size)
{
    size_t total = 0;
    struct hd_docker_frames frames = {.write = swallow, .context = &total};
    hd_docker_frames_begin(&frames);
    size_t half = size / 2;
    bool good = hd_docker_frames_feed(&frames, text, half);
    good = hd_docker_frames_feed(&frames, text + half, size - half) && good;
    hd_docker_frames_begin(&frames);
    hd_assert(total <= size);
    (void)good;
}

static void fuzz_pull(const char *text, size_t size)
{
    static struct hd_docker_pull_stream pull;
    pull = (struct hd_docker_pull_stream){0};
    hd_docker_pull_feed(&pull, text, size);
    hd_docker_pull_end(&pull);
    hd_assert(memchr(pull.error, '\0', sizeof(pull.error)) != NULL);
}

static void fuzz_text(const char *text, size_t size)
{
    char copy[512], out[64];
    int minor;
    int64_t wall_ms;
    size_t length = size < sizeof(copy) - 1 ? size : sizeof(copy) - 1;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (hd_docker_parse_version(copy, &minor) || hd_docker_parse_version_floor(copy, &minor))
        hd_assert(minor >= 0);
    if (hd_docker_parse_time(copy, &wall_ms))
        hd_assert(wall_ms >= 0);
    if (hd_docker_since_text(copy, out, sizeof(out)))
        hd_assert(strchr(out, '.') != NULL);
    char repository[64], tag[64];
    if (hd_docker_split_image(copy, repository, sizeof(repository), tag, sizeof(tag)))
        hd_assert(repository[0] != '\0' && tag[0] != '\0');
    hd_docker_error_text(text, size, out, sizeof(out));
    hd_assert(memchr(out, '\0', sizeof(out)) != NULL);
}

static void fuzz_words(const char *text, size_t size)
{
    struct hd_arena *arena = NULL;
    char *const *words = NULL;
    struct hd_err err;
    if (hd_arena_new(1u << 20, &arena, &err) != HD_OK)
        return;
    if (hd_docker_parse_image_words(text, size, NULL, arena, &words, &err) == HD_OK)
        hd_assert(words[0] != NULL);
    hd_arena_free(arena);
}

static void fuzz_answer(uint8_t which, const char *text, size_t size)
{
    static struct hd_engine_found found[FOUND_MAX];
    struct hd_docker_container container;
    struct hd_err err;
    char id[HD_DOCKER_ID_SIZE];
    size_t count;
    int exit_code;
    struct hd_docker_info info;
    if (which == 0 && hd_docker_parse_inspect(text, size, &container, &err) == HD_OK)
        hd_assert(container.id[0] != '\0');
    if (which == 1 && hd_docker_parse_list(text, size, found, FOUND_MAX, &count, &err) == HD_OK)
        hd_assert(count <= FOUND_MAX);
    if (which == 2 && hd_docker_parse_created(text, size, id, &err) == HD_OK)
        hd_assert(strspn(id, "0123456789abcdefABCDEF") == strlen(id));
    if (which == 3 && hd_docker_parse_wait(text, size, &exit_code, &err) == HD_OK)
        hd_assert(size > 0);
    bool warm;
    if (which == 4 && hd_docker_parse_image_warm(text, size, &warm, &err) == HD_OK)
        hd_assert(size > 0);
    if (which == 4)
        fuzz_words(text, size);
    static struct hd_docker_found_ahead aheads[FOUND_MAX];
    if (which == 1 && hd_docker_parse_aheads(text, size, aheads, FOUND_MAX, &count, &err) == HD_OK)
        hd_assert(count <= FOUND_MAX);
    if (which == 5 && hd_docker_parse_info(text, size, &info, &err) == HD_OK)
        hd_assert(size > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t which = (uint8_t)(data[0] - '0');
    const char *text = (const char *)data + 1;
    size--;
    fuzz_answer(which, text, size);
    if (which == 6)
        (void)hd_docker_events_have_oom(text, size);
    if (which == 7)
        fuzz_frames(text, size);
    if (which == 8)
        fuzz_pull(text, size);
    if (which == 9)
        fuzz_text(text, size);
    return 0;
}
