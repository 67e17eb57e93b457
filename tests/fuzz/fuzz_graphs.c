/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a target leaves as graphs.json: no crash, and what is taken is taken again as it is. */
#include <hd/graphs.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What travels is short, and is taken where it arrives. */
static void travel(const struct hd_value *graphs)
{
    static const size_t sizes[] = {8191, 400, 60};
    for (size_t i = 0; i < HD_COUNT(sizes); i++) {
        struct hd_value *sent = NULL, *taken = NULL;
        struct hd_buf text;
        struct hd_err err;
        hd_buf_init(&text, sizes[i] + 1);
        hd_assert(hd_graphs_summary(graphs, sizes[i], &text, &err) == HD_OK);
        hd_assert(text.size <= sizes[i]);
        if (text.size > 0) {
            hd_assert(hd_json_parse(hd_buf_text(&text), text.size, "sent", &hd_value_limits_target,
                                    &sent, &err) == HD_OK);
            hd_assert(hd_graphs_read_summary(sent, &taken, &err) == HD_OK);
            hd_assert(taken->as.array.count <= graphs->as.array.count);
        }
        hd_value_free(sent);
        hd_value_free(taken);
        hd_buf_release(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_value *graphs = NULL, *again = NULL;
    struct hd_buf text, once_more;
    struct hd_err err;
    if (hd_graphs_parse((const char *)data, size, &graphs, &err) != HD_OK)
        return 0;
    hd_assert(graphs->as.array.count <= HD_GRAPHS_MAX);
    travel(graphs);
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
