/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a target leaves as graphs.json: no crash, and what is taken is taken again as it is. */
#include <hd/graphs.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_value *graphs = NULL, *again = NULL;
    struct hd_buf text, once_more;
    struct hd_err err;
    if (hd_graphs_parse((const char *)data, size, &graphs, &err) != HD_OK)
        return 0;
    hd_assert(graphs->as.array.count <= HD_GRAPHS_MAX);
    hd_buf_init(&text, 64u << 20);
    hd_buf_init(&once_more, 64u << 20);
    hd_assert(hd_json_write(graphs, HD_JSON_COMPACT, &text, &err) == HD_OK);
    /* What was short may pass the limits when all of it is written out. */
    if (hd_graphs_parse(hd_buf_text(&text), text.size, &again, &err) == HD_OK) {
        hd_assert(hd_json_write(again, HD_JSON_COMPACT, &once_more, &err) == HD_OK);
        hd_assert(hd_streq(hd_buf_text(&text), hd_buf_text(&once_more)));
    }
    hd_value_free(graphs);
    hd_value_free(again);
    hd_buf_release(&text);
    hd_buf_release(&once_more);
    return 0;
}
