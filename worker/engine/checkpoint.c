/* SPDX-License-Identifier: Apache-2.0 */
/* Work directories that travel, as the archives that also go to and from containers. */
#include "context.h"
#include "unpack.h"

#include <hd/checkpoint.h>

#define TOP "work" /* the directory itself, in the archive */
#define ENTRIES_MAX 1000000u

struct hd_unpacking {
    struct hd_unpack unpack;
};

enum hd_code hd_checkpoint_pack(const char *directory, uint64_t bytes_max, int fd,
                                struct hd_err *err)
{
    const struct hd_pack_tree tree = {.directory = directory, .name = TOP, .bytes_max = bytes_max};
    enum hd_code code = hd_pack_tree(&tree, fd, err);
    return code == HD_OK ? hd_pack_end(fd, err) : code;
}

const char *const hd_files_names[HD_FILES_NAMES] = {
    "out", "loss.json", "params.json", "job.json", "log.txt", "metrics.jsonl", "graphs.json"};

static bool is_of_files(const char *name, bool is_directory, bool is_file)
{
    for (size_t i = 0; i < HD_FILES_NAMES; i++)
        if (hd_streq(name, hd_files_names[i]))
            return i == 0 ? is_directory : is_file;
    return false;
}

enum hd_code hd_files_pack(const char *directory, uint64_t bytes_max, int fd, struct hd_err *err)
{
    const struct hd_pack_tree tree = {.directory = directory,
                                      .name = TOP,
                                      .takes = is_of_files,
                                      .for_owner = true,
                                      .bytes_max = bytes_max};
    enum hd_code code = hd_pack_tree(&tree, fd, err);
    return code == HD_OK ? hd_pack_end(fd, err) : code;
}

enum hd_code hd_unpacking_open(const char *directory, uint64_t bytes_max,
                               struct hd_unpacking **ret_unpacking, struct hd_err *err)
{
    struct hd_unpacking *unpacking = hd_calloc(1, sizeof(*unpacking));
    if (unpacking == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to unpack a directory");
    enum hd_code code =
        hd_unpack_open(&unpacking->unpack, directory, TOP, bytes_max, ENTRIES_MAX, err);
    if (code != HD_OK) {
        hd_unpacking_close(unpacking);
        return code;
    }
    *ret_unpacking = unpacking;
    return HD_OK;
}

enum hd_code hd_unpacking_feed(struct hd_unpacking *unpacking, const void *bytes, size_t size,
                               struct hd_err *err)
{
    return hd_tar_reader_feed(&unpacking->unpack.reader, bytes, size, err);
}

enum hd_code hd_unpacking_end(struct hd_unpacking *unpacking, struct hd_err *err)
{
    return hd_tar_reader_end(&unpacking->unpack.reader, err);
}

void hd_unpacking_close(struct hd_unpacking *unpacking)
{
    if (unpacking == NULL)
        return;
    hd_unpack_close(&unpacking->unpack);
    hd_free(unpacking);
}
