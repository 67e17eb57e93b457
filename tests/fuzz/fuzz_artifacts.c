/* SPDX-License-Identifier: Apache-2.0 */
/* What a store answers, and the files of the queue: no crash, texts terminated, and what was read
 * of an item writes names that stay inside the store. The first byte chooses the reader. */
#include "answer.h"
#include "item.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_answer(const char *text, size_t size)
{
    static const int statuses[] = {200, 204, 301, 400, 403, 404, 429, 500, 503};
    struct hd_err err = {0};
    char upload[HD_ARTIFACT_TAG_MAX];
    for (size_t i = 0; i < HD_COUNT(statuses); i++)
        if (hd_s3_judge(statuses[i], text, size, "PUT", &err) != HD_OK)
            hd_assert(strncmp(err.text, "PUT: HTTP ", 10) == 0 && strchr(err.text, '\n') == NULL);
    if (hd_s3_element(text, size, "UploadId", upload, sizeof(upload)))
        hd_assert(strlen(upload) < sizeof(upload));
    char key[HD_ARTIFACT_KEY_MAX];
    const char *at = text;
    for (size_t left = size;
         hd_s3_next_upload(&at, &left, key, sizeof(key), upload, sizeof(upload));) {
        hd_assert(at + left == text + size && strlen(key) < sizeof(key));
        hd_assert(strlen(upload) < sizeof(upload));
    }
}

static void read_item(const char *text, size_t size)
{
    struct hd_item *item = NULL;
    struct hd_err err = {0};
    char base[256];
    if (hd_item_parse(text, size, "item", &item, &err) != HD_OK) {
        hd_assert(err.text[0] != '\0');
        return;
    }
    if (hd_artifact_base(item->run_id, item->attempt, item->config_id, base, sizeof(base), &err) ==
        HD_OK)
        hd_assert(hd_artifact_path_is_inner(base));
    hd_item_free(item);
}

static void read_shipped(const char *text, size_t size)
{
    struct hd_shipped shipped = {0};
    hd_shipped_parse(text, size, "s3://bucket", &shipped);
    for (size_t i = 0; i < shipped.count; i++) {
        hd_assert(hd_artifact_path_is_inner(shipped.files[i].path));
        hd_assert(hd_shipped_find(&shipped, shipped.files[i].path) == &shipped.files[i]);
    }
    hd_assert(shipped.upload_path != NULL || shipped.tag_count == 0);
    hd_assert(shipped.intent_path == NULL || hd_artifact_path_is_inner(shipped.intent_path));
    hd_shipped_release(&shipped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    if (data[0] == 'a')
        read_answer(text, size - 1);
    else if (data[0] == 'i')
        read_item(text, size - 1);
    else
        read_shipped(text, size - 1);
    return 0;
}
