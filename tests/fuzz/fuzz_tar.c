/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of files that targets left. Every name that is told leads nowhere above, the sizes stay
 * within the limits, and a file is whole when its last piece says so. */
#include "tar.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES_MAX 65536
#define ENTRIES_MAX 64

struct seen {
    uint64_t bytes, entries, left;
    bool open;
};

static void judge_name(const char *name)
{
    hd_assert(name[0] != '/');
    for (const char *at = name; *at != '\0';) {
        size_t length = strcspn(at, "/");
        hd_assert(length > 0 && !(length == 2 && memcmp(at, "..", 2) == 0));
        at += length + (at[length] == '/' ? 1 : 0);
    }
}

static enum hd_code take_entry(void *context, const struct hd_tar_entry *entry, struct hd_err *err)
{
    struct seen *seen = context;
    (void)err;
    hd_assert(!seen->open);
    judge_name(entry->path);
    if (entry->kind == HD_TAR_HARDLINK)
        judge_name(entry->link);
    hd_assert(entry->mode <= 07777 && (entry->kind == HD_TAR_FILE || entry->size == 0));
    seen->bytes += entry->size;
    hd_assert(++seen->entries <= ENTRIES_MAX && seen->bytes <= BYTES_MAX);
    seen->open = entry->kind == HD_TAR_FILE;
    seen->left = entry->size;
    return HD_OK;
}

static enum hd_code take_content(void *context, const char *bytes, size_t size, bool last,
                                 struct hd_err *err)
{
    struct seen *seen = context;
    (void)bytes;
    (void)err;
    hd_assert(seen->open && size <= seen->left);
    seen->left -= size;
    hd_assert(last == (seen->left == 0));
    seen->open = !last;
    return HD_OK;
}

/* A sum that fits, or hardly an input would come past it. */
static void set_sums(char *archive, size_t size)
{
    for (size_t at = 0; at + HD_TAR_BLOCK <= size; at += HD_TAR_BLOCK) {
        char *head = archive + at;
        unsigned sum = 0;
        if (memcmp(head + 257, "ustar", 5) != 0)
            continue;
        memset(head + 148, ' ', 8);
        for (size_t i = 0; i < HD_TAR_BLOCK; i++)
            sum += (unsigned char)head[i];
        (void)hd_format(head + 148, 8, "%06o", sum);
    }
}

/* The first byte says how large the pieces are, and whether sums are set right. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char archive[1 << 16];
    if (size > sizeof(archive))
        return 0;
    if (size > 0)
        memcpy(archive, data, size);
    if (size > 0 && data[0] % 2 == 1)
        set_sums(archive + 1, size - 1);
    struct hd_tar_reader reader;
    struct seen seen = {.bytes = 0};
    const struct hd_tar_handler handler = {take_entry, take_content, &seen};
    struct hd_err err;
    size_t piece = size > 0 ? data[0] + 1u : 1;
    enum hd_code code = HD_OK;
    hd_tar_reader_init(&reader, &handler, BYTES_MAX, ENTRIES_MAX);
    for (size_t at = 1; at < size && code == HD_OK; at += piece)
        code =
            hd_tar_reader_feed(&reader, archive + at, size - at < piece ? size - at : piece, &err);
    if (hd_tar_reader_end(&reader, &err) == HD_OK)
        hd_assert(!seen.open);
    hd_tar_reader_release(&reader);
    return 0;
}
